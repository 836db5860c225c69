"""``pkcs11:`` URIs, of stores and of keys (RFC 7512)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

from parsec_keys.errors import ConfigurationError
from parsec_keys.service.config import Pkcs11Config, ServiceConfig
from parsec_keys.service.secret import Secret, read_secret
from parsec_keys.uri._stores import AdoptedKeyUri, EmbeddedStore
from parsec_keys.uri._text import (
    absolute,
    check_known,
    pairs_of,
    with_query,
    without_secrets,
)

_MISPLACED_PIN: Final = re.compile(r"(?<![?&])pin-value=", re.IGNORECASE)
_SLOT: Final = re.compile(r"[0-9]{1,20}")
# RFC 7512, section 2.3: which attributes tell a token, and which an object on it.
_TOKEN_ATTRIBUTES: Final = frozenset({"token", "serial", "slot-id"})
_OBJECT_ATTRIBUTES: Final = frozenset({"object", "id", "type"})
_IGNORED_ATTRIBUTES: Final = frozenset(
    {"manufacturer", "model", "library-manufacturer", "library-description"}
    | {"library-version", "slot-manufacturer", "slot-description"}
)


def parse_store(url: str) -> EmbeddedStore:
    """The store of the token that a URI names.

    Raises:
        ConfigurationError: it names none.
    """
    attributes, query = _parts(url)
    if attributes.keys() & _OBJECT_ATTRIBUTES:
        raise ConfigurationError(
            "a pkcs11: store names a token, not an object: leave out object, id and "
            "type, or load the key itself with load_key"
        )
    config, settings = _config(attributes, query)
    directory = absolute(query["store"]) if "store" in query else None
    if directory is not None:
        settings["store"] = str(directory)
    return EmbeddedStore(
        with_query(f"pkcs11:{_path(attributes, _TOKEN_ATTRIBUTES)}", settings),
        ServiceConfig((config,), directory),
    )


def parse_key(uri: str) -> AdoptedKeyUri:
    """The key of the object that a URI names.

    Raises:
        ConfigurationError: it names none.
    """
    attributes, query = _parts(uri)
    if not attributes.keys() & {"object", "id"}:
        raise ConfigurationError(
            "a pkcs11: key is named by its object (label) or id: add object=… or id=…"
        )
    config, settings = _config(attributes, query)
    reference = _path(attributes, _OBJECT_ATTRIBUTES)
    token = _path(attributes, _TOKEN_ATTRIBUTES)
    both = ";".join(filter(None, (token, reference)))
    return AdoptedKeyUri(
        with_query(f"pkcs11:{both}", settings),
        with_query(f"pkcs11:{token}", settings),
        ServiceConfig((config,), persistent=False),
        reference,
    )


def _parts(uri: str) -> tuple[dict[str, str], dict[str, str]]:
    if _MISPLACED_PIN.search(uri):
        # It would be the end of a path or a label, which messages repeat.
        raise ConfigurationError(
            f"in '{without_secrets(uri)}' neither ? nor & stands before pin-value=: "
            "put one there"
        )
    path, _, query_text = uri.removeprefix("pkcs11:").partition("?")
    attributes = pairs_of(path, ";", uri)
    known = _TOKEN_ATTRIBUTES | _OBJECT_ATTRIBUTES | _IGNORED_ATTRIBUTES
    check_known(attributes, known, "a pkcs11: URI")
    query = {
        # A PIN may be any bytes.
        noun: unquote(
            value, errors="surrogateescape" if noun == "pin-value" else "replace"
        )
        for noun, value in pairs_of(query_text, "&", uri).items()
    }
    check_known(
        query, {"module-path", "pin-value", "pin-source", "store"}, "a pkcs11: URI"
    )
    return attributes, query


def _config(
    attributes: Mapping[str, str], query: Mapping[str, str]
) -> tuple[Pkcs11Config, dict[str, str]]:
    if "module-path" not in query:
        raise ConfigurationError(
            "a pkcs11: URI names the module that reaches the token: add "
            "?module-path=/usr/lib/softhsm/libsofthsm2.so or your vendor's"
        )
    if {"pin-value", "pin-source"} <= query.keys():
        raise ConfigurationError("give pin-value or pin-source, not both (RFC 7512)")
    settings = {"module-path": str(absolute(query["module-path"]))}
    pin = _pin(query["pin-value"]) if "pin-value" in query else None
    if "pin-source" in query:
        source = absolute(query["pin-source"].removeprefix("file:"))
        pin = read_secret(source)
        settings["pin-source"] = f"file:{source}"
    slot = attributes.get("slot-id")
    if slot is not None and not _SLOT.fullmatch(slot):
        raise ConfigurationError(f"slot-id is the number of a slot, not '{slot}'")
    config = Pkcs11Config(
        Path(settings["module-path"]),
        _text(attributes, "token"),
        _text(attributes, "serial"),
        None if slot is None else int(slot),
        pin,
    )
    return config, settings


def _path(attributes: Mapping[str, str], wanted: frozenset[str]) -> str:
    chosen = (f"{n}={v}" for n, v in sorted(attributes.items()) if n in wanted)
    return ";".join(chosen)


def _text(attributes: Mapping[str, str], noun: str) -> str | None:
    value = attributes.get(noun)
    if value is None:
        return None
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeError:
        raise ConfigurationError(
            f"{noun}={value} is not UTF-8: percent-encode the bytes of its UTF-8"
        ) from None


def _pin(text: str) -> Secret:
    with contextlib.suppress(UnicodeEncodeError):  # It holds the secret.
        return Secret(text.encode(errors="surrogateescape"))
    raise ConfigurationError(
        "pin-value has characters that UTF-8 cannot say: percent-encode its bytes"
    )
