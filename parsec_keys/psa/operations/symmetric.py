"""Requests about hashes, ciphers, MACs and whole messages."""

from __future__ import annotations

from dataclasses import dataclass, field

from parsec_keys.psa.algorithms import AsymmetricSignature, Hash
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import KeyOperation, Operation
from parsec_keys.psa.symmetric import AeadAlgorithm, Cipher, Mac


@dataclass(frozen=True, slots=True)
class PsaHashCompute(Operation[bytes]):
    """Hash ``input``."""

    opcode = Opcode.PSA_HASH_COMPUTE
    alg: Hash
    input: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PsaHashCompare(Operation[None]):
    """Hash ``input`` and compare."""

    opcode = Opcode.PSA_HASH_COMPARE
    alg: Hash
    input: bytes = field(repr=False)
    hash: bytes


@dataclass(frozen=True, slots=True)
class PsaAeadEncrypt(KeyOperation[bytes]):
    """Encrypt and authenticate: ciphertext, then tag."""

    opcode = Opcode.PSA_AEAD_ENCRYPT
    key_name: str
    alg: AeadAlgorithm
    nonce: bytes
    additional_data: bytes
    plaintext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PsaAeadDecrypt(KeyOperation[bytes]):
    """Check and decrypt ciphertext, then tag."""

    opcode = Opcode.PSA_AEAD_DECRYPT
    key_name: str
    alg: AeadAlgorithm
    nonce: bytes
    additional_data: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class PsaCipherEncrypt(KeyOperation[bytes]):
    """Encrypt under a random IV: IV, then ciphertext."""

    opcode = Opcode.PSA_CIPHER_ENCRYPT
    key_name: str
    alg: Cipher
    plaintext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PsaCipherDecrypt(KeyOperation[bytes]):
    """Decrypt IV, then ciphertext."""

    opcode = Opcode.PSA_CIPHER_DECRYPT
    key_name: str
    alg: Cipher
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class PsaMacCompute(KeyOperation[bytes]):
    """Compute the MAC of ``input``."""

    opcode = Opcode.PSA_MAC_COMPUTE
    key_name: str
    alg: Mac
    input: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PsaMacVerify(KeyOperation[None]):
    """Verify the MAC of ``input``."""

    opcode = Opcode.PSA_MAC_VERIFY
    key_name: str
    alg: Mac
    input: bytes = field(repr=False)
    mac: bytes


@dataclass(frozen=True, slots=True)
class PsaSignMessage(KeyOperation[bytes]):
    """Hash and sign a message in the provider."""

    opcode = Opcode.PSA_SIGN_MESSAGE
    key_name: str
    alg: AsymmetricSignature
    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PsaVerifyMessage(KeyOperation[None]):
    """Verify a signature of a message in the provider."""

    opcode = Opcode.PSA_VERIFY_MESSAGE
    key_name: str
    alg: AsymmetricSignature
    message: bytes = field(repr=False)
    signature: bytes
