"""The daemon's socket: whole frames in, responses out, one request a connection.

A connection costs memory only: no worker sees a request before its last byte is here.
What is here already when a connection is accepted is read at once, and a worker sends
its answer itself: a usual request never waits for its turn in the event loop again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from parsec_keys.psa.status import Status
from parsec_keys.service.front import Front
from parsec_keys.service.wire.frames import (
    FrameError,
    Request,
    RequestReader,
    Response,
)

logger = logging.getLogger(__name__)

BACKLOG: Final = 1024
_ACCEPTED_AT_ONCE: Final = 64
_READ_AT_ONCE: Final = 1 << 16
_PAUSE_SECONDS: Final = 0.1
_PEER: Final = struct.Struct("iII")  # struct ucred: pid, uid, gid.


class Shift:
    """One front end and the requests that it is answering. Safe from any thread."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._running = 0
        self._idle: asyncio.Event | None = None

    def begin(self) -> None:
        """A worker takes a request."""
        with self._lock:
            self._running += 1

    def end(self) -> None:
        """A worker has sent its answer."""
        with self._lock:
            self._running -= 1
            if self._running == 0 and self._idle is not None:
                self._loop.call_soon_threadsafe(self._idle.set)

    async def finished(self) -> None:
        """Wait until every request that was whole has its answer."""
        with self._lock:
            if self._running == 0:
                return
            self._idle = asyncio.Event()
        await self._idle.wait()


class Listener:
    """Serves one socket. All methods are the event loop's thread's."""

    def __init__(
        self, front: Front, workers: ThreadPoolExecutor, timeout: float, body_limit: int
    ) -> None:
        """Args:
        timeout: seconds for a request to come, and for its response to go.
        body_limit: bytes of a request's body.
        """
        self.timeout = timeout
        self.body_limit = body_limit
        self.loop = asyncio.get_running_loop()
        self._shift = Shift(front)
        self._workers = workers
        self._listening: socket.socket | None = None
        self._waiting: set[_Connection] = set()
        self._nobody_waits = asyncio.Event()

    def start(self, listening: socket.socket) -> None:
        """Begin to accept on a bound socket, whose file stays its maker's."""
        listening.setblocking(False)
        listening.listen(BACKLOG)
        self._listening = listening
        self.loop.add_reader(listening, self._accept)

    def replace(self, front: Front) -> Shift:
        """Let another front end answer from now on; the shift that ends with it."""
        old, self._shift = self._shift, Shift(front)
        return old

    async def stop(self) -> None:
        """Accept no more, answer what is whole, and see the answers off."""
        listening, self._listening = self._listening, None
        if listening is not None:
            self.loop.remove_reader(listening)
            while self._let_in(listening):
                pass
            listening.close()
        for connection in list(self._waiting):
            connection.give_up()
        await self._shift.finished()
        await asyncio.sleep(0)  # Until the loop has what the workers left to it.
        if self._waiting:
            await self._nobody_waits.wait()

    def waits(self, connection: _Connection) -> None:
        """The event loop has a connection, to read from it or to write to it."""
        self._waiting.add(connection)
        self._nobody_waits.clear()

    def waits_no_more(self, connection: _Connection) -> None:
        """It has it no longer."""
        self._waiting.discard(connection)
        if not self._waiting:
            self._nobody_waits.set()

    def work(self, request: Request, connection: _Connection) -> None:
        """Answer a request, by a worker where that may take long."""
        shift = self._shift
        if shift.front.is_quick(request):
            connection.answer(shift.front.respond(request, connection.peer_uid))
            return
        shift.begin()
        self._workers.submit(_answer, shift, request, connection)

    def _accept(self) -> None:
        # A crowd is let in by groups: who is in already has a turn between two of them.
        for _ in range(_ACCEPTED_AT_ONCE):
            if self._listening is None or not self._let_in(self._listening):
                return

    def _let_in(self, listening: socket.socket) -> bool:
        """Accept whoever is next, and read what came along."""
        try:
            peer, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as e:
            self._pause(listening, e)
            return False
        peer.setblocking(False)
        _Connection(self, peer).receive()
        return True

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """Out of descriptors or memory: those who wait are let in a little later."""
        logger.error("no connection can be accepted now: %s", error)
        self.loop.remove_reader(listening)
        self.loop.call_later(_PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        if self._listening is not None:
            self.loop.add_reader(self._listening, self._accept)


def _answer(shift: Shift, request: Request, connection: _Connection) -> None:
    """What a worker does."""
    try:
        connection.answer(shift.front.respond(request, connection.peer_uid))
    finally:
        shift.end()


class _Connection:
    """Reads one request, writes one response, closes.

    The event loop's until its request is whole, then a worker's until its answer is
    sent or the client does not read it: the rest is the event loop's again.
    """

    __slots__ = ("_deadline", "_listener", "_reader", "_rest", "_socket")

    def __init__(self, listener: Listener, peer: socket.socket) -> None:
        self._listener = listener
        self._socket = peer
        self._reader = RequestReader(listener.body_limit)
        self._rest = memoryview(b"")
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def peer_uid(self) -> int:
        """The user at the other end, as the kernel says."""
        credentials = self._socket.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size
        )
        return int(_PEER.unpack(credentials)[1])

    def receive(self) -> None:
        """Read what is here; what is not, when it comes."""
        request = None
        try:
            while request is None:
                data = self._socket.recv(_READ_AT_ONCE)
                if not data:
                    # Who closes its half only can still read the answer.
                    self._refuse(Status.CONNECTION_ERROR)
                    return
                request = self._reader.feed(data)
        except BlockingIOError:
            if self._deadline is None:
                self._wait(self._listener.loop.add_reader, self.receive, self._expire)
            return
        except FrameError as e:
            self._refuse(e.status)
            return
        except OSError:  # The client went away.
            self._close()
            return
        self._forget()
        self._listener.work(request, self)

    def give_up(self) -> None:
        """Read what is here, and wait no longer for what is not."""
        if self._rest:
            return  # It is the answer that waits.
        self.receive()
        if self._deadline is not None and not self._rest:
            self._expire()

    def answer(self, response: Response) -> None:
        """Send as much as the client takes at once. Safe from any thread."""
        data = response.encode()
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = len(data)  # The client went away.
        if sent == len(data):
            self._socket.close()
            return
        self._rest = memoryview(data)[sent:]
        self._listener.loop.call_soon_threadsafe(self._wait_to_send)

    def _refuse(self, status: Status) -> None:
        self._forget()
        self.answer(Response(status))

    def _expire(self) -> None:
        self._refuse(Status.CONNECTION_ERROR)

    def _wait_to_send(self) -> None:
        self._wait(self._listener.loop.add_writer, self._send_rest, self._close)

    def _wait(
        self,
        add: Callable[[socket.socket, Callable[[], None]], None],
        ready: Callable[[], None],
        too_late: Callable[[], None],
    ) -> None:
        """Let the event loop wait for the client, and not for ever."""
        self._listener.waits(self)
        add(self._socket, ready)
        self._deadline = self._listener.loop.call_later(
            self._listener.timeout, too_late
        )

    def _send_rest(self) -> None:
        try:
            self._rest = self._rest[self._socket.send(self._rest) :]
        except BlockingIOError:
            return
        except OSError:  # The client went away.
            self._close()
            return
        if not self._rest:
            self._close()

    def _close(self) -> None:
        self._forget()
        self._socket.close()

    def _forget(self) -> None:
        """Let the event loop forget this connection."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self._listener.loop.remove_reader(self._socket)
            self._listener.loop.remove_writer(self._socket)
            self._listener.waits_no_more(self)
