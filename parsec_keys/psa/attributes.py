"""Key attributes: type, bits and policy (PSA Crypto API 1.1, section 9)."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from parsec_keys.psa.algorithms import ANY_ALGORITHM, PermittedAlgorithm


class EccFamily(enum.Enum):
    """A family of elliptic curves; a family and a size in bits name one curve."""

    SECP_K1 = "secp-k1"
    SECP_R1 = "secp-r1"
    SECP_R2 = "secp-r2"
    SECT_K1 = "sect-k1"
    SECT_R1 = "sect-r1"
    SECT_R2 = "sect-r2"
    BRAINPOOL_P_R1 = "brainpoolP-r1"
    FRP = "frp"
    MONTGOMERY = "montgomery"

    def __str__(self) -> str:
        return self.value


class DhFamily(enum.Enum):
    """A family of finite-field Diffie-Hellman groups."""

    RFC7919 = "rfc7919"

    def __str__(self) -> str:
        return self.value


class UnstructuredKeyType(enum.Enum):
    """The key types that are a plain string of octets."""

    RAW_DATA = "raw data"
    HMAC = "HMAC"
    DERIVE = "derivation"
    AES = "AES"
    DES = "DES"
    CAMELLIA = "Camellia"
    ARC4 = "ARC4"
    CHACHA20 = "ChaCha20"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class RsaKeyPair:
    """An RSA private key with its public half."""

    def __str__(self) -> str:
        return "RSA key pair"


@dataclass(frozen=True, slots=True)
class RsaPublicKey:
    """An RSA public key alone."""

    def __str__(self) -> str:
        return "RSA public key"


@dataclass(frozen=True, slots=True)
class EccKeyPair:
    """A private key on an elliptic curve with its public half."""

    curve_family: EccFamily

    def __str__(self) -> str:
        return f"ECC key pair ({self.curve_family})"


@dataclass(frozen=True, slots=True)
class EccPublicKey:
    """A public key on an elliptic curve alone."""

    curve_family: EccFamily

    def __str__(self) -> str:
        return f"ECC public key ({self.curve_family})"


@dataclass(frozen=True, slots=True)
class DhKeyPair:
    """A finite-field Diffie-Hellman private key with its public half."""

    group_family: DhFamily

    def __str__(self) -> str:
        return f"Diffie-Hellman key pair ({self.group_family})"


@dataclass(frozen=True, slots=True)
class DhPublicKey:
    """A finite-field Diffie-Hellman public key alone."""

    group_family: DhFamily

    def __str__(self) -> str:
        return f"Diffie-Hellman public key ({self.group_family})"


KeyType: TypeAlias = (
    RsaKeyPair
    | RsaPublicKey
    | EccKeyPair
    | EccPublicKey
    | DhKeyPair
    | DhPublicKey
    | UnstructuredKeyType
)


class UsageFlags(enum.IntFlag):
    """What a key may be used for, in the specification's order."""

    EXPORT = enum.auto()
    COPY = enum.auto()
    CACHE = enum.auto()
    ENCRYPT = enum.auto()
    DECRYPT = enum.auto()
    SIGN_MESSAGE = enum.auto()
    VERIFY_MESSAGE = enum.auto()
    SIGN_HASH = enum.auto()
    VERIFY_HASH = enum.auto()
    DERIVE = enum.auto()

    @property
    def words(self) -> str:
        """The set flags in PSA's words: ``sign_hash verify_hash``."""
        return " ".join(
            flag.name.lower() for flag in UsageFlags if flag.name and flag & self
        )

    def implied(self) -> UsageFlags:
        """These flags and those that follow: sign_hash gives sign_message (PSA 9.5)."""
        flags = self
        if flags & UsageFlags.SIGN_HASH:
            flags |= UsageFlags.SIGN_MESSAGE
        if flags & UsageFlags.VERIFY_HASH:
            flags |= UsageFlags.VERIFY_MESSAGE
        return flags


RSA_USAGE: Final = (
    UsageFlags.ENCRYPT
    | UsageFlags.DECRYPT
    | UsageFlags.SIGN_MESSAGE
    | UsageFlags.VERIFY_MESSAGE
    | UsageFlags.SIGN_HASH
    | UsageFlags.VERIFY_HASH
)
"""All that an RSA key does, short of giving itself away."""
ECC_USAGE: Final = (
    UsageFlags.SIGN_MESSAGE
    | UsageFlags.VERIFY_MESSAGE
    | UsageFlags.SIGN_HASH
    | UsageFlags.VERIFY_HASH
    | UsageFlags.DERIVE
)
"""All that an elliptic-curve key does, short of giving itself away."""


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Usage flags and the one permitted algorithm."""

    usage: UsageFlags
    algorithm: PermittedAlgorithm = ANY_ALGORITHM


class Lifetime(enum.Enum):
    """Whether a key outlives the engine that made it."""

    VOLATILE = "volatile"
    PERSISTENT = "persistent"


@dataclass(frozen=True, slots=True)
class KeyAttributes:
    """What a key is and what it may do.

    ``bits`` is the length of an RSA modulus, or of a curve as PSA counts it: 521 for
    secp521r1.
    """

    type: KeyType
    bits: int
    policy: KeyPolicy
    lifetime: Lifetime = field(default=Lifetime.PERSISTENT)
