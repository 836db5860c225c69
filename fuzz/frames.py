"""Frames: any bytes, in any pieces, are a request, a refusal, or not yet whole.

What a reader took for a request is encoded to the bytes that it read.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["parsec_keys.service.wire.frames"]):
    from parsec_keys.service.wire import frames

from parsec_keys.errors import ProtocolError
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.status import Status

BODY_LIMIT = 1000
_LOOSE = (8, 9, 32, 33)
"""The bytes of a header that a service reads and ignores: flags and status."""
SEEDS = (
    frames.Request(Opcode.PING, b"").encode(),
    frames.Request(Opcode.PSA_SIGN_HASH, b"\x0a\x01k", 1, 3, bytes(4)).encode(),
    frames.Response(Status.SUCCESS, b"\x08\x01").encode(),
)


def one_input(data: bytes) -> None:
    """Read a request whole and in two pieces, and its start as a response's header."""
    whole = _read(data)
    middle = data[-1] % len(data) if data else 0
    assert whole == _read(data[:middle], data[middle:])
    if isinstance(whole, frames.Request):
        encoded = bytearray(whole.encode())
        for index in _LOOSE:
            encoded[index] = data[index]
        assert bytes(encoded) == data[: len(encoded)]
    if len(data) >= frames.HEADER_LENGTH:
        try:
            frames.response_header(data[: frames.HEADER_LENGTH])
        except ProtocolError:
            return


def _read(*pieces: bytes) -> frames.Request | Status | None:
    reader = frames.RequestReader(BODY_LIMIT)
    for piece in pieces:
        try:
            request = reader.feed(piece)
        except frames.FrameError as e:
            return e.status
        if request is not None:
            return request
    return None


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """A valid frame with changes, or arbitrary bytes."""
    if seed % 3 == 0:
        data = SEEDS[seed % len(SEEDS)]
    return bytes(atheris.Mutate(data, max_size))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input, custom_mutator=lambda *a: mutated(*a))
    atheris.Fuzz()
