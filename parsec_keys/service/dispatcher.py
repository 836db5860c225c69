"""From a request to its provider: resolve the key, check its policy once, call.

Rule: whatever an application may or may not do is decided here and nowhere below. What
a provider can do is derived from the capabilities that it implements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar, cast

from parsec_keys.errors import (
    Error,
    InvalidArgument,
    KeyNotFound,
    NotSupported,
    ServiceUnavailable,
)
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import (
    GetKeyAttributes,
    KeyInfo,
    KeyOperation,
    ListKeys,
    ListProviders,
    Operation,
    ProviderInfo,
    PsaDestroyKey,
    PsaGenerateKey,
    PsaImportKey,
)
from parsec_keys.psa.operations.service import (
    CanDoCrypto,
    DeleteClient,
    ListClients,
    ListOpcodes,
)
from parsec_keys.psa.policy import refusal
from parsec_keys.service.authenticators import ApplicationIdentity
from parsec_keys.service.clients import delete_client, list_clients
from parsec_keys.service.key_info import KeyInfoManager, KeyRecord
from parsec_keys.service.key_operations import Handler, Implemented
from parsec_keys.service.lifecycle import KeyLifecycle
from parsec_keys.service.providers import Provider

R = TypeVar("R")
_OF_EVERY_PROVIDER: Final = frozenset(
    {
        *(Opcode.PSA_GENERATE_KEY, Opcode.PSA_IMPORT_KEY),
        *(Opcode.PSA_DESTROY_KEY, Opcode.CAN_DO_CRYPTO),
    }
)
"""What the dispatcher itself does on any provider."""


class Dispatcher:
    """Performs the operations of any application on a set of providers."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        key_info: KeyInfoManager,
        *,
        allow_deprecated: bool = True,
    ) -> None:
        self._providers = providers
        self._implemented = Implemented(providers)
        self._key_info = key_info
        self._lifecycle = KeyLifecycle(key_info, allow_deprecated)
        self._records: dict[tuple[ApplicationIdentity, str], KeyRecord] = {}
        self._deletions = 0

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
        if own is not None:
            return cast(R, own(self, operation, application, provider))
        chosen = self._provider(provider)
        handler = self._implemented.handler(chosen.info.name, type(operation))
        if handler is None:
            raise _not_implemented(operation, chosen.info.name)
        return cast(R, handler[1](handler[0], operation))

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
        # A provider that lacks an operation says so of every name, as Parsec's do.
        if provider is not None and provider in self._providers:
            self._handler(provider, operation)
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
        implementing, call = self._handler(record.identity.provider, operation)
        refused = refusal(record.attributes, operation)
        if refused is not None:
            raise Error.of(refused.status, f"{record.described} {refused.reason}")
        return call(implementing, record, operation)

    def _handler(
        self, provider: str, operation: KeyOperation[Any]
    ) -> tuple[Any, Handler]:
        own = _OWN_KEY_OPERATIONS.get(type(operation))
        if own is not None:
            return self, own
        handler = self._implemented.handler(provider, type(operation))
        if handler is None:
            raise _not_implemented(operation, provider)
        return handler

    def _look_up(
        self, application: ApplicationIdentity, key_name: str, provider: str | None
    ) -> KeyRecord:
        """The record as it is now, whatever this process remembers."""
        deletions = self._deletions
        record = self._key_info.find(application, key_name)
        if record is None or record.identity.provider not in self._providers:
            self._records.pop((application, key_name), None)
            raise KeyNotFound(f"there is no key named '{key_name}' in this store")
        if provider not in (None, record.identity.provider):
            raise KeyNotFound(
                f"there is no key named '{key_name}' in provider '{provider}'"
            )
        self._records[application, key_name] = record
        if deletions != self._deletions:  # It may be this one that is gone by now.
            self._records.pop((application, key_name), None)
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
        self._lifecycle.generate(operation, application, self._provider(provider))

    def _import(
        self,
        operation: PsaImportKey,
        application: ApplicationIdentity,
        provider: str | None,
    ) -> None:
        self._lifecycle.import_key(operation, application, self._provider(provider))

    def _list_keys(
        self,
        operation: ListKeys,
        application: ApplicationIdentity,
        provider: str | None,
    ) -> tuple[KeyInfo, ...]:
        if operation.key_name is None:
            keys = self._key_info.listing(application)
        else:
            record = self._key_info.find(application, operation.key_name)
            keys = [] if record is None else [_key_info(record)]
        return tuple(key for key in keys if key.provider in self._providers)

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
        return self._opcodes(self._provider(provider))

    def _opcodes(self, provider: Provider) -> frozenset[Opcode]:
        return _OF_EVERY_PROVIDER | self._implemented.opcodes(provider.info.name)

    def _can_do_crypto(
        self,
        operation: CanDoCrypto,
        application: ApplicationIdentity,
        provider: str | None,
    ) -> None:
        from parsec_keys.service.can_do import check_can_do

        chosen = self._provider(provider)
        opcodes = self._opcodes(chosen)
        check_can_do(operation, chosen, opcodes, self._lifecycle.check_deprecated)

    def _list_clients(
        self,
        operation: ListClients,
        application: ApplicationIdentity,
        provider: str | None,
    ) -> tuple[str, ...]:
        return list_clients(self._key_info, application)

    def _delete_client(
        self,
        operation: DeleteClient,
        application: ApplicationIdentity,
        provider: str | None,
    ) -> None:
        client = ApplicationIdentity(application.authenticator, operation.client)
        delete_client(self._key_info, client, self._destroy)

    def _destroy(
        self, record: KeyRecord, operation: PsaDestroyKey | None = None
    ) -> None:
        identity = record.identity
        provider = self._providers.get(identity.provider)
        if provider is None:
            raise ServiceUnavailable(
                f"the provider of {record.described} is not configured: configure it "
                "again, then delete the key"
            )
        try:
            self._lifecycle.destroy(record, provider)
        finally:
            # Now: another thread may have looked it up meanwhile. A TPM's key needs no
            # more than its record.
            self._deletions += 1
            self._records.pop((identity.application, identity.key_name), None)

    def _describe(self, record: KeyRecord, operation: GetKeyAttributes) -> KeyInfo:
        # Whoever asks what a key is wants to know what it is now.
        identity = record.identity
        return _key_info(self._look_up(identity.application, identity.key_name, None))


_OWN_OPERATIONS: Final[dict[type, Handler]] = {
    PsaGenerateKey: Dispatcher._generate,
    PsaImportKey: Dispatcher._import,
    ListKeys: Dispatcher._list_keys,
    ListClients: Dispatcher._list_clients,
    DeleteClient: Dispatcher._delete_client,
    ListProviders: Dispatcher._list_providers,
    ListOpcodes: Dispatcher._list_opcodes,
    CanDoCrypto: Dispatcher._can_do_crypto,
}
_OWN_KEY_OPERATIONS: Final[dict[type, Handler]] = {
    GetKeyAttributes: Dispatcher._describe,
    PsaDestroyKey: Dispatcher._destroy,
}


def _not_implemented(operation: Operation[Any], provider: str) -> NotSupported:
    return NotSupported(
        f"provider '{provider}' does not implement {type(operation).__name__}"
    )


def _key_info(record: KeyRecord) -> KeyInfo:
    return KeyInfo(
        record.identity.key_name, record.identity.provider, record.attributes
    )
