"""A TPM that misbehaves: a relay in front of swtpm that can do harm on the way.

It speaks the protocol of the Microsoft simulator (TCTI ``mssim``), whose client keeps
one connection as a device's does; swtpm's own TCTI makes a new one for each command,
and ``OneAtATime`` is the relay for that.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import struct
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from parsec_keys.emulators import Swtpm, free_port_pair

_SEND_COMMAND, _SESSION_END = 8, 20


class Command(enum.IntEnum):
    """Command codes (TPM 2.0 part 2, section 6.5.2)."""

    CREATE_PRIMARY = 0x131
    STARTUP = 0x144
    CREATE = 0x153
    LOAD = 0x157
    RSA_DECRYPT = 0x159
    SIGN = 0x15D
    CONTEXT_LOAD = 0x161
    CONTEXT_SAVE = 0x162
    FLUSH_CONTEXT = 0x165
    READ_PUBLIC = 0x173
    START_AUTH_SESSION = 0x176


class Harm(enum.Enum):
    """What becomes of a command that gets no response code instead of its answer."""

    CUT = "the connection is cut before the TPM has seen the command"
    CUT_AFTERWARDS = "the connection is cut when the TPM has done it"
    SILENCE = "nothing comes back until the relay is told to go on"


class Relay:
    """Answers at ``tcti`` for a swtpm. A context manager."""

    def __init__(self, swtpm: Swtpm) -> None:
        self._swtpm = swtpm
        self._one_command = threading.Lock()
        self._harm: dict[int, list[int | Harm]] = {}
        self._go_on = threading.Event()
        self._closed = False
        self.commands: list[int] = []
        """The codes of all commands that came."""
        self.traffic = bytearray()
        """All octets of commands and responses."""
        self.connections = self.open_connections = 0
        self._clients: list[socket.socket] = []
        self.port = free_port_pair()
        self._listeners = [
            socket.create_server(("127.0.0.1", self.port + index)) for index in (0, 1)
        ]
        for listener, serve in zip(
            self._listeners, (self._commands, self._platform), strict=True
        ):
            self._start(self._accept, listener, serve)

    @property
    def tcti(self) -> str:
        return f"mssim:host=127.0.0.1,port={self.port}"

    def harm(self, command: Command, *what: int | Harm, times: int = 1) -> None:
        """Do this to the next such commands: a response code, or something worse."""
        self._harm.setdefault(command, []).extend(what * times)

    def harm_no_more(self) -> None:
        """Leave every command alone from now on."""
        self._harm.clear()

    def left(self, command: Command) -> int:
        """How much of the harm is not done yet."""
        return len(self._harm.get(command, ()))

    def cut(self) -> None:
        """Cut every connection, as a resource manager does that restarts."""
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._clients.clear()

    def go_on(self) -> None:
        """Give the answers that were kept back."""
        self._go_on.set()

    def close(self) -> None:
        self._closed = True
        self.go_on()
        self.cut()
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _start(self, target: object, *arguments: object) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()  # type: ignore[arg-type]

    def _accept(self, listener: socket.socket, serve: object) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                self._clients.append(client)
                self._start(self._until_cut, client, serve)

    def _until_cut(self, client: socket.socket, serve: object) -> None:
        with client, contextlib.suppress(OSError, EOFError):
            serve(client)  # type: ignore[operator]
            client.shutdown(socket.SHUT_RDWR)

    def _platform(self, client: socket.socket) -> None:
        while struct.unpack(">I", _read(client, 4))[0] != _SESSION_END:
            client.sendall(bytes(4))

    def _commands(self, client: socket.socket) -> None:
        self.connections += 1
        self.open_connections += 1
        try:
            for command in _received(client):
                response = self._response(command)
                if response is None:
                    return
                client.sendall(struct.pack(">I", len(response)) + response + bytes(4))
        finally:
            self.open_connections -= 1

    def _response(self, command: bytes) -> bytes | None:
        """What to answer; nothing where the connection is to be cut."""
        (code,) = struct.unpack(">I", command[6:10])
        self.commands.append(code)
        waiting = self._harm.get(code)
        what = waiting.pop(0) if waiting else None
        if what is Harm.CUT:
            return None
        if isinstance(what, int):
            response = struct.pack(">HII", 0x8001, 10, what)
        else:
            response = self._asked(command)
        self.traffic += command + response
        if what is Harm.CUT_AFTERWARDS:
            return None
        if what is Harm.SILENCE:
            self._go_on.wait()
        return response

    def _asked(self, command: bytes) -> bytes:
        with (
            self._one_command,
            socket.create_connection(("127.0.0.1", self._swtpm.port)) as tpm,
        ):
            tpm.sendall(command)
            response = _message(tpm)
            # A child that was forked meanwhile has this connection too.
            tpm.shutdown(socket.SHUT_RDWR)
            return response

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class OneAtATime(Relay):
    """As swtpm itself: a connection ends before the next one is served."""

    @property
    def tcti(self) -> str:
        return f"swtpm:host=127.0.0.1,port={self.port}"

    def _start(self, target: object, *arguments: object) -> None:
        if target == self._until_cut:
            target(*arguments)  # type: ignore[operator]
        else:
            super()._start(target, *arguments)

    def _commands(self, client: socket.socket) -> None:
        self.connections += 1
        while True:
            response = self._response(_message(client))
            if response is None:
                return
            client.sendall(response)

    def _platform(self, client: socket.socket) -> None:
        # Its client asks for one thing, a locality: a word and an octet.
        while _read(client, 5):
            client.sendall(bytes(4))


def _message(stream: socket.socket) -> bytes:
    """A whole command or response (TPM 2.0 part 1, section 18)."""
    header = _read(stream, 10)
    (length,) = struct.unpack(">I", header[2:6])
    return header + _read(stream, length - 10)


def _received(client: socket.socket) -> Iterator[bytes]:
    while struct.unpack(">I", _read(client, 4))[0] == _SEND_COMMAND:
        _locality, length = struct.unpack(">BI", _read(client, 5))
        yield _read(client, length)


def _read(stream: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        # The client writes a command in two parts, and waits in between (Nagle).
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        more = stream.recv(length - len(data))
        if not more:
            raise EOFError
        data += more
    return data
