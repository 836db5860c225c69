# /// script
# requires-python = ">=3.11"
# dependencies = ["aioquic"]
# ///
"""aioquic serves QUIC with the key object itself, to its own client."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aioquic.asyncio import connect, serve
from aioquic.quic.configuration import QuicConfiguration

from interop._keys import Key, run
from interop._servers import free_port
from interop._tls import Files, reference_files


def prove(key: Key, tmp: Path) -> None:
    files = reference_files(key, tmp)
    assert asyncio.run(exchange(key, files)) == b"HELLO"


async def exchange(key: Key, files: Files) -> bytes:
    # No reference is needed: aioquic signs with the key that its configuration has.
    server = QuicConfiguration(is_client=False, alpn_protocols=["echo"])
    server.certificate, server.private_key = files.own, key
    port = free_port()
    listener = await serve("127.0.0.1", port, configuration=server, stream_handler=echo)

    client = QuicConfiguration(alpn_protocols=["echo"], server_name="localhost")
    client.load_verify_locations(files.own_certificate)
    async with connect("127.0.0.1", port, configuration=client) as connection:
        reader, writer = await connection.create_stream()
        writer.write(b"hello")
        writer.write_eof()
        received = await asyncio.wait_for(reader.read(), 30)
    listener.close()
    return bytes(received)


tasks: set[asyncio.Task[None]] = set()


def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    tasks.add(asyncio.ensure_future(upper(reader, writer)))


async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.read()).upper())
    writer.write_eof()


if __name__ == "__main__":
    run(prove)
