"""Key policy: may this key do this operation (PSA Crypto API 1.1, section 9.5).

Four questions in Parsec's order: usage flag, permitted algorithm, fit of algorithm and
key type, sanity of the arguments. It answers with a refusal or with ``None``; the
dispatcher, which asks once for every operation, raises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from parsec_keys.psa.algorithms import (
    ANY_ALGORITHM,
    ANY_HASH,
    Algorithm,
    AnyAlgorithm,
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
)
from parsec_keys.psa.attributes import (
    DhKeyPair,
    DhPublicKey,
    EccFamily,
    EccKeyPair,
    EccPublicKey,
    KeyAttributes,
    KeyType,
    RsaKeyPair,
    RsaPublicKey,
    UnstructuredKeyType,
    UsageFlags,
)
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import Operation
from parsec_keys.psa.status import Status

USAGE: Final[dict[Opcode, UsageFlags]] = {
    Opcode.PSA_SIGN_HASH: UsageFlags.SIGN_HASH,
    Opcode.PSA_VERIFY_HASH: UsageFlags.VERIFY_HASH,
    Opcode.PSA_SIGN_MESSAGE: UsageFlags.SIGN_MESSAGE,
    Opcode.PSA_VERIFY_MESSAGE: UsageFlags.VERIFY_MESSAGE,
    Opcode.PSA_ASYMMETRIC_ENCRYPT: UsageFlags.ENCRYPT,
    Opcode.PSA_ASYMMETRIC_DECRYPT: UsageFlags.DECRYPT,
    Opcode.PSA_AEAD_ENCRYPT: UsageFlags.ENCRYPT,
    Opcode.PSA_AEAD_DECRYPT: UsageFlags.DECRYPT,
    Opcode.PSA_CIPHER_ENCRYPT: UsageFlags.ENCRYPT,
    Opcode.PSA_CIPHER_DECRYPT: UsageFlags.DECRYPT,
    Opcode.PSA_MAC_COMPUTE: UsageFlags.SIGN_MESSAGE,
    Opcode.PSA_MAC_VERIFY: UsageFlags.VERIFY_MESSAGE,
    Opcode.PSA_RAW_KEY_AGREEMENT: UsageFlags.DERIVE,
    Opcode.PSA_EXPORT_KEY: UsageFlags.EXPORT,
}
"""The flag that an operation needs; one that is not here needs none."""

_RSA_KEYS: Final = (RsaKeyPair, RsaPublicKey)
_ECC_KEYS: Final = (EccKeyPair, EccPublicKey)
PUBLIC_KEYS: Final = (RsaPublicKey, EccPublicKey, DhPublicKey)
KEY_TYPES: Final[dict[type, tuple[type, ...]]] = {
    RsaPkcs1v15Sign: _RSA_KEYS,
    RsaPkcs1v15SignRaw: _RSA_KEYS,
    RsaPss: _RSA_KEYS,
    RsaPkcs1v15Crypt: _RSA_KEYS,
    RsaOaep: _RSA_KEYS,
    Ecdsa: _ECC_KEYS,
    DeterministicEcdsa: _ECC_KEYS,
    EcdsaAny: _ECC_KEYS,
}
"""The key types of each asymmetric algorithm but key agreement."""
_AGREEMENT_KEYS: Final[dict[KeyAgreement, tuple[type, ...]]] = {
    KeyAgreement.ECDH: _ECC_KEYS,
    KeyAgreement.FFDH: (DhKeyPair, DhPublicKey),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not: the status, and the second half of a sentence about the key."""

    status: Status
    reason: str


def refusal(attributes: KeyAttributes, operation: Operation[object]) -> Refusal | None:
    """Why a key of these attributes may not do this, or None when it may."""
    policy = attributes.policy
    usage = USAGE.get(operation.opcode)
    if usage is None:
        return None
    if usage is UsageFlags.EXPORT and isinstance(attributes.type, PUBLIC_KEYS):
        return None  # What is public may always leave (PSA 9.5.1).
    # As plain numbers: the flags' own operators are far slower.
    if not int(policy.usage) & int(usage):
        return Refusal(
            Status.PSA_ERROR_NOT_PERMITTED,
            f"may not {_verb(usage)}: its policy has "
            f"{policy.usage.words or 'no usage flag'}",
        )
    algorithm: Algorithm | None = getattr(operation, "alg", None)
    if algorithm is None:
        return None
    if policy.algorithm is not ANY_ALGORITHM and not permits(
        policy.algorithm, algorithm
    ):
        return Refusal(
            Status.PSA_ERROR_NOT_PERMITTED,
            f"may not do {algorithm}: its policy permits "
            f"{policy.algorithm or 'no algorithm'}",
        )
    if not fits(attributes.type, algorithm):
        return Refusal(
            Status.PSA_ERROR_NOT_PERMITTED,
            f"is of type {attributes.type}, which has no {algorithm}",
        )
    if getattr(algorithm, "hash", None) is ANY_HASH:
        return Refusal(
            Status.PSA_ERROR_NOT_PERMITTED, "needs a hash that the request names"
        )
    for check in _ARGUMENTS.get(operation.opcode, ()):
        reason = check(attributes, operation)
        if reason is not None:
            return Refusal(Status.PSA_ERROR_INVALID_ARGUMENT, reason)
    return None


def permits(permitted: PermittedAlgorithm, algorithm: Algorithm) -> bool:
    """Whether a policy's algorithm admits this one: equal, or equal but for any hash.

    A PSS or OAEP policy that leaves the MGF hash or the salt length to PSA admits
    exactly PSA's choice.
    """
    if permitted is None or getattr(algorithm, "hash", None) is ANY_HASH:
        return False
    if permitted is ANY_ALGORITHM or permitted == algorithm:
        return True
    if type(permitted) is not type(algorithm):
        return False
    if isinstance(permitted, RsaPss) and isinstance(algorithm, RsaPss):
        return _hash_permitted(permitted.hash, algorithm.hash) and _as_psa(
            permitted, algorithm
        )
    if isinstance(permitted, RsaOaep) and isinstance(algorithm, RsaOaep):
        return explicit(permitted) == explicit(algorithm)
    if isinstance(permitted, (RsaPkcs1v15Sign, Ecdsa, DeterministicEcdsa)):
        return permitted.hash is ANY_HASH
    return False


def explicit(algorithm: RsaOaep) -> RsaOaep:
    """The same algorithm with what PSA leaves implied written out."""
    return RsaOaep(algorithm.hash, algorithm.mgf_hash or algorithm.hash)


def fits(key_type: KeyType, algorithm: Algorithm | AnyAlgorithm | None) -> bool:
    """Whether keys of this type have this algorithm at all."""
    if isinstance(key_type, UnstructuredKeyType):
        # Only whoever has such keys needs the words for them.
        from parsec_keys.psa import symmetric

        return symmetric.fits(key_type, algorithm)
    if isinstance(algorithm, KeyAgreement):
        return isinstance(key_type, _AGREEMENT_KEYS[algorithm])
    if getattr(key_type, "curve_family", None) is EccFamily.MONTGOMERY:
        return False  # These curves agree on keys and do nothing else.
    return isinstance(key_type, KEY_TYPES.get(type(algorithm), ()))


def _hash_permitted(permitted: object, asked: object) -> bool:
    return permitted is ANY_HASH or permitted is asked


def _as_psa(permitted: RsaPss, asked: RsaPss) -> bool:
    if not isinstance(asked.hash, Hash):
        return False
    mgf = permitted.mgf_hash or asked.hash
    salt = permitted.salt_length
    salt = asked.hash.size if salt is None else salt
    asked_salt = asked.hash.size if asked.salt_length is None else asked.salt_length
    return (asked.mgf_hash or asked.hash) is mgf and asked_salt == salt


def _verb(usage: UsageFlags) -> str:
    return (usage.name or "").lower()


_Check = Callable[[KeyAttributes, Any], str | None]
"""What is wrong with an operation's arguments: the second half of a sentence."""


def _private(attributes: KeyAttributes, operation: Any) -> str | None:
    if isinstance(attributes.type, PUBLIC_KEYS):
        return "is a public key, and this needs the private one"
    return None


def _digest(attributes: KeyAttributes, operation: Any) -> str | None:
    hash_ = getattr(operation.alg, "hash", None)
    if isinstance(hash_, Hash) and len(operation.hash) != hash_.size:
        return (
            f"was given {len(operation.hash)} bytes as a digest of {hash_}, "
            f"which has {hash_.size}"
        )
    return None


def _message(attributes: KeyAttributes, operation: Any) -> str | None:
    if isinstance(getattr(operation.alg, "hash", None), Hash):
        return None
    return f"cannot hash a message for {operation.alg}, which names no hash"


def _label(attributes: KeyAttributes, operation: Any) -> str | None:
    if operation.salt and not isinstance(operation.alg, RsaOaep):
        return f"was given a label, which {operation.alg} has not"
    return None


def _modulus(attributes: KeyAttributes, operation: Any) -> str | None:
    length = (attributes.bits + 7) // 8
    if len(operation.ciphertext) != length:
        return (
            f"decrypts {length} bytes at once, and was given "
            f"{len(operation.ciphertext)}"
        )
    return None


def _not_empty(argument: str) -> _Check:
    def check(attributes: KeyAttributes, operation: Any) -> str | None:
        return None if getattr(operation, argument) else f"was given no {argument}"

    return check


_ARGUMENTS: Final[dict[Opcode, tuple[_Check, ...]]] = {
    Opcode.PSA_SIGN_HASH: (_private, _digest),
    Opcode.PSA_VERIFY_HASH: (_digest,),
    Opcode.PSA_SIGN_MESSAGE: (_private, _message),
    Opcode.PSA_VERIFY_MESSAGE: (_message,),
    Opcode.PSA_ASYMMETRIC_ENCRYPT: (_not_empty("plaintext"), _label),
    Opcode.PSA_ASYMMETRIC_DECRYPT: (_private, _modulus, _label),
    Opcode.PSA_RAW_KEY_AGREEMENT: (_private,),
    Opcode.PSA_AEAD_ENCRYPT: (_not_empty("plaintext"), _not_empty("nonce")),
    Opcode.PSA_AEAD_DECRYPT: (_not_empty("ciphertext"), _not_empty("nonce")),
    Opcode.PSA_CIPHER_ENCRYPT: (_not_empty("plaintext"),),
    Opcode.PSA_CIPHER_DECRYPT: (_not_empty("ciphertext"),),
}
"""The checks of each operation's arguments, in Parsec's order."""
PRIVATE_OPCODES: Final = frozenset(
    opcode for opcode, checks in _ARGUMENTS.items() if _private in checks
)
"""What a public key cannot do."""
