"""A client of a Parsec service, ours or another: an Engine over a Unix socket.

Each request is a connection of its own, as the protocol wants it, so there is nothing
to keep over a fork, nothing that two threads share, and nothing to reconnect. What is
remembered between two requests is looked up again when the service knows better.

Rule: a signature that comes back is verified with the public key that the caller holds.
A name can belong to another key by now, and a service can be wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, TypeVar, cast

from parsec_keys._wire import CORE_OPERATIONS, NUMBERING, Wire
from parsec_keys.errors import (
    Error,
    InvalidArgument,
    KeyNotFound,
    NotPermitted,
    NotSupported,
    ProviderFailure,
    ServiceUnavailable,
)
from parsec_keys.psa.algorithms import (
    ANY_ALGORITHM,
    Ecdsa,
    Hash,
    PermittedAlgorithm,
    RsaPkcs1v15Sign,
)
from parsec_keys.psa.attributes import KeyType
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
    PsaGenerateKey,
    PsaGenerateRandom,
    PsaImportKey,
    PsaSignHash,
)
from parsec_keys.psa.operations.service import ListAuthenticators
from parsec_keys.psa.policy import fits, refusal
from parsec_keys.psa.status import Status
from parsec_keys.service.public_operations import fingerprint_of, is_signature
from parsec_keys.service.running_operations import running
from parsec_keys.service.wire.attributes import default_algorithm
from parsec_keys.service.wire.frames import CORE_PROVIDER

K = TypeVar("K")
R = TypeVar("R")
V = TypeVar("V")
_MOST_REMEMBERED: Final = 4096
"""How many keys are remembered, each in about half a kB."""
_RANDOM_AT_ONCE: Final = 0xFFFF
_CHANGED: Final = frozenset(
    {Status.AUTHENTICATOR_NOT_REGISTERED, Status.PROVIDER_NOT_REGISTERED}
)
"""What a service answers to whoever knows it from before it was configured anew."""


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
        self._public_keys: dict[bytes, bytes] = {}
        self._providers: tuple[ProviderInfo, ...] = ()
        self._meet()

    def execute(self, operation: Operation[R], *, provider: str | None = None) -> R:
        """Perform an operation; see ``Engine.execute``."""
        if self._closed:
            raise ServiceUnavailable("this key store is closed: open it again")
        try:
            return cast(R, self._execute(operation, provider))
        except Error as e:
            if e.status not in _CHANGED:
                raise
        self._meet()
        return cast(R, self._execute(operation, provider))

    def default_algorithms(
        self, key_type: KeyType, bits: int
    ) -> tuple[PermittedAlgorithm, ...]:
        """To sign, with any hash; with the usual one where a provider wants to know it.

        The Rust service's TPM keeps no key whose hash is not named.
        """
        best = default_algorithm(key_type)
        if isinstance(best, RsaPkcs1v15Sign):
            return best, RsaPkcs1v15Sign(Hash.SHA_256)
        if isinstance(best, Ecdsa):
            return best, Ecdsa(_usual_hash(bits))
        return (best,)

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def close(self) -> None:
        """Perform nothing any more. There is no connection to close."""
        self._closed = True

    def _meet(self) -> None:
        """Learn what the service is now, and forget what it was."""
        self._list_providers()
        self._wire.authenticate_as(self._wire.ask(ListAuthenticators()))
        self._found.clear()

    def _list_providers(self) -> tuple[ProviderInfo, ...]:
        listed: tuple[ProviderInfo, ...] = self._wire.ask(ListProviders())
        self._providers = tuple(each for each in listed if each.id != CORE_PROVIDER)
        return self._providers

    def _execute(self, operation: Operation[Any], provider: str | None) -> Any:
        if isinstance(operation, ListProviders):
            return self._list_providers()
        if isinstance(operation, ListKeys):
            return tuple(sorted(self._wire.ask(operation), key=lambda key: key.name))
        if isinstance(operation, GetKeyAttributes):
            return self._find(operation.key_name, provider)
        if isinstance(operation, CORE_OPERATIONS):
            return self._wire.ask(operation)
        if isinstance(operation, PsaSignHash):
            return self._sign(operation, provider)
        if isinstance(operation, KeyOperation):
            return self._on_key(operation, provider)
        if isinstance(operation, (PsaGenerateKey, PsaImportKey)):
            _check_fit(operation)
            self._found.pop(operation.key_name, None)
            self._list_providers()  # It may have another default one by now.
        if isinstance(operation, PsaGenerateRandom):
            return self._random(operation.size, self._number(provider))
        return self._wire.ask(operation, self._number(provider))

    def _random(self, size: int, provider: int) -> bytes:
        """Exactly as many octets: the Rust service's TPM answers at most 64 at once."""
        octets = b""
        while len(octets) < size:
            asked = PsaGenerateRandom(min(size - len(octets), _RANDOM_AT_ONCE))
            more = self._wire.ask(asked, provider)
            if not more:
                raise ProviderFailure(f"{self._wire.described} has no random numbers")
            octets += more
        return octets[:size]

    def _on_key(self, operation: KeyOperation[Any], provider: str | None) -> Any:
        if operation.fingerprint is not None:
            self._check_still(operation.key_name, operation.fingerprint, provider)
        _, result = self._ask_about(operation, provider)
        if isinstance(operation, PsaExportPublicKey):
            _remember(self._public_keys, fingerprint_of(result), result)
        if isinstance(operation, PsaDestroyKey):
            self._found.pop(operation.key_name, None)
        return result

    def _sign(self, operation: PsaSignHash, provider: str | None) -> bytes:
        fingerprint = operation.fingerprint
        try:
            key, signature = self._ask_about(operation, provider)
        except (NotPermitted, NotSupported, InvalidArgument):
            if fingerprint is not None:  # Perhaps it is another key's refusal.
                self._check_still(operation.key_name, fingerprint, provider)
            raise
        if fingerprint is None:
            return cast(bytes, signature)
        public_key = self._public_keys.get(fingerprint)
        if _is_signature(key, public_key, operation, signature):
            return cast(bytes, signature)
        public_key = self._check_still(operation.key_name, fingerprint, provider)
        if _is_signature(key, public_key, operation, signature):
            return cast(bytes, signature)
        raise ProviderFailure(
            f"{self._wire.described} answered a signature of key '{key.name}' that "
            "does not verify: do not trust it before that is mended"
        )

    def _ask_about(
        self, operation: KeyOperation[Any], provider: str | None
    ) -> tuple[KeyInfo, Any]:
        """Where a key is, and what the service answers about it."""
        key = self._found.get(operation.key_name)
        if key is not None and provider in (None, key.provider):
            try:
                return key, self._ask(key, operation)
            except KeyNotFound:
                pass  # It may be elsewhere by now.
        key = self._find(operation.key_name, provider)
        return key, self._ask(key, operation)

    def _ask(self, key: KeyInfo, operation: KeyOperation[Any]) -> Any:
        try:
            return self._wire.ask(operation, NUMBERING.numbers[key.provider])
        except NotPermitted as e:
            # The wire has a number only: the key's own policy has the reason.
            refused = refusal(key.attributes, operation)
            if refused is None:
                raise
            words = f"key '{key.name}' ({key.provider}) {refused.reason}"
            raise Error.of(refused.status, words) from e

    def _find(self, key_name: str, provider: str | None) -> KeyInfo:
        """Where a key is now."""
        for key in self._wire.ask(ListKeys(key_name)):
            if key.name == key_name and provider in (None, key.provider):
                _remember(self._found, key_name, key)
                return cast(KeyInfo, key)
        self._found.pop(key_name, None)
        place = f" in provider '{provider}'" if provider else ""
        raise KeyNotFound(
            f"you have no key named '{key_name}'{place} at {self._wire.described}"
        )

    def _check_still(
        self, key_name: str, fingerprint: bytes, provider: str | None
    ) -> bytes:
        """The public key of a name, if it is of the key that the caller holds."""
        _, data = self._ask_about(PsaExportPublicKey(key_name), provider)
        _remember(self._public_keys, fingerprint_of(data), data)
        if fingerprint_of(data) != fingerprint:
            self._found.pop(key_name, None)
            raise KeyNotFound(
                f"key '{key_name}' at {self._wire.described} is another key than the "
                "one that was loaded: load it again"
            )
        return cast(bytes, data)

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


def _remember(cache: dict[K, V], key: K, value: V) -> None:
    """Remember what the service can be asked again; not of ever more keys."""
    if len(cache) >= _MOST_REMEMBERED:
        cache.clear()
    cache[key] = value


def _is_signature(
    key: KeyInfo, public_key: bytes | None, operation: PsaSignHash, signature: bytes
) -> bool:
    if public_key is None:
        return False
    with running:  # A fork waits for what is in OpenSSL, and for no service.
        return is_signature(
            key.attributes, public_key, operation.alg, operation.hash, signature
        )


def _usual_hash(bits: int) -> Hash:
    """The hash that TLS and JWT have with a curve of this size."""
    if bits <= 256:
        return Hash.SHA_256
    return Hash.SHA_384 if bits <= 384 else Hash.SHA_512


def _check_fit(operation: PsaGenerateKey | PsaImportKey) -> None:
    """Some services make keys that can do nothing."""
    key_type = operation.attributes.type
    algorithm = operation.attributes.policy.algorithm
    if algorithm not in (None, ANY_ALGORITHM) and not fits(key_type, algorithm):
        raise InvalidArgument(f"a key of type {key_type} cannot do {algorithm}")
