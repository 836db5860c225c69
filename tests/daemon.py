"""A real daemon for a test: ``parsec-keys serve`` in a process and a folder of its own.

It is asked to end with SIGTERM, and must then end well and without a traceback.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from parsec_keys.emulators import PIN

PING: Final = bytes.fromhex("10a7c05e1e0001" + "00" * 21 + "01" + "00" * 7)
HEADER_LENGTH: Final = 36
SECONDS: Final = 20.0
"""How long anything may take that takes a moment."""
SOFTWARE: Final = '[[provider]]\nprovider_type = "Software"\n'


def tpm_table(tcti: str) -> str:
    """The provider of a TPM, in a daemon's file or a store's."""
    return (
        f'[[provider]]\nprovider_type = "Tpm"\ntcti = "{tcti}"\n'
        'owner_hierarchy_auth = ""\n'
    )


def pkcs11_table(label: str, module: Path) -> str:
    """The provider of a token, in a daemon's file or a store's."""
    return (
        f'[[provider]]\nprovider_type = "Pkcs11"\ntoken_label = "{label}"\n'
        f"library_path = '{module}'\nuser_pin = \"{PIN}\"\n"
    )


class Daemon:
    """A context manager: the daemon runs inside it."""

    def __init__(
        self,
        folder: Path,
        *providers: str,
        core: str = "",
        listener: str = "",
        authenticator: str = 'auth_type = "UnixPeerCredentials"',
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Args:
        providers: ``[[provider]]`` tables; the software provider without any.
        core, listener, authenticator: lines of these tables.
        """
        self.folder = folder
        self.socket = folder / "parsec.sock"
        self.file = folder / "config.toml"
        self.log = folder / "log"
        self.url = f"unix:{self.socket}"
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.configure(*providers, core=core, listener=listener, auth=authenticator)

    def configure(
        self,
        *providers: str,
        core: str = "",
        listener: str = "",
        auth: str = 'auth_type = "UnixPeerCredentials"',
    ) -> None:
        """Write the configuration file, which the daemon reads when it is told to."""
        timeout = "" if "timeout" in listener else "timeout = 10000\n"
        level = "" if "log_level" in core else "log_level = 'info'\n"
        tables = "".join(providers) or SOFTWARE
        self.file.write_text(
            'store = "keys"\n'
            "[core_settings]\nallow_root = true\n"
            f"{level}{core}\n"
            f'[listener]\nlistener_type = "DomainSocket"\n{timeout}'
            f"socket_path = '{self.socket}'\n{listener}\n"
            f"[authenticator]\n{auth}\n{tables}"
        )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def start(self, *command: str, passed: int | None = None) -> None:
        """Start it and wait until it answers.

        Args:
            command: what runs the daemon's command, such as ``prlimit``.
            passed: a descriptor that the daemon inherits.
        """
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *command,
                    *(sys.executable, "-W", "error", "-m", "parsec_keys"),
                    *("serve", "-c", str(self.file)),
                ],
                env=self._environment,
                stdout=log,
                stderr=log,
                pass_fds=() if passed is None else (passed,),
            )
        wait_until(lambda: self._ended() or answers_ping(self.socket))
        assert not self._ended(), self.words()

    @contextlib.contextmanager
    def activated(
        self, command: tuple[str, ...], listening: socket.socket
    ) -> Iterator[None]:
        """Run it as a service manager does that listens already."""
        self.start(*command, passed=listening.fileno())
        with contextlib.ExitStack() as running:
            running.push(self.__exit__)
            yield

    def stop(self) -> None:
        """End it as a service manager does."""
        self.process.send_signal(signal.SIGTERM)
        self.wait()

    def wait(self) -> None:
        """Wait for its end, which must be a good one."""
        assert self.process.wait(SECONDS) == 0, self.words()
        assert "Traceback" not in self.words(), self.words()
        self._process = None

    def kill(self) -> None:
        """End it as nothing should."""
        self.process.kill()
        self.process.wait()
        self._process = None

    def reload(self) -> None:
        """Have it read its configuration again, and wait until it did."""
        before = self._reloads()
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self._reloads() > before)

    def words(self) -> str:
        """What it has said so far."""
        return self.log.read_text()

    def _reloads(self) -> int:
        words = self.words()
        return words.count("read again") + words.count("stays as it was")

    def _ended(self) -> bool:
        return self.process.poll() is not None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is None:
            return
        try:
            self.stop()
        finally:
            if self._process is not None:
                self.kill()


def wait_until(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait for what must come true soon."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.005)


def connected(path: Path, seconds: float = SECONDS) -> socket.socket:
    """A connection to a daemon."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def read_all(connection: socket.socket) -> bytes:
    """What comes until the daemon closes the connection."""
    data = bytearray()
    with contextlib.suppress(ConnectionResetError):  # Where not all was read.
        while received := connection.recv(1 << 16):
            data += received
    return bytes(data)


def exchange(path: Path, data: bytes, seconds: float = SECONDS) -> bytes:
    """Send bytes in a connection of their own; what comes back."""
    with connected(path, seconds) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)  # Or it has seen enough.
        return read_all(connection)


def answers_ping(path: Path, seconds: float = SECONDS) -> bool:
    """Whether a daemon answers to a ping as it should."""
    try:
        answer = exchange(path, PING, seconds)
    except OSError:
        return False
    return answer[HEADER_LENGTH:] == b"\x08\x01"
