# /// script
# requires-python = ">=3.11"
# dependencies = ["cryptography"]
# ///
"""cryptography signs PKCS#7 that openssl verifies, and decrypts PKCS#7."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7

from interop._keys import Key, certificate, run

PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER
DATA = b"what is signed and encrypted"


def prove(key: Key, tmp: Path) -> None:
    issued = certificate(key)
    (tmp / "certificate.pem").write_bytes(issued.public_bytes(PEM))
    (tmp / "data").write_bytes(DATA)
    signer = pkcs7.PKCS7SignatureBuilder().set_data(DATA)
    signer = signer.add_signer(issued, key, hashes.SHA256())
    for options in ([], [pkcs7.PKCS7Options.DetachedSignature]):
        signed = signer.sign(PEM, [*options, pkcs7.PKCS7Options.Binary])
        (tmp / "signed.pem").write_bytes(signed)
        command = "openssl smime -verify -binary -inform PEM -in signed.pem "
        command += "-CAfile certificate.pem -purpose any -content data"
        done = subprocess.run(
            command.split(), cwd=tmp, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == DATA

    if isinstance(key, rsa.RSAPrivateKey):
        envelope = pkcs7.PKCS7EnvelopeBuilder().set_data(DATA).add_recipient(issued)
        encrypted = envelope.encrypt(DER, [pkcs7.PKCS7Options.Binary])
        assert pkcs7.pkcs7_decrypt_der(encrypted, issued, key, []) == DATA
        at = encrypted.rindex(b"\x04\x82\x01\x00") + 4  # The encrypted content key.
        broken = encrypted[:at] + b"\x11" * 256 + encrypted[at + 256 :]
        # A random content key does not unpad: what was wrong with it stays unknown.
        with contextlib.suppress(ValueError):
            assert pkcs7.pkcs7_decrypt_der(broken, issued, key, []) != DATA


if __name__ == "__main__":
    run(prove)
