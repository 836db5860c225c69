"""A client of a Parsec service, ours or another: an Engine over a Unix socket.

Each request is a connection of its own, as the protocol wants it, so there is nothing
to keep over a fork, nothing that two threads share, and nothing to reconnect.

Rule: a signature that comes back is verified with the public key that the caller holds.
A name can belong to another key by now, and a service can be wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, cast

from parsec_keys._wire import CORE_OPERATIONS, NUMBERING, Wire
from parsec_keys.errors import (
    InvalidArgument,
    KeyNotFound,
    ProviderFailure,
    ServiceUnavailable,
)
from parsec_keys.psa.algorithms import (
    ANY_HASH,
    Ecdsa,
    PermittedAlgorithm,
    RsaPkcs1v15Sign,
)
from parsec_keys.psa.attributes import KeyType, RsaKeyPair
from parsec_keys.psa.operations import (
    GetKeyAttributes,
    KeyInfo,
    KeyOperation,
    ListKeys,
    ListProviders,
    Operation,
    ProviderInfo,
    PsaDestroyKey,
    PsaExportPublicKey,
    PsaSignHash,
)
from parsec_keys.psa.operations.service import ListAuthenticators
from parsec_keys.service.public_operations import fingerprint_of, is_signature
from parsec_keys.service.wire.frames import CORE_PROVIDER

R = TypeVar("R")


class Client:
    """Performs operations in a Parsec service. Safe from any thread, after a fork."""

    def __init__(
        self, path: Path, application: str | None = None, timeout: float = 60
    ) -> None:
        """Ask the service for its providers, and how it wants to know who asks.

        Args:
            path: the service's socket.
            application: the name for a service that believes it (Direct).
            timeout: seconds for each request.

        Raises:
            ServiceUnavailable: nothing answers at the socket.
            ProtocolError: what answers is no Parsec service.
            AuthenticationError: it wants a proof that this client does not have.
        """
        self._wire = Wire(path, application, timeout)
        self._closed = False
        self._found: dict[str, KeyInfo] = {}
        self._public_keys: dict[bytes, tuple[KeyInfo, bytes]] = {}
        listed: tuple[ProviderInfo, ...] = self._wire.ask(ListProviders())
        self._providers = tuple(each for each in listed if each.id != CORE_PROVIDER)
        self._wire.authenticate_as(self._wire.ask(ListAuthenticators()))

    def execute(self, operation: Operation[R], *, provider: str | None = None) -> R:
        """Perform an operation; see ``Engine.execute``."""
        if self._closed:
            raise ServiceUnavailable("this key store is closed: open it again")
        return cast(R, self._execute(operation, provider))

    def default_algorithm(self, key_type: KeyType) -> PermittedAlgorithm:
        """The one algorithm of a key for which nobody chose: signing with any hash."""
        if isinstance(key_type, RsaKeyPair):
            return RsaPkcs1v15Sign(ANY_HASH)
        return Ecdsa(ANY_HASH)

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def close(self) -> None:
        """Perform nothing any more. There is no connection to close."""
        self._closed = True

    def _execute(self, operation: Operation[Any], provider: str | None) -> Any:
        if isinstance(operation, ListProviders):
            return self._providers
        if isinstance(operation, ListKeys):
            return tuple(sorted(self._wire.ask(operation), key=lambda key: key.name))
        if isinstance(operation, GetKeyAttributes):
            return self._find(operation.key_name, provider)
        if isinstance(operation, CORE_OPERATIONS):
            return self._wire.ask(operation)
        if not isinstance(operation, KeyOperation):
            return self._wire.ask(operation, self._number(provider))
        if isinstance(operation, PsaSignHash):
            return self._sign(operation, provider)
        return self._on_key(operation, provider)

    def _on_key(self, operation: KeyOperation[Any], provider: str | None) -> Any:
        key = self._known(operation.key_name, provider)
        if operation.fingerprint is not None:
            self._check_still(key, operation.fingerprint)
        result = self._ask_about(key, operation)
        if isinstance(operation, PsaExportPublicKey):
            self._public_keys[fingerprint_of(result)] = (key, result)
        elif isinstance(operation, PsaDestroyKey):
            self._found.pop(key.name, None)
        return result

    def _sign(self, operation: PsaSignHash, provider: str | None) -> bytes:
        key = self._known(operation.key_name, provider)
        signature: bytes = self._ask_about(key, operation)
        if operation.fingerprint is None:
            return signature
        _, public_key = self._public_keys.get(operation.fingerprint, (key, b""))
        if public_key and is_signature(
            key.attributes, public_key, operation.alg, operation.hash, signature
        ):
            return signature
        self._check_still(key, operation.fingerprint)
        raise ProviderFailure(
            f"{self._wire.described} answered a signature of key '{key.name}' that "
            "does not verify: do not trust it before that is mended"
        )

    def _known(self, key_name: str, provider: str | None) -> KeyInfo:
        """Where a key is, as far as this client has seen."""
        key = self._found.get(key_name)
        if key is None or provider not in (None, key.provider):
            key = self._find(key_name, provider)
        return key

    def _find(self, key_name: str, provider: str | None) -> KeyInfo:
        """Where a key is now."""
        for key in self._wire.ask(ListKeys()):
            if key.name == key_name and provider in (None, key.provider):
                self._found[key_name] = key
                return cast(KeyInfo, key)
        self._found.pop(key_name, None)
        place = f" in provider '{provider}'" if provider else ""
        raise KeyNotFound(
            f"you have no key named '{key_name}'{place} at {self._wire.described}"
        )

    def _ask_about(self, key: KeyInfo, operation: Operation[Any]) -> Any:
        try:
            return self._wire.ask(operation, NUMBERING.numbers[key.provider])
        except KeyNotFound:
            self._found.pop(key.name, None)
            raise

    def _check_still(self, key: KeyInfo, fingerprint: bytes) -> None:
        data = self._ask_about(key, PsaExportPublicKey(key.name))
        self._public_keys[fingerprint_of(data)] = (key, data)
        if fingerprint_of(data) != fingerprint:
            self._found.pop(key.name, None)
            raise KeyNotFound(
                f"key '{key.name}' at {self._wire.described} is another key than the "
                "one that was loaded: load it again"
            )

    def _number(self, provider: str | None) -> int:
        if provider is None:
            return self._providers[0].id if self._providers else CORE_PROVIDER
        for each in self._providers:
            if each.name == provider:
                return each.id
        known = ", ".join(each.name for each in self._providers) or "none"
        raise InvalidArgument(
            f"there is no provider '{provider}' at {self._wire.described}; there are: "
            f"{known}"
        )
