# /// script
# requires-python = ">=3.11"
# dependencies = ["pyopenssl"]
# ///
"""pyOpenSSL is client and server of mutual TLS with the key object."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

from OpenSSL import SSL

from interop._keys import Key, run
from interop._tls import Files, https_server, reference_files, visit

ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def prove(key: Key, tmp: Path) -> None:
    files = reference_files(key, tmp)
    with https_server(files) as url:
        plain = socket.create_connection(("localhost", urlsplit(url).port))
        client = SSL.Connection(context(key, files), plain)
        client.set_connect_state()
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while not answer.endswith(files.fingerprint.encode()):
            answer += client.recv(4096)
        client.close()

    with socket.create_server(("127.0.0.1", 0)) as plain:
        server = SSL.Connection(context(key, files), plain)
        thread = threading.Thread(target=serve, args=[server], daemon=True)
        thread.start()
        assert visit(files, plain.getsockname()[1]) == "hello"
        thread.join()


def context(key: Key, files: Files) -> SSL.Context:
    made = SSL.Context(SSL.TLS_METHOD)
    made.use_certificate(files.own)
    made.use_privatekey(key)
    made.check_privatekey()
    made.load_verify_locations(files.peer_certificate)
    made.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    return made


def serve(server: SSL.Connection) -> None:
    connection, _ = server.accept()
    connection.recv(4096)
    connection.sendall(ANSWER)
    connection.close()


if __name__ == "__main__":
    run(prove)
