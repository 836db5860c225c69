"""TPM2_MakeCredential in software, made of cryptography alone: a verifier's side.

TPM 2.0 part 1, section 24 (credential protection) and section 11.4.10.2 (KDFa).
"""

from __future__ import annotations

import os

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.kbkdf import (
    KBKDFHMAC,
    CounterLocation,
    Mode,
)

from parsec_keys.psa.operations.attestation import CredentialParameters

SHA256 = hashes.SHA256()


def made(asked: CredentialParameters, credential: bytes) -> tuple[bytes, bytes]:
    """A credential blob and its secret, each without an outer size."""
    seed = os.urandom(32)
    oaep = padding.OAEP(padding.MGF1(SHA256), SHA256, b"IDENTITY\0")
    secret = endorsement_key(asked).encrypt(seed, oaep)
    cipher = Cipher(
        algorithms.AES(_kdfa(seed, b"STORAGE", asked.name, 16)), CFB(bytes(16))
    ).encryptor()
    identity = cipher.update(_sized(credential)) + cipher.finalize()
    integrity = hmac.HMAC(_kdfa(seed, b"INTEGRITY", b"", 32), SHA256)
    integrity.update(identity + asked.name)
    return _sized(integrity.finalize()) + identity, secret


def endorsement_key(asked: CredentialParameters) -> rsa.RSAPublicKey:
    key = serialization.load_der_public_key(asked.attesting_key_pub)
    assert isinstance(key, rsa.RSAPublicKey)
    return key


def _kdfa(key: bytes, label: bytes, context: bytes, length: int) -> bytes:
    kdf = KBKDFHMAC(
        algorithm=SHA256,
        mode=Mode.CounterMode,
        length=length,
        rlen=4,
        llen=4,
        location=CounterLocation.BeforeFixed,
        label=label,
        context=context,
        fixed=None,
    )
    return kdf.derive(key)


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data
