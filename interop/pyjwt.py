# /// script
# requires-python = ">=3.11"
# dependencies = ["pyjwt[crypto]"]
# ///
"""PyJWT signs tokens and verifies them with the public key."""

from __future__ import annotations

from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from interop._keys import Key, run

CLAIMS = {"sub": "device", "aud": "service"}


def prove(key: Key, tmp: Path) -> None:
    algorithms = ["ES256"]
    if isinstance(key, rsa.RSAPrivateKey):
        algorithms = [f"{kind}{bits}" for kind in ("RS", "PS") for bits in (256, 512)]
    for algorithm in algorithms:
        token = jwt.encode(CLAIMS, key, algorithm)

        decoded = jwt.decode(token, key.public_key(), [algorithm], audience="service")

        assert decoded == CLAIMS


if __name__ == "__main__":
    run(prove)
