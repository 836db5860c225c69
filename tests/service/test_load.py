"""A daemon under clients that mean no good: others are answered meanwhile.

They are answered long before a deadline ends those clients; how fast, benchmarks tell.
"""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import parsec_keys
from parsec_keys.psa.status import Status
from tests.contract.test_lifecycle import signs
from tests.daemon import (
    PING,
    Daemon,
    answers_ping,
    connected,
    exchange,
    read_all,
    wait_until,
)
from tests.service.test_daemon import slow_request
from tests.service.test_front import LIST_KEYS, P256, UID, frame, generate, status_of

MANY = 1000
DEADLINE = "timeout = 60000"
"""Milliseconds, which is three times what anybody waits here."""
A_MEBIBYTE = frame(0x0D, b"\x08\x80\x80\x40", provider=1)


@pytest.fixture
def descriptors() -> Iterator[None]:
    """More of them than a process has by itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * MANY)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def many(daemon: Daemon, sent: bytes) -> Iterator[list[socket.socket]]:
    """Clients who send so much and no more."""
    with contextlib.ExitStack() as connections:
        clients = []
        for _ in range(MANY):
            client = connections.enter_context(connected(daemon.socket))
            client.sendall(sent)
            clients.append(client)
        yield clients


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="idle"),
        pytest.param(PING[:-1], id="half a header"),
        pytest.param(generate()[:-1], id="half a request"),
        pytest.param(frame(body_length=60_000) + bytes(1000), id="half a body"),
    ],
)
@pytest.mark.usefixtures("descriptors")
def test_a_thousand_who_do_not_go_on(tmp_path: Path, sent: bytes) -> None:
    with Daemon(tmp_path, listener=DEADLINE) as daemon:
        with many(daemon, sent) as clients:
            assert answers_ping(daemon.socket)
            assert status_of(exchange(daemon.socket, generate())) is Status.SUCCESS
            # Who goes on after all is answered too.
            if sent == PING[:-1]:
                clients[-1].sendall(PING[-1:])
                assert read_all(clients[-1]).endswith(b"\x08\x01")
        assert answers_ping(daemon.socket)


@pytest.mark.usefixtures("descriptors")
def test_a_thousand_who_do_not_read(tmp_path: Path) -> None:
    with (
        Daemon(tmp_path, listener=DEADLINE) as daemon,
        many(daemon, frame(0x0D, b"\x08\x80\x80\x10", provider=1)),
    ):
        assert answers_ping(daemon.socket)
        assert len(exchange(daemon.socket, A_MEBIBYTE)) > 1 << 20


def test_clients_who_vanish(daemon: Daemon) -> None:
    names = [f"gone-{number}" for number in range(10)]
    for name in names:
        body = P256.replace(b"\x0a\x02te", b"\x0a\x06" + name.encode())
        with connected(daemon.socket) as client:
            client.sendall(generate(body))
        with connected(daemon.socket) as client:
            client.sendall(generate(body)[:-3])
        with connected(daemon.socket) as client:
            client.sendall(frame(LIST_KEYS, b"", UID, authenticator=3))
        assert answers_ping(daemon.socket)

    # Each of them had asked before it went.
    with parsec_keys.open_store(daemon.url) as store:
        wait_until(lambda: {key.name for key in list(store.keys())} >= set(names))
        for name in names:
            signs(store.load(name))


def test_more_slow_requests_than_workers(tmp_path: Path) -> None:
    with Daemon(tmp_path, core="thread_pool_size = 1") as daemon:
        clients = [connected(daemon.socket) for _ in range(3)]
        for number, client in enumerate(clients):
            body = slow_request().replace(b"rsa4", b"rsa%d" % number)
            client.sendall(body)

        assert answers_ping(daemon.socket)
        # It did not wait for its turn behind them.
        assert select.select([clients[-1]], [], [], 0)[0] == []

        answers: list[bytes] = []
        threads = [
            threading.Thread(target=lambda c=client: answers.append(read_all(c)))
            for client in clients
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for client in clients:
            client.close()
        assert [status_of(answer) for answer in answers] == [Status.SUCCESS] * 3
