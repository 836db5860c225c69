"""What a user sees where a key refuses: one sentence, and the exception itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

import parsec_keys
from parsec_keys import tls
from parsec_keys.emulators import Swtpm
from parsec_keys.errors import Error, NotPermitted, ServiceUnavailable
from parsec_keys.psa.algorithms import Ecdsa, Hash
from tests.tls.handshakes import (
    certificate,
    connect_with_ssl,
    context,
    files,
    pyopenssl_context,
    pyopenssl_shake,
    shake,
)

P256 = ec.SECP256R1()
THEIRS = ec.generate_private_key(P256)
CLOSED = "this key store is closed: open it again"


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files(THEIRS, tmp_path_factory.mktemp("peer"))


@pytest.fixture
def store(tmp_path: Path) -> parsec_keys.KeyStore:
    return parsec_keys.open_store(f"software:{tmp_path}/store")


@pytest.fixture
def own(store: parsec_keys.KeyStore, tmp_path: Path) -> Path:
    return files(store.generate_ec("key", P256), tmp_path / "own")


def in_memory(ours: ssl.SSLContext, theirs: ssl.SSLContext, server_side: bool) -> None:
    shake(*((theirs, ours) if server_side else (ours, theirs)))


def on_sockets(ours: ssl.SSLContext, theirs: ssl.SSLContext, server_side: bool) -> None:
    def other_end() -> None:
        # What this end sees is an alert, if anything.
        with contextlib.suppress(OSError):
            connect_with_ssl(theirs, pair[1], not server_side)

    pair = socket.socketpair()
    thread = threading.Thread(target=other_end)
    thread.start()
    try:
        connect_with_ssl(ours, pair[0], server_side)
    finally:
        pair[0].close()
        thread.join()
        pair[1].close()


def in_asyncio(ours: ssl.SSLContext, theirs: ssl.SSLContext, server_side: bool) -> None:
    async def connect() -> None:
        server = await asyncio.start_server(
            lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=theirs
        )
        async with server:
            port = server.sockets[0].getsockname()[1]
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=ours)
            writer.close()

    asyncio.run(connect())


WAYS = [
    *((way, side) for way in (in_memory, on_sockets) for side in ("client", "server")),
    # What an asyncio server sees it only logs, for debugging.
    (in_asyncio, "client"),
]


@pytest.mark.parametrize(("way", "side"), WAYS)
def test_the_cause_of_an_ssl_error(
    store: parsec_keys.KeyStore, own: Path, peer: Path, way: Any, side: str
) -> None:
    server_side = side == "server"
    ours = tls.errors_from(context(own, peer, server_side))
    theirs = context(peer, own, not server_side)
    way(ours, theirs, server_side)
    store.close()

    with pytest.raises(ssl.SSLError) as caught:
        way(ours, theirs, server_side)

    assert isinstance(caught.value.__cause__, ServiceUnavailable)
    assert str(caught.value.__cause__) == CLOSED
    assert tls.last_error() is caught.value.__cause__


def test_a_certificate_that_is_asked_for_after_the_handshake(
    store: parsec_keys.KeyStore, own: Path, peer: Path
) -> None:
    ours = tls.errors_from(context(own, peer, False))
    theirs = context(peer, own, True)
    for each in (ours, theirs):
        each.post_handshake_auth = True
    pair = socket.socketpair()
    accepted: list[ssl.SSLSocket] = []
    accepting = threading.Thread(
        target=lambda: accepted.append(theirs.wrap_socket(pair[1], server_side=True))
    )
    accepting.start()
    client = ours.wrap_socket(pair[0])
    accepting.join()
    accepted[0].verify_client_post_handshake()
    accepted[0].write(b"asked")
    store.close()

    with client, accepted[0], pytest.raises(ssl.SSLError) as caught:
        client.recv(5)

    assert isinstance(caught.value.__cause__, ServiceUnavailable)
    assert tls.last_error() is caught.value.__cause__


def test_reading_keeps_the_last_error(own: Path, peer: Path) -> None:
    tls._core.last.exception = error = ValueError("of another handshake")

    in_memory(
        tls.errors_from(context(own, peer, True)), context(peer, own, False), True
    )

    assert tls.last_error() is error


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize(("way", "side"), WAYS[:4])
def test_an_interrupt_comes_out_as_itself(
    store: parsec_keys.KeyStore,
    own: Path,
    peer: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: Any,
    side: str,
    interrupt: type[BaseException],
) -> None:
    server_side = side == "server"
    ours = tls.errors_from(context(own, peer, server_side))
    theirs = context(peer, own, not server_side)

    def interrupted(*_: object, **__: object) -> None:
        raise interrupt

    with monkeypatch.context() as patched:
        patched.setattr(store._engine, "execute", interrupted)
        with pytest.raises(interrupt):
            way(ours, theirs, server_side)

    way(ours, theirs, server_side)


def test_without_help_the_sentence_is_logged_and_kept(
    store: parsec_keys.KeyStore,
    own: Path,
    peer: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ours, theirs = context(own, peer, True), context(peer, own, False)
    store.close()

    with pytest.raises(ssl.SSLError) as caught:
        in_memory(ours, theirs, True)

    assert caught.value.__cause__ is None
    assert str(tls.last_error()) == CLOSED
    assert caplog.record_tuples == [
        (
            "parsec_keys.tls",
            logging.ERROR,
            f"a private-key operation failed: ServiceUnavailable: {CLOSED}",
        )
    ]


def test_an_error_that_is_not_ours_has_no_cause(own: Path, peer: Path) -> None:
    """Nor one of a handshake before."""
    tls._core.last.exception = ValueError("an old one")
    server = context(peer, own, True)
    client = tls.errors_from(context(own, own, False))

    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        in_memory(client, server, False)

    assert caught.value.__cause__ is None


def test_last_error_is_of_this_thread(own: Path, store: parsec_keys.KeyStore) -> None:
    store.close()
    seen: list[BaseException | None] = []

    def load() -> None:
        with pytest.raises(ssl.SSLError):
            ssl.create_default_context().load_cert_chain(
                own / "cert.pem", own / "key.pem"
            )
        seen.append(tls.last_error())

    tls._core.last.exception = None
    thread = threading.Thread(target=load)
    thread.start()
    thread.join()

    assert isinstance(seen[0], NotPermitted)
    assert tls.last_error() is None


def test_pyopenssl_shows_our_sentence(
    store: parsec_keys.KeyStore, own: Path, peer: Path
) -> None:
    pair = pyopenssl_pair(store.load("key"), own, peer)
    pyopenssl_shake(*pair)
    store.close()

    with pytest.raises(SSL.Error) as caught:
        pyopenssl_shake(*pair)

    assert caught.value.args[0][0] == (
        "parsec-keys",
        "",
        f"ServiceUnavailable: {CLOSED}",
    )


@pytest.mark.parametrize(
    "sentence",
    ["é" * 600, "x" + "é" * 600, "\udcff" * 200],
    ids=["even", "odd", "no-text"],
)
def test_a_sentence_that_is_cut_is_text(
    store: parsec_keys.KeyStore,
    own: Path,
    peer: Path,
    monkeypatch: pytest.MonkeyPatch,
    sentence: str,
) -> None:
    """There is room for 1023 bytes, and pyOpenSSL decodes them strictly."""
    pair = pyopenssl_pair(store.load("key"), own, peer)

    def failing(*_: object, **__: object) -> None:
        raise Error(sentence)

    monkeypatch.setattr(store._engine, "execute", failing)
    with pytest.raises(SSL.Error) as caught:
        pyopenssl_shake(*pair)

    assert len(caught.value.args[0][0][2].encode()) in range(1013, 1024)


def test_a_key_whose_policy_refuses(
    store: parsec_keys.KeyStore, peer: Path, tmp_path: Path
) -> None:
    """TLS 1.3 wants SHA-256 of a P-256 key."""
    policy = Ecdsa(Hash.SHA_512)
    key: Any = store.generate_ec("narrow", P256, algorithm=policy)
    own = files(key, tmp_path / "narrow", certificate(key, THEIRS))
    server = tls.errors_from(context(own, peer, True))
    client = context(peer, own, False)

    with pytest.raises(ssl.SSLError) as caught:
        in_memory(server, client, True)

    assert isinstance(caught.value.__cause__, NotPermitted)
    with pytest.raises(SSL.Error, match="NotPermitted: "):
        pyopenssl_shake(*pyopenssl_pair(key, own, peer))


def test_a_tpm_that_is_gone_and_comes_back(
    tmp_path: Path, peer: Path, swtpm: Any
) -> None:
    """The session's swtpm is only asked for so that there is one at all."""
    with Swtpm(tmp_path / "tpm") as tpm, parsec_keys.open_store(tpm.url) as store:
        key: Any = store.generate_ec("key", P256)
        own = files(key, tmp_path / "own")
        server = tls.errors_from(context(own, peer, True))
        client = context(peer, own, False)
        pair = pyopenssl_pair(key, own, peer)
        in_memory(server, client, True)
        tpm.stop()

        with pytest.raises(ssl.SSLError) as caught:
            in_memory(server, client, True)
        assert isinstance(caught.value.__cause__, ServiceUnavailable)
        with pytest.raises(SSL.Error, match="ServiceUnavailable: "):
            pyopenssl_shake(*pair)

        tpm.start()
        in_memory(server, client, True)
        pyopenssl_shake(*pair)


def test_a_store_that_is_opened_again(
    store: parsec_keys.KeyStore, own: Path, peer: Path, tmp_path: Path
) -> None:
    store.close()
    with pytest.raises(ssl.SSLError):
        context(own, peer, True)
    assert isinstance(tls.last_error(), NotPermitted)

    with parsec_keys.open_store(f"software:{tmp_path}/store"):
        in_memory(context(own, peer, True), context(peer, own, False), True)


def pyopenssl_pair(key: Any, own: Path, peer: Path) -> tuple[Any, Any]:
    """A client with a file and a server with a key of ours."""
    ours, theirs = (
        x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
        for folder in (own, peer)
    )
    client = pyopenssl_context(THEIRS, peer / "cert.pem", ours)
    return client, pyopenssl_context(key, own / "cert.pem", theirs)
