# /// script
# requires-python = ">=3.11"
# dependencies = ["joserfc"]
# ///
"""joserfc signs tokens and verifies them with the public key."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from interop._keys import Key, run

CLAIMS = {"sub": "device"}


def prove(key: Key, tmp: Path) -> None:
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    class_ = RSAKey if is_rsa else ECKey
    public_jwk = class_.import_key(pem)
    # A key object and the public half as its dictionary: nothing is exported.
    jwk = class_(key, public_jwk.as_dict())
    for algorithm in ("RS256", "PS256") if is_rsa else ("ES256",):
        token = jwt.encode({"alg": algorithm}, CLAIMS, jwk, algorithms=[algorithm])

        decoded = jwt.decode(token, public_jwk, algorithms=[algorithm])

        assert decoded.claims == CLAIMS


if __name__ == "__main__":
    run(prove)
