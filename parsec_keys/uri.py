"""Store URLs and key URIs, parsed once into typed objects.

Each object carries its own canonical text: absolute, and without a PIN or passphrase.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from parsec_keys.errors import ConfigurationError
from parsec_keys.service import user_directory
from parsec_keys.service.config import (
    Pkcs11Config,
    ServiceConfig,
    SoftwareConfig,
    TpmConfig,
)
from parsec_keys.service.secret import Secret, read_secret

DEFAULT_TCTI: Final = "device:/dev/tpmrm0"
"""The kernel's resource manager, for a TPM key that names no TCTI."""
ENDPOINT_VARIABLE: Final = "PARSEC_SERVICE_ENDPOINT"
DEFAULT_SOCKET: Final = Path("/run/parsec/parsec.sock")
_FORMS: Final = (
    "software:[DIR], tpm:TCTI, pkcs11:token=…?module-path=…, unix:SOCKET or the path "
    "of a .toml file"
)
_MISPLACED_PIN: Final = re.compile(r"(?<![?&])pin-value=", re.IGNORECASE)
_SLOT: Final = re.compile(r"[0-9]{1,20}")
_TSS2_PEM: Final = b"-----BEGIN TSS2 PRIVATE KEY-----"
# RFC 7512, section 2.3: which attributes tell a token, and which an object on it.
_TOKEN_ATTRIBUTES: Final = frozenset({"token", "serial", "slot-id"})
_OBJECT_ATTRIBUTES: Final = frozenset({"object", "id", "type"})
_IGNORED_ATTRIBUTES: Final = frozenset(
    {"manufacturer", "model", "library-manufacturer", "library-description"}
    | {"library-version", "slot-manufacturer", "slot-description"}
)


@dataclass(frozen=True, slots=True)
class EmbeddedStore:
    """A store whose engine runs in this process."""

    url: str
    config: ServiceConfig


@dataclass(frozen=True, slots=True)
class SocketStore:
    """A store behind the socket of a Parsec service."""

    url: str
    socket: Path
    application: str | None = None
    timeout: float = 60.0


StoreUrl = EmbeddedStore | SocketStore


@dataclass(frozen=True, slots=True)
class StoredKeyUri:
    """A key by its name in a store; ``None`` is the default store."""

    name: str
    store: StoreUrl | None


@dataclass(frozen=True, slots=True)
class AdoptedKeyUri:
    """A key that is in a TPM or on a token already, by the provider's own words."""

    uri: str
    engine_url: str
    config: ServiceConfig
    reference: str


def parse_store_url(url: str | None) -> StoreUrl:
    """The store that a URL names; ``None`` is the user's software store.

    Raises:
        ConfigurationError: it names none, with the forms that do.
    """
    if not url:
        return _software("", {})
    _check_text(without_secrets(url))
    scheme, colon, rest = url.partition(":")
    if url.endswith(".toml"):
        return _toml(url)
    if colon and scheme == "pkcs11":
        return _pkcs11_store(url)
    path, query = _split_query(rest)
    if colon and scheme == "software":
        return _software(path, query)
    if colon and scheme == "tpm":
        return _tpm(path, query)
    if colon and scheme == "unix":
        return _unix(path, query)
    raise ConfigurationError(f"'{without_secrets(url)}' is no store: write {_FORMS}")


def parse_key_uri(uri: str) -> StoredKeyUri | AdoptedKeyUri:
    """The key that a URI names.

    Raises:
        ConfigurationError: it names none, with the forms that do.
    """
    _check_text(without_secrets(uri))
    scheme, colon, rest = uri.partition(":")
    if colon and scheme == "parsec":
        name, query = _split_query(rest)
        _known(query, {"store"}, uri)
        store = query.get("store")
        return StoredKeyUri(name, None if store is None else parse_store_url(store))
    if colon and scheme == "pkcs11":
        return _pkcs11_key(uri)
    if colon and scheme == "tpm" and re.match(r"(handle|file)=", rest):
        return _tpm_key(rest)
    path, _, query_text = uri.partition("?")
    if _is_tss2_file(Path(path)):
        return _tpm_key(
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
    _known(query, {"passphrase-file"}, "a software: URL")
    directory = _absolute(path) if path else user_directory() / "software"
    url, passphrase = f"software:{quote(str(directory))}", None
    if "passphrase-file" in query:
        file = _absolute(query["passphrase-file"])
        passphrase = read_secret(file)
        url += f"?passphrase-file={quote(str(file))}"
    provider = SoftwareConfig(directory, passphrase)
    return EmbeddedStore(url, ServiceConfig((provider,), directory))


def _unix(path: str, query: Mapping[str, str]) -> SocketStore:
    _known(query, {"application", "timeout"}, "a unix: URL")
    socket = _absolute(path) if path else _endpoint()
    try:
        timeout = float(query.get("timeout", 60))
        if not 0 < timeout < 1e9:
            raise ValueError
    except ValueError:
        raise ConfigurationError(
            f"'{query['timeout']}' is no timeout: it is a number of seconds"
        ) from None
    url = _with_query(f"unix:{quote(str(socket))}", query)
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


def _tpm(tcti: str, query: Mapping[str, str]) -> EmbeddedStore:
    _known(query, {"store", "owner-auth-file"}, "a tpm: URL")
    if not tcti:
        raise ConfigurationError(
            f"a tpm: URL names its TCTI: tpm:{DEFAULT_TCTI}, or tpm:swtpm:port=2321 "
            "for an emulator"
        )
    directory = _absolute(query["store"]) if "store" in query else None
    config, settings = _tpm_config(tcti, query)
    if directory is not None:
        settings["store"] = str(directory)
    return EmbeddedStore(
        _with_query(f"tpm:{tcti}", settings), ServiceConfig((config,), directory)
    )


def _tpm_key(rest: str) -> AdoptedKeyUri:
    reference, query = _split_query(rest)
    _known(query, {"tcti", "owner-auth-file"}, "a tpm: key")
    noun, _, value = reference.partition("=")
    if noun == "file":
        reference = f"file={_absolute(value)}"
    elif not re.fullmatch(r"0x81[0-9a-fA-F]{6}", value):
        raise ConfigurationError(
            f"'{value}' is no persistent handle: it is 0x81 and six more hex digits"
        )
    config, settings = _tpm_config(query.get("tcti", DEFAULT_TCTI), query)
    settings["tcti"] = config.tcti
    return AdoptedKeyUri(
        _with_query(f"tpm:{quote(reference, safe='=/')}", settings),
        _with_query("tpm:", settings),
        ServiceConfig((config,), persistent=False),
        reference,
    )


def _tpm_config(
    tcti: str, query: Mapping[str, str]
) -> tuple[TpmConfig, dict[str, str]]:
    _check_no_nul(tcti)
    if "owner-auth-file" not in query:
        return TpmConfig(tcti), {}
    file = _absolute(query["owner-auth-file"])
    return TpmConfig(tcti, read_secret(file)), {"owner-auth-file": str(file)}


def _toml(text: str) -> EmbeddedStore:
    from parsec_keys.service.config_toml import read_config

    path = _absolute(text)
    return EmbeddedStore(str(path), read_config(path))


def _pkcs11_store(url: str) -> EmbeddedStore:
    attributes, query = _pkcs11_parts(url)
    if attributes.keys() & _OBJECT_ATTRIBUTES:
        raise ConfigurationError(
            "a pkcs11: store names a token, not an object: leave out object, id and "
            "type, or load the key itself with load_key"
        )
    config, settings = _pkcs11_config(attributes, query)
    directory = _absolute(query["store"]) if "store" in query else None
    if directory is not None:
        settings["store"] = str(directory)
    return EmbeddedStore(
        _with_query(f"pkcs11:{_pkcs11_path(attributes, _TOKEN_ATTRIBUTES)}", settings),
        ServiceConfig((config,), directory),
    )


def _pkcs11_key(uri: str) -> AdoptedKeyUri:
    attributes, query = _pkcs11_parts(uri)
    if not attributes.keys() & {"object", "id"}:
        raise ConfigurationError(
            "a pkcs11: key is named by its object (label) or id: add object=… or id=…"
        )
    config, settings = _pkcs11_config(attributes, query)
    reference = _pkcs11_path(attributes, _OBJECT_ATTRIBUTES)
    token = _pkcs11_path(attributes, _TOKEN_ATTRIBUTES)
    both = ";".join(filter(None, (token, reference)))
    return AdoptedKeyUri(
        _with_query(f"pkcs11:{both}", settings),
        _with_query(f"pkcs11:{token}", settings),
        ServiceConfig((config,), persistent=False),
        reference,
    )


def _pkcs11_parts(uri: str) -> tuple[dict[str, str], dict[str, str]]:
    if _MISPLACED_PIN.search(uri):
        # It would be the end of a path or a label, which messages repeat.
        raise ConfigurationError(
            f"in '{without_secrets(uri)}' neither ? nor & stands before pin-value=: "
            "put one there"
        )
    path, _, query_text = uri.removeprefix("pkcs11:").partition("?")
    attributes = _pairs(path, ";", uri)
    known = _TOKEN_ATTRIBUTES | _OBJECT_ATTRIBUTES | _IGNORED_ATTRIBUTES
    _known(attributes, known, "a pkcs11: URI")
    query = {
        # A PIN may be any bytes.
        noun: unquote(
            value, errors="surrogateescape" if noun == "pin-value" else "replace"
        )
        for noun, value in _pairs(query_text, "&", uri).items()
    }
    _known(query, {"module-path", "pin-value", "pin-source", "store"}, "a pkcs11: URI")
    return attributes, query


def _pkcs11_config(
    attributes: Mapping[str, str], query: Mapping[str, str]
) -> tuple[Pkcs11Config, dict[str, str]]:
    if "module-path" not in query:
        raise ConfigurationError(
            "a pkcs11: URI names the module that reaches the token: add "
            "?module-path=/usr/lib/softhsm/libsofthsm2.so or your vendor's"
        )
    if {"pin-value", "pin-source"} <= query.keys():
        raise ConfigurationError("give pin-value or pin-source, not both (RFC 7512)")
    settings = {"module-path": str(_absolute(query["module-path"]))}
    pin = _pin(query["pin-value"]) if "pin-value" in query else None
    if "pin-source" in query:
        source = _absolute(query["pin-source"].removeprefix("file:"))
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


def _pkcs11_path(attributes: Mapping[str, str], wanted: frozenset[str]) -> str:
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


def _split_query(rest: str) -> tuple[str, dict[str, str]]:
    path, _, query = rest.partition("?")
    pairs = _pairs(query, "&", rest)
    return unquote(path), {noun: unquote(value) for noun, value in pairs.items()}


def _pairs(text: str, separator: str, whole: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in filter(None, text.split(separator)):
        noun, equals, value = part.partition("=")
        if not equals:
            # The part itself may be the rest of a PIN with a separator in it.
            raise ConfigurationError(
                f"in '{without_secrets(whole)}' something is not NAME=VALUE: "
                "percent-encode what is no separator"
            )
        if noun in pairs:
            raise ConfigurationError(
                f"a name stands twice in '{without_secrets(whole)}': leave one out"
            )
        pairs[noun] = value
    return pairs


def _known(pairs: Mapping[str, str], known: frozenset[str] | set[str], of: str) -> None:
    for noun in pairs.keys() - known:
        # Beside a PIN, an unknown name may be the rest of that PIN.
        shown = "such part" if "pin-value" in pairs else f"'{noun}'"
        names = ", ".join(sorted(known))
        raise ConfigurationError(f"{of} has no {shown}; there are: {names}")


def _with_query(path: str, settings: Mapping[str, str]) -> str:
    pairs = (f"{n}={quote(v, safe=':/,=')}" for n, v in sorted(settings.items()))
    query = "&".join(pairs)
    return f"{path}?{query}" if query else path


def without_secrets(text: str) -> str:
    """A URI as a message may quote it."""
    # All that follows, because a PIN may have a separator in it by mistake.
    return re.sub(r"(pin-value=).*", r"\1…", text, flags=re.DOTALL | re.IGNORECASE)


def _absolute(path: str) -> Path:
    _check_text(path)
    _check_no_nul(path)
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise ConfigurationError(
            f"'{path}' begins with a user who has no home: write the whole path"
        ) from None


def _check_text(text: str) -> None:
    """Pass for text that UTF-8 can say: what a URL is made of, once it is decoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"'{text}' has characters that UTF-8 cannot say: leave them out"
        ) from None


def _check_no_nul(text: str) -> None:
    if "\0" in text:
        raise ConfigurationError(
            f"'{text}' has a NUL in it, which no path and no TCTI has: leave it out"
        )


def _pin(text: str) -> Secret:
    with contextlib.suppress(UnicodeEncodeError):  # It holds the secret.
        return Secret(text.encode(errors="surrogateescape"))
    raise ConfigurationError(
        "pin-value has characters that UTF-8 cannot say: percent-encode its bytes"
    )


def _is_tss2_file(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_TSS2_PEM)) == _TSS2_PEM
    except (OSError, ValueError):
        return False
