# /// script
# requires-python = ">=3.11"
# dependencies = ["cryptography"]
# ///
"""cryptography signs SSH certificates, as a certificate authority."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from interop._keys import Key, run


def prove(key: Key, tmp: Path) -> None:
    user = ed25519.Ed25519PrivateKey.generate()
    certificate = (
        serialization.SSHCertificateBuilder()
        .public_key(user.public_key())
        .serial(7)
        .type(serialization.SSHCertificateType.USER)
        .key_id(b"user")
        .valid_principals([b"root"])
        .valid_after(int(time.time()) - 60)
        .valid_before(int(time.time()) + 3600)
        .sign(key)
    )

    certificate.verify_cert_signature()

    (tmp / "user-cert.pub").write_bytes(certificate.public_bytes())
    shown = subprocess.run(
        ["ssh-keygen", "-L", "-f", "user-cert.pub"],
        cwd=tmp,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Serial: 7" in shown.stdout


if __name__ == "__main__":
    run(prove)
