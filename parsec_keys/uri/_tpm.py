"""``tpm:`` URLs of stores and URIs of keys, and TSS2 PRIVATE KEY files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from parsec_keys.errors import ConfigurationError
from parsec_keys.service.config import ServiceConfig, TpmConfig
from parsec_keys.service.secret import read_secret
from parsec_keys.uri._stores import AdoptedKeyUri, EmbeddedStore
from parsec_keys.uri._text import (
    absolute,
    check_known,
    check_no_nul,
    split_query,
    with_query,
)

DEFAULT_TCTI: Final = "device:/dev/tpmrm0"
"""The kernel's resource manager, for a TPM key that names no TCTI."""
_TSS2_PEM: Final = b"-----BEGIN TSS2 PRIVATE KEY-----"


def parse_store(tcti: str, query: Mapping[str, str]) -> EmbeddedStore:
    """The store of a TPM that a TCTI reaches.

    Raises:
        ConfigurationError: it names none.
    """
    check_known(query, {"store", "owner-auth-file"}, "a tpm: URL")
    if not tcti:
        raise ConfigurationError(
            f"a tpm: URL names its TCTI: tpm:{DEFAULT_TCTI}, or tpm:swtpm:port=2321 "
            "for an emulator"
        )
    directory = absolute(query["store"]) if "store" in query else None
    config, settings = _config(tcti, query)
    if directory is not None:
        settings["store"] = str(directory)
    return EmbeddedStore(
        with_query(f"tpm:{tcti}", settings), ServiceConfig((config,), directory)
    )


def parse_key(rest: str) -> AdoptedKeyUri:
    """The key of what follows ``tpm:``, a persistent handle or a file.

    Raises:
        ConfigurationError: it names none.
    """
    reference, query = split_query(rest)
    check_known(query, {"tcti", "owner-auth-file"}, "a tpm: key")
    noun, _, value = reference.partition("=")
    if noun == "file":
        reference = f"file={absolute(value)}"
    elif not re.fullmatch(r"0x81[0-9a-fA-F]{6}", value):
        raise ConfigurationError(
            f"'{value}' is no persistent handle: it is 0x81 and six more hex digits"
        )
    config, settings = _config(query.get("tcti", DEFAULT_TCTI), query)
    settings["tcti"] = config.tcti
    return AdoptedKeyUri(
        with_query(f"tpm:{quote(reference, safe='=/')}", settings),
        with_query("tpm:", settings),
        ServiceConfig((config,), persistent=False),
        reference,
    )


def _config(tcti: str, query: Mapping[str, str]) -> tuple[TpmConfig, dict[str, str]]:
    check_no_nul(tcti)
    if "owner-auth-file" not in query:
        return TpmConfig(tcti), {}
    file = absolute(query["owner-auth-file"])
    return TpmConfig(tcti, read_secret(file)), {"owner-auth-file": str(file)}


def is_tss2_file(path: Path) -> bool:
    """Whether a file is there that begins as a TSS2 PRIVATE KEY."""
    try:
        with path.open("rb") as file:
            return file.read(len(_TSS2_PEM)) == _TSS2_PEM
    except (OSError, ValueError):
        return False
