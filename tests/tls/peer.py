"""A peer with key files, in a process of its own that knows nothing of this package.

Each line of its standard input is a handshake to make, in JSON, and each line that it
answers is the port that it listens on, or what it saw. The client says a line, and the
server says it backwards.
"""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

SECONDS = 20.0
SAID, REVERSED = b"hello\n", b"olleh\n"


def main() -> None:
    """Make one handshake after the other until the input ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer(shake(asked))
        except (OSError, AssertionError) as e:
            answer({"error": repr(e)})


def shake(asked: dict[str, Any]) -> dict[str, str | None]:
    """Be the one end or the other, and tell the version and the certificate seen."""
    made = context(Path(asked["own"]), asked["trusted"], asked["server_side"])
    if asked["server_side"]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(SECONDS)
            answer({"port": listener.getsockname()[1]})
            plain, _ = listener.accept()
    else:
        plain = socket.create_connection(("127.0.0.1", asked["port"]))
    plain.settimeout(SECONDS)
    with made.wrap_socket(plain, server_side=asked["server_side"]) as connection:
        talk(connection, asked["server_side"])
        seen = connection.getpeercert(binary_form=True)
        assert seen
        saw = {
            "version": connection.version(),
            "certificate": hashlib.sha256(seen).hexdigest(),
        }
        connection.unwrap().close()
        return saw


def context(own: Path, trusted: str, server_side: bool) -> ssl.SSLContext:
    """A context with the files of a folder that wants the other end's certificate."""
    protocol = ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT
    made = ssl.SSLContext(protocol)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_cert_chain(own / "cert.pem", own / "key.pem")
    made.load_verify_locations(trusted)
    return made


def talk(connection: Any, server_side: bool) -> None:
    """Say a line, or say one backwards; a connection of either library."""
    if server_side:
        assert connection.recv(100) == SAID
        connection.sendall(REVERSED)
    else:
        connection.sendall(SAID)
        assert connection.recv(100) == REVERSED


def answer(what: dict[str, Any]) -> None:
    """Write a line for the one who asked."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
