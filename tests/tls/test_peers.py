"""Every key of TLS, provider, library, version and side, against another process."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

import parsec_keys
from parsec_keys.errors import KeyNotFound
from parsec_keys.psa.algorithms import Hash, RsaPkcs1v15Sign, RsaPss
from parsec_keys.psa.operations import PsaSignHash
from tests.tls.handshakes import (
    certificate,
    connect_with_pyopenssl,
    connect_with_ssl,
    context,
    files,
    pyopenssl_context,
)
from tests.tls.peers import OpenSSLPeer, PythonPeer

KINDS: dict[str, Any] = {
    "rsa-2048": 2048,
    "rsa-3072": 3072,
    "p-256": ec.SECP256R1(),
    "p-384": ec.SECP384R1(),
    "p-521": ec.SECP521R1(),
}
VERSIONS = {
    "TLSv1.2": (ssl.TLSVersion.TLSv1_2, SSL.TLS1_2_VERSION),
    "TLSv1.3": (ssl.TLSVersion.TLSv1_3, SSL.TLS1_3_VERSION),
}
PADDINGS = {
    "pkcs1": (
        *("RSA+SHA256", "RSA|rsa_pkcs1_sha256"),
        RsaPkcs1v15Sign(Hash.SHA_256),
    ),
    "pss": (
        *("RSA-PSS+SHA256", "RSA-PSS|rsa_pss_rsae_sha256"),
        RsaPss(Hash.SHA_256),
    ),
    "pss-sha512": (
        *("RSA-PSS+SHA512", "RSA-PSS|rsa_pss_rsae_sha512"),
        RsaPss(Hash.SHA_512),
    ),
}
SIDES = ["client", "server"]
LIBRARIES = ["ssl", "pyopenssl"]
_PEER = ec.generate_private_key(ec.SECP256R1())
_PEER_CERTIFICATE = certificate(_PEER)


@pytest.fixture(scope="module")
def peer_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files(_PEER, tmp_path_factory.mktemp("peer"), _PEER_CERTIFICATE)


@pytest.fixture(scope="module")
def python_peer(peer_files: Path) -> Iterator[PythonPeer]:
    with PythonPeer(peer_files) as peer:
        yield peer


@pytest.fixture
def asked(
    shared_store: parsec_keys.KeyStore, monkeypatch: pytest.MonkeyPatch
) -> list[Any]:
    """What the store's engine is asked; libcrypto loads keys by reference."""
    operations: list[Any] = []
    engine = shared_store._engine
    execute = engine.execute

    def recorded(operation: Any, *, provider: str | None = None) -> Any:
        operations.append(operation)
        return execute(operation, provider=provider)

    monkeypatch.setattr(engine, "execute", recorded)
    return operations


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", KINDS)
def test_python(
    shared_store: parsec_keys.KeyStore,
    asked: list[Any],
    python_peer: PythonPeer,
    peer_files: Path,
    tmp_path: Path,
    kind: str,
    library: str,
    version: str,
    side: str,
) -> None:
    own = files(a_key(shared_store, kind), tmp_path)
    theirs = python_peer.server if side == "client" else python_peer.client
    connect = connector(shared_store, kind, library, version, own, peer_files, side)
    asked.clear()

    with theirs(own, version) as plain:
        assert connect(plain) == version

    assert [type(operation) for operation in asked] == [PsaSignHash]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", KINDS)
def test_openssl(
    shared_store: parsec_keys.KeyStore,
    asked: list[Any],
    peer_files: Path,
    tmp_path: Path,
    kind: str,
    library: str,
    version: str,
    side: str,
) -> None:
    own = files(a_key(shared_store, kind), tmp_path)
    peer = OpenSSLPeer(peer_files)
    theirs = peer.server if side == "client" else peer.client
    connect = connector(shared_store, kind, library, version, own, peer_files, side)
    asked.clear()

    with theirs(own, version) as plain:
        assert connect(plain) == version

    assert [type(operation) for operation in asked] == [PsaSignHash]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_forced_rsa_padding(
    shared_store: parsec_keys.KeyStore,
    asked: list[Any],
    peer_files: Path,
    tmp_path: Path,
    library: str,
    padding: str,
    side: str,
) -> None:
    """In TLS 1.2 the peer says what an RSA key is to sign with."""
    kind, version = "rsa-2048", "TLSv1.2"
    own = files(a_key(shared_store, kind), tmp_path)
    algorithm, shown, expected = PADDINGS[padding]
    peer = OpenSSLPeer(peer_files)
    theirs = (
        peer.server(own, version, f"-client_sigalgs {algorithm}", shown)
        if side == "client"
        else peer.client(own, version, f"-sigalgs {algorithm}:ECDSA+SHA256", shown)
    )
    connect = connector(shared_store, kind, library, version, own, peer_files, side)
    asked.clear()

    with theirs as plain:
        assert connect(plain) == version

    assert [operation.alg for operation in asked] == [expected]


def a_key(store: parsec_keys.KeyStore, kind: str) -> Any:
    """A key of a kind, made once in a store."""
    name, what = f"tls-{kind}", KINDS[kind]
    try:
        return store.load(name)
    except KeyNotFound:
        if isinstance(what, int):
            return store.generate_rsa(name, what)
        return store.generate_ec(name, what)


def connector(
    store: parsec_keys.KeyStore,
    kind: str,
    library: str,
    version: str,
    own: Path,
    peer_files: Path,
    side: str,
) -> Any:
    """A function that is our end, on a socket, with the calls that files have too."""
    for_ssl, for_pyopenssl = VERSIONS[version]
    server_side = side == "server"
    if library == "ssl":
        made = context(own, peer_files, server_side)
        made.minimum_version = made.maximum_version = for_ssl
        return lambda plain: connect_with_ssl(made, plain, server_side)
    key = a_key(store, kind)
    other: Any = pyopenssl_context(key, own / "cert.pem", _PEER_CERTIFICATE)
    other.set_min_proto_version(for_pyopenssl)
    other.set_max_proto_version(for_pyopenssl)
    return lambda plain: connect_with_pyopenssl(other, plain, server_side)
