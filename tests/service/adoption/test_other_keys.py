"""Keys of MbedCrypto that no key class is: symmetric ones, and public keys alone."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from parsec_keys.psa.operations import PsaExportPublicKey
from parsec_keys.psa.operations.symmetric import PsaAeadEncrypt
from parsec_keys.psa.symmetric import Aead
from parsec_keys.service import Service
from parsec_keys.service.adoption.candidates import Verdict
from parsec_keys.service.config_toml import read_config
from tests.service.adoption.old_service import OldService
from tests.service.adoption.test_adoption import APP, adopt, verdicts

AES = bytes.fromhex(
    "0100000003000000800000000000000000000001010000000000040000000000000001000000"
)
"""AES-128, encrypt and decrypt, GCM."""
EC_VERIFY = bytes.fromhex(
    "010000000b000000010000000001000000000000"
    "00000000000001000100"
    "05000000030000000000000006000000"
)
"""A public key of P-256, verify, ECDSA with SHA-256."""


def test_a_symmetric_key(tmp_path: Path) -> None:
    old, secret, nonce = OldService(tmp_path / "old"), os.urandom(16), os.urandom(12)
    old.keep_data(0x2400, 128, secret)
    old.add("aes", AES)

    assert verdicts(adopt(old, write=True)) == {"aes": Verdict.ADOPTED}

    service = Service(read_config(old.config))
    encrypt = PsaAeadEncrypt("aes", Aead.GCM, nonce, b"data", b"message")
    sealed = service.execute_for(APP, encrypt)
    service.close()
    assert AESGCM(secret).decrypt(nonce, sealed, b"data") == b"message"


def test_a_public_key(tmp_path: Path) -> None:
    old = OldService(tmp_path / "old")
    point = (
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
    )
    old.keep_data(0x4112, 256, point)
    old.add("public", EC_VERIFY)

    assert verdicts(adopt(old, write=True)) == {"public": Verdict.ADOPTED}

    service = Service(read_config(old.config))
    assert service.execute_for(APP, PsaExportPublicKey("public")) == point
    service.close()
