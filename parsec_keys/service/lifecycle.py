"""How keys come and go: Parsec's four steps, and what a crash leaves of them.

1. Take a unique id and write down the intent. 2. Create the key in the provider.
3. Turn the intent into a record. 4. If anything fails, undo the creation.

Between any two steps a killed process leaves an intent, which the next start finds:
there is never a key without a record, nor a record without a key.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable

from parsec_keys.errors import (
    DeprecatedPrimitive,
    Error,
    KeyNotFound,
    NotSupported,
    StorageFailure,
)
from parsec_keys.psa.attributes import KeyAttributes
from parsec_keys.psa.deprecated import deprecated_in
from parsec_keys.psa.operations import PsaGenerateKey, PsaImportKey
from parsec_keys.psa.policy import PUBLIC_KEYS
from parsec_keys.service.authenticators import ApplicationIdentity
from parsec_keys.service.half_made import HalfMadeKeys
from parsec_keys.service.key_info import KeyIdentity, KeyInfoManager, KeyRecord
from parsec_keys.service.new_keys import (
    check_public_key,
    checked,
    checked_to_generate,
    fitted,
)
from parsec_keys.service.providers import CreatedKey, KeyFinder, Provider

logger = logging.getLogger(__name__)


class KeyLifecycle:
    """Creates, destroys and recovers keys of any provider."""

    def __init__(self, key_info: KeyInfoManager, allow_deprecated: bool) -> None:
        self._key_info = key_info
        self._half_made = HalfMadeKeys(key_info)
        self._allow_deprecated = allow_deprecated

    def generate(
        self,
        operation: PsaGenerateKey,
        application: ApplicationIdentity,
        provider: Provider,
    ) -> KeyRecord:
        """Make a key in a provider and record it."""
        self.check_deprecated(operation.attributes)
        attributes = checked_to_generate(operation.attributes, provider)
        exponent = operation.public_exponent
        return self._create(
            KeyIdentity(application, provider.info.name, operation.key_name),
            attributes,
            provider,
            lambda uid: provider.generate_key(uid, attributes, exponent),
        )

    def import_key(
        self,
        operation: PsaImportKey,
        application: ApplicationIdentity,
        provider: Provider,
        uid: bytes | None = None,
    ) -> KeyRecord:
        """Put a key into a provider and record it, with a uid that is new without.

        A public key is in its record and nowhere else.
        """
        primitive = deprecated_in(operation.attributes)
        if primitive is not None and not self._allow_deprecated:
            logger.warning("a key for %s, which is deprecated, comes in", primitive)
        attributes = check_import(operation, provider)
        return self._create(
            KeyIdentity(application, provider.info.name, operation.key_name),
            attributes,
            provider,
            lambda uid: _import(provider, uid, attributes, operation.data),
            uid,
        )

    def check_deprecated(self, attributes: KeyAttributes) -> None:
        """Pass if a key of these attributes may be made.

        Raises:
            DeprecatedPrimitive: it is for an algorithm that is no longer safe.
        """
        primitive = deprecated_in(attributes)
        if primitive is not None and not self._allow_deprecated:
            raise DeprecatedPrimitive(
                f"no keys are made for {primitive}, which is no longer safe: choose "
                "another, or set allow_deprecated = true in [core_settings]"
            )

    def adopt(
        self,
        key_name: str,
        reference: str,
        application: ApplicationIdentity,
        provider: Provider,
    ) -> None:
        """Record a key that the provider had before."""
        if not isinstance(provider, KeyFinder):
            raise NotSupported(
                f"provider '{provider.info.name}' has no keys but those made through it"
            )
        found = provider.find_key(reference)
        self._create(
            KeyIdentity(application, provider.info.name, key_name),
            found.attributes,
            provider,
            lambda uid: CreatedKey(found.key_id, found.public_key),
        )

    def destroy(self, record: KeyRecord, provider: Provider) -> None:
        """Destroy a key and its record; a provider that fails keeps both.

        Raises:
            KeyNotFound: another thread or process was faster.
        """
        try:
            self._begin_and_destroy(record, provider)
            # Where the disk is full, the intent is forgotten later; the key is gone.
            with contextlib.suppress(StorageFailure):
                self._key_info.cancel(record.uid)
        except Error:
            raise
        except BaseException:  # Ctrl-C: what is asked for is finished.
            with contextlib.suppress(Error):
                # Where it was not begun, and cannot be, it is not for later either.
                self._key_info.withdraw(record.uid)
                self._half_made.remove(record.uid, record.identity, provider)
            raise

    def recover(self, name: str, provider: Provider) -> None:
        """Remove what killed processes left of keys in a provider.

        What cannot be removed now does not keep the store from opening: it is tried
        again before the next key is made, and by the next start.
        """
        for uid, identity in self._key_info.abandoned(name):
            error = self._half_made.remove(uid, identity, provider)
            if error is None:
                logger.info("provider '%s': removed a half-made key", name)
            else:
                logger.warning("provider '%s': a half-made key stays: %s", name, error)

    def _begin_and_destroy(self, record: KeyRecord, provider: Provider) -> None:
        if not self._key_info.begin_destroy(record):
            raise KeyNotFound(f"{record.described} is gone already")
        try:
            if not isinstance(record.attributes.type, PUBLIC_KEYS):
                provider.destroy_key(record.uid)
        except Error:
            self._key_info.commit(record)
            raise

    def _create(
        self,
        identity: KeyIdentity,
        attributes: KeyAttributes,
        provider: Provider,
        make: Callable[[bytes], CreatedKey],
        uid: bytes | None = None,
    ) -> KeyRecord:
        uid = uid or os.urandom(16)
        self._half_made.make_way(identity)
        self._key_info.begin(identity, uid)
        try:
            created = make(uid)
            record = KeyRecord(
                identity, uid, created.key_id, attributes, created.public_key
            )
            self._key_info.commit(record)
        except BaseException:
            self._half_made.remove(uid, identity, provider)
            raise
        return record


def check_import(operation: PsaImportKey, provider: Provider) -> KeyAttributes:
    """The attributes that a key has after its import, if the provider takes it.

    Raises:
        InvalidArgument: the data is not what the attributes say.
        NotSupported: the provider keeps no such key.
    """
    attributes = checked(fitted(operation.attributes, operation.data), provider)
    if isinstance(attributes.type, PUBLIC_KEYS):
        check_public_key(attributes, operation.data)
    return attributes


def _import(
    provider: Provider, uid: bytes, attributes: KeyAttributes, data: bytes
) -> CreatedKey:
    if isinstance(attributes.type, PUBLIC_KEYS):
        return CreatedKey(b"", data)
    return provider.import_key(uid, attributes, data)
