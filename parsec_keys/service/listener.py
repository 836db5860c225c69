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

    async def start(self, listening: socket.socket) -> None:
        """Begin to accept on a bound socket."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: _Connection(self), sock=listening, backlog=BACKLOG
        )

    def replace(self, front: Front) -> Shift:
        """Let another front end answer from now on; the shift that ends with it."""
        old, self._shift = self._shift, Shift(front)
        return old

    async def stop(self) -> None:
        """Accept no more, and answer what is whole."""
        if self._server is not None:
            self._server.close()
        await self._shift.finished()

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
        self._deadline = asyncio.get_running_loop().call_later(
            self._listener.timeout, self._too_late
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
        if self._reader is not None:
            self._answer(Response(Status.CONNECTION_ERROR))
        return True  # A client may close its half and still read the answer.

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_clock()
        self._transport = None
        self._reader = None

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

    def _too_late(self) -> None:
        self._answer(Response(Status.CONNECTION_ERROR))

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _peer_uid(transport: asyncio.Transport) -> int:
    peer = transport.get_extra_info("socket")
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return int(_PEER.unpack(credentials)[1])
