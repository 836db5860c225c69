"""Our client on the real Rust Parsec service, each of its three providers.

What its keys do is judged by the ``openssl`` command, by PyJWT, and by a TLS peer with
a key of its own. tests/contract has the rest of what a key must do there.
"""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import threading
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

import parsec_keys
from interop._parsec import NUMBERS, Served
from parsec_keys.ec import EllipticCurvePrivateKey
from parsec_keys.errors import KeyExists, KeyNotFound, ServiceUnavailable
from parsec_keys.psa.algorithms import (
    ANY_HASH,
    RSA_PKCS1V15_CRYPT,
    AsymmetricEncryption,
    Hash,
    RsaOaep,
    RsaPss,
)
from parsec_keys.psa.operations import PsaGenerateRandom
from parsec_keys.rsa import RSAPrivateKey
from tests.tls import handshakes

SHA256 = hashes.SHA256()
ECDSA = ec.ECDSA(SHA256)
KINDS = ("rsa", "ec")
MINE = ec.generate_private_key(ec.SECP256R1())
PSS = padding.PSS(padding.MGF1(SHA256), padding.PSS.DIGEST_LENGTH)
OAEP = padding.OAEP(padding.MGF1(SHA256), SHA256, None)
SCHEMES: dict[AsymmetricEncryption, padding.AsymmetricPadding] = {
    RSA_PKCS1V15_CRYPT: padding.PKCS1v15(),
    RsaOaep(Hash.SHA_256): OAEP,
}
Key = RSAPrivateKey | EllipticCurvePrivateKey


def make(store: parsec_keys.KeyStore, kind: str, provider: str) -> Key:
    name = f"{kind} in {provider}"
    if kind == "rsa":
        return store.generate_rsa(name, provider=provider)
    return store.generate_ec(name, ec.SECP256R1(), provider=provider)


def test_the_service_is_the_rust_one(rust_store: parsec_keys.KeyStore) -> None:
    providers = rust_store.providers()

    assert [each.name for each in providers] == list(NUMBERS)
    assert providers[0].vendor == "Arm"


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_verifies_a_request(
    rust_store: parsec_keys.KeyStore, provider: str, kind: str, tmp_path: Path
) -> None:
    key = make(rust_store, kind, provider)

    name = x509.Name.from_rfc4514_string("CN=device")
    request = x509.CertificateSigningRequestBuilder(name).sign(key, SHA256)

    path = tmp_path / "request.pem"
    path.write_bytes(request.public_bytes(serialization.Encoding.PEM))
    command = ["openssl", "req", "-in", str(path), "-verify", "-noout"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "verify OK" in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_is_signed(
    rust_store: parsec_keys.KeyStore, provider: str, kind: str
) -> None:
    key = make(rust_store, kind, provider)
    algorithm = {"rsa": "RS256", "ec": "ES256"}[kind]

    token = jwt.encode({"sub": "device"}, key, algorithm)

    assert jwt.decode(token, key.public_key(), [algorithm]) == {"sub": "device"}


@pytest.mark.parametrize("algorithm", SCHEMES, ids=str)
def test_secrets_are_decrypted(
    rust_store: parsec_keys.KeyStore, provider: str, algorithm: AsymmetricEncryption
) -> None:
    key = rust_store.generate_rsa("key", provider=provider, algorithm=algorithm)
    ciphertext = key.public_key().encrypt(b"secret", SCHEMES[algorithm])

    if provider == "pkcs11" and SCHEMES[algorithm] is OAEP:
        with pytest.raises(ServiceUnavailable):  # SoftHSM's OAEP is SHA-1 alone.
            key.decrypt(ciphertext, OAEP)
    else:
        assert key.decrypt(ciphertext, SCHEMES[algorithm]) == b"secret"


@pytest.mark.parametrize("is_server", [True, False], ids=["server", "client"])
def test_mutual_tls(
    rust_store: parsec_keys.KeyStore, provider: str, is_server: bool, tmp_path: Path
) -> None:
    keys: dict[Key, padding.PSS | None] = {make(rust_store, "ec", provider): None}
    if provider == "software":  # The others have no PSS, and TLS 1.3 nothing else.
        pss = RsaPss(ANY_HASH)
        key = rust_store.generate_rsa("pss", provider=provider, algorithm=pss)
        keys[key] = PSS
    for key, scheme in keys.items():
        ours = _files(key, tmp_path / type(key).__name__, scheme)
        theirs = handshakes.files(MINE, tmp_path / "theirs")
        own = handshakes.context(ours, theirs, is_server)
        peer = handshakes.context(theirs, ours, not is_server)

        ends = (peer, own) if is_server else (own, peer)

        assert handshakes.shake(*ends) == "TLSv1.3"


def test_mutual_tls_without_pss(
    rust_store: parsec_keys.KeyStore, provider: str, tmp_path: Path
) -> None:
    ours = _files(make(rust_store, "rsa", provider), tmp_path / "ours")
    theirs = handshakes.files(MINE, tmp_path / "theirs")
    made = handshakes.context(ours, theirs, server_side=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        port = listener.getsockname()[1]
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-quiet"]
        command += ["-tls1_2", "-sigalgs", "RSA+SHA256:ECDSA+SHA256"]
        command += ["-cert", str(theirs / "cert.pem"), "-key", str(theirs / "key.pem")]
        command += ["-CAfile", str(ours / "cert.pem"), "-verify_return_error"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as client:
            plain, _ = listener.accept()
            plain.settimeout(20)
            with made.wrap_socket(plain, server_side=True) as connection:
                assert client.stdin is not None
                client.stdin.write(b"hello\n")
                client.stdin.flush()
                assert connection.recv(100) == b"hello\n"
                assert connection.getpeercert(binary_form=True)
                assert connection.version() == "TLSv1.2"
            client.stdin.close()


def _files(key: Key, folder: Path, scheme: padding.PSS | None = None) -> Path:
    """Files as for TLS, whose key names a key of the service and has no secret."""
    files = handshakes.files(
        key, folder, handshakes.certificate(key, rsa_padding=scheme)
    )
    assert key.uri.encode() in base64.b64decode(
        b"".join((files / "key.pem").read_bytes().splitlines()[1:-1])
    )
    return files


def test_a_key_is_imported(rust_store: parsec_keys.KeyStore) -> None:
    for native in (MINE, rsa.generate_private_key(65537, 2048)):
        key = rust_store.import_key("imported", native, provider="software")

        assert key.public_key() == native.public_key()
        rust_store.delete("imported")


def test_a_name_belongs_to_one_key(
    rust_store: parsec_keys.KeyStore, provider: str
) -> None:
    key = make(rust_store, "ec", provider)
    name = f"ec in {provider}"

    (info,) = rust_store.keys()
    assert (info.name, info.provider) == (name, provider)
    assert rust_store.load(name) == key
    for other in NUMBERS:
        with pytest.raises(KeyExists):
            rust_store.generate_ec(name, ec.SECP256R1(), provider=other)

    rust_store.delete(name)

    assert rust_store.keys() == ()
    with pytest.raises(KeyNotFound):
        rust_store.load(name)
    with pytest.raises(KeyNotFound):
        key.sign(b"data", ECDSA)


def test_threads_and_children_sign(
    rust_store: parsec_keys.KeyStore, provider: str
) -> None:
    key = make(rust_store, "ec", provider)
    failures: list[BaseException] = []

    def sign() -> None:
        try:
            for _ in range(10):
                data = os.urandom(8)
                key.public_key().verify(key.sign(data, ECDSA), data, ECDSA)
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=sign) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []

    child = os.fork()
    if child == 0:
        sign()
        os._exit(len(failures))
    sign()
    assert failures == []
    assert os.waitpid(child, 0)[1] == 0


def test_random_octets_are_exactly_as_many(
    rust_store: parsec_keys.KeyStore, provider: str
) -> None:
    for size in (0, 1, 65, 300):
        octets = rust_store._engine.execute(PsaGenerateRandom(size), provider=provider)

        assert len(octets) == size


def test_keys_survive_a_restart(rust: Served, rust_store: parsec_keys.KeyStore) -> None:
    keys = [make(rust_store, "ec", provider) for provider in ("software", "pkcs11")]

    assert rust.stop() == 0
    with pytest.raises(ServiceUnavailable, match="is it running"):
        keys[0].sign(b"data", ECDSA)
    rust.start()

    for key in keys:
        key.public_key().verify(key.sign(b"data", ECDSA), b"data", ECDSA)
