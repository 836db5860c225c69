"""What every proof needs: the key, and a certificate of it."""

from __future__ import annotations

import datetime
import ipaddress
import sys
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import parsec_keys

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
LOOPBACK = ipaddress.ip_address("127.0.0.1")


def run(prove: Callable[[Key, Path], None]) -> None:
    """Prove it with the key of a URI, in an empty folder: the two arguments."""
    uri, folder = sys.argv[1:]
    prove(parsec_keys.load_key(uri), Path(folder))


def certificate(key: Key) -> x509.Certificate:
    """A certificate of a key, signed by itself, for signing, encrypting and TLS."""
    name = x509.Name.from_rfc4514_string("CN=parsec-keys")
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    hosts = [x509.DNSName("localhost"), x509.IPAddress(LOOPBACK)]
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
