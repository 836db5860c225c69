"""Requests: one frozen dataclass for each Parsec opcode.

``Operation[R]`` says what ``Engine.execute`` answers: an operation on a key that signs
answers ``bytes``, one that only succeeds or fails answers ``None``. The operations that
every program uses are here; ``service``, ``symmetric`` and ``attestation`` hold the
others, so that a program which only signs does not load them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

from parsec_keys.psa.algorithms import (
    AsymmetricEncryption,
    AsymmetricSignature,
    KeyAgreement,
)
from parsec_keys.psa.attributes import KeyAttributes
from parsec_keys.psa.opcodes import Opcode

R = TypeVar("R", covariant=True)


class Operation(Generic[R]):
    """A request whose answer is an ``R``."""

    __slots__ = ()
    opcode: ClassVar[Opcode]


class KeyOperation(Operation[R]):
    """A request about one existing key.

    ``fingerprint``, where an operation has one, is the SHA-256 of the public key that
    the caller holds. An engine refuses the request when the name belongs to another
    key by now. It never travels on a wire.
    """

    __slots__ = ()
    key_name: str
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True)
class PsaGenerateKey(Operation[None]):
    """Make a key inside the provider.

    ``public_exponent`` is the RSA exponent; what a wire cannot say is 65537.
    """

    opcode = Opcode.PSA_GENERATE_KEY
    key_name: str
    attributes: KeyAttributes
    public_exponent: int = 65537


@dataclass(frozen=True, slots=True)
class PsaImportKey(Operation[None]):
    """Put an existing key into the provider.

    ``data`` is PKCS#1 ``RSAPrivateKey`` DER, or a curve's private scalar, big endian,
    as long as the curve's order (PSA Crypto API 1.1, section 9.3); RFC 7748 has the
    octets of a Montgomery curve. A public key is in the format of
    ``PsaExportPublicKey``, and every other key is its octets. Zero ``bits`` ask for the
    size that the data has.
    """

    opcode = Opcode.PSA_IMPORT_KEY
    key_name: str
    attributes: KeyAttributes
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PsaDestroyKey(KeyOperation[None]):
    """Destroy a key, its record and its material."""

    opcode = Opcode.PSA_DESTROY_KEY
    key_name: str
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True)
class PsaExportPublicKey(KeyOperation[bytes]):
    """Answer PKCS#1 ``RSAPublicKey`` DER, or the uncompressed point ``04 X Y``.

    A Montgomery curve's is its octets (RFC 7748).
    """

    opcode = Opcode.PSA_EXPORT_PUBLIC_KEY
    key_name: str
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True)
class PsaExportKey(KeyOperation[bytes]):
    """Answer the private key, in the format of ``PsaImportKey``."""

    opcode = Opcode.PSA_EXPORT_KEY
    key_name: str
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True)
class PsaSignHash(KeyOperation[bytes]):
    """Sign a digest. An ECDSA answer is ``r`` and ``s``, each as long as the order."""

    opcode = Opcode.PSA_SIGN_HASH
    key_name: str
    alg: AsymmetricSignature
    hash: bytes
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True)
class PsaVerifyHash(KeyOperation[None]):
    """Verify a signature of a digest."""

    opcode = Opcode.PSA_VERIFY_HASH
    key_name: str
    alg: AsymmetricSignature
    hash: bytes
    signature: bytes
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True)
class PsaAsymmetricEncrypt(KeyOperation[bytes]):
    """Encrypt to a key; ``salt`` is the OAEP label, empty for none."""

    opcode = Opcode.PSA_ASYMMETRIC_ENCRYPT
    key_name: str
    alg: AsymmetricEncryption
    plaintext: bytes = field(repr=False)
    salt: bytes = b""
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True)
class PsaAsymmetricDecrypt(KeyOperation[bytes]):
    """Decrypt with a key; ``salt`` is the OAEP label, empty for none."""

    opcode = Opcode.PSA_ASYMMETRIC_DECRYPT
    key_name: str
    alg: AsymmetricEncryption
    ciphertext: bytes
    salt: bytes = b""
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True)
class PsaRawKeyAgreement(KeyOperation[bytes]):
    """Agree on a secret: the X coordinate, as long as the curve's field.

    ``peer_key`` is a public key in the format of ``PsaExportPublicKey``.
    """

    opcode = Opcode.PSA_RAW_KEY_AGREEMENT
    key_name: str
    alg: KeyAgreement
    peer_key: bytes
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True)
class PsaGenerateRandom(Operation[bytes]):
    """Answer exactly ``size`` random bytes."""

    opcode = Opcode.PSA_GENERATE_RANDOM
    size: int


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as a listing shows it: its name, its provider's name, its attributes."""

    name: str
    provider: str
    attributes: KeyAttributes


@dataclass(frozen=True, slots=True)
class GetKeyAttributes(KeyOperation[KeyInfo]):
    """Answer one key's listing, as it is now: ``psa_get_key_attributes``.

    Parsec has no opcode for it; on a wire it is ``ListKeys`` with a name.
    """

    opcode = Opcode.LIST_KEYS
    key_name: str
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True)
class ListKeys(Operation[tuple[KeyInfo, ...]]):
    """List the keys of the application that asks, or the one of a name.

    Parsec knows no name here: a service of its own ignores it and lists all.
    """

    opcode = Opcode.LIST_KEYS
    key_name: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderInfo:
    """A provider as a listing shows it.

    ``id`` and ``uuid`` are Parsec's, one for each type of provider; ``name`` is the
    configuration's and unique within an engine.
    """

    name: str
    id: int
    uuid: str
    description: str
    vendor: str
    version: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ListProviders(Operation[tuple[ProviderInfo, ...]]):
    """List the providers, the default one first."""

    opcode = Opcode.LIST_PROVIDERS
