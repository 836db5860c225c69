"""The operations that providers do: for each, the capability it needs and the call.

Rule: what a provider implements is derived from this table, never listed by hand. What
takes only the public half of a key needs no capability: it is done here, alike for
every provider. ``symmetric_operations`` and ``attestation_operations`` have the rest of
the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from parsec_keys.errors import (
    InvalidArgument,
    InvalidSignature,
    NotSupported,
    StorageFailure,
)
from parsec_keys.psa.attributes import EccFamily, EccKeyPair
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import (
    Operation,
    PsaAsymmetricDecrypt,
    PsaAsymmetricEncrypt,
    PsaExportKey,
    PsaExportPublicKey,
    PsaGenerateRandom,
    PsaRawKeyAgreement,
    PsaSignHash,
    PsaVerifyHash,
)
from parsec_keys.psa.policy import PUBLIC_KEYS
from parsec_keys.service.key_formats import rsa_modulus
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers import (
    Decrypter,
    KeyAgreer,
    KeyExporter,
    RandomGenerator,
    Signer,
)
from parsec_keys.service.public_operations import (
    encrypt,
    is_signature,
    load_public_key,
)

Handler = Callable[..., object]
"""From a provider, a record if the operation is on a key, and the operation."""
Handlers = dict[type[Operation[Any]], tuple[type, Handler]]


class Implemented:
    """What each provider of a service implements, as calls and as opcodes."""

    def __init__(self, providers: Mapping[str, object]) -> None:
        self._providers = providers
        self._handlers: dict[tuple[str, type[Operation[Any]]], tuple[Any, Handler]]
        self._handlers = {}
        self._complete = False
        self._add(HANDLERS)

    def handler(
        self, provider: str, operation: type[Operation[Any]]
    ) -> tuple[Any, Handler] | None:
        """A provider and its call for an operation, if it has one."""
        found = self._handlers.get((provider, operation))
        if found is None:
            self._load_the_rest()
            found = self._handlers.get((provider, operation))
        return found

    def opcodes(self, provider: str) -> frozenset[Opcode]:
        """The opcodes of all that a provider implements."""
        self._load_the_rest()
        return frozenset(
            operation.opcode
            for name, operation in [*self._handlers]
            if name == provider
        )

    def _load_the_rest(self) -> None:
        if self._complete:
            return
        from parsec_keys.service import attestation_operations, symmetric_operations

        self._add(symmetric_operations.HANDLERS)
        self._add(attestation_operations.HANDLERS)
        self._complete = True

    def _add(self, handlers: Handlers) -> None:
        for name, provider in self._providers.items():
            for operation, (capability, call) in handlers.items():
                if isinstance(provider, capability):
                    self._handlers[name, operation] = (provider, call)


def verify_digest(key: KeyRecord, asked: Any, hashed: bytes) -> None:
    """Pass if a signature of a digest is the key's.

    Raises:
        InvalidSignature: it is not.
    """
    if not is_signature(
        key.attributes, key.public_key, asked.alg, hashed, asked.signature
    ):
        raise InvalidSignature(f"the signature is not of {key.described}")


def sign_digest(provider: Signer, key: KeyRecord, asked: Any, hashed: bytes) -> bytes:
    """Sign a digest; the first signature of each record is verified.

    A record that was tampered with may point to another key, even another
    application's.

    Raises:
        StorageFailure: the key is not the one whose public key is in the record.
    """
    signature = provider.sign_hash(key, asked.alg, hashed)
    proved = (key.uid, key.key_id, key.fingerprint)
    if proved not in _proved:
        try:
            is_keys = is_signature(
                key.attributes, key.public_key, asked.alg, hashed, signature
            )
        except NotSupported:
            return signature  # A hash that only the hardware knows proves nothing.
        if not is_keys:
            raise StorageFailure(
                f"the record of {key.described} stands for another key: restore the "
                "key info from a backup, or delete the key"
            )
        if len(_proved) >= _MOST_PROVED:
            _proved.clear()  # The next signature of each is verified once more.
        _proved.add(proved)
    return signature


_MOST_PROVED: Final = 4096
"""For a process that makes and deletes keys for ever: about 1 kB each."""
_proved: Final[set[tuple[bytes, bytes, bytes]]] = set()


def _sign_hash(provider: Signer, key: KeyRecord, asked: PsaSignHash) -> bytes:
    return sign_digest(provider, key, asked, asked.hash)


def _verify(provider: object, key: KeyRecord, asked: PsaVerifyHash) -> None:
    verify_digest(key, asked, asked.hash)


def _encrypt(provider: object, key: KeyRecord, asked: PsaAsymmetricEncrypt) -> bytes:
    public_key = (key.attributes, key.public_key)
    return encrypt(*public_key, asked.alg, asked.plaintext, asked.salt)


def _decrypt(provider: Decrypter, key: KeyRecord, asked: PsaAsymmetricDecrypt) -> bytes:
    if int.from_bytes(asked.ciphertext, "big") >= rsa_modulus(key.public_key):
        raise InvalidArgument("Decryption failed")  # As pyca says it.
    return provider.asymmetric_decrypt(key, asked.alg, asked.ciphertext, asked.salt)


def _agree(provider: KeyAgreer, key: KeyRecord, asked: PsaRawKeyAgreement) -> bytes:
    key_type = key.attributes.type
    assert isinstance(key_type, EccKeyPair)  # noqa: S101
    if key_type.curve_family is not EccFamily.MONTGOMERY:
        # A point that is not on the curve can give a private key away bit by bit.
        load_public_key(key.attributes, asked.peer_key)
    return provider.raw_key_agreement(key, asked.alg, asked.peer_key)


def _export(provider: KeyExporter, key: KeyRecord, asked: PsaExportKey) -> bytes:
    if isinstance(key.attributes.type, PUBLIC_KEYS):
        return key.public_key
    return provider.export_key(key)


def _export_public(
    provider: object, key: KeyRecord, asked: PsaExportPublicKey
) -> bytes:
    if not key.public_key:
        raise InvalidArgument(
            f"{key.described} is a symmetric key, which has no public half"
        )
    return key.public_key


HANDLERS: Final[Handlers] = {
    PsaSignHash: (Signer, _sign_hash),
    PsaVerifyHash: (object, _verify),
    PsaAsymmetricEncrypt: (object, _encrypt),
    PsaAsymmetricDecrypt: (Decrypter, _decrypt),
    PsaRawKeyAgreement: (KeyAgreer, _agree),
    PsaExportKey: (KeyExporter, _export),
    PsaExportPublicKey: (object, _export_public),
    PsaGenerateRandom: (
        RandomGenerator,
        lambda provider, asked: provider.generate_random(asked.size),
    ),
}
