"""The other end of a TLS proof: a process with nothing but Python's own library.

``python -m interop._peer serve FOLDER`` says its port and answers each HTTPS request
with the SHA-256 of the client's certificate; ``… get FOLDER URL`` says what a URL
answers. Both have a key file, and refuse a peer that lacks the proof's own certificate.
"""

from __future__ import annotations

import hashlib
import http.server
import ssl
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final


def serve(folder: Path) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as server:
        ours = context(folder, ssl.Purpose.CLIENT_AUTH)
        server.socket = ours.wrap_socket(server.socket, server_side=True)
        print(server.server_port, flush=True)
        server.serve_forever()


def get(folder: Path, url: str) -> None:
    ours = context(folder, ssl.Purpose.SERVER_AUTH)
    handler = urllib.request.HTTPSHandler(context=ours)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), handler)
    with opener.open(url, timeout=30) as response:
        sys.stdout.write(response.read().decode())


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.connection, ssl.SSLSocket)
        certificate = self.connection.getpeercert(binary_form=True)
        assert certificate is not None
        answer = hashlib.sha256(certificate).hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: object) -> None:
        """Say nothing: standard output has the port."""


def context(folder: Path, purpose: ssl.Purpose) -> ssl.SSLContext:
    """The peer's end of mutual TLS, with its key file."""
    made = ssl.create_default_context(purpose, cafile=str(folder / "own.pem"))
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_cert_chain(folder / "peer.pem", folder / "peer.key")
    return made


COMMANDS: Final[dict[str, Callable[..., None]]] = {"serve": serve, "get": get}

if __name__ == "__main__":
    command, folder, *rest = sys.argv[1:]
    COMMANDS[command](Path(folder), *rest)
