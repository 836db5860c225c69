"""Open a store by URL, load a key by URI, and remember what this process opened."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from parsec_keys._fork import ForkSafeLock
from parsec_keys.errors import NotPermitted, NotSupported
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

_opened: Final[weakref.WeakValueDictionary[str, KeyStore]] = (
    weakref.WeakValueDictionary()
)
"""The open stores of this process, by URL without a PIN."""
_kept: Final[dict[str, KeyStore]] = {}
"""The stores that ``load_key`` opened: they live as long as the process."""
_services: Final[dict[str, Service]] = {}
"""The engines of keys that were there before, by URL without a PIN."""
_adopted_uris: Final[dict[tuple[str, str], str]] = {}
_loading: Final = ForkSafeLock()


def open_store(url: str | None = None) -> KeyStore:
    """Open a key store.

    Args:
        url: ``software:[DIR]``, ``tpm:TCTI[?store=DIR]``, ``pkcs11:…`` (RFC 7512 with
            ``module-path`` and ``pin-value`` or ``pin-source``), ``unix:SOCKET``, or
            the path of a ``.toml`` file. Without it ``$PARSEC_KEYS_STORE``, else the
            software provider in the user's data directory.

    Raises:
        ConfigurationError: the URL or the file cannot be understood.
        NotSupported: a provider's library is not installed, with what to install.
        ServiceUnavailable: nothing answers there.
        AuthenticationError: what answers does not let us in; a PIN is tried once.
        StorageFailure: the key info cannot be used as it is.
    """
    return _open(_store_url(url))


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
            url = unquote(query)
            store = _opened.get(url)
            if store is None or store.closed:
                default = _store_url(None)
                if default.url != url:
                    raise NotPermitted(
                        f"the key reference names the store {url}, which this process "
                        "has not opened: open it first, or make it the default in "
                        f"${STORE_VARIABLE}"
                    )
                store = _kept[url] = _open(default)
            return store.load(unquote(name))
    raise NotPermitted(
        f"the key reference names {uri}, which this process has not loaded itself"
    )


def _store_url(url: str | None) -> StoreUrl:
    # URLs are parsed when a store is opened, not when the package is imported.
    from parsec_keys.uri import parse_store_url

    return parse_store_url(url or os.environ.get(STORE_VARIABLE))


def _open(store: StoreUrl) -> KeyStore:
    opened = KeyStore(_engine(store), store.url)
    _opened[store.url] = opened
    return opened


def _engine(store: StoreUrl) -> Engine:
    from parsec_keys.uri import SocketStore

    if isinstance(store, SocketStore):
        raise NotSupported(
            f"'{store.url}' needs the Parsec client, which this version does not "
            "have yet: use software:, tpm: or pkcs11:"
        )
    from parsec_keys.service import Service

    return Service(store.config)


def _load_stored(parsed: StoredKeyUri) -> PrivateKey:
    store = parsed.store or _store_url(None)
    opened = _opened.get(store.url)
    if opened is None or opened.closed:
        opened = _kept[store.url] = _open(store)
    return opened.load(parsed.name)


def _load_adopted(parsed: AdoptedKeyUri) -> PrivateKey:
    service = _services.get(parsed.engine_url)
    if service is None:
        from parsec_keys.service import Service

        service = _services[parsed.engine_url] = Service(parsed.config)
    name = parsed.reference
    if all(info.name != name for info in service.execute(ListKeys())):
        service.adopt(name, parsed.reference)
    _adopted_uris[parsed.engine_url, name] = parsed.uri
    return _adopted_key(service, service.execute(GetKeyAttributes(name)), parsed.uri)


def _adopted_key(service: Service, info: KeyInfo, uri: str) -> PrivateKey:
    data = service.execute(PsaExportPublicKey(info.name))
    return key_object(service, info, data, uri)
