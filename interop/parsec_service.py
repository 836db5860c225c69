# /// script
# requires-python = ">=3.11"
# dependencies = ["pyjwt[crypto]"]
# [tool.parsec-keys]
# library = "parsec-service"
# engines = ["socket"]
# ///
"""parsec-service, the Rust one, signs requests and tokens for our client."""

from __future__ import annotations

from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import parsec_keys
from interop._keys import Key, run
from interop._parsec import hardware, rust_service, service_of

SUBJECT = x509.Name.from_rfc4514_string("CN=device")


def prove(key: Key, tmp: Path) -> None:
    """Take the kind of a key, and its provider, to the other service."""
    _, provider = service_of(key)
    with (
        hardware(tmp) as emulators,
        rust_service(tmp / "rust", emulators) as service,
        parsec_keys.open_store(service.url) as store,
    ):
        if isinstance(key, rsa.RSAPrivateKey):
            made: Key = store.generate_rsa("key", provider=provider)
            algorithm = "RS256"
        else:
            made = store.generate_ec("key", ec.SECP256R1(), provider=provider)
            algorithm = "ES256"
        builder = x509.CertificateSigningRequestBuilder(SUBJECT)
        assert builder.sign(made, hashes.SHA256()).is_signature_valid
        token = jwt.encode({"sub": "device"}, made, algorithm)
        public = made.public_key()
        assert jwt.decode(token, public, [algorithm]) == {"sub": "device"}
        assert store.load("key") == made


if __name__ == "__main__":
    run(prove)
