"""Symmetric algorithms and key derivations, as Parsec's messages can say them.

No key class of ours uses them: a daemon's clients in other languages do.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from parsec_keys.psa.algorithms import Hash, KeyAgreement


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


class Aead(enum.Enum):
    """Authenticated encryption with its default tag of 16 bytes."""

    CCM = "CCM"
    GCM = "GCM"
    CHACHA20_POLY1305 = "ChaCha20-Poly1305"


@dataclass(frozen=True, slots=True)
class AeadWithShortenedTag:
    """Authenticated encryption; ``tag_length`` is in bytes."""

    aead: Aead
    tag_length: int


@dataclass(frozen=True, slots=True)
class Hmac:
    """HMAC (RFC 2104)."""

    hash: Hash


class BlockCipherMac(enum.Enum):
    """A MAC made of a block cipher."""

    CBC_MAC = "CBC-MAC"
    CMAC = "CMAC"


FullLengthMac: TypeAlias = Hmac | BlockCipherMac


@dataclass(frozen=True, slots=True)
class TruncatedMac:
    """A MAC cut to its first ``mac_length`` bytes."""

    mac: FullLengthMac
    mac_length: int


class KeyDerivationFunction(enum.Enum):
    """The family of a key derivation."""

    HKDF = "HKDF"
    TLS12_PRF = "TLS 1.2 PRF"
    TLS12_PSK_TO_MS = "TLS 1.2 PSK to master secret"


@dataclass(frozen=True, slots=True)
class KeyDerivation:
    """A key derivation with its hash."""

    function: KeyDerivationFunction
    hash: Hash


@dataclass(frozen=True, slots=True)
class KeyAgreementWithDerivation:
    """A key agreement whose secret goes straight into a key derivation."""

    agreement: KeyAgreement
    derivation: KeyDerivation


AeadAlgorithm: TypeAlias = Aead | AeadWithShortenedTag
Mac: TypeAlias = FullLengthMac | TruncatedMac
SymmetricAlgorithm: TypeAlias = (
    Cipher | AeadAlgorithm | Mac | KeyDerivation | KeyAgreementWithDerivation
)
