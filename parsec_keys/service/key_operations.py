"""The operations that providers do: for each, the capability it needs and the call.

Rule: what a provider implements is derived from this table, never listed by hand. What
takes only the public half of a key needs no capability: it is done here, alike for
every provider. ``symmetric_operations`` has the other half of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from parsec_keys.errors import InvalidArgument, InvalidSignature
from parsec_keys.psa.attributes import EccFamily, EccKeyPair
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import (
    KeyOperation,
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

KeyHandler = Callable[[Any, KeyRecord, Any], object]
"""From a provider, a record and an operation to the answer."""
KeyHandlers = dict[type[KeyOperation[Any]], tuple[type, KeyHandler]]
ProviderHandler = Callable[[Any, Any], object]
"""From a provider and an operation to the answer."""
ProviderHandlers = dict[type[Operation[Any]], tuple[type, ProviderHandler]]


class Implemented:
    """What each provider of a service implements, as calls and as opcodes."""

    def __init__(self, providers: Mapping[str, object]) -> None:
        self._providers = providers
        self._on_keys: dict[
            tuple[str, type[Operation[Any]]], tuple[Any, KeyHandler]
        ] = {}
        self._others: dict[
            tuple[str, type[Operation[Any]]], tuple[Any, ProviderHandler]
        ] = {}
        self._complete = False
        self._add(KEY_HANDLERS, PROVIDER_HANDLERS)

    def on_key(self, provider: str, operation: type) -> tuple[Any, KeyHandler] | None:
        """The provider and the call for an operation on one of its keys, if any."""
        found = self._on_keys.get((provider, operation))
        if found is None:
            self._load_the_rest()
            found = self._on_keys.get((provider, operation))
        return found

    def other(
        self, provider: str, operation: type
    ) -> tuple[Any, ProviderHandler] | None:
        """The provider and the call for an operation that needs no key, if any."""
        found = self._others.get((provider, operation))
        if found is None:
            self._load_the_rest()
            found = self._others.get((provider, operation))
        return found

    def opcodes(self, provider: str) -> frozenset[Opcode]:
        """The opcodes of all that a provider implements."""
        self._load_the_rest()
        implemented: list[tuple[str, type[Operation[Any]]]]
        implemented = [*self._on_keys, *self._others]
        return frozenset(
            operation.opcode for name, operation in implemented if name == provider
        )

    def _load_the_rest(self) -> None:
        if self._complete:
            return
        from parsec_keys.service import symmetric_operations as rest

        self._add(rest.KEY_HANDLERS, rest.PROVIDER_HANDLERS)
        self._complete = True

    def _add(self, on_keys: KeyHandlers, others: ProviderHandlers) -> None:
        for name, provider in self._providers.items():
            for operation, (capability, call) in on_keys.items():
                if isinstance(provider, capability):
                    self._on_keys[name, operation] = (provider, call)
            for other, (capability, of_provider) in others.items():
                if isinstance(provider, capability):
                    self._others[name, other] = (provider, of_provider)


def verify_digest(key: KeyRecord, asked: Any, hashed: bytes) -> None:
    """Pass if a signature of a digest is the key's.

    Raises:
        InvalidSignature: it is not.
    """
    if not is_signature(
        key.attributes, key.public_key, asked.alg, hashed, asked.signature
    ):
        raise InvalidSignature(f"the signature is not of {key.described}")


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


KEY_HANDLERS: Final[KeyHandlers] = {
    PsaSignHash: (
        Signer,
        lambda provider, key, asked: provider.sign_hash(key, asked.alg, asked.hash),
    ),
    PsaVerifyHash: (object, _verify),
    PsaAsymmetricEncrypt: (object, _encrypt),
    PsaAsymmetricDecrypt: (Decrypter, _decrypt),
    PsaRawKeyAgreement: (KeyAgreer, _agree),
    PsaExportKey: (KeyExporter, _export),
    PsaExportPublicKey: (object, _export_public),
}
"""The operations on a key."""
PROVIDER_HANDLERS: Final[ProviderHandlers] = {
    PsaGenerateRandom: (
        RandomGenerator,
        lambda provider, asked: provider.generate_random(asked.size),
    ),
}
"""The operations that need a provider and no key."""
