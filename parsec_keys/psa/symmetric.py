"""Symmetric algorithms and key derivations, as Parsec's messages can say them.

No key class of ours uses them: a daemon's clients in other languages do.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, TypeAlias

from parsec_keys.psa.algorithms import Hash, KeyAgreement
from parsec_keys.psa.attributes import UnstructuredKeyType


class Cipher(enum.Enum):
    """An unauthenticated cipher mode (PSA Crypto API 1.1, section 10.4)."""

    STREAM_CIPHER = "stream cipher"
    CTR = "CTR"
    CFB = "CFB"
    OFB = "OFB"
    XTS = "XTS"
    ECB_NO_PADDING = "ECB without padding"
    CBC_NO_PADDING = "CBC without padding"
    CBC_PKCS7 = "CBC with PKCS#7 padding"

    def __str__(self) -> str:
        return self.value


class Aead(enum.Enum):
    """Authenticated encryption with its default tag of 16 bytes."""

    CCM = "CCM"
    GCM = "GCM"
    CHACHA20_POLY1305 = "ChaCha20-Poly1305"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class AeadWithShortenedTag:
    """Authenticated encryption; ``tag_length`` is in bytes."""

    aead: Aead
    tag_length: int

    def __str__(self) -> str:
        return f"{self.aead} with a {self.tag_length}-byte tag"


@dataclass(frozen=True, slots=True)
class Hmac:
    """HMAC (RFC 2104)."""

    hash: Hash

    def __str__(self) -> str:
        return f"HMAC with {self.hash}"


class BlockCipherMac(enum.Enum):
    """A MAC made of a block cipher."""

    CBC_MAC = "CBC-MAC"
    CMAC = "CMAC"

    def __str__(self) -> str:
        return self.value


FullLengthMac: TypeAlias = Hmac | BlockCipherMac


@dataclass(frozen=True, slots=True)
class TruncatedMac:
    """A MAC cut to its first ``mac_length`` bytes."""

    mac: FullLengthMac
    mac_length: int

    def __str__(self) -> str:
        return f"{self.mac} cut to {self.mac_length} bytes"


class KeyDerivationFunction(enum.Enum):
    """The family of a key derivation."""

    HKDF = "HKDF"
    TLS12_PRF = "TLS 1.2 PRF"
    TLS12_PSK_TO_MS = "TLS 1.2 PSK to master secret"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class KeyDerivation:
    """A key derivation with its hash."""

    function: KeyDerivationFunction
    hash: Hash

    def __str__(self) -> str:
        return f"{self.function} with {self.hash}"


@dataclass(frozen=True, slots=True)
class KeyAgreementWithDerivation:
    """A key agreement whose secret goes straight into a key derivation."""

    agreement: KeyAgreement
    derivation: KeyDerivation

    def __str__(self) -> str:
        return f"{self.agreement} into {self.derivation}"


AeadAlgorithm: TypeAlias = Aead | AeadWithShortenedTag
Mac: TypeAlias = FullLengthMac | TruncatedMac
SymmetricAlgorithm: TypeAlias = (
    Cipher | AeadAlgorithm | Mac | KeyDerivation | KeyAgreementWithDerivation
)

_BLOCK_CIPHERS: Final = frozenset(
    {UnstructuredKeyType.AES, UnstructuredKeyType.CAMELLIA, UnstructuredKeyType.DES}
)
_WIDE_BLOCK_CIPHERS: Final = _BLOCK_CIPHERS - {UnstructuredKeyType.DES}
_STREAM_CIPHERS: Final = frozenset(
    {UnstructuredKeyType.CHACHA20, UnstructuredKeyType.ARC4}
)
KEY_TYPES: Final[dict[object, frozenset[UnstructuredKeyType]]] = {
    **dict.fromkeys(Cipher, _BLOCK_CIPHERS),
    Cipher.STREAM_CIPHER: _STREAM_CIPHERS,
    Aead.CCM: _WIDE_BLOCK_CIPHERS,
    Aead.GCM: _WIDE_BLOCK_CIPHERS,
    Aead.CHACHA20_POLY1305: frozenset({UnstructuredKeyType.CHACHA20}),
    **dict.fromkeys(BlockCipherMac, _BLOCK_CIPHERS),
    Hmac: frozenset({UnstructuredKeyType.HMAC}),
    KeyDerivation: frozenset({UnstructuredKeyType.DERIVE}),
}
"""The key types of each symmetric algorithm, or of each class of them."""


def fits(key_type: UnstructuredKeyType, algorithm: object) -> bool:
    """Whether keys of this type have this algorithm at all."""
    if isinstance(algorithm, AeadWithShortenedTag):
        algorithm = algorithm.aead
    elif isinstance(algorithm, TruncatedMac):
        algorithm = algorithm.mac
    types = KEY_TYPES.get(algorithm) or KEY_TYPES.get(type(algorithm), frozenset())
    return key_type in types
