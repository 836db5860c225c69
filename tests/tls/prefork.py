"""A prefork server that shakes hands in four children, and its clients.

``python -m tests.tls.prefork LIBRARY OWN PEER STORE``: what it saw, in JSON.
"""

from __future__ import annotations

import collections
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys import tls
from tests.tls import handshakes
from tests.tls.peer import SECONDS

CHILDREN, CONNECTIONS = 4, 6


def main() -> None:
    library, url = sys.argv[1], sys.argv[4]
    own, peer = Path(sys.argv[2]), Path(sys.argv[3])
    store = parsec_keys.open_store(url)
    tls.enable()
    key = store.load("server")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    connect = server(library, key, own, peer)
    # The parent's connection to its provider is in use before and after the fork.
    signatures = [key.sign(b"meanwhile", ec.ECDSA(hashes.SHA256()))]
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(CHILDREN)]
    children = []
    for number, listener in enumerate(listeners):
        child = os.fork()
        if child == 0:
            serve(listener, connect)
            for each in listeners:
                each.close()
            if number % 2:
                os._exit(0)
            sys.exit(0)
        children.append(child)
    client = handshakes.context(peer, own, False)
    versions: list[str | None] = []
    threads = [
        threading.Thread(
            target=lambda at: versions.append(call(client, at)), args=(at,)
        )
        for at in [listener.getsockname()[1] for listener in listeners] * CONNECTIONS
    ]
    for thread in threads:
        thread.start()
        signatures.append(key.sign(b"meanwhile", ec.ECDSA(hashes.SHA256())))
    for thread in threads:
        thread.join()
    for listener in listeners:
        listener.close()
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    saw = {
        "children": ends,
        "versions": collections.Counter(versions),
        "signatures": [signature.hex() for signature in signatures],
    }
    print(json.dumps(saw))


def server(library: str, key: Any, own: Path, peer: Path) -> Callable[[Any], Any]:
    """A function that serves one connection, with a context that is made now."""
    if library == "ssl":
        made = handshakes.context(own, peer, True)
        return lambda plain: handshakes.connect_with_ssl(made, plain, True)
    trusted = x509.load_pem_x509_certificate((peer / "cert.pem").read_bytes())
    other = handshakes.pyopenssl_context(key, own / "cert.pem", trusted)
    return lambda plain: handshakes.connect_with_pyopenssl(other, plain, True)


def serve(listener: socket.socket, connect: Callable[[Any], Any]) -> None:
    """Serve all connections at the same time: each has sent something already."""
    accepted = [listener.accept()[0] for _ in range(CONNECTIONS)]
    threads = [threading.Thread(target=connect, args=(plain,)) for plain in accepted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for plain in accepted:
        plain.close()


def call(client: Any, port: int) -> str | None:
    """One connection, and its TLS version."""
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.settimeout(SECONDS)
        return handshakes.connect_with_ssl(client, plain, False)


if __name__ == "__main__":
    main()
