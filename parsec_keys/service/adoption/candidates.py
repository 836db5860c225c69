"""What becomes of an old key: whether it can be taken over, and if not, why not."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from parsec_keys.errors import Error, KeyNotFound, NotSupported, StorageFailure
from parsec_keys.psa.attributes import KeyAttributes
from parsec_keys.psa.operations import PsaImportKey
from parsec_keys.psa.policy import fits
from parsec_keys.service.adoption import key_files, rust_attributes
from parsec_keys.service.adoption.old_stores import INTERNAL, OldKey
from parsec_keys.service.adoption.sources import Source
from parsec_keys.service.authenticators import ApplicationIdentity, AuthenticatorType
from parsec_keys.service.key_info import KeyIdentity, KeyInfoManager, KeyRecord
from parsec_keys.service.lifecycle import check_import
from parsec_keys.service.providers import AdoptedKey, Provider, RustKey, RustKeyFinder
from parsec_keys.service.public_operations import load_public_key

_ROOT_KEY: Final = "RootKeyTPM"
_UID_LENGTH: Final = 16
_DEFAULT_NAMES: Final = {
    1: "mbed-crypto-provider",
    2: "pkcs11-provider",
    3: "tpm-provider",
    4: "trusted-service-provider",
    5: "cryptoauthlib-provider",
}
"""How the Rust service names providers that its file does not name."""


class Verdict(enum.Enum):
    """What becomes of an old key."""

    ADOPT = "adopt"
    ADOPTED = "adopted"
    BEFORE = "adopted before"
    DELETED = "deleted since it was adopted"
    CANNOT = "cannot be adopted"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An old key, and what becomes of it.

    ``found`` is the key where it stays; ``material`` is what is imported.
    """

    key: OldKey
    provider: str
    verdict: Verdict
    reason: str = ""
    attributes: KeyAttributes | None = None
    found: AdoptedKey | None = None
    material: bytes | None = field(default=None, repr=False)

    @property
    def origin(self) -> bytes:
        """What tells this key from every other of every old store.

        MbedCrypto gives the key id of a key that is gone to another, so that what is
        copied tells them apart.
        """
        key = self.key
        parts = (
            *(str(key.authenticator).encode(), key.application.encode()),
            *(str(key.provider).encode(), key.key_name.encode(), key.key_id),
            self.material or b"",
        )
        return hashlib.sha256(
            b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        ).digest()

    @property
    def uid(self) -> bytes:
        """The uid that it has here. It is the same each time, so that none is twice."""
        if self.found is not None and self.found.uid is not None:
            return self.found.uid
        return self.origin[:_UID_LENGTH]

    @property
    def identity(self) -> KeyIdentity:
        """The identity that it keeps."""
        return KeyIdentity(_application(self.key), self.provider, self.key.key_name)

    def seen(self, record: KeyRecord | None) -> Candidate:
        """The same key, which was adopted; ``record`` is what has its name now."""
        verdict = Verdict.DELETED if record is None else Verdict.BEFORE
        return replace(self, verdict=verdict)

    def new(self, record: KeyRecord | None) -> Candidate:
        """The same key, of which nothing is remembered here."""
        if record is None:
            return replace(self, verdict=Verdict.ADOPT)
        if record.uid == self.uid:  # A run that ended early had adopted it.
            return replace(self, verdict=Verdict.BEFORE)
        return self.refused("another key has its name by now")

    def refused(self, reason: str) -> Candidate:
        """The same key, which cannot be adopted."""
        return replace(self, verdict=Verdict.CANNOT, reason=reason)


class Observer:
    """Looks at old keys one by one. Changes nothing."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        key_info: KeyInfoManager,
        source: Source,
        old: Iterable[OldKey],
    ) -> None:
        self._providers = providers
        self._key_info = key_info
        self._folder = source.key_files
        self._adopted = key_info.adopted()
        self._root = next((key.key_id for key in old if _is_root(key)), None)

    def look(self, key: OldKey) -> Candidate:
        """What would become of a key."""
        provider = self._provider(key)
        where = key.provider_name or _DEFAULT_NAMES.get(key.provider, "unknown")
        candidate = Candidate(key, where, Verdict.CANNOT)
        try:
            attributes = rust_attributes.decode(key.attributes)
            candidate = replace(candidate, attributes=attributes)
            if provider is None:
                raise NotSupported("the configuration has no such provider")
            candidate = replace(candidate, provider=provider.info.name)
            record = self._key_info.find(_application(key), key.key_name)
            if isinstance(provider, RustKeyFinder):
                return self._where_it_stays(candidate, attributes, provider, record)
            return self._copied(candidate, attributes, provider, record)
        except Error as e:
            return candidate.refused(str(e))

    def _where_it_stays(
        self,
        candidate: Candidate,
        attributes: KeyAttributes,
        provider: RustKeyFinder,
        record: KeyRecord | None,
    ) -> Candidate:
        if candidate.origin in self._adopted:
            return candidate.seen(record)
        key = RustKey(candidate.key.key_id, attributes, self._root)
        found = provider.find_rust_key(key)
        _check(found)
        return replace(candidate, attributes=found.attributes, found=found).new(record)

    def _copied(
        self,
        candidate: Candidate,
        attributes: KeyAttributes,
        provider: Provider,
        record: KeyRecord | None,
    ) -> Candidate:
        key = candidate.key
        try:
            material = key_files.read(self._folder, key.key_id)
        except KeyNotFound:
            if record is None:
                raise
            return candidate.seen(record)  # Somebody removed what was copied.
        candidate = replace(candidate, material=material)
        if candidate.origin in self._adopted:
            return candidate.seen(record)
        operation = PsaImportKey(key.key_name, attributes, material)
        fitted = check_import(operation, provider)
        return replace(candidate, attributes=fitted).new(record)

    def _provider(self, key: OldKey) -> Provider | None:
        for provider in self._providers.values():
            names = (None, provider.info.name, _DEFAULT_NAMES.get(key.provider))
            if provider.info.id == key.provider and key.provider_name in names:
                return provider
        return None


def _check(found: AdoptedKey) -> None:
    load_public_key(found.attributes, found.public_key)
    key_type, algorithm = found.attributes.type, found.attributes.policy.algorithm
    if algorithm is not None and not fits(key_type, algorithm):
        raise NotSupported(f"an {key_type} has no {algorithm}")


def _is_root(key: OldKey) -> bool:
    return (key.authenticator, key.key_name) == (INTERNAL, _ROOT_KEY)


def _application(key: OldKey) -> ApplicationIdentity:
    try:
        authenticator = AuthenticatorType(key.authenticator)
    except ValueError:
        raise StorageFailure(f"there is no authenticator {key.authenticator}") from None
    return ApplicationIdentity(authenticator, key.application)
