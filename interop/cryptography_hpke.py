# /// script
# requires-python = ">=3.11"
# dependencies = ["cryptography"]
# [tool.parsec-keys]
# keys = ["ec"]
# ///
"""cryptography decrypts HPKE messages with the key's Diffie-Hellman."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec

from interop._keys import Key, run

DATA = b"a message to the holder of the key"


def prove(key: Key, tmp: Path) -> None:
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    for aead in (hpke.AEAD.AES_128_GCM, hpke.AEAD.CHACHA20_POLY1305):
        suite = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, aead)
        encrypted = suite.encrypt(DATA, key.public_key(), info=b"info")

        assert suite.decrypt(encrypted, key, info=b"info") == DATA


if __name__ == "__main__":
    run(prove)
