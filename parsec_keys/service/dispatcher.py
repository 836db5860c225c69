"""From a request to its provider: resolve the key, check its policy once, call.

Rule: whatever an application may or may not do is decided here and nowhere below. What
a provider can do is derived from the capabilities that it implements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

from parsec_keys.errors import Error, InvalidArgument, KeyNotFound, NotSupported
from parsec_keys.psa.attributes import EccKeyPair, RsaKeyPair
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import (
    GetKeyAttributes,
    KeyInfo,
    KeyOperation,
    ListKeys,
    ListProviders,
    Operation,
    ProviderInfo,
    PsaAsymmetricDecrypt,
    PsaDestroyKey,
    PsaExportKey,
    PsaExportPublicKey,
    PsaGenerateKey,
    PsaGenerateRandom,
    PsaImportKey,
    PsaRawKeyAgreement,
    PsaSignHash,
)
from parsec_keys.psa.operations.service import CanDoCrypto, CheckType, ListOpcodes
from parsec_keys.psa.policy import refusal
from parsec_keys.service.authenticators import ApplicationIdentity
from parsec_keys.service.key_info import KeyInfoManager, KeyRecord
from parsec_keys.service.lifecycle import KeyLifecycle
from parsec_keys.service.providers import (
    Decrypter,
    KeyAgreer,
    KeyExporter,
    Provider,
    RandomGenerator,
    Signer,
)

R = TypeVar("R")
_KeyHandler = Callable[[Any, KeyRecord, Any], object]

KEY_HANDLERS: Final[dict[type[KeyOperation[Any]], tuple[type, _KeyHandler]]] = {
    PsaSignHash: (
        Signer,
        lambda provider, key, asked: provider.sign_hash(key, asked.alg, asked.hash),
    ),
    PsaAsymmetricDecrypt: (
        Decrypter,
        lambda provider, key, asked: provider.asymmetric_decrypt(
            key, asked.alg, asked.ciphertext, asked.salt
        ),
    ),
    PsaRawKeyAgreement: (
        KeyAgreer,
        lambda provider, key, asked: provider.raw_key_agreement(
            key, asked.alg, asked.peer_key
        ),
    ),
    PsaExportKey: (KeyExporter, lambda provider, key, asked: provider.export_key(key)),
}
"""The operations on a key: the capability each needs, and the call."""

_ALWAYS: Final = frozenset(
    {
        Opcode.PSA_GENERATE_KEY,
        Opcode.PSA_IMPORT_KEY,
        Opcode.PSA_DESTROY_KEY,
        Opcode.PSA_EXPORT_PUBLIC_KEY,
        Opcode.CAN_DO_CRYPTO,
    }
)
"""What every provider does."""


class Dispatcher:
    """Performs the operations of any application on a set of providers."""

    def __init__(
        self, providers: Mapping[str, Provider], key_info: KeyInfoManager
    ) -> None:
        self._providers = providers
        self._key_info = key_info
        self._lifecycle = KeyLifecycle(key_info)
        self._records: dict[tuple[ApplicationIdentity, str], KeyRecord] = {}
        self._handlers = {
            (name, operation): (provider, call)
            for name, provider in providers.items()
            for operation, (capability, call) in KEY_HANDLERS.items()
            if isinstance(provider, capability)
        }

    def execute(
        self,
        operation: Operation[R],
        application: ApplicationIdentity,
        provider: str | None = None,
    ) -> R:
        """Perform an operation for an application.

        Raises:
            Error: of the class that belongs to what went wrong.
        """
        if isinstance(operation, KeyOperation):
            return cast(R, self._on_key(operation, application, provider))
        own = _OWN_OPERATIONS.get(type(operation))
        if own is None:
            raise NotSupported(f"{type(operation).__name__} is not implemented")
        return cast(R, own(self, operation, application, provider))

    def recover(self) -> None:
        """Finish or undo what earlier processes left half done."""
        for name, provider in self._providers.items():
            self._lifecycle.recover(name, provider)

    def adopt(
        self, key_name: str, reference: str, application: ApplicationIdentity
    ) -> None:
        """Record a key that the first provider had before, under a name.

        Raises:
            KeyNotFound: the reference names no key, or several.
            NotSupported: the provider finds no keys, or not of this kind.
        """
        self._lifecycle.adopt(key_name, reference, application, self._provider(None))

    def _on_key(
        self,
        operation: KeyOperation[Any],
        application: ApplicationIdentity,
        provider: str | None,
    ) -> object:
        record = self._records.get((application, operation.key_name))
        if record is None or provider not in (None, record.identity.provider):
            record = self._look_up(application, operation.key_name, provider)
        if operation.fingerprint not in (None, record.fingerprint):
            record = self._look_up(application, operation.key_name, provider)
            if operation.fingerprint != record.fingerprint:
                raise KeyNotFound(
                    f"{record.described} is another key than the one that was loaded: "
                    "load it again"
                )
        refused = refusal(record.attributes, operation)
        if refused is not None:
            raise Error.of(refused.status, f"{record.described} {refused.reason}")
        handler = self._handlers.get((record.identity.provider, type(operation)))
        if handler is not None:
            return handler[1](handler[0], record, operation)
        own = _OWN_KEY_OPERATIONS.get(type(operation))
        if own is None:
            raise NotSupported(
                f"{record.described} cannot do {type(operation).__name__}: its "
                "provider does not implement it"
            )
        return own(self, record)

    def _look_up(
        self, application: ApplicationIdentity, key_name: str, provider: str | None
    ) -> KeyRecord:
        """The record as it is now, whatever this process remembers."""
        record = self._key_info.find(application, key_name)
        if record is None or record.identity.provider not in self._providers:
            self._records.pop((application, key_name), None)
            raise KeyNotFound(f"there is no key named '{key_name}' in this store")
        if provider not in (None, record.identity.provider):
            raise KeyNotFound(
                f"there is no key named '{key_name}' in provider '{provider}'"
            )
        self._records[application, key_name] = record
        return record

    def _provider(self, name: str | None) -> Provider:
        if name is None:
            return next(iter(self._providers.values()))
        try:
            return self._providers[name]
        except KeyError:
            known = ", ".join(self._providers)
            raise InvalidArgument(
                f"there is no provider '{name}' in this store; there are: {known}"
            ) from None

    def _generate(
        self,
        operation: PsaGenerateKey,
        application: ApplicationIdentity,
        provider: str | None,
    ) -> None:
        chosen = self._provider(provider)
        record = self._lifecycle.generate(operation, application, chosen)
        self._records[application, operation.key_name] = record

    def _import(
        self,
        operation: PsaImportKey,
        application: ApplicationIdentity,
        provider: str | None,
    ) -> None:
        chosen = self._provider(provider)
        record = self._lifecycle.import_key(operation, application, chosen)
        self._records[application, operation.key_name] = record

    def _random(
        self,
        operation: PsaGenerateRandom,
        application: ApplicationIdentity,
        provider: str | None,
    ) -> bytes:
        chosen = self._provider(provider)
        if not isinstance(chosen, RandomGenerator):
            raise NotSupported(f"provider '{chosen.info.name}' has no random numbers")
        return chosen.generate_random(operation.size)

    def _list_keys(
        self,
        operation: ListKeys,
        application: ApplicationIdentity,
        provider: str | None,
    ) -> tuple[KeyInfo, ...]:
        return tuple(
            _key_info(record)
            for record in self._key_info.records(application)
            if record.identity.provider in self._providers
        )

    def _list_providers(
        self,
        operation: ListProviders,
        application: ApplicationIdentity,
        provider: str | None,
    ) -> tuple[ProviderInfo, ...]:
        return tuple(provider.info for provider in self._providers.values())

    def _list_opcodes(
        self,
        operation: ListOpcodes,
        application: ApplicationIdentity,
        provider: str | None,
    ) -> frozenset[Opcode]:
        chosen = self._provider(provider)
        capable = {
            asked.opcode for name, asked in self._handlers if name == chosen.info.name
        }
        if isinstance(chosen, RandomGenerator):
            capable.add(Opcode.PSA_GENERATE_RANDOM)
        return _ALWAYS | capable

    def _can_do_crypto(
        self,
        operation: CanDoCrypto,
        application: ApplicationIdentity,
        provider: str | None,
    ) -> None:
        chosen, attributes = self._provider(provider), operation.attributes
        if operation.check_type is CheckType.DERIVE:
            raise NotSupported("no provider derives keys")
        if not isinstance(attributes.type, (RsaKeyPair, EccKeyPair)):
            raise NotSupported(f"no provider keeps a key of type {attributes.type}")
        chosen.check_key(attributes)
        algorithm = attributes.policy.algorithm
        if algorithm is not None:
            chosen.check_algorithm(attributes, algorithm)
        elif operation.check_type is CheckType.USE:
            raise NotSupported("a key without a permitted algorithm cannot be used")

    def _describe(self, record: KeyRecord) -> KeyInfo:
        # Whoever asks what a key is wants to know what it is now.
        identity = record.identity
        return _key_info(self._look_up(identity.application, identity.key_name, None))

    def _export_public(self, record: KeyRecord) -> bytes:
        return record.public_key

    def _destroy(self, record: KeyRecord) -> None:
        identity = record.identity
        self._records.pop((identity.application, identity.key_name), None)
        self._lifecycle.destroy(record, self._provider(identity.provider))


_OWN_OPERATIONS: Final[dict[type, Callable[..., object]]] = {
    PsaGenerateKey: Dispatcher._generate,
    PsaImportKey: Dispatcher._import,
    PsaGenerateRandom: Dispatcher._random,
    ListKeys: Dispatcher._list_keys,
    ListProviders: Dispatcher._list_providers,
    ListOpcodes: Dispatcher._list_opcodes,
    CanDoCrypto: Dispatcher._can_do_crypto,
}
_OWN_KEY_OPERATIONS: Final[dict[type, Callable[[Dispatcher, KeyRecord], object]]] = {
    GetKeyAttributes: Dispatcher._describe,
    PsaExportPublicKey: Dispatcher._export_public,
    PsaDestroyKey: Dispatcher._destroy,
}


def _key_info(record: KeyRecord) -> KeyInfo:
    return KeyInfo(
        record.identity.key_name, record.identity.provider, record.attributes
    )
