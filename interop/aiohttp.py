# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp"]
# ///
"""aiohttp is client and server of mutual TLS with a key reference."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp
from aiohttp import web

from interop._keys import Key, run
from interop._tls import Files, context, https_server, reference_files, visit


def prove(key: Key, tmp: Path) -> None:
    files = reference_files(key, tmp)
    with https_server(files) as url:
        assert asyncio.run(get(url, files)) == files.fingerprint
    assert asyncio.run(serve(files)) == "hello"


async def get(url: str, files: Files) -> str:
    connector = aiohttp.TCPConnector(ssl=context(files, ssl.Purpose.SERVER_AUTH))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url) as response,
    ):
        text: str = await response.text()
        return text


async def serve(files: Files) -> str:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    application = web.Application()
    application.router.add_get("/", hello)
    server_context = context(files, ssl.Purpose.CLIENT_AUTH)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context).start()
    try:
        return await asyncio.to_thread(visit, files, runner.addresses[0][1])
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    run(prove)
