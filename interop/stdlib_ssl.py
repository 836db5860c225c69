# /// script
# requires-python = ">=3.11"
# dependencies = ["cryptography"]
# [tool.parsec-keys]
# library = "python"
# ///
"""Python's own ssl is client and server of mutual TLS with a key reference."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from pathlib import Path
from urllib.parse import urlsplit

from interop._keys import Key, run
from interop._tls import context, https_server, reference_files, visit

ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def prove(key: Key, tmp: Path) -> None:
    files = reference_files(key, tmp)
    with https_server(files) as url:
        port = urlsplit(url).port
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            client = context(files, ssl.Purpose.SERVER_AUTH)
            client.minimum_version = client.maximum_version = version
            connection = http.client.HTTPSConnection("localhost", port, context=client)
            connection.request("GET", "/")
            assert connection.getresponse().read().decode() == files.fingerprint

    server = context(files, ssl.Purpose.CLIENT_AUTH)
    plain = socket.create_server(("127.0.0.1", 0))
    with server.wrap_socket(plain, server_side=True) as listener:
        thread = threading.Thread(target=answer, args=[listener], daemon=True)
        thread.start()
        assert visit(files, listener.getsockname()[1]) == "hello"
        thread.join()


def answer(listener: ssl.SSLSocket) -> None:
    connection, _ = listener.accept()
    with connection:
        assert connection.getpeercert()
        connection.recv(4096)
        connection.sendall(ANSWER)


if __name__ == "__main__":
    run(prove)
