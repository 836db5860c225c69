"""Key attributes as the Rust Parsec service keeps them: its enums, in its order.

Rule: the tables are in the order of the Rust enums, which is what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from parsec_keys.psa.algorithms import (
    ANY_HASH,
    ECDSA_ANY,
    RSA_PKCS1V15_CRYPT,
    RSA_PKCS1V15_SIGN_RAW,
    Algorithm,
    AsymmetricEncryption,
    AsymmetricSignature,
    DeterministicEcdsa,
    Ecdsa,
    Hash,
    KeyAgreement,
    RsaOaep,
    RsaPkcs1v15Sign,
    RsaPss,
    SignHashAlgorithm,
)
from parsec_keys.psa.attributes import (
    DhFamily,
    DhKeyPair,
    DhPublicKey,
    EccFamily,
    EccKeyPair,
    EccPublicKey,
    KeyAttributes,
    KeyPolicy,
    KeyType,
    Lifetime,
    RsaKeyPair,
    RsaPublicKey,
    UnstructuredKeyType,
    UsageFlags,
)
from parsec_keys.psa.symmetric import (
    Aead,
    AeadAlgorithm,
    AeadWithShortenedTag,
    BlockCipherMac,
    Cipher,
    FullLengthMac,
    Hmac,
    KeyAgreementWithDerivation,
    KeyDerivation,
    KeyDerivationFunction,
    Mac,
    TruncatedMac,
)
from parsec_keys.service.bincode import Reader

_HASHES: Final = tuple(hash_ for hash_ in Hash if hash_ is not Hash.SM3)
_FAMILIES: Final = tuple(EccFamily)
_GROUPS: Final = tuple(DhFamily)
_LIFETIMES: Final = tuple(Lifetime)
_AEADS: Final = tuple(Aead)
_CIPHERS: Final = tuple(Cipher)
_DERIVATIONS: Final = tuple(KeyDerivationFunction)
_AGREEMENTS: Final = tuple(KeyAgreement)


def decode(data: bytes) -> KeyAttributes:
    """The attributes in a blob.

    Raises:
        StorageFailure: it is damaged, or of another version of the service.
    """
    reader = Reader(data, "its policy")
    lifetime = reader.variant(_LIFETIMES)
    key_type = reader.variant(_KEY_TYPES)(reader)
    bits = reader.length()
    usage = UsageFlags(0)
    for flag in UsageFlags:
        if reader.flag():
            usage |= flag
    algorithm = reader.variant(_ALGORITHMS)(reader)
    reader.finish()
    return KeyAttributes(key_type, bits, KeyPolicy(usage, algorithm), lifetime)


def _hash(reader: Reader) -> Hash:
    return reader.variant(_HASHES)


def _sign_hash(reader: Reader) -> SignHashAlgorithm:
    return reader.variant(_SIGN_HASHES)(reader)


def _mac(reader: Reader) -> Mac:
    return reader.variant((_full_length_mac, _truncated_mac))(reader)


def _truncated_mac(reader: Reader) -> Mac:
    return TruncatedMac(_full_length_mac(reader), reader.length())


def _full_length_mac(reader: Reader) -> FullLengthMac:
    return reader.variant(_FULL_LENGTH_MACS)(reader)


def _aead(reader: Reader) -> AeadAlgorithm:
    return reader.variant(_AEAD_ALGORITHMS)(reader)


def _signature(reader: Reader) -> AsymmetricSignature:
    return reader.variant(_SIGNATURES)(reader)


def _encryption(reader: Reader) -> AsymmetricEncryption:
    return reader.variant(_ENCRYPTIONS)(reader)


def _agreement(reader: Reader) -> KeyAgreement | KeyAgreementWithDerivation:
    return reader.variant(_KEY_AGREEMENTS)(reader)


def _derivation(reader: Reader) -> KeyDerivation:
    return KeyDerivation(reader.variant(_DERIVATIONS), _hash(reader))


def _unstructured(key_type: UnstructuredKeyType) -> Callable[[Reader], KeyType]:
    return lambda _: key_type


_KEY_TYPES: Final[tuple[Callable[[Reader], KeyType], ...]] = (
    *map(_unstructured, UnstructuredKeyType),
    lambda _: RsaPublicKey(),
    lambda _: RsaKeyPair(),
    lambda reader: EccKeyPair(reader.variant(_FAMILIES)),
    lambda reader: EccPublicKey(reader.variant(_FAMILIES)),
    lambda reader: DhKeyPair(reader.variant(_GROUPS)),
    lambda reader: DhPublicKey(reader.variant(_GROUPS)),
)
_ALGORITHMS: Final[tuple[Callable[[Reader], Algorithm | None], ...]] = (
    lambda _: None,
    _hash,
    _mac,
    lambda reader: reader.variant(_CIPHERS),
    _aead,
    _signature,
    _encryption,
    _agreement,
    _derivation,
)
_SIGN_HASHES: Final[tuple[Callable[[Reader], SignHashAlgorithm], ...]] = (
    _hash,
    lambda _: ANY_HASH,
)
_FULL_LENGTH_MACS: Final[tuple[Callable[[Reader], FullLengthMac], ...]] = (
    lambda reader: Hmac(_hash(reader)),
    lambda _: BlockCipherMac.CBC_MAC,
    lambda _: BlockCipherMac.CMAC,
)
_AEAD_ALGORITHMS: Final[tuple[Callable[[Reader], AeadAlgorithm], ...]] = (
    lambda reader: reader.variant(_AEADS),
    lambda reader: AeadWithShortenedTag(reader.variant(_AEADS), reader.length()),
)
_SIGNATURES: Final[tuple[Callable[[Reader], AsymmetricSignature], ...]] = (
    lambda reader: RsaPkcs1v15Sign(_sign_hash(reader)),
    lambda _: RSA_PKCS1V15_SIGN_RAW,
    lambda reader: RsaPss(_sign_hash(reader)),
    lambda reader: Ecdsa(_sign_hash(reader)),
    lambda _: ECDSA_ANY,
    lambda reader: DeterministicEcdsa(_sign_hash(reader)),
)
_ENCRYPTIONS: Final[tuple[Callable[[Reader], AsymmetricEncryption], ...]] = (
    lambda _: RSA_PKCS1V15_CRYPT,
    lambda reader: RsaOaep(_hash(reader)),
)
_KEY_AGREEMENTS: Final[
    tuple[Callable[[Reader], KeyAgreement | KeyAgreementWithDerivation], ...]
] = (
    lambda reader: reader.variant(_AGREEMENTS),
    lambda reader: KeyAgreementWithDerivation(
        reader.variant(_AGREEMENTS), _derivation(reader)
    ),
)
