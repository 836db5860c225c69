"""The embedded service: an Engine in this process, which owns the hardware."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from parsec_keys.errors import ConfigurationError, ServiceUnavailable
from parsec_keys.psa.algorithms import ANY_ALGORITHM, PermittedAlgorithm
from parsec_keys.psa.attributes import KeyType
from parsec_keys.psa.operations import Operation
from parsec_keys.service.authenticators import ApplicationIdentity, own_identity
from parsec_keys.service.config import ServiceConfig
from parsec_keys.service.dispatcher import Dispatcher
from parsec_keys.service.key_info import InMemoryKeyInfoManager, KeyInfoManager
from parsec_keys.service.providers import Provider
from parsec_keys.service.providers.registry import open_provider
from parsec_keys.service.running_operations import running

if TYPE_CHECKING:
    from parsec_keys.service.adoption import Adoption
    from parsec_keys.service.adoption.sources import Source

R = TypeVar("R")


class Service:
    """Providers and their key info, used by one application: this process's user.

    Safe to call from any thread, and in a child after a fork.
    """

    def __init__(self, config: ServiceConfig) -> None:
        """Open the providers and their key info.

        Raises:
            ConfigurationError: no provider, or two of one name.
            NotSupported: a provider's library is not installed.
            ServiceUnavailable, AuthenticationError: the hardware does not answer, or
                does not let us in.
            StorageFailure: the key info cannot be used as it is.
        """
        if config.persistent:
            from parsec_keys.service import shared_files

            shared_files.offer(config.directory or user_directory())
        with contextlib.ExitStack() as opened:
            providers = _open_providers(config, opened)
            key_info = _open_key_info(config, next(iter(providers.values())))
            opened.callback(key_info.close)
            self._providers, self._key_info = providers, key_info
            self._dispatcher = Dispatcher(
                providers, key_info, allow_deprecated=config.allow_deprecated
            )
            self.recover()
            self._resources = opened.pop_all()
        self._application = own_identity()
        self._closed = False

    def recover(self) -> None:
        """Remove what killed processes left half done, and what nobody holds any more.

        Raises:
            StorageFailure: the key info cannot be used.
        """
        self._dispatcher.recover()

    def execute(self, operation: Operation[R], *, provider: str | None = None) -> R:
        """Perform an operation; see ``Engine.execute``."""
        return self.execute_for(self._application, operation, provider=provider)

    def execute_for(
        self,
        application: ApplicationIdentity,
        operation: Operation[R],
        *,
        provider: str | None = None,
    ) -> R:
        """Perform an operation for an application that was authenticated."""
        if self._closed:
            raise ServiceUnavailable("this key store is closed: open it again")
        with running:
            return self._dispatcher.execute(operation, application, provider)

    def default_algorithms(
        self, key_type: KeyType, bits: int
    ) -> tuple[PermittedAlgorithm, ...]:
        """Every algorithm of the type, as pyca's own keys have it."""
        return (ANY_ALGORITHM,)

    def adopt(self, key_name: str, reference: str) -> None:
        """Give a name to a key that the first provider had before.

        Raises:
            KeyNotFound: the reference names no key, or several.
            NotSupported: the provider finds no keys, or not of this kind.
        """
        with running:
            self._dispatcher.adopt(key_name, reference, self._application)

    def adoption(self, source: Source) -> Adoption:
        """What takes over the keys of a Rust Parsec service, all applications'."""
        from parsec_keys.service.adoption import Adoption

        return Adoption(self._providers, self._key_info, source)

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def close(self) -> None:
        """Release every provider. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._resources.close()


def _open_providers(
    config: ServiceConfig, opened: contextlib.ExitStack
) -> dict[str, Provider]:
    providers: dict[str, Provider] = {}
    for each in config.providers:
        if each.name in providers:
            raise ConfigurationError(
                f"two providers are named '{each.name}': give each its own name"
            )
        provider = open_provider(each)
        opened.callback(provider.close)
        providers[each.name] = provider
    if not providers:
        raise ConfigurationError("no provider is configured: name at least one")
    return providers


def _open_key_info(config: ServiceConfig, first: Provider) -> KeyInfoManager:
    if not config.persistent:
        return InMemoryKeyInfoManager()
    # Only a store on disk needs SQLite, and only a store without a folder of its own
    # needs the user's.
    from parsec_keys.service.key_info.sqlite import SqliteKeyInfoManager

    directory = config.directory or user_directory() / first.store_name
    return SqliteKeyInfoManager(directory)


def user_directory() -> Path:
    """The folder of this user's stores."""
    import platformdirs

    return platformdirs.user_data_path("parsec-keys", appauthor=False)
