"""Algorithms of PSA Crypto <-> Parsec's messages.

Rule: what a message cannot say exactly is refused with ``NotSupported``, never sent as
something near it. What a message does not say although it must is ``INVALID_ENCODING``.
"""

from __future__ import annotations

import enum
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from parsec_keys.errors import NotSupported, ProtocolError
from parsec_keys.psa.algorithms import (
    ANY_HASH,
    ECDSA_ANY,
    RSA_PKCS1V15_CRYPT,
    RSA_PKCS1V15_SIGN_RAW,
    AnyAlgorithm,
    AsymmetricEncryption,
    AsymmetricSignature,
    DeterministicEcdsa,
    Ecdsa,
    EcdsaAny,
    Hash,
    KeyAgreement,
    PermittedAlgorithm,
    RsaOaep,
    RsaPkcs1v15Crypt,
    RsaPkcs1v15Sign,
    RsaPkcs1v15SignRaw,
    RsaPss,
    SignHashAlgorithm,
)
from parsec_keys.psa.status import Status
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
from parsec_keys.service.wire.proto import algorithm_pb2 as pb

_E = TypeVar("_E", bound=enum.Enum)
_HashSignature = RsaPkcs1v15Sign | RsaPss | Ecdsa | DeterministicEcdsa

_OF_A_HASH: Final[dict[str, type[_HashSignature]]] = {
    "rsa_pkcs1v15_sign": RsaPkcs1v15Sign,
    "rsa_pss": RsaPss,
    "ecdsa": Ecdsa,
    "deterministic_ecdsa": DeterministicEcdsa,
}
_SIGNATURE_FIELDS: Final = {class_: name for name, class_ in _OF_A_HASH.items()}
_WITHOUT_HASH: Final[dict[str, RsaPkcs1v15SignRaw | EcdsaAny]] = {
    "rsa_pkcs1v15_sign_raw": RSA_PKCS1V15_SIGN_RAW,
    "ecdsa_any": ECDSA_ANY,
}
_FIELDS_WITHOUT_HASH: Final = {each: name for name, each in _WITHOUT_HASH.items()}
_DERIVATIONS: Final = {
    "hkdf": KeyDerivationFunction.HKDF,
    "tls12_prf": KeyDerivationFunction.TLS12_PRF,
    "tls12_psk_to_ms": KeyDerivationFunction.TLS12_PSK_TO_MS,
}
_BLOCK_MACS: Final = {"cbc_mac": BlockCipherMac.CBC_MAC, "cmac": BlockCipherMac.CMAC}


def invalid(what: str) -> ProtocolError:
    """A message that lacks what it must have, or has a number that means nothing."""
    error = ProtocolError(f"the message has no valid {what}")
    error.status = Status.INVALID_ENCODING
    return error


def variant(message: Message, oneof: str = "variant") -> str:
    """Which field of a oneof is set.

    Raises:
        ProtocolError: none is.
    """
    name = message.WhichOneof(oneof)
    if name is None:
        raise invalid(message.DESCRIPTOR.name)
    return str(name)


def number_to(enum_type: Any, members: type[_E], number: int) -> _E:
    """The member that the wire's enumeration has under a number.

    Raises:
        ProtocolError: it has none, or the number means "none".
    """
    if number in enum_type.values():
        name = enum_type.Name(number)
        if name in members.__members__:
            return members[name]
    raise invalid(enum_type.DESCRIPTOR.name)


def to_number(enum_type: Any, member: enum.Enum) -> int:
    """A member's number on the wire.

    Raises:
        NotSupported: the wire has none for it.
    """
    if member.name not in enum_type.keys():  # noqa: SIM118
        raise NotSupported(f"Parsec's messages have no {member}")
    return int(enum_type.Value(member.name))


def hash_from(number: int) -> Hash:
    """A hash from its number."""
    return number_to(pb.Hash, Hash, number)


def hash_to(hash_: Hash) -> int:
    """A hash's number."""
    return to_number(pb.Hash, hash_)


def read_signature(message: pb.AsymmetricSignature) -> AsymmetricSignature:
    """A signature algorithm from its message."""
    name = variant(message)
    if name in _WITHOUT_HASH:
        return _WITHOUT_HASH[name]
    return _OF_A_HASH[name](_read_sign_hash(getattr(message, name).hash_alg))


def write_signature(
    message: pb.AsymmetricSignature, algorithm: AsymmetricSignature
) -> None:
    """A signature algorithm into its message.

    Raises:
        NotSupported: PSS with another salt or MGF hash than PSA's own.
    """
    if isinstance(algorithm, (RsaPkcs1v15SignRaw, EcdsaAny)):
        getattr(message, _FIELDS_WITHOUT_HASH[algorithm]).SetInParent()
        return
    if isinstance(algorithm, RsaPss):
        _check_pss(algorithm)
    field = getattr(message, _SIGNATURE_FIELDS[type(algorithm)])
    _write_sign_hash(field.hash_alg, algorithm.hash)


def read_encryption(message: pb.AsymmetricEncryption) -> AsymmetricEncryption:
    """An encryption algorithm from its message."""
    if variant(message) == "rsa_pkcs1v15_crypt":
        return RSA_PKCS1V15_CRYPT
    return RsaOaep(hash_from(message.rsa_oaep.hash_alg))


def write_encryption(
    message: pb.AsymmetricEncryption, algorithm: AsymmetricEncryption
) -> None:
    """An encryption algorithm into its message.

    Raises:
        NotSupported: OAEP with another MGF hash than its own.
    """
    if isinstance(algorithm, RsaPkcs1v15Crypt):
        message.rsa_pkcs1v15_crypt.SetInParent()
        return
    if algorithm.mgf_hash not in (None, algorithm.hash):
        raise NotSupported(
            f"a Parsec service has OAEP with one hash for all, not {algorithm}"
        )
    message.rsa_oaep.hash_alg = hash_to(algorithm.hash)  # type: ignore[assignment]


def read_agreement(number: int) -> KeyAgreement:
    """A raw key agreement from its number."""
    return number_to(pb.RawKeyAgreement, KeyAgreement, number)


def read_cipher(number: int) -> Cipher:
    """A cipher mode from its number."""
    return number_to(pb.Cipher, Cipher, number)


def read_aead(message: pb.Aead) -> AeadAlgorithm:
    """An authenticated encryption from its message."""
    if variant(message) == "aead_with_default_length_tag":
        return number_to(pb.AeadMode, Aead, message.aead_with_default_length_tag)
    shortened = message.aead_with_shortened_tag
    aead = number_to(pb.AeadMode, Aead, shortened.aead_alg)
    return AeadWithShortenedTag(aead, shortened.tag_length)


def write_aead(message: pb.Aead, algorithm: AeadAlgorithm) -> None:
    """An authenticated encryption into its message."""
    if isinstance(algorithm, Aead):
        mode = to_number(pb.AeadMode, algorithm)
        message.aead_with_default_length_tag = mode  # type: ignore[assignment]
        return
    shortened = message.aead_with_shortened_tag
    shortened.aead_alg = to_number(pb.AeadMode, algorithm.aead)  # type: ignore[assignment]
    shortened.tag_length = algorithm.tag_length


def read_mac(message: pb.Mac) -> Mac:
    """A MAC from its message."""
    if variant(message) == "full_length":
        return _read_full_length(message.full_length)
    if not message.truncated.HasField("mac_alg"):
        raise invalid("mac_alg")
    full_length = _read_full_length(message.truncated.mac_alg)
    return TruncatedMac(full_length, message.truncated.mac_length)


def write_mac(message: pb.Mac, algorithm: Mac) -> None:
    """A MAC into its message."""
    if isinstance(algorithm, TruncatedMac):
        message.truncated.mac_length = algorithm.mac_length
        _write_full_length(message.truncated.mac_alg, algorithm.mac)
    else:
        _write_full_length(message.full_length, algorithm)


def read_algorithm(message: pb.Algorithm) -> PermittedAlgorithm:
    """Any algorithm from a key policy's message; ``None`` permits nothing."""
    name = variant(message)
    if name == "none":
        return None
    read = _READERS[name]
    value: PermittedAlgorithm = read(getattr(message, name))
    return value


def write_algorithm(message: pb.Algorithm, algorithm: PermittedAlgorithm) -> None:
    """Any algorithm into a key policy's message.

    Raises:
        NotSupported: the message cannot say exactly this.
    """
    if algorithm is None:
        message.none.SetInParent()
    elif isinstance(algorithm, Hash):
        message.hash = hash_to(algorithm)  # type: ignore[assignment]
    elif isinstance(algorithm, Cipher):
        message.cipher = to_number(pb.Cipher, algorithm)  # type: ignore[assignment]
    elif isinstance(algorithm, (Aead, AeadWithShortenedTag)):
        write_aead(message.aead, algorithm)
    elif isinstance(algorithm, (Hmac, BlockCipherMac, TruncatedMac)):
        write_mac(message.mac, algorithm)
    elif isinstance(algorithm, (RsaPkcs1v15Crypt, RsaOaep)):
        write_encryption(message.asymmetric_encryption, algorithm)
    elif isinstance(algorithm, KeyAgreement):
        number = to_number(pb.RawKeyAgreement, algorithm)
        message.key_agreement.raw = number  # type: ignore[assignment]
    elif isinstance(algorithm, KeyAgreementWithDerivation):
        both = message.key_agreement.with_key_derivation
        both.ka_alg = to_number(pb.RawKeyAgreement, algorithm.agreement)  # type: ignore[assignment]
        _write_derivation(both.kdf_alg, algorithm.derivation)
    elif isinstance(algorithm, KeyDerivation):
        _write_derivation(message.key_derivation, algorithm)
    elif isinstance(algorithm, AnyAlgorithm):
        raise NotSupported(
            f"a key of a Parsec service has one permitted algorithm, not {algorithm}"
        )
    else:
        write_signature(message.asymmetric_signature, algorithm)


def _read_sign_hash(message: pb.SignHash) -> SignHashAlgorithm:
    return ANY_HASH if variant(message) == "any" else hash_from(message.specific)


def _write_sign_hash(message: pb.SignHash, hash_: SignHashAlgorithm) -> None:
    if isinstance(hash_, Hash):
        message.specific = hash_to(hash_)  # type: ignore[assignment]
    else:
        message.any.SetInParent()


def _check_pss(algorithm: RsaPss) -> None:
    """PSA's PSS has MGF1 with the same hash, and a salt as long as the digest."""
    hash_ = algorithm.hash
    usual_salt = hash_.size if isinstance(hash_, Hash) else None
    if algorithm.mgf_hash not in (None, hash_) or algorithm.salt_length not in (
        None,
        usual_salt,
    ):
        raise NotSupported(
            "a Parsec service has PSS with a salt as long as the digest and MGF1 with "
            f"the same hash, not {algorithm}"
        )


def _read_full_length(message: pb.FullLengthMac) -> FullLengthMac:
    name = variant(message)
    if name == "hmac":
        return Hmac(hash_from(message.hmac.hash_alg))
    return _BLOCK_MACS[name]


def _write_full_length(message: pb.FullLengthMac, algorithm: FullLengthMac) -> None:
    if isinstance(algorithm, Hmac):
        message.hmac.hash_alg = hash_to(algorithm.hash)  # type: ignore[assignment]
        return
    for name, mac in _BLOCK_MACS.items():
        if mac is algorithm:
            getattr(message, name).SetInParent()


def _read_key_agreement(
    message: pb.KeyAgreement,
) -> KeyAgreement | KeyAgreementWithDerivation:
    if variant(message) == "raw":
        return read_agreement(message.raw)
    both = message.with_key_derivation
    agreement = read_agreement(both.ka_alg)
    return KeyAgreementWithDerivation(agreement, _read_derivation(both.kdf_alg))


def _read_derivation(message: pb.KeyDerivation) -> KeyDerivation:
    name = variant(message)
    hash_ = hash_from(getattr(message, name).hash_alg)
    return KeyDerivation(_DERIVATIONS[name], hash_)


def _write_derivation(message: pb.KeyDerivation, derivation: KeyDerivation) -> None:
    for name, function in _DERIVATIONS.items():
        if function is derivation.function:
            getattr(message, name).hash_alg = hash_to(derivation.hash)


_READERS: Final[dict[str, Any]] = {
    "hash": hash_from,
    "mac": read_mac,
    "cipher": read_cipher,
    "aead": read_aead,
    "asymmetric_signature": read_signature,
    "asymmetric_encryption": read_encryption,
    "key_agreement": _read_key_agreement,
    "key_derivation": _read_derivation,
}
