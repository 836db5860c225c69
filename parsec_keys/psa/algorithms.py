"""Hashes and asymmetric algorithms: PSA's, with all that pyca can ask of them.

An algorithm is exact: it names the MGF hash and the salt length where PSA leaves them
implied, so that a provider does precisely this or refuses. The symmetric algorithms
are in ``symmetric``, which only a wire peer needs.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from parsec_keys.psa.symmetric import SymmetricAlgorithm


class Hash(enum.Enum):
    """A hash function; ``size`` is the length of its digest in bytes.

    SM3 has a PSA number but none on Parsec's wire (parsec-operations 1.4).
    """

    MD2 = ("MD2", 16)
    MD4 = ("MD4", 16)
    MD5 = ("MD5", 16)
    RIPEMD160 = ("RIPEMD-160", 20)
    SHA_1 = ("SHA-1", 20)
    SHA_224 = ("SHA-224", 28)
    SHA_256 = ("SHA-256", 32)
    SHA_384 = ("SHA-384", 48)
    SHA_512 = ("SHA-512", 64)
    SHA_512_224 = ("SHA-512/224", 28)
    SHA_512_256 = ("SHA-512/256", 32)
    SHA3_224 = ("SHA3-224", 28)
    SHA3_256 = ("SHA3-256", 32)
    SHA3_384 = ("SHA3-384", 48)
    SHA3_512 = ("SHA3-512", 64)
    SM3 = ("SM3", 32)

    size: int

    def __init__(self, title: str, size: int) -> None:
        self.title = title
        self.size = size

    def __str__(self) -> str:
        return self.title


class AnyHash(enum.Enum):
    """``PSA_ALG_ANY_HASH``: legal in a key policy, never in an operation."""

    ANY = "any hash"

    def __str__(self) -> str:
        return self.value


ANY_HASH: Final = AnyHash.ANY
SignHashAlgorithm: TypeAlias = Hash | AnyHash


@dataclass(frozen=True, slots=True)
class RsaPkcs1v15Sign:
    """RSASSA-PKCS1-v1_5 of a digest (RFC 8017, section 8.2)."""

    hash: SignHashAlgorithm

    def __str__(self) -> str:
        return f"RSA PKCS#1 v1.5 with {self.hash}"


@dataclass(frozen=True, slots=True)
class RsaPkcs1v15SignRaw:
    """RSASSA-PKCS1-v1_5 of octets that the caller already encoded: no DigestInfo."""

    def __str__(self) -> str:
        return "raw RSA PKCS#1 v1.5"


@dataclass(frozen=True, slots=True)
class RsaPss:
    """RSASSA-PSS of a digest (RFC 8017, section 8.1).

    ``None`` means what ``PSA_ALG_RSA_PSS`` means: MGF1 with the same hash, and a salt
    as long as the digest. ``salt_length`` is in bytes.
    """

    hash: SignHashAlgorithm
    mgf_hash: Hash | None = None
    salt_length: int | None = None

    def __str__(self) -> str:
        mgf = f", MGF1 with {self.mgf_hash}" if self.mgf_hash else ""
        salt = f", {self.salt_length}-byte salt" if self.salt_length is not None else ""
        return f"RSA PSS with {self.hash}{mgf}{salt}"


@dataclass(frozen=True, slots=True)
class Ecdsa:
    """ECDSA of a digest with a random nonce (FIPS 186-5, section 6.4)."""

    hash: SignHashAlgorithm

    def __str__(self) -> str:
        return f"ECDSA with {self.hash}"


@dataclass(frozen=True, slots=True)
class DeterministicEcdsa:
    """ECDSA with the nonce of RFC 6979."""

    hash: SignHashAlgorithm

    def __str__(self) -> str:
        return f"deterministic ECDSA with {self.hash}"


@dataclass(frozen=True, slots=True)
class EcdsaAny:
    """ECDSA of octets of any length: ``PSA_ALG_ECDSA_ANY``, no hash named."""

    def __str__(self) -> str:
        return "ECDSA without a named hash"


@dataclass(frozen=True, slots=True)
class RsaPkcs1v15Crypt:
    """RSAES-PKCS1-v1_5 (RFC 8017, section 7.2)."""

    def __str__(self) -> str:
        return "RSA PKCS#1 v1.5 encryption"


@dataclass(frozen=True, slots=True)
class RsaOaep:
    """RSAES-OAEP (RFC 8017, section 7.1). The label is the operation's ``salt``.

    ``mgf_hash`` ``None`` means MGF1 with the same hash, as in ``PSA_ALG_RSA_OAEP``.
    """

    hash: Hash
    mgf_hash: Hash | None = None

    def __str__(self) -> str:
        mgf = f", MGF1 with {self.mgf_hash}" if self.mgf_hash else ""
        return f"RSA OAEP with {self.hash}{mgf}"


class KeyAgreement(enum.Enum):
    """A raw key agreement: the shared secret itself, no key derivation."""

    FFDH = "finite-field Diffie-Hellman"
    ECDH = "ECDH"

    def __str__(self) -> str:
        return self.value


class AnyAlgorithm(enum.Enum):
    """Permits every algorithm of the key's type, as pyca's own keys do.

    Not a PSA algorithm: legal only in a key policy, and only of an embedded engine.
    """

    ANY = "any algorithm of its type"

    def __str__(self) -> str:
        return self.value


ANY_ALGORITHM: Final = AnyAlgorithm.ANY
ECDH: Final = KeyAgreement.ECDH
FFDH: Final = KeyAgreement.FFDH
RSA_PKCS1V15_SIGN_RAW: Final = RsaPkcs1v15SignRaw()
RSA_PKCS1V15_CRYPT: Final = RsaPkcs1v15Crypt()
ECDSA_ANY: Final = EcdsaAny()

RsaSignature: TypeAlias = RsaPkcs1v15Sign | RsaPkcs1v15SignRaw | RsaPss
EccSignature: TypeAlias = Ecdsa | DeterministicEcdsa | EcdsaAny
AsymmetricSignature: TypeAlias = RsaSignature | EccSignature
AsymmetricEncryption: TypeAlias = RsaPkcs1v15Crypt | RsaOaep
AsymmetricAlgorithm: TypeAlias = (
    AsymmetricSignature | AsymmetricEncryption | KeyAgreement
)
Algorithm: TypeAlias = "Hash | AsymmetricAlgorithm | SymmetricAlgorithm"
PermittedAlgorithm: TypeAlias = "Algorithm | AnyAlgorithm | None"
"""A policy's algorithm; ``None`` permits no cryptography at all (``PSA_ALG_NONE``)."""
