"""Frames of Parsec's wire protocol: a header of 36 bytes, a body, an authentication.

Sans-I/O: a reader is fed bytes as they come and says when a frame is whole. The checks
of a request come in the order in which the Rust service makes them, so that a client
sees the same status for the same mistake.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from parsec_keys.errors import ProtocolError
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.status import Status

MAGIC: Final = 0x5EC0A710
VERSION: Final = (1, 0)
CORE_PROVIDER: Final = 0
_PROTOBUF: Final = 0
_HIGHEST_PROVIDER: Final = 5
_HIGHEST_AUTHENTICATOR: Final = 4
# magic, size, version, flags, provider, session, content, accept, auth type,
# body length, auth length, opcode, status, reserved.
_HEADER: Final = struct.Struct("<IHBBHBQBBBIHIHBB")
_START: Final = struct.Struct("<IH")
HEADER_LENGTH: Final = _HEADER.size
_REST_LENGTH: Final = _HEADER.size - _START.size
MAC_OPCODES: Final = frozenset({Opcode.PSA_MAC_COMPUTE, Opcode.PSA_MAC_VERIFY})
"""Reserved in the specification and unknown to the Rust clients: never listed."""


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request. ``provider`` and ``authenticator`` are Parsec's numbers."""

    opcode: Opcode
    body: bytes = field(repr=False)
    provider: int = CORE_PROVIDER
    authenticator: int = 0
    auth: bytes = field(default=b"", repr=False)
    session: int = 0

    def encode(self) -> bytes:
        """The bytes on the wire."""
        header = _HEADER.pack(
            *(MAGIC, _REST_LENGTH, *VERSION, 0, self.provider, self.session),
            *(_PROTOBUF, _PROTOBUF, self.authenticator),
            *(len(self.body), len(self.auth), self.opcode, 0, 0, 0),
        )
        return header + self.body + self.auth


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response; the defaults are those of a request that was not understood."""

    status: Status
    body: bytes = field(default=b"", repr=False)
    opcode: Opcode = Opcode.PING
    provider: int = CORE_PROVIDER
    session: int = 0

    def encode(self) -> bytes:
        """The bytes on the wire."""
        header = _HEADER.pack(
            *(MAGIC, _REST_LENGTH, *VERSION, 0, self.provider, self.session),
            *(_PROTOBUF, _PROTOBUF, 0),
            *(len(self.body), 0, self.opcode, self.status, 0, 0),
        )
        return header + self.body


def answer(request: Request, status: Status, body: bytes = b"") -> Response:
    """The response to a request that was understood."""
    return Response(status, body, request.opcode, request.provider, request.session)


class FrameError(Exception):
    """These bytes are no request; ``status`` is the answer."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.name)
        self.status = status


class RequestReader:
    """Collects the bytes of one request. ``body_limit`` is in bytes."""

    def __init__(self, body_limit: int) -> None:
        self._body_limit = body_limit
        self._bytes = bytearray()
        self._fields: tuple[int, ...] | None = None

    def feed(self, data: bytes) -> Request | None:
        """Take bytes; the request, once it is whole.

        What follows the request is ignored: a connection carries one.

        Raises:
            FrameError: it is none. A body over the limit is refused before it comes.
        """
        self._bytes += data
        if self._fields is None:
            self._fields = self._header()
            if self._fields is None:
                return None
        body_end = HEADER_LENGTH + self._fields[10]
        end = body_end + self._fields[11]
        if len(self._bytes) < end:
            return None
        body = bytes(self._bytes[HEADER_LENGTH:body_end])
        return _request(self._fields, body, bytes(self._bytes[body_end:end]))

    def _header(self) -> tuple[int, ...] | None:
        if len(self._bytes) < _START.size:
            return None
        magic, rest = _START.unpack_from(self._bytes)
        if magic != MAGIC:
            raise FrameError(Status.INVALID_HEADER)
        if len(self._bytes) < _START.size + rest:
            return None
        if rest != _REST_LENGTH:
            raise FrameError(Status.INVALID_HEADER)
        fields: tuple[int, ...] = _HEADER.unpack_from(self._bytes)
        if fields[2:4] != VERSION:
            raise FrameError(Status.WIRE_PROTOCOL_VERSION_NOT_SUPPORTED)
        if fields[14:16] != (0, 0):
            raise FrameError(Status.INVALID_HEADER)
        if fields[10] > self._body_limit:
            raise FrameError(Status.BODY_SIZE_EXCEEDS_LIMIT)
        return fields


def _request(fields: tuple[int, ...], body: bytes, auth: bytes) -> Request:
    _, _, _, _, _, provider, session, content, accept, authenticator = fields[:10]
    if content != _PROTOBUF:
        raise FrameError(Status.CONTENT_TYPE_NOT_SUPPORTED)
    if accept != _PROTOBUF:
        raise FrameError(Status.ACCEPT_TYPE_NOT_SUPPORTED)
    if authenticator > _HIGHEST_AUTHENTICATOR:
        raise FrameError(Status.AUTHENTICATOR_DOES_NOT_EXIST)
    try:
        opcode = Opcode(fields[12])
    except ValueError:
        raise FrameError(Status.OPCODE_DOES_NOT_EXIST) from None
    if provider > _HIGHEST_PROVIDER:
        raise FrameError(Status.PROVIDER_DOES_NOT_EXIST)
    return Request(opcode, body, provider, authenticator, auth, session)


@dataclass(frozen=True, slots=True)
class ResponseHeader:
    """What the first 36 bytes of a response say; ``body_length`` is in bytes."""

    status: Status
    opcode: int
    body_length: int


def response_header(data: bytes) -> ResponseHeader:
    """The header of a response, from exactly its 36 bytes.

    Raises:
        ProtocolError: these are no response of this protocol.
    """
    fields = _HEADER.unpack(data)
    if fields[0] != MAGIC or fields[1] != _REST_LENGTH:
        raise ProtocolError("the service does not answer with Parsec's wire protocol")
    if fields[2:4] != VERSION:
        major, minor = fields[2:4]
        raise ProtocolError(
            f"the service answers with wire protocol {major}.{minor}, not 1.0"
        )
    if fields[7] != _PROTOBUF:
        raise ProtocolError("the service answers with another encoding than protobuf")
    try:
        status = Status(fields[13])
    except ValueError:
        raise ProtocolError(
            f"the service answered with status {fields[13]}, which Parsec does not have"
        ) from None
    return ResponseHeader(status, fields[12], fields[10])
