# /// script
# requires-python = ">=3.11"
# dependencies = ["signxml"]
# ///
"""signxml signs XML and verifies it with the key's certificate."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree
from signxml import SignatureMethod, XMLSigner, XMLVerifier

from interop._keys import Key, certificate, run


def prove(key: Key, tmp: Path) -> None:
    pem = certificate(key).public_bytes(serialization.Encoding.PEM).decode()
    methods = [SignatureMethod.ECDSA_SHA256]
    if isinstance(key, rsa.RSAPrivateKey):
        methods = [SignatureMethod.RSA_SHA256, SignatureMethod.SHA256_RSA_MGF1]
    for method in methods:
        document = etree.fromstring("<order><item>1</item></order>")
        signed = XMLSigner(signature_algorithm=method).sign(document, key=key, cert=pem)

        verified = XMLVerifier().verify(etree.tostring(signed), x509_cert=pem)

        assert verified.signed_xml.find("item").text == "1"


if __name__ == "__main__":
    run(prove)
