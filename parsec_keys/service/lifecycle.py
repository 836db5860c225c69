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
    Error,
    InvalidArgument,
    KeyNotFound,
    NotPermitted,
    NotSupported,
)
from parsec_keys.psa.algorithms import ANY_ALGORITHM
from parsec_keys.psa.attributes import (
    EccKeyPair,
    KeyAttributes,
    KeyPolicy,
    RsaKeyPair,
    UsageFlags,
)
from parsec_keys.psa.operations import PsaGenerateKey, PsaImportKey
from parsec_keys.psa.policy import fits
from parsec_keys.service.authenticators import ApplicationIdentity
from parsec_keys.service.key_formats import (
    curve_of,
    decode_rsa_private_key,
    scalar_length,
)
from parsec_keys.service.key_info import KeyIdentity, KeyInfoManager, KeyRecord
from parsec_keys.service.providers import CreatedKey, KeyExporter, KeyFinder, Provider

logger = logging.getLogger(__name__)


class KeyLifecycle:
    """Creates, destroys and recovers keys of any provider."""

    def __init__(self, key_info: KeyInfoManager) -> None:
        self._key_info = key_info

    def generate(
        self,
        operation: PsaGenerateKey,
        application: ApplicationIdentity,
        provider: Provider,
    ) -> KeyRecord:
        """Make a key in a provider and record it."""
        attributes = _checked(operation.attributes, provider)
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
    ) -> KeyRecord:
        """Put a key into a provider and record it."""
        attributes = _fitted(operation.attributes, operation.data)
        attributes = _checked(attributes, provider)
        return self._create(
            KeyIdentity(application, provider.info.name, operation.key_name),
            attributes,
            provider,
            lambda uid: provider.import_key(uid, attributes, operation.data),
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
        identity = KeyIdentity(application, provider.info.name, key_name)
        uid = os.urandom(16)
        self._key_info.begin(identity, uid)
        self._key_info.commit(
            KeyRecord(identity, uid, found.key_id, found.attributes, found.public_key)
        )

    def destroy(self, record: KeyRecord, provider: Provider) -> None:
        """Destroy a key and its record; a provider that fails keeps both.

        Raises:
            KeyNotFound: another thread or process was faster.
        """
        if not self._key_info.begin_destroy(record):
            raise KeyNotFound(f"{record.described} is gone already")
        try:
            provider.destroy_key(record.uid)
        except Error:
            self._key_info.commit(record)
            raise
        self._key_info.cancel(record.uid)

    def recover(self, name: str, provider: Provider) -> None:
        """Remove what killed processes left of keys in a provider.

        What cannot be removed now does not keep the store from opening: it stays an
        intent, for the next start.
        """
        for uid in self._key_info.abandoned(name):
            try:
                provider.destroy_key(uid)
            except Error as e:
                logger.warning("provider '%s': a half-made key stays: %s", name, e)
                continue
            self._key_info.cancel(uid)
            logger.info("provider '%s': removed a half-made key", name)

    def _create(
        self,
        identity: KeyIdentity,
        attributes: KeyAttributes,
        provider: Provider,
        make: Callable[[bytes], CreatedKey],
    ) -> KeyRecord:
        uid = os.urandom(16)
        self._key_info.begin(identity, uid)
        try:
            created = make(uid)
            record = KeyRecord(
                identity, uid, created.key_id, attributes, created.public_key
            )
            self._key_info.commit(record)
        except BaseException:
            self._undo(uid, provider)
            raise
        return record

    def _undo(self, uid: bytes, provider: Provider) -> None:
        # What cannot be undone now stays an intent, for the next start.
        with contextlib.suppress(Error):
            provider.destroy_key(uid)
            self._key_info.cancel(uid)


def _checked(attributes: KeyAttributes, provider: Provider) -> KeyAttributes:
    """The attributes as they will be recorded, if the provider can keep such a key."""
    if not isinstance(attributes.type, (RsaKeyPair, EccKeyPair)):
        raise InvalidArgument(f"a {attributes.type} is not made or imported here")
    policy = attributes.policy
    usage = policy.usage.implied()
    if usage & UsageFlags.EXPORT and not isinstance(provider, KeyExporter):
        raise NotPermitted(
            f"provider '{provider.info.name}' never gives a private key away: leave "
            "out the usage flag export"
        )
    algorithm = policy.algorithm
    if algorithm not in (None, ANY_ALGORITHM) and not fits(attributes.type, algorithm):
        raise InvalidArgument(f"a key of type {attributes.type} cannot do {algorithm}")
    attributes = KeyAttributes(
        attributes.type,
        attributes.bits,
        KeyPolicy(usage, algorithm),
        attributes.lifetime,
    )
    provider.check_key(attributes)
    provider.check_algorithm(attributes, algorithm)
    return attributes


def _fitted(attributes: KeyAttributes, data: bytes) -> KeyAttributes:
    """The attributes with the size that the data has; zero bits ask for just that."""
    bits = attributes.bits
    if isinstance(attributes.type, RsaKeyPair):
        bits = decode_rsa_private_key(data).public_numbers.n.bit_length()
    elif isinstance(attributes.type, EccKeyPair):
        if bits == 0:
            bits = 8 * len(data)
        fitted = KeyAttributes(attributes.type, bits, attributes.policy)
        if len(data) != scalar_length(curve_of(fitted)):
            raise InvalidArgument(
                f"a private key of {bits} bits is not {len(data)} bytes long"
            )
    if attributes.bits not in (0, bits):
        raise InvalidArgument(
            f"the key has {bits} bits, not the {attributes.bits} that were asked for"
        )
    return KeyAttributes(attributes.type, bits, attributes.policy, attributes.lifetime)
