"""The daemon's socket: whole frames in, responses out, one request a connection.

A connection costs memory only: no worker sees a request before its last byte is here.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, cast

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
_ROUNDS_TO_READ: Final = 4
"""How often the loop turns until what is in the sockets has been read."""
_PEER: Final = struct.Struct("iII")  # struct ucred: pid, uid, gid.


class Shift:
    """One front end and the requests that it is answering."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self) -> None:
        """A worker takes a request."""
        self._running += 1
        self._idle.clear()

    def end(self) -> None:
        """A worker has its answer."""
        self._running -= 1
        if self._running == 0:
            self._idle.set()

    async def finished(self) -> None:
        """Wait until every request that was whole has its answer."""
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
        self._shift = Shift(front)
        self._workers = workers
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._all_closed = asyncio.Event()

    async def start(self, listening: socket.socket) -> None:
        """Begin to accept on a bound socket, whose file stays its maker's."""
        loop = asyncio.get_running_loop()
        # Not create_unix_server: since Python 3.13 that one removes the file, which
        # may be a service manager's.
        self._server = await loop.create_server(
            lambda: _Connection(self), sock=listening, backlog=BACKLOG
        )

    def replace(self, front: Front) -> Shift:
        """Let another front end answer from now on; the shift that ends with it."""
        old, self._shift = self._shift, Shift(front)
        return old

    async def stop(self) -> None:
        """Accept no more, answer what is whole, and see the answers off."""
        if self._server is not None:
            self._server.close()
        for _ in range(_ROUNDS_TO_READ):
            await asyncio.sleep(0)
        for connection in list(self._connections):
            connection.give_up()
        await self._shift.finished()
        if self._connections:
            await self._all_closed.wait()

    def opened(self, connection: _Connection) -> None:
        """A client came."""
        self._connections.add(connection)
        self._all_closed.clear()

    def closed(self, connection: _Connection) -> None:
        """A client is gone, and has its answer or does not want it."""
        self._connections.discard(connection)
        if not self._connections:
            self._all_closed.set()

    def work(
        self, request: Request, peer_uid: int, done: Callable[[Response], None]
    ) -> None:
        """Answer a request, by a worker where that may take long."""
        shift = self._shift
        if shift.front.is_quick(request):
            done(shift.front.respond(request, peer_uid))
            return
        shift.begin()
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(
            self._workers, shift.front.respond, request, peer_uid
        )

        def finish(answered: asyncio.Future[Response]) -> None:
            shift.end()
            done(answered.result())

        future.add_done_callback(finish)


class _Connection(asyncio.Protocol):
    """Reads one request, writes one response, closes."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._reader: RequestReader | None = RequestReader(listener.body_limit)
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._listener.opened(self)
        self._deadline = asyncio.get_running_loop().call_later(
            self._listener.timeout, self.give_up
        )

    def data_received(self, data: bytes) -> None:
        if self._reader is None or self._transport is None:
            return  # A connection carries one request: what follows is ignored.
        try:
            request = self._reader.feed(data)
        except FrameError as e:
            self._answer(Response(e.status))
            return
        if request is None:
            return
        self._reader = None
        self._stop_clock()
        self._transport.pause_reading()
        self._listener.work(request, _peer_uid(self._transport), self._answer)

    def eof_received(self) -> bool:
        self.give_up()
        return True  # A client may close its half and still read the answer.

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_clock()
        self._transport = None
        self._reader = None
        self._listener.closed(self)

    def give_up(self) -> None:
        """Wait no longer for a request that is not whole."""
        if self._reader is not None:
            self._answer(Response(Status.CONNECTION_ERROR))

    def _answer(self, response: Response) -> None:
        self._reader = None
        self._stop_clock()
        if self._transport is None or self._transport.is_closing():
            return  # The client went away.
        self._transport.write(response.encode())
        self._transport.close()
        if self._transport.get_write_buffer_size():
            # A client that does not read holds its answer only so long.
            self._deadline = asyncio.get_running_loop().call_later(
                self._listener.timeout, self._transport.abort
            )

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _peer_uid(transport: asyncio.Transport) -> int:
    peer = transport.get_extra_info("socket")
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return int(_PEER.unpack(credentials)[1])
