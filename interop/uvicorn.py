# /// script
# requires-python = ">=3.11"
# dependencies = ["uvicorn"]
# ///
"""uvicorn serves mutual TLS with a key reference; its script calls tls.enable()."""

from __future__ import annotations

import sys
from pathlib import Path

from interop._keys import Key, run
from interop._servers import default_store, free_port, program
from interop._tls import reference_files, visit

SCRIPT = """
import ssl
import parsec_keys.tls
import uvicorn

async def application(scope, receive, send):
    assert scope["type"] == "http"
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"hello"}})

parsec_keys.tls.enable()
uvicorn.run(
    application,
    port={port},
    lifespan="off",
    ssl_certfile="{files.own_certificate}",
    ssl_keyfile="{files.own_key}",
    ssl_ca_certs="{files.peer_certificate}",
    ssl_cert_reqs=ssl.CERT_REQUIRED,
)
"""


def prove(key: Key, tmp: Path) -> None:
    files, port = reference_files(key, tmp), free_port()
    script = tmp / "serve.py"
    script.write_text(SCRIPT.format(port=port, files=files))
    command = [sys.executable, str(script)]
    with program(command, "running on", environment=default_store(key)):
        assert visit(files, port) == "hello"


if __name__ == "__main__":
    run(prove)
