# /// script
# requires-python = ">=3.11"
# dependencies = ["uvicorn"]
# ///
"""uvicorn, unmodified under parsec-keys run, serves mutual TLS from two workers."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path

from interop._keys import Key, run
from interop._servers import free_port, program, with_keys
from interop._tls import reference_files, visit

APPLICATION = """
async def application(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


def prove(key: Key, tmp: Path) -> None:
    files, port = reference_files(key, tmp), free_port()
    (tmp / "hello.py").write_text(APPLICATION)
    options = {
        "--app-dir": tmp,
        "--port": port,
        "--workers": 2,
        "--lifespan": "off",
        "--ssl-certfile": files.own_certificate,
        "--ssl-keyfile": files.own_key,
        "--ssl-ca-certs": files.peer_certificate,
        "--ssl-cert-reqs": int(ssl.CERT_REQUIRED),
    }
    words = [str(word) for option in options.items() for word in option]
    uvicorn = [sys.executable, "-m", "uvicorn", *words, "hello:application"]
    with program([*with_keys(key), *uvicorn], "Started server process"):
        assert visit(files, port) == "hello"


if __name__ == "__main__":
    run(prove)
