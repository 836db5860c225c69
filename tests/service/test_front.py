"""Frames on a daemon's socket: each mistake has the status of the Rust service.

The bytes are those of the specification, not of our codec: ``frame`` packs them alone.
"""

from __future__ import annotations

import os
import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsec_keys.psa.status import Status
from tests.daemon import (
    HEADER_LENGTH,
    PING,
    Daemon,
    answers_ping,
    connected,
    exchange,
    read_all,
)
from tests.service.conftest import BODY_LIMIT, BUFFER_LIMIT

HEADER = struct.Struct("<IHBBHBQBBBIHIHBB")
UID = struct.pack("<I", os.geteuid())
GENERATE, SIGN, LIST_OPCODES, RANDOM, LIST_KEYS = 0x02, 0x04, 0x09, 0x0D, 0x1A
LIST_CLIENTS, DELETE_CLIENT = 0x1B, 0x1C
P256 = bytes.fromhex(
    "0a027465121f0a045a0208021080021a140a0830013801400148011208320622040a021007"
)
UNUSABLE = bytes.fromhex("0a0178")  # A name, and no attributes.
GARBAGE = b"\xff"


def frame(
    opcode: int = 1,
    body: bytes = b"",
    auth: bytes = b"",
    *,
    magic: int = 0x5EC0A710,
    size: int = 30,
    version: tuple[int, int] = (1, 0),
    flags: int = 0,
    provider: int = 0,
    session: int = 0,
    content: int = 0,
    accept: int = 0,
    authenticator: int = 0,
    body_length: int | None = None,
    status: int = 0,
    reserved: tuple[int, int] = (0, 0),
) -> bytes:
    length = len(body) if body_length is None else body_length
    header = HEADER.pack(
        *(magic, size, *version, flags, provider, session, content, accept),
        *(authenticator, length, len(auth), opcode, status, *reserved),
    )
    return header + body + auth


def generate(body: bytes = P256, **fields: object) -> bytes:
    return frame(GENERATE, body, UID, provider=1, authenticator=3, **fields)  # type: ignore[arg-type]


def signing(key_name: str) -> bytes:
    """A body that asks for an ECDSA signature with SHA-256."""
    name = key_name.encode()
    asked = bytes.fromhex("120622040a0210071a20") + bytes(32)
    return b"\x0a" + bytes([len(name)]) + name + asked


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    octets = bytearray()
    while number > 127:
        octets.append(number & 127 | 128)
        number >>= 7
    return bytes(octets) + bytes([number])


def status_of(answer: bytes) -> Status:
    assert len(answer) >= HEADER_LENGTH
    return Status(HEADER.unpack(answer[:HEADER_LENGTH])[13])


NOT_UNDERSTOOD = {
    "magic": (frame(magic=1), Status.INVALID_HEADER),
    "magic-before-size": (frame(magic=1, size=7), Status.INVALID_HEADER),
    "a-shorter-header": (frame(size=29), Status.INVALID_HEADER),
    "a-longer-header": (frame(size=31) + b"\0", Status.INVALID_HEADER),
    "a-longer-header-that-does-not-come": (frame(size=31), Status.CONNECTION_ERROR),
    "version": (frame(version=(1, 1)), Status.WIRE_PROTOCOL_VERSION_NOT_SUPPORTED),
    "version-before-reserved": (
        frame(version=(2, 0), reserved=(1, 0)),
        Status.WIRE_PROTOCOL_VERSION_NOT_SUPPORTED,
    ),
    "reserved": (frame(reserved=(0, 1)), Status.INVALID_HEADER),
    "reserved-before-body-length": (
        frame(reserved=(1, 0), body_length=1 << 31),
        Status.INVALID_HEADER,
    ),
    "body-length": (
        frame(body_length=BODY_LIMIT + 1),
        Status.BODY_SIZE_EXCEEDS_LIMIT,
    ),
    "body-length-before-content": (
        frame(body_length=0xFFFFFFFF, content=1),
        Status.BODY_SIZE_EXCEEDS_LIMIT,
    ),
    "half-a-body": (frame(body_length=1), Status.CONNECTION_ERROR),
    "half-a-body-before-content": (
        frame(body_length=1, content=1),
        Status.CONNECTION_ERROR,
    ),
    "half-an-auth": (frame(auth=UID)[:-1], Status.CONNECTION_ERROR),
    "half-a-header": (frame()[:20], Status.CONNECTION_ERROR),
    "nothing": (b"", Status.CONNECTION_ERROR),
    "content": (frame(content=1), Status.CONTENT_TYPE_NOT_SUPPORTED),
    "content-before-accept": (
        frame(content=1, accept=1),
        Status.CONTENT_TYPE_NOT_SUPPORTED,
    ),
    "accept": (frame(accept=1), Status.ACCEPT_TYPE_NOT_SUPPORTED),
    "accept-before-authenticator": (
        frame(accept=1, authenticator=5),
        Status.ACCEPT_TYPE_NOT_SUPPORTED,
    ),
    "authenticator": (frame(authenticator=5), Status.AUTHENTICATOR_DOES_NOT_EXIST),
    "authenticator-before-opcode": (
        frame(0, authenticator=5),
        Status.AUTHENTICATOR_DOES_NOT_EXIST,
    ),
    **{
        f"opcode-{number:#x}": (frame(number), Status.OPCODE_DOES_NOT_EXIST)
        for number in (0, 0x1D, 0x21, 0xFFFFFFFF)
    },
    "opcode-before-provider": (
        frame(0, provider=6),
        Status.OPCODE_DOES_NOT_EXIST,
    ),
    "provider": (frame(provider=6), Status.PROVIDER_DOES_NOT_EXIST),
    "provider-before-authentication": (
        frame(provider=255, authenticator=3),
        Status.PROVIDER_DOES_NOT_EXIST,
    ),
}
"""What is no request: the answer's header is that of a ping to the core provider."""

UNDERSTOOD = {
    "authenticator-not-here": (
        frame(authenticator=1, auth=b"name"),
        Status.AUTHENTICATOR_NOT_REGISTERED,
    ),
    "jwt": (frame(authenticator=2), Status.AUTHENTICATOR_NOT_REGISTERED),
    "no-uid": (frame(authenticator=3), Status.AUTHENTICATION_ERROR),
    "half-a-uid": (frame(authenticator=3, auth=UID[:3]), Status.AUTHENTICATION_ERROR),
    "another-uid": (
        frame(authenticator=3, auth=b"\x39\x30\0\0"),
        Status.AUTHENTICATION_ERROR,
    ),
    "authentication-before-provider": (
        frame(GENERATE, provider=4, authenticator=3),
        Status.AUTHENTICATION_ERROR,
    ),
    "provider-not-here": (
        frame(GENERATE, P256, UID, provider=4, authenticator=3),
        Status.PROVIDER_NOT_REGISTERED,
    ),
    "provider-before-target": (frame(provider=3), Status.PROVIDER_NOT_REGISTERED),
    "core-opcode-to-a-provider": (frame(provider=1), Status.PSA_ERROR_NOT_SUPPORTED),
    "opcode-to-core": (
        frame(GENERATE, GARBAGE, UID, authenticator=3),
        Status.PSA_ERROR_NOT_SUPPORTED,
    ),
    "admin-opcode-to-a-provider": (
        frame(LIST_CLIENTS, provider=1),
        Status.PSA_ERROR_NOT_SUPPORTED,
    ),
    "admin-without-auth": (frame(LIST_CLIENTS, GARBAGE), Status.NOT_AUTHENTICATED),
    "not-an-admin": (
        frame(DELETE_CLIENT, GARBAGE, UID, authenticator=3),
        Status.ADMIN_OPERATION,
    ),
    "garbage-before-auth": (
        frame(GENERATE, GARBAGE, provider=1),
        Status.DESERIALIZING_BODY_FAILED,
    ),
    "garbage-to-ping": (frame(body=GARBAGE), Status.DESERIALIZING_BODY_FAILED),
    "unusable-before-auth": (
        frame(GENERATE, UNUSABLE, provider=1),
        Status.INVALID_ENCODING,
    ),
    "unusable": (generate(UNUSABLE), Status.INVALID_ENCODING),
    "without-auth": (frame(GENERATE, P256, provider=1), Status.NOT_AUTHENTICATED),
    "auth-bytes-without-auth": (
        frame(GENERATE, P256, b"12345", provider=1),
        Status.NOT_AUTHENTICATED,
    ),
    "list-keys-without-auth": (frame(LIST_KEYS), Status.NOT_AUTHENTICATED),
    "no-such-key": (
        frame(SIGN, signing("absent"), UID, provider=1, authenticator=3),
        Status.PSA_ERROR_DOES_NOT_EXIST,
    ),
    "opcodes-of-no-provider": (
        frame(LIST_OPCODES, b"\x08\x81\x02"),
        Status.PROVIDER_DOES_NOT_EXIST,
    ),
    "opcodes-of-a-provider-not-here": (
        frame(LIST_OPCODES, b"\x08\x03"),
        Status.PROVIDER_NOT_REGISTERED,
    ),
    "too-much-random": (
        frame(RANDOM, b"\x08" + varint(BUFFER_LIMIT + 1), provider=1),
        Status.RESPONSE_TOO_LARGE,
    ),
    "all-random-there-is": (
        frame(RANDOM, b"\x08" + varint(2**64 - 1), provider=1),
        Status.RESPONSE_TOO_LARGE,
    ),
}
"""Requests: the answer's header repeats provider, session and opcode."""


@pytest.mark.parametrize("case", NOT_UNDERSTOOD)
def test_what_is_no_request(daemon: Daemon, case: str) -> None:
    sent, status = NOT_UNDERSTOOD[case]
    with connected(daemon.socket) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)

    assert answer == frame(status=status)


@pytest.mark.parametrize("case", UNDERSTOOD)
def test_a_request_that_is_refused(daemon: Daemon, case: str) -> None:
    sent, status = UNDERSTOOD[case]
    fields = HEADER.unpack(sent[:HEADER_LENGTH])

    answer = exchange(daemon.socket, sent)

    expected = frame(fields[12], provider=fields[5], session=fields[6], status=status)
    assert answer == expected


GOLDEN = {
    PING.hex(): (
        "10a7c05e1e000100000000000000000000000000000002000000000001000000000000000801"
    ),
    # PsaHashCompute of "abc", SHA-256, without authentication.
    "10a7c05e1e00010000000100000000000000000000000700000000000f0000000000000008071203"
    "616263": (
        "10a7c05e1e00010000000100000000000000000000002200000000000f00000000000000"
        "0a20ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    ),
    # PsaSignHash of a key that is not there.
    frame(SIGN, signing("x"), UID, provider=1, authenticator=3).hex(): (
        "10a7c05e1e00010000000100000000000000000000000000000000000400000074040000"
    ),
    frame(0).hex(): (
        "10a7c05e1e00010000000000000000000000000000000000000000000100000009000000"
    ),
}
"""Requests and responses as they were recorded from the Rust service."""


@pytest.mark.parametrize("request_", GOLDEN)
def test_golden_vectors(daemon: Daemon, request_: str) -> None:
    answer = exchange(daemon.socket, bytes.fromhex(request_))

    assert answer.hex() == GOLDEN[request_]


def test_golden_random(daemon: Daemon) -> None:
    sent = bytes.fromhex(
        "10a7c05e1e00010000000100000000000000000000030200000004000d000000000000000808"
    )

    answer = exchange(daemon.socket, sent + UID)

    assert answer[HEADER_LENGTH : HEADER_LENGTH + 2] == b"\x0a\x08"
    assert len(answer) == HEADER_LENGTH + 2 + 8


def test_golden_opcodes(daemon: Daemon) -> None:
    sent = bytes.fromhex(
        "10a7c05e1e000100000000000000000000000000000002000000000009000000000000000801"
    )

    answer = exchange(daemon.socket, sent)

    opcodes = answer[HEADER_LENGTH + 2 :]
    assert answer[HEADER_LENGTH] == 0x0A
    assert answer[HEADER_LENGTH + 1] == len(opcodes)
    # What the Rust clients know, and refuse the whole answer for anything else.
    assert set(opcodes) <= set(range(2, 33)) - {8, 9, 14, 22, 23, 26, 27, 28, 29}
    assert {2, 3, 4, 6, 7, 11, 12, 13, 32} <= set(opcodes)


def test_flags_session_and_status_are_of_no_account(daemon: Daemon) -> None:
    sent = frame(flags=0xFFFF, session=0x0123456789ABCDEF, status=1134)

    answer = exchange(daemon.socket, sent)

    assert answer == frame(body=b"\x08\x01", session=0x0123456789ABCDEF)


def test_a_body_of_exactly_the_limit(daemon: Daemon) -> None:
    # A field that nobody knows makes up the length.
    filling = BODY_LIMIT - 5
    body = b"\xfa\x01" + varint(filling) + bytes(filling)
    assert len(body) == BODY_LIMIT

    assert status_of(exchange(daemon.socket, frame(body=body))) is Status.SUCCESS
    longer = frame(body=body + b"\x08\x01")
    assert status_of(exchange(daemon.socket, longer)) is Status.BODY_SIZE_EXCEEDS_LIMIT


def test_a_body_over_the_limit_is_refused_before_it_comes(daemon: Daemon) -> None:
    with connected(daemon.socket) as connection:
        connection.sendall(frame(body_length=BODY_LIMIT + 1))  # And no byte of it.

        assert status_of(read_all(connection)) is Status.BODY_SIZE_EXCEEDS_LIMIT


def test_the_longest_auth_is_read(daemon: Daemon) -> None:
    sent = frame(auth=bytes(0xFFFF), authenticator=3)

    assert status_of(exchange(daemon.socket, sent)) is Status.AUTHENTICATION_ERROR


def test_one_request_a_connection(daemon: Daemon) -> None:
    assert exchange(daemon.socket, PING + PING) == exchange(daemon.socket, PING)


def test_a_request_that_comes_byte_by_byte(daemon: Daemon) -> None:
    with connected(daemon.socket) as connection:
        for number in PING:
            connection.sendall(bytes([number]))

        assert read_all(connection) == exchange(daemon.socket, PING)


def test_an_answer_to_who_sends_no_more(daemon: Daemon) -> None:
    with connected(daemon.socket) as connection:
        connection.sendall(generate(P256.replace(b"te", b"ts")))
        connection.shutdown(socket.SHUT_WR)

        assert status_of(read_all(connection)) is Status.SUCCESS


STATUSES = {int(status) for status in Status}


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda base, at, changed: base[:at] + changed + base[at + len(changed) :],
            st.sampled_from([PING, generate(), frame(LIST_KEYS, authenticator=3)]),
            st.integers(0, 80),
            st.binary(max_size=8),
        ),
    )
)
def test_any_bytes_get_a_status(daemon: Daemon, sent: bytes) -> None:
    with connected(daemon.socket) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)

    header = HEADER.unpack(answer[:HEADER_LENGTH])
    assert header[0] == 0x5EC0A710
    assert header[13] in STATUSES
    assert len(answer) == HEADER_LENGTH + header[10]


@settings(max_examples=150, deadline=None)
@given(
    opcode=st.sampled_from([*range(1, 0x16), *range(0x18, 0x1D), 0x1E, 0x1F, 0x20]),
    body=st.one_of(
        st.binary(max_size=100),
        st.builds(
            lambda at, changed: P256[:at] + changed + P256[at + len(changed) :],
            st.integers(0, len(P256)),
            st.binary(max_size=3),
        ),
    ),
)
def test_any_body_gets_a_status(daemon: Daemon, opcode: int, body: bytes) -> None:
    for provider in (0, 1):
        sent = frame(opcode, body, UID, provider=provider, authenticator=3)
        assert status_of(exchange(daemon.socket, sent)) in STATUSES
    assert answers_ping(daemon.socket)
