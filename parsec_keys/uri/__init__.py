"""Store URLs and key URIs, parsed once into typed objects.

Each object carries its own canonical text: absolute, and without a PIN or passphrase.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from parsec_keys.errors import ConfigurationError
from parsec_keys.service import user_directory
from parsec_keys.service.config import ServiceConfig, SoftwareConfig
from parsec_keys.service.secret import read_secret
from parsec_keys.uri import _pkcs11, _tpm
from parsec_keys.uri._stores import (
    AdoptedKeyUri,
    EmbeddedStore,
    SocketStore,
    StoredKeyUri,
    StoreUrl,
)
from parsec_keys.uri._text import (
    absolute,
    check_known,
    check_text,
    split_query,
    with_query,
    without_secrets,
)
from parsec_keys.uri._tpm import DEFAULT_TCTI

__all__ = [
    "DEFAULT_SOCKET",
    "DEFAULT_TCTI",
    "ENDPOINT_VARIABLE",
    "AdoptedKeyUri",
    "EmbeddedStore",
    "SocketStore",
    "StoreUrl",
    "StoredKeyUri",
    "format_key_uri",
    "parse_key_uri",
    "parse_store_url",
    "without_secrets",
]

ENDPOINT_VARIABLE: Final = "PARSEC_SERVICE_ENDPOINT"
DEFAULT_SOCKET: Final = Path("/run/parsec/parsec.sock")
_FORMS: Final = (
    "software:[DIR], tpm:TCTI, pkcs11:token=…?module-path=…, unix:SOCKET or the path "
    "of a .toml file"
)


def parse_store_url(url: str | None) -> StoreUrl:
    """The store that a URL names; ``None`` is the user's software store.

    Raises:
        ConfigurationError: it names none, with the forms that do.
    """
    if not url:
        return _software("", {})
    check_text(without_secrets(url))
    scheme, colon, rest = url.partition(":")
    if url.endswith(".toml"):
        return _toml(url)
    if colon and scheme == "pkcs11":
        return _pkcs11.parse_store(url)
    path, query = split_query(rest)
    if colon and scheme == "software":
        return _software(path, query)
    if colon and scheme == "tpm":
        return _tpm.parse_store(path, query)
    if colon and scheme == "unix":
        return _unix(path, query)
    raise ConfigurationError(f"'{without_secrets(url)}' is no store: write {_FORMS}")


def parse_key_uri(uri: str) -> StoredKeyUri | AdoptedKeyUri:
    """The key that a URI names.

    Raises:
        ConfigurationError: it names none, with the forms that do.
    """
    check_text(without_secrets(uri))
    scheme, colon, rest = uri.partition(":")
    if colon and scheme == "parsec":
        name, query = split_query(rest)
        check_known(query, {"store"}, uri)
        store = query.get("store")
        return StoredKeyUri(name, None if store is None else parse_store_url(store))
    if colon and scheme == "pkcs11":
        return _pkcs11.parse_key(uri)
    if colon and scheme == "tpm" and re.match(r"(handle|file)=", rest):
        return _tpm.parse_key(rest)
    path, _, query_text = uri.partition("?")
    if _tpm.is_tss2_file(Path(path)):
        return _tpm.parse_key(
            f"file={quote(path)}" + (f"?{query_text}" if query_text else "")
        )
    raise ConfigurationError(
        f"'{without_secrets(uri)}' is no key: write parsec:NAME[?store=URL], "
        "pkcs11:token=…;object=…?module-path=…, tpm:handle=0x81… or the path of a "
        "TSS2 PRIVATE KEY file"
    )


def format_key_uri(name: str, store_url: str) -> str:
    """The ``parsec:`` URI of a key in a store."""
    return f"parsec:{quote(name, safe='')}?store={quote(store_url, safe=':/,=')}"


def _software(path: str, query: Mapping[str, str]) -> EmbeddedStore:
    check_known(query, {"passphrase-file"}, "a software: URL")
    directory = absolute(path) if path else user_directory() / "software"
    url, passphrase = f"software:{quote(str(directory))}", None
    if "passphrase-file" in query:
        file = absolute(query["passphrase-file"])
        passphrase = read_secret(file)
        url += f"?passphrase-file={quote(str(file))}"
    provider = SoftwareConfig(directory, passphrase)
    return EmbeddedStore(url, ServiceConfig((provider,), directory))


def _unix(path: str, query: Mapping[str, str]) -> SocketStore:
    check_known(query, {"application", "timeout"}, "a unix: URL")
    socket = absolute(path) if path else _endpoint()
    try:
        timeout = float(query.get("timeout", 60))
        if not 0 < timeout < 1e9:
            raise ValueError
    except ValueError:
        raise ConfigurationError(
            f"'{query['timeout']}' is no timeout: it is a number of seconds"
        ) from None
    url = with_query(f"unix:{quote(str(socket))}", query)
    return SocketStore(url, socket, query.get("application"), timeout)


def _endpoint() -> Path:
    """The socket that every client of Parsec uses where nobody names one."""
    endpoint = os.environ.get(ENDPOINT_VARIABLE)
    if not endpoint:
        return DEFAULT_SOCKET
    parts = urlsplit(endpoint)
    if parts.scheme != "unix" or not parts.path:
        raise ConfigurationError(
            f"${ENDPOINT_VARIABLE} is '{endpoint}', not the URL of a socket such as "
            f"unix:{DEFAULT_SOCKET}"
        )
    return Path(unquote(parts.path))


def _toml(text: str) -> EmbeddedStore:
    from parsec_keys.service.config_toml import read_config

    path = absolute(text)
    return EmbeddedStore(str(path), read_config(path))
