"""Key files and references beside each other, and the calls that both get."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL, crypto

import parsec_keys
from tests.tls.handshakes import (
    certificate,
    context,
    files,
    pyopenssl_context,
    pyopenssl_shake,
    shake,
)

P256 = ec.SECP256R1()
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(P256)
KINDS = ["rsa", "ec"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Keys of ours by kind."""
    store = parsec_keys.open_store(f"software:{tmp_path_factory.mktemp('store')}")
    return {"rsa": store.generate_rsa("rsa"), "ec": store.generate_ec("ec", P256)}


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files(EC, tmp_path_factory.mktemp("peer"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_where_a_reference_was(
    keys: dict[str, Any], peer: Path, tmp_path: Path, kind: str
) -> None:
    """One context has the one and then the other, in one process."""
    ours = files(keys[kind], tmp_path / "ours")
    theirs = files({"rsa": RSA, "ec": EC}[kind], tmp_path / "theirs")
    server = context(ours, peer, True)

    for folder in (theirs, ours, theirs):
        server.load_cert_chain(folder / "cert.pem", folder / "key.pem")

        assert shake(context(peer, folder, False), server) == "TLSv1.3"


@pytest.mark.parametrize("ours", KINDS)
def test_both_in_one_context(
    keys: dict[str, Any], peer: Path, tmp_path: Path, ours: str
) -> None:
    """A server with an RSA and an EC certificate takes the one that is asked for."""
    pair = {"rsa": RSA, "ec": EC, ours: keys[ours]}
    folders = {kind: files(key, tmp_path / kind) for kind, key in pair.items()}
    server = context(folders["rsa"], peer, True)
    server.load_cert_chain(folders["ec"] / "cert.pem", folders["ec"] / "key.pem")
    server.maximum_version = ssl.TLSVersion.TLSv1_2

    for kind, folder in folders.items():
        client = context(peer, folder, False)
        client.set_ciphers("aRSA" if kind == "rsa" else "aECDSA")

        # It trusts no other certificate than this kind's.
        assert shake(client, server) == "TLSv1.2"


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_of_another_certificate(
    keys: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    other: Any = {"rsa": RSA, "ec": ec.generate_private_key(P256)}[kind]
    own = files(keys[kind], tmp_path, certificate(other))

    with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
        ssl.create_default_context().load_cert_chain(own / "cert.pem", own / "key.pem")
    made = SSL.Context(SSL.TLS_METHOD)
    made.use_certificate_file(str(own / "cert.pem"))
    with pytest.raises(SSL.Error, match="key values mismatch"):
        made.use_privatekey_file(str(own / "key.pem"))


@pytest.mark.parametrize("kind", KINDS)
def test_certificate_and_reference_in_one_file(
    keys: dict[str, Any], peer: Path, tmp_path: Path, kind: str
) -> None:
    own = files(keys[kind], tmp_path)
    both = own / "both.pem"
    both.write_bytes((own / "cert.pem").read_bytes() + (own / "key.pem").read_bytes())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(both)
    server.load_verify_locations(peer / "cert.pem")
    server.verify_mode = ssl.CERT_REQUIRED

    assert shake(context(peer, own, False), server) == "TLSv1.3"


@pytest.mark.parametrize("kind", KINDS)
def test_pyca_does_not_take_a_reference_for_a_key(
    keys: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    reference = (files(keys[kind], tmp_path) / "key.pem").read_bytes()

    with pytest.raises(UnsupportedAlgorithm):
        serialization.load_pem_private_key(reference, None)


@pytest.mark.parametrize("kind", KINDS)
def test_pyopenssl_reads_the_file(
    keys: dict[str, Any], peer: Path, tmp_path: Path, kind: str
) -> None:
    own = files(keys[kind], tmp_path)
    certificates = [
        x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
        for folder in (own, peer)
    ]
    ours = pyopenssl_context(own / "key.pem", own / "cert.pem", certificates[1])
    theirs = pyopenssl_context(EC, peer / "cert.pem", certificates[0])

    assert pyopenssl_shake(ours, theirs) == "TLSv1.3"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_pyopenssl_signs_a_certificate(
    keys: dict[str, Any], kind: str, digest: str
) -> None:
    key = keys[kind]
    pkey = crypto.PKey.from_cryptography_key(key)
    made = crypto.X509.from_cryptography(certificate(key))

    with pytest.warns(DeprecationWarning, match=r"X509\.sign"):
        made.sign(pkey, digest)

    signed = made.to_cryptography()
    assert signed.signature_hash_algorithm is not None
    assert signed.signature_hash_algorithm.name == digest
    signed.verify_directly_issued_by(signed)
    assert pkey.bits() == key.key_size
