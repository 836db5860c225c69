# /// script
# requires-python = ">=3.11"
# dependencies = ["cryptography"]
# [tool.parsec-keys]
# library = "python"
# ///
"""asyncio's streams are client and server of mutual TLS with a key reference."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from interop._keys import Key, run
from interop._tls import Files, context, https_server, reference_files, visit


def prove(key: Key, tmp: Path) -> None:
    files = reference_files(key, tmp)
    with https_server(files) as url:
        answer = asyncio.run(get(urlsplit(url).port, files))
        assert answer.endswith(f"\r\n\r\n{files.fingerprint}")
    assert asyncio.run(serve(files)) == "hello"


async def get(port: int | None, files: Files) -> str:
    ours = context(files, ssl.Purpose.SERVER_AUTH)
    reader, writer = await asyncio.open_connection("localhost", port, ssl=ours)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def serve(files: Files) -> str:
    ours = context(files, ssl.Purpose.CLIENT_AUTH)
    async with await asyncio.start_server(hello, "127.0.0.1", 0, ssl=ours) as server:
        port = server.sockets[0].getsockname()[1]
        return await asyncio.to_thread(visit, files, port)


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    await writer.drain()
    writer.close()


if __name__ == "__main__":
    run(prove)
