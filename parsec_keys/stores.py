"""Open a store by URL, load a key by URI, and remember what this process opened."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from parsec_keys._fork import fork_safe_lock
from parsec_keys.errors import NotPermitted
from parsec_keys.keystore import KeyStore, PrivateKey, key_object
from parsec_keys.psa.operations import (
    GetKeyAttributes,
    KeyInfo,
    ListKeys,
    PsaExportPublicKey,
)

if TYPE_CHECKING:
    from parsec_keys.engine import Engine
    from parsec_keys.service import Service
    from parsec_keys.uri import AdoptedKeyUri, StoredKeyUri, StoreUrl

STORE_VARIABLE: Final = "PARSEC_KEYS_STORE"

_opened: Final[dict[str, weakref.WeakSet[Engine]]] = {}
"""The engines of the stores that this process opened, by URL without a PIN."""
_kept: Final[list[Engine]] = []
"""Those that nobody may close by forgetting them: of ``load_key`` and references."""
_services: Final[dict[str, Service]] = {}
"""The engines of keys that were there before, by URL without a PIN."""
_adopted_uris: Final[dict[tuple[str, str], str]] = {}
_loading: Final = fork_safe_lock()


def open_store(url: str | None = None) -> KeyStore:
    """Open a key store.

    Args:
        url: ``software:[DIR]``, ``tpm:TCTI[?store=DIR]``, ``pkcs11:…`` (RFC 7512 with
            ``module-path`` and ``pin-value`` or ``pin-source``), ``unix:[SOCKET]``, or
            the path of a ``.toml`` file. Without it ``$PARSEC_KEYS_STORE``, else the
            software provider in the user's data directory.

    Raises:
        ConfigurationError: the URL or the file cannot be understood.
        NotSupported: a provider's library is not installed, with what to install.
        ServiceUnavailable: nothing answers there.
        AuthenticationError: what answers does not let us in; a PIN is tried once.
        StorageFailure: the key info cannot be used as it is.
    """
    store = _store_url(url)
    return _remember(_engine(store), store.url)


def load_key(uri: str) -> PrivateKey:
    """Load one key by one string.

    Args:
        uri: ``parsec:NAME[?store=URL]``; a ``pkcs11:`` URI of an object that is on a
            token already; ``tpm:handle=0x81…`` or the path of a TSS2 ``PRIVATE KEY``
            PEM file, both with ``?tcti=TCTI``.

    The store behind the key stays open as long as the process; a store that is open
    already serves again.

    Raises:
        KeyNotFound: there is no such key.
        Error: as ``open_store``.
    """
    from parsec_keys.uri import AdoptedKeyUri, parse_key_uri

    parsed = parse_key_uri(uri)
    with _loading:
        if isinstance(parsed, AdoptedKeyUri):
            return _load_adopted(parsed)
        return _load_stored(parsed)


def resolve(uri: str) -> PrivateKey:
    """The key that a key reference names: input that an attacker may have written.

    It is compared, never opened: a reference reaches the stores that this process has
    opened itself, and the default one.

    Raises:
        NotPermitted: it names another store.
        KeyNotFound: there is no such key.
    """
    with _loading:
        for engine_url, service in _services.items():
            for info in service.execute(ListKeys()):
                if _adopted_uris.get((engine_url, info.name)) == uri:
                    return _adopted_key(service, info, uri)
        scheme, _, rest = uri.partition(":")
        name, _, query = rest.partition("?store=")
        if scheme == "parsec":
            store = _open_again(unquote(query))
            return store.load(unquote(name))
    raise NotPermitted(
        "the key reference names a key that this process has not loaded itself: "
        f"{_shown(uri)}"
    )


def _open_again(url: str) -> KeyStore:
    """The store of a URL, if this process has it open or it is the default one."""
    found = _already_open(url)
    if found is not None:
        return found
    default = _store_url(None)
    if default.url != url:
        raise NotPermitted(
            "the key reference names a store that this process has not open (open it "
            f"first, or make it the default in ${STORE_VARIABLE}): {_shown(url)}"
        )
    return _open_for_ever(default)


def keep_open(engine: Engine) -> None:
    """Keep an engine until it is closed, though its store is forgotten: for TLS."""
    if engine not in _kept:
        _kept.append(engine)


def _already_open(url: str) -> KeyStore | None:
    for engine in list(_opened.get(url, ())):
        if not engine.closed:
            return KeyStore(engine, url)
    return None


def _open_for_ever(store: StoreUrl) -> KeyStore:
    engine = _engine(store)
    keep_open(engine)
    return _remember(engine, store.url)


def _remember(engine: Engine, url: str) -> KeyStore:
    _kept[:] = [each for each in _kept if not each.closed]
    _opened.setdefault(url, weakref.WeakSet()).add(engine)
    return KeyStore(engine, url)


def _store_url(url: str | None) -> StoreUrl:
    # URLs are parsed when a store is opened, not when the package is imported.
    from parsec_keys.uri import parse_store_url

    return parse_store_url(url or os.environ.get(STORE_VARIABLE))


def _shown(uri: str) -> str:
    from parsec_keys.uri import without_secrets

    return without_secrets(uri)


def _engine(store: StoreUrl) -> Engine:
    from parsec_keys.uri import SocketStore

    if isinstance(store, SocketStore):
        from parsec_keys.client import Client

        return Client(store.socket, store.application, store.timeout)
    from parsec_keys.service import Service

    return Service(store.config)


def _load_stored(parsed: StoredKeyUri) -> PrivateKey:
    store = parsed.store or _store_url(None)
    opened = _already_open(store.url) or _open_for_ever(store)
    return opened.load(parsed.name)


def _load_adopted(parsed: AdoptedKeyUri) -> PrivateKey:
    from parsec_keys.service import Service

    service = _services.get(parsed.engine_url) or Service(parsed.config)
    name = parsed.reference
    try:
        if all(info.name != name for info in service.execute(ListKeys())):
            service.adopt(name, parsed.reference)
    except BaseException:
        # Another URI, as one with a PIN, may reach what this one does not.
        if parsed.engine_url not in _services:
            service.close()
        raise
    _services[parsed.engine_url] = service
    _adopted_uris[parsed.engine_url, name] = parsed.uri
    return _adopted_key(service, service.execute(GetKeyAttributes(name)), parsed.uri)


def _adopted_key(service: Service, info: KeyInfo, uri: str) -> PrivateKey:
    data = service.execute(PsaExportPublicKey(info.name))
    return key_object(service, info, data, uri)
