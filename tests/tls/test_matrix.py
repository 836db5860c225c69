"""Every key of TLS, every provider, both libraries, both versions, both sides."""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

import parsec_keys
from parsec_keys.errors import KeyNotFound
from parsec_keys.psa.operations import PsaSignHash
from tests.tls import handshakes
from tests.tls.handshakes import certificate, context, files, shake

KINDS: dict[str, Any] = {
    "rsa-2048": 2048,
    "rsa-3072": 3072,
    "p-256": ec.SECP256R1(),
    "p-384": ec.SECP384R1(),
    "p-521": ec.SECP521R1(),
}
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
_PEER = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def key(kind: str, shared_store: parsec_keys.KeyStore) -> Any:
    """A key of a kind, made once."""
    name, what = f"tls-{kind}", KINDS[kind]
    try:
        return shared_store.load(name)
    except KeyNotFound:
        if isinstance(what, int):
            return shared_store.generate_rsa(name, what)
        return shared_store.generate_ec(name, what)


@pytest.fixture
def asked(
    shared_store: parsec_keys.KeyStore, monkeypatch: pytest.MonkeyPatch
) -> list[type]:
    """What the store's engine is asked, by kind; libcrypto loads keys by reference."""
    operations: list[type] = []
    engine = shared_store._engine
    execute = engine.execute

    def recorded(operation: Any, *, provider: str | None = None) -> Any:
        operations.append(type(operation))
        return execute(operation, provider=provider)

    monkeypatch.setattr(engine, "execute", recorded)
    return operations


@pytest.fixture
def peer(tmp_path: Path) -> Path:
    return files(_PEER, tmp_path / "peer")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("server_side", [False, True], ids=["client", "server"])
def test_pyopenssl(
    key: Any, asked: list[type], version: str, server_side: bool
) -> None:
    certs = certificate(key), certificate(_PEER)
    own = handshakes.pyopenssl_context(key, certs[0], certs[1])
    other = handshakes.pyopenssl_context(_PEER, certs[1], certs[0])
    number = SSL.TLS1_2_VERSION if version == "TLSv1.2" else SSL.TLS1_3_VERSION
    own.set_min_proto_version(number)
    own.set_max_proto_version(number)
    ends = (other, own) if server_side else (own, other)
    asked.clear()

    assert handshakes.pyopenssl_shake(*ends) == version

    assert asked == [PsaSignHash]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("server_side", [False, True], ids=["client", "server"])
def test_stdlib(
    key: Any,
    asked: list[type],
    peer: Path,
    tmp_path: Path,
    version: str,
    server_side: bool,
) -> None:
    folder = files(key, tmp_path / "own")
    own, other = (
        context(folder, peer, server_side),
        context(peer, folder, not server_side),
    )
    own.minimum_version = own.maximum_version = VERSIONS[version]
    ends = (other, own) if server_side else (own, other)
    asked.clear()

    assert shake(*ends) == version

    assert asked == [PsaSignHash]


@pytest.mark.parametrize(
    ("algorithms", "shown"),
    [
        ("RSA+SHA256", "Peer signature type: RSA"),
        ("RSA-PSS+SHA256", "Peer signature type: RSA-PSS"),
        ("RSA-PSS+SHA512", "Peer signature type: RSA-PSS"),
    ],
)
def test_forced_rsa_signatures_of_a_server(
    shared_store: parsec_keys.KeyStore,
    peer: Path,
    tmp_path: Path,
    algorithms: str,
    shown: str,
) -> None:
    """Our key serves the openssl command, another process, which chooses."""
    key = _rsa_key(shared_store)
    folder = files(key, tmp_path / "own")
    server = context(folder, peer, server_side=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = (
            f"openssl s_client -connect 127.0.0.1:{listener.getsockname()[1]} -tls1_2 "
            f"-sigalgs {algorithms}:ECDSA+SHA256 -cipher ECDHE-RSA-AES128-GCM-SHA256 "
            f"-cert {peer}/cert.pem -key {peer}/key.pem "
            f"-CAfile {folder}/cert.pem -verify_return_error"
        )
        with subprocess.Popen(
            command.split(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as client:
            plain, _ = listener.accept()
            with server.wrap_socket(plain, server_side=True) as connection:
                assert connection.getpeercert(binary_form=True)
                said, _ = client.communicate("", timeout=30)

    assert shown in said
    assert client.returncode == 0


def _rsa_key(store: parsec_keys.KeyStore) -> Any:
    try:
        return store.load("tls-rsa-2048")
    except KeyNotFound:
        return store.generate_rsa("tls-rsa-2048")
