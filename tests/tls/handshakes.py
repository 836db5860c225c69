"""Mutual TLS over memory, with the calls that one makes with key files."""

from __future__ import annotations

import datetime
import socket
import ssl
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from OpenSSL import SSL, crypto

from tests.tls.peer import talk

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()


def certificate(
    key: Key, signer: Key | None = None, rsa_padding: padding.PSS | None = None
) -> x509.Certificate:
    """A certificate of a key, signed by itself or by another."""
    name = x509.Name.from_rfc4514_string("CN=localhost")
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(signer or key, hashes.SHA256(), rsa_padding=rsa_padding)
    )


def files(key: Key, folder: Path, cert: x509.Certificate | None = None) -> Path:
    """A folder with ``cert.pem`` and ``key.pem``."""
    folder.mkdir(parents=True, exist_ok=True)
    cert = cert or certificate(key)
    (folder / "cert.pem").write_bytes(cert.public_bytes(PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(PEM, PKCS8, PLAIN))
    return folder


def context(own: Path, peer: Path, server_side: bool) -> ssl.SSLContext:
    """A context of stdlib's ssl that has a key and wants its peer's."""
    protocol = ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT
    made = ssl.SSLContext(protocol)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_cert_chain(own / "cert.pem", own / "key.pem")
    made.load_verify_locations(peer / "cert.pem")
    return made


def shake(client: ssl.SSLContext, server: ssl.SSLContext) -> str | None:
    """Connect two contexts, pass a byte each way, and answer the TLS version."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    waiting = list(ends)
    while waiting:
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
    for one, other in (ends, ends[::-1]):
        one.write(b"x")
        assert other.read(1) == b"x"
        assert one.getpeercert(binary_form=True)
    return ends[0].version()


def pyopenssl_context(
    key: Key | Path, certificate_file: Path, peer: x509.Certificate
) -> Any:
    """A pyOpenSSL context that has a key, or a file of one, and wants its peer's."""
    made = SSL.Context(SSL.TLS_METHOD)
    made.use_certificate_file(str(certificate_file))
    if isinstance(key, Path):
        made.use_privatekey_file(str(key))
    else:
        made.use_privatekey(key)
    made.check_privatekey()
    store = made.get_cert_store()
    assert store is not None
    store.add_cert(crypto.X509.from_cryptography(peer))
    made.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    return made


def connect_with_ssl(
    made: ssl.SSLContext, plain: socket.socket, server_side: bool
) -> str | None:
    """Be one end on a socket, talk as the peer does, and answer the TLS version."""
    with made.wrap_socket(plain, server_side=server_side) as connection:
        talk(connection, server_side)
        assert connection.getpeercert(binary_form=True)
        version = connection.version()
        connection.unwrap().close()
        return version


def connect_with_pyopenssl(made: Any, plain: socket.socket, server_side: bool) -> str:
    """As ``connect_with_ssl``, with pyOpenSSL."""
    connection = SSL.Connection(made, plain)
    if server_side:
        connection.set_accept_state()
    else:
        connection.set_connect_state()
    connection.do_handshake()
    talk(connection, server_side)
    assert connection.get_peer_certificate(as_cryptography=True)
    connection.shutdown()
    return connection.get_protocol_version_name()


def pyopenssl_shake(client: Any, server: Any) -> str:
    """Connect two pyOpenSSL contexts, and answer the TLS version."""
    ends = SSL.Connection(client), SSL.Connection(server)
    ends[0].set_connect_state()
    ends[1].set_accept_state()
    waiting = list(ends)
    while waiting:
        for end, other in (ends, ends[::-1]):
            try:
                end.do_handshake()
                if end in waiting:
                    waiting.remove(end)
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(end.bio_read(1 << 16))
            except SSL.WantReadError:
                continue
    assert all(end.get_peer_certificate(as_cryptography=True) for end in ends)
    return ends[0].get_protocol_version_name()
