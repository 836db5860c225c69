"""A daemon's life: start, reload, end, and what a service manager has to do with it."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from parsec_keys.psa.status import Status
from tests.daemon import (
    PING,
    SOFTWARE,
    Daemon,
    answers_ping,
    connected,
    exchange,
    read_all,
    wait_until,
)
from tests.service.test_front import LIST_KEYS, UID, frame, generate, status_of


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    """A daemon that this test starts."""
    return Daemon(tmp_path)


def slow_request() -> bytes:
    """A request that takes a second: an RSA key of 4096 bits."""
    body = "0a047273613412170a0252001080201a0e0a024001120832060a040a020a00"
    return generate(bytes.fromhex(body))


def refused_to_start(daemon: Daemon, **environment: str) -> str:
    """The one sentence with which a daemon does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "parsec_keys", "serve", "-c", str(daemon.file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        env={**os.environ, **environment},
    )
    assert done.returncode == 1, done
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_sigterm_finishes_what_runs(daemon: Daemon) -> None:
    with (
        daemon,
        connected(daemon.socket) as running,
        connected(daemon.socket) as half,
        connected(daemon.socket) as idle,
    ):
        half.sendall(PING[:20])
        running.sendall(slow_request())
        daemon.process.send_signal(signal.SIGTERM)

        assert status_of(read_all(running)) is Status.SUCCESS
        assert status_of(read_all(half)) is Status.CONNECTION_ERROR
        assert status_of(read_all(idle)) is Status.CONNECTION_ERROR
        daemon.wait()
        assert not daemon.socket.exists()

    # What was answered was done.
    with daemon:
        listed = exchange(daemon.socket, frame(LIST_KEYS, b"", UID, authenticator=3))
        assert b"rsa4" in listed


def test_sigterm_sees_a_long_answer_off(daemon: Daemon) -> None:
    size = 1 << 20
    with daemon, connected(daemon.socket) as connection:
        connection.sendall(frame(0x0D, b"\x08\x80\x80\x40", provider=1))
        wait_until(lambda: len(connection.recv(40, socket.MSG_PEEK)) == 40)
        daemon.process.send_signal(signal.SIGTERM)

        assert len(read_all(connection)) > size
        daemon.wait()


def test_sigint_ends_it_too(daemon: Daemon) -> None:
    with daemon:
        daemon.process.send_signal(signal.SIGINT)
        daemon.wait()


def test_a_client_has_only_so_long(tmp_path: Path) -> None:
    with (
        Daemon(tmp_path, listener="timeout = 200") as daemon,
        connected(daemon.socket) as idle,
        connected(daemon.socket) as half,
        connected(daemon.socket) as deaf,
    ):
        half.sendall(PING[:-1])
        deaf.sendall(frame(0x0D, b"\x08\x80\x80\x40", provider=1))

        assert read_all(idle) == frame(status=15)
        assert read_all(half) == frame(status=15)
        # Its answer does not fit into the socket: what does not fit is dropped.
        wait_until(lambda: is_hung_up(deaf))
        assert len(read_all(deaf)) < 1 << 20


def is_hung_up(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLHUP)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def test_the_socket_is_for_all_to_connect(daemon: Daemon) -> None:
    with daemon:
        assert daemon.socket.stat().st_mode & 0o777 == 0o666


def test_a_socket_that_was_left_behind(daemon: Daemon) -> None:
    with daemon:
        daemon.kill()
    assert daemon.socket.is_socket()

    with daemon:
        assert answers_ping(daemon.socket)


def test_a_socket_that_is_in_use(daemon: Daemon) -> None:
    with daemon:
        assert "answers at" in refused_to_start(daemon)
        assert answers_ping(daemon.socket)


def test_a_file_where_the_socket_belongs(daemon: Daemon) -> None:
    daemon.socket.write_text("precious")

    assert "is no socket: remove it" in refused_to_start(daemon)

    assert daemon.socket.read_text() == "precious"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    daemon.socket = tmp_path / "none" / "parsec.sock"
    daemon.configure()

    assert "make its folder" in refused_to_start(daemon)


def test_root_must_be_allowed(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root is refused")
    daemon = Daemon(tmp_path)
    daemon.file.write_text(daemon.file.read_text().replace("= true", "= false", 1))

    assert "allow_root" in refused_to_start(daemon)


def test_sighup_reads_the_configuration_again(daemon: Daemon) -> None:
    admin = frame(0x1B, b"", UID, authenticator=3)
    with daemon:
        assert status_of(exchange(daemon.socket, generate())) is Status.SUCCESS
        assert status_of(exchange(daemon.socket, admin)) is Status.ADMIN_OPERATION

        daemon.configure(
            core="body_len_limit = 100\nlog_level = 'info'",
            auth='auth_type = "UnixPeerCredentials"\n'
            f'admins = [{{ name = "{os.geteuid()}" }}]',
        )
        daemon.reload()

        assert status_of(exchange(daemon.socket, admin)) is not Status.ADMIN_OPERATION
        too_long = exchange(daemon.socket, frame(body=bytes(101)))
        assert status_of(too_long) is Status.BODY_SIZE_EXCEEDS_LIMIT
        # The keys are still there.
        taken = exchange(daemon.socket, generate())
        assert status_of(taken) is Status.PSA_ERROR_ALREADY_EXISTS


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("[provider", "is not TOML"),
        ('[[provider]]\nprovider_type = "Software"\nx = 1\n', "nothing here reads 'x'"),
        ('[[provider]]\nprovider_type = "Tpm"\ntcti = "swtpm:port=1"\n', "TCTI"),
    ],
)
def test_a_wrong_file_changes_nothing(daemon: Daemon, wrong: str, words: str) -> None:
    with daemon:
        assert status_of(exchange(daemon.socket, generate())) is Status.SUCCESS

        daemon.configure(wrong)
        daemon.reload()

        assert "stays as it was" in daemon.words()
        assert words in daemon.words().splitlines()[-1]
        taken = exchange(daemon.socket, generate())
        assert status_of(taken) is Status.PSA_ERROR_ALREADY_EXISTS

        daemon.configure(SOFTWARE)
        daemon.reload()
        assert "read again" in daemon.words()


def test_what_only_a_restart_changes(daemon: Daemon) -> None:
    with daemon:
        daemon.configure(core="thread_pool_size = 3")
        daemon.reload()

        assert "needs a restart" in daemon.words()


def test_a_reload_finishes_what_runs(daemon: Daemon) -> None:
    with daemon, connected(daemon.socket) as running:
        running.sendall(slow_request())
        daemon.process.send_signal(signal.SIGHUP)

        assert status_of(read_all(running)) is Status.SUCCESS
        wait_until(lambda: "read again" in daemon.words())


class Manager:
    """What a service manager's notification socket receives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(20)

    def said(self) -> dict[str, str]:
        lines = self.socket.recv(1000).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    with made.socket:
        yield made


def test_it_says_how_it_is(tmp_path: Path, manager: Manager) -> None:
    environment = {"NOTIFY_SOCKET": str(manager.path)}
    with Daemon(tmp_path, environment=environment) as daemon:
        assert manager.said() == {"READY": "1"}

        daemon.reload()
        reloading = manager.said()
        assert reloading["RELOADING"] == "1"
        assert int(reloading["MONOTONIC_USEC"]) > 0
        assert manager.said() == {"READY": "1"}

        daemon.stop()
        assert manager.said() == {"STOPPING": "1"}


def test_an_abstract_notification_socket(tmp_path: Path) -> None:
    name = f"parsec-keys-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(f"\0{name}")
        notify.settimeout(20)
        with Daemon(tmp_path, environment={"NOTIFY_SOCKET": f"@{name}"}):
            assert notify.recv(100) == b"READY=1"


ACTIVATE = """
import os, sys
descriptor = int(sys.argv[1])
if descriptor != 3:
    os.dup2(descriptor, 3)
os.set_inheritable(3, True)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""


def test_a_service_manager_s_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        daemon = Daemon(tmp_path, environment={"LISTEN_FDS": "1"})
        listening.bind(str(daemon.socket))
        listening.listen()
        # Who comes before the daemon runs waits for it, and is answered.
        early = threading.Thread(target=lambda: exchange(daemon.socket, PING))
        early.start()
        number = str(listening.fileno())
        command = (sys.executable, "-c", ACTIVATE, number)
        with daemon.activated(command, listening):
            early.join(20)
            assert not early.is_alive()
            assert answers_ping(daemon.socket)
        # It is the manager's, and serves the next daemon.
        assert daemon.socket.is_socket()
        with daemon.activated(command, listening):
            assert answers_ping(daemon.socket)


@pytest.mark.parametrize(
    ("count", "words"), [("2", "2 sockets"), ("1", "is no socket")]
)
def test_what_a_service_manager_should_not_pass(
    daemon: Daemon, count: str, words: str
) -> None:
    with (daemon.folder / "file").open("w") as file:
        done = subprocess.run(
            [
                *(sys.executable, "-c", ACTIVATE, str(file.fileno())),
                *(sys.executable, "-m", "parsec_keys", "serve", "-c"),
                str(daemon.file),
            ],
            env={**os.environ, "LISTEN_FDS": count},
            pass_fds=(file.fileno(),),
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )

    assert done.returncode == 1
    assert words in done.stderr


def test_another_process_s_sockets_are_not_ours(tmp_path: Path) -> None:
    environment = {"LISTEN_FDS": "1", "LISTEN_PID": "1"}
    with Daemon(tmp_path, environment=environment) as daemon:
        assert answers_ping(daemon.socket)


def test_it_leaves_no_core_file(daemon: Daemon) -> None:
    with daemon:
        limits = resource.prlimit(daemon.process.pid, resource.RLIMIT_CORE)

    assert limits == (0, 0)
