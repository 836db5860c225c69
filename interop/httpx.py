# /// script
# requires-python = ">=3.11"
# dependencies = ["httpx"]
# ///
"""httpx talks mutual TLS with a key reference, blocking and asynchronous."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import httpx

from interop._keys import Key, run
from interop._tls import context, https_server, reference_files


def prove(key: Key, tmp: Path) -> None:
    files = reference_files(key, tmp)
    client_context = context(files, ssl.Purpose.SERVER_AUTH)
    with https_server(files) as url:
        with httpx.Client(verify=client_context, trust_env=False) as client:
            assert client.get(url).text == files.fingerprint
        assert asyncio.run(text_of(url, client_context)) == files.fingerprint


async def text_of(url: str, client_context: ssl.SSLContext) -> str:
    async with httpx.AsyncClient(verify=client_context, trust_env=False) as client:
        text: str = (await client.get(url)).text
        return text


if __name__ == "__main__":
    run(prove)
