# /// script
# requires-python = ">=3.11"
# dependencies = ["pyjwt[crypto]"]
# [tool.parsec-keys]
# library = "parsec-tool"
# engines = ["socket"]
# ///
"""parsec-tool, the Rust client, makes a key in our daemon that we both sign with."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

import parsec_keys
from interop._keys import Key, run
from interop._parsec import parsec_tool, service_of

TEXT = "a message for parsec-tool"
CREATE = {"RS256": ["create-rsa-key", "-s"], "ES256": ["create-ecc-key"]}
SCHEMES: dict[str, tuple[Any, ...]] = {
    "RS256": (padding.PKCS1v15(), hashes.SHA256()),
    "ES256": (ec.ECDSA(hashes.SHA256()),),
}


def prove(key: Key, tmp: Path) -> None:
    socket, provider = service_of(key)
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    name = ["-k", f"{tmp.name}"]

    def tool(*arguments: str) -> str:
        done = parsec_tool(socket, *arguments, provider=provider)
        assert done.returncode == 0, done.stderr
        return done.stdout

    tool(*CREATE[algorithm], *name)
    with parsec_keys.open_store(f"unix:{socket}") as store:
        theirs = store.load(tmp.name)
        public: Any = theirs.public_key()
        pem = tool("export-public-key", *name).encode()
        assert serialization.load_pem_public_key(pem) == public
        signature = base64.b64decode(tool("sign", *name, TEXT))
        public.verify(signature, TEXT.encode(), *SCHEMES[algorithm])
        request = tool("create-csr", *name, "--cn", "device").encode()
        assert x509.load_pem_x509_csr(request).is_signature_valid
        token = jwt.encode({"sub": "device"}, theirs, algorithm)
        assert jwt.decode(token, public, [algorithm]) == {"sub": "device"}
        tool("delete-key", *name)


if __name__ == "__main__":
    run(prove)
