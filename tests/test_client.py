"""The client of a Parsec service that is slow, wrong, lying, gone and back."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

import parsec_keys
from parsec_keys import client
from parsec_keys.emulators import SoftHsm
from parsec_keys.errors import (
    AuthenticationError,
    ConfigurationError,
    Error,
    KeyNotFound,
    NotSupported,
    ProtocolError,
    ProviderFailure,
    ServiceUnavailable,
)
from parsec_keys.psa.algorithms import ANY_HASH, Ecdsa, Hash, RsaPkcs1v15Sign, RsaPss
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import ListKeys
from tests.contract.test_lifecycle import signs
from tests.daemon import HEADER_LENGTH, SOFTWARE, Daemon, exchange, pkcs11_table
from tests.forks import inside
from tests.service.providers.children import in_a_child
from tests.service.test_front import frame

P256 = ec.SECP256R1()
SHA256 = hashes.SHA256()
ECDSA = ec.ECDSA(SHA256)
LIST = ListKeys()
Answer = Callable[[bytes], bytes]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path) as running:
        yield running


class Fake:
    """A socket where somebody answers to each request as a test wants it."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self.url = f"unix:{path}"
        self.answer = answer
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.sendall(self.answer(request_of(client)))

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()


def request_of(client: socket.socket) -> bytes:
    """The bytes of a whole request."""
    data = bytearray()
    while len(data) < HEADER_LENGTH or len(data) < length_of(data):
        received = client.recv(1 << 16)
        if not received:
            break
        data += received
    return bytes(data)


def length_of(data: bytearray) -> int:
    body, auth = data[22:26], data[26:28]
    return (
        HEADER_LENGTH + int.from_bytes(body, "little") + int.from_bytes(auth, "little")
    )


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Callable[[Answer], Fake]]:
    """A function that starts a fake."""
    with contextlib.ExitStack() as started:

        def start(answer: Answer) -> Fake:
            made = Fake(tmp_path / "fake.sock", answer)
            started.callback(made.close)
            return made

        yield start


def test_the_endpoint_of_every_parsec_client(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PARSEC_SERVICE_ENDPOINT", f"unix:{daemon.socket}")
    with parsec_keys.open_store("unix:") as store:
        key = store.generate_ec("key", P256)
        assert store.url == daemon.url
    assert parsec_keys.load_key(key.uri) == key
    monkeypatch.setenv("PARSEC_SERVICE_ENDPOINT", f"unix://{daemon.socket}")
    with parsec_keys.open_store("unix:") as store:
        signs(store.load("key"))
    for wrong in ("tcp:/run/parsec", "/run/parsec", "unix:"):
        monkeypatch.setenv("PARSEC_SERVICE_ENDPOINT", wrong)
        with pytest.raises(ConfigurationError, match="PARSEC_SERVICE_ENDPOINT"):
            parsec_keys.open_store("unix:")


def test_a_socket_of_its_own_in_the_url(daemon: Daemon) -> None:
    with parsec_keys.open_store(f"{daemon.url}?timeout=20") as store:
        signs(store.generate_ec("key", P256))
    for wrong in ("0", "-1", "x", "nan", "1e99"):
        with pytest.raises(ConfigurationError, match="timeout"):
            parsec_keys.open_store(f"{daemon.url}?timeout={wrong}")


def test_a_service_that_does_not_answer(fake: Callable[[Answer], Fake]) -> None:
    mute = threading.Event()
    url = f"{fake(lambda _: bytes(mute.wait(20))).url}?timeout=0.2"

    with pytest.raises(ServiceUnavailable, match=r"did not answer within 0\.2 seconds"):
        parsec_keys.open_store(url)
    mute.set()


def test_a_child_signs_while_its_parent_waits_for_an_answer(
    daemon: Daemon, fake: Callable[[Answer], Fake]
) -> None:
    waiting, go_on = threading.Event(), threading.Event()

    def relayed(request: bytes) -> bytes:
        answer = exchange(daemon.socket, request)
        opcode = int.from_bytes(request[28:32], "little")
        if opcode == Opcode.PSA_SIGN_HASH and not waiting.is_set():
            waiting.set()
            assert go_on.wait(20)
        return answer

    def in_the_child() -> int:
        signs(key)
        return connections_to(url)

    url = fake(relayed).url
    with parsec_keys.open_store(url) as store:
        key = store.generate_ec("key", P256)
        with inside(lambda: signs(key), waiting.is_set, go_on.set):
            assert connections_to(url) == 1
            assert in_a_child(in_the_child) == 0
            signs(key)


def connections_to(url: str) -> int:
    """How many connections to a service this process has open."""
    number = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with (
            contextlib.suppress(OSError),  # No socket.
            socket.socket(fileno=os.dup(int(descriptor))) as opened,
        ):
            number += f"unix:{opened.getpeername()}" == url
    return number


def test_a_service_that_trickles(tmp_path: Path) -> None:
    """Each byte comes in time, and the answer as a whole does not."""
    done = threading.Event()

    def trickle(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client, contextlib.suppress(OSError):
            for number in frame(body=bytes(200)):
                client.sendall(bytes([number]))
                if done.wait(0.05):
                    return

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "slow.sock"))
        listening.listen()
        thread = threading.Thread(target=trickle, args=(listening,))
        thread.start()
        with pytest.raises(ServiceUnavailable, match="did not answer within"):
            parsec_keys.open_store(f"unix:{tmp_path}/slow.sock?timeout=0.3")
        done.set()
        thread.join()


WRONG = {
    "nothing": (b"", ServiceUnavailable, "closed the connection"),
    "half a header": (frame()[:20], ServiceUnavailable, "closed the connection"),
    "half a body": (frame(body_length=9), ServiceUnavailable, "closed the connection"),
    "another protocol": (
        b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(20),
        ProtocolError,
        "does not answer with Parsec",
    ),
    "another version": (frame(version=(2, 0)), ProtocolError, r"protocol 2\.0"),
    "another encoding": (frame(content=1), ProtocolError, "another encoding"),
    "another status": (frame(status=1144), ProtocolError, "status 1144"),
    "no end": (frame(body_length=1 << 31), ProtocolError, "announces"),
    "no message": (frame(8, b"\xff"), ProtocolError, "cannot be read"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_parsec_service(fake: Callable[[Answer], Fake], case: str) -> None:
    answer, class_, words = WRONG[case]

    with pytest.raises(class_, match=words) as caught:
        parsec_keys.open_store(fake(lambda _: answer).url)

    assert type(caught.value) is class_
    assert "\n" not in str(caught.value)


def test_every_status_is_an_error_with_a_sentence(
    fake: Callable[[Answer], Fake], daemon: Daemon
) -> None:
    statuses = [*range(1, 23), *range(1132, 1144), *range(1145, 1154)]
    current = 0

    def answer(request: bytes) -> bytes:
        if current and request[28] not in (8, 14):
            return frame(request[28], status=current)
        return exchange(daemon.socket, request)

    with parsec_keys.open_store(fake(answer).url) as store:
        for status in statuses:
            current = status
            with pytest.raises(Error) as caught:
                store.generate_ec("key", P256)
            assert caught.value.status == status
            assert not isinstance(caught.value, OSError)
            assert str(caught.value).count("\n") == 0
            if status != 1150:  # A ciphertext that does not decrypt: no word more.
                assert str(fake_path(store)) in str(caught.value)
            is_key_gone = status in (1136, 1140)
            assert isinstance(caught.value, KeyNotFound) is is_key_gone


def fake_path(store: parsec_keys.KeyStore) -> str:
    return store.url.removeprefix("unix:")


def test_a_signature_that_is_wrong(
    fake: Callable[[Answer], Fake], daemon: Daemon
) -> None:
    lies = False

    def answer(request: bytes) -> bytes:
        genuine = exchange(daemon.socket, request)
        if lies and request[28] == 4:
            return genuine[:-1] + bytes([genuine[-1] ^ 1])
        return genuine

    with parsec_keys.open_store(fake(answer).url) as store:
        keys = store.generate_ec("ec", P256), store.generate_rsa("rsa")
        for key in keys:
            signs(key)
        lies = True
        for key in keys:
            with pytest.raises(ProviderFailure, match="does not verify"):
                signs(key)


def test_a_fork_waits_for_a_signature_that_is_verified(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifies, goes_on = threading.Event(), threading.Event()
    verify = client.is_signature

    def slowly(*arguments: Any) -> bool:
        verifies.set()
        assert goes_on.wait(20)
        return verify(*arguments)

    with parsec_keys.open_store(daemon.url) as store:
        key = store.generate_ec("key", P256)
        signs(key)
        monkeypatch.setattr(client, "is_signature", slowly)
        with inside(lambda: key.sign(b"data", ECDSA), verifies.is_set, goes_on.set):
            in_a_child(lambda: signs(key))
            assert goes_on.is_set()


def test_keys_that_come_and_go_are_not_remembered_for_ever(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_MOST_REMEMBERED", 2)
    with parsec_keys.open_store(daemon.url) as store:
        keys = [store.generate_ec(f"key {number}", P256) for number in range(5)]
        for key in keys * 2:
            signs(key)
        assert isinstance(store._engine, client.Client)
        assert len(store._engine._public_keys) <= 2
        assert len(store._engine._found) <= 2
        for number in range(5):
            store.delete(f"key {number}")
        assert store._engine._found == {}


def test_a_service_that_goes_and_comes_back(daemon: Daemon) -> None:
    store = parsec_keys.open_store(daemon.url)
    key, gone = store.generate_ec("key", P256), store.generate_ec("gone", P256)
    signs(key)

    daemon.stop()
    for use in (lambda: signs(key), lambda: store.keys(), lambda: store.load("key")):
        with pytest.raises(ServiceUnavailable, match="is it running"):
            use()
    daemon.start()

    signs(key)
    assert store.load("key") == key
    # What was remembered of a key is forgotten when another has its name.
    with parsec_keys.open_store(daemon.url) as other:
        other.delete("gone")
        other.generate_rsa("gone")
    for _ in range(2):
        with pytest.raises(KeyNotFound, match="another key"):
            gone.sign(b"data", ECDSA)
    signs(store.load("gone"))


def test_a_daemon_that_is_killed_at_work(daemon: Daemon) -> None:
    with parsec_keys.open_store(daemon.url) as store:
        key = store.generate_ec("key", P256)
        daemon.kill()
        with pytest.raises(ServiceUnavailable, match="is it running"):
            signs(key)
        daemon.start()
        signs(key)


def test_the_first_provider_is_the_default_one(
    tmp_path: Path, softhsm: SoftHsm
) -> None:
    pkcs11 = pkcs11_table("shared", softhsm.module)
    daemon = Daemon(tmp_path, pkcs11, SOFTWARE)
    with daemon, parsec_keys.open_store(daemon.url) as store:
        assert [each.name for each in store.providers()] == ["pkcs11", "software"]
        first = store.generate_ec("key", P256)
        assert first.provider == "pkcs11"

        # A daemon that was configured anew is met anew.
        daemon.configure(SOFTWARE, pkcs11)
        daemon.reload()
        assert [each.name for each in store.providers()] == ["software", "pkcs11"]
        assert store.generate_ec("second", P256).provider == "software"
        signs(first)

        daemon.configure(SOFTWARE)
        daemon.reload()
        with pytest.raises((KeyNotFound, NotSupported)):
            signs(first)
        assert [key.name for key in store._engine.execute(LIST)] == ["second"]

        daemon.configure(SOFTWARE, pkcs11)
        daemon.reload()
        signs(first)


def test_a_name_that_moves_to_another_provider(
    tmp_path: Path, softhsm: SoftHsm
) -> None:
    daemon = Daemon(tmp_path, SOFTWARE, pkcs11_table("shared", softhsm.module))
    with (
        daemon,
        parsec_keys.open_store(daemon.url) as store,
        parsec_keys.open_store(daemon.url) as other,
    ):
        key = store.generate_ec("moved", P256)
        signs(key)
        other.delete("moved")
        other.generate_ec("moved", P256, provider="pkcs11")

        with pytest.raises(KeyNotFound, match="another key"):
            signs(key)
        assert store.load("moved").provider == "pkcs11"
        other.delete("moved")
        other.generate_ec("moved", P256, provider="software")
        store.delete("moved")
        assert other.keys() == ()


def test_another_way_to_say_who_asks(daemon: Daemon) -> None:
    with (
        parsec_keys.open_store(f"{daemon.url}?application=me") as named,
        parsec_keys.open_store(daemon.url) as nameless,
    ):
        named.generate_ec("key", P256)
        assert len(nameless.keys()) == 1  # The uid is what counts here.

        daemon.configure(auth='auth_type = "Direct"')
        daemon.reload()

        assert named.keys() == ()
        with pytest.raises(AuthenticationError, match="application=NAME"):
            nameless.keys()


def test_a_key_that_was_made_without_a_wire(daemon: Daemon) -> None:
    """It may permit what no message can say: then it is listed by what one can."""
    with parsec_keys.open_store(str(daemon.file)) as embedded:
        embedded.generate_rsa("any")
        embedded.generate_ec("curve", P256)
        embedded.generate_rsa("salt", algorithm=RsaPss(Hash.SHA_256, None, 20))

    with parsec_keys.open_store(daemon.url) as store:
        listed = store.keys()
        assert [key.attributes.policy.algorithm for key in listed] == [
            RsaPkcs1v15Sign(ANY_HASH),
            Ecdsa(ANY_HASH),
            None,
        ]
        rsa_key = store.load("any")
        signs(rsa_key)
        signs(store.load("curve"))
        pss = padding.PSS(padding.MGF1(SHA256), padding.PSS.DIGEST_LENGTH)
        signature = rsa_key.sign(b"data", pss, SHA256)
        rsa_key.public_key().verify(signature, b"data", pss, SHA256)
