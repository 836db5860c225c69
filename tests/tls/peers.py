"""The other end of a connection, in another process: Python's ssl, or openssl.

Each is a context manager that answers how to reach it, and fails at its end where the
other process did.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from tests.tls.peer import REVERSED, SAID, SECONDS

_ROOT = Path(__file__).parents[2]
_ANY = ".+"


class PythonPeer:
    """A process that makes many handshakes, one at a time, with Python's own ssl."""

    def __init__(self, own: Path) -> None:
        """Start it; ``own`` is the folder of its certificate and its key."""
        self._own = own
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.tls.peer"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # It ends when its input does, and Popen closes that.
        self._process.__exit__(None, None, None)

    @contextlib.contextmanager
    def server(self, trusted: Path, version: str) -> Iterator[socket.socket]:
        """A connection to it; its handshake must show a certificate that it trusts."""
        self._ask(trusted, server_side=True)
        with socket.create_connection(("127.0.0.1", self._answer()["port"])) as plain:
            yield plain
        self._expect(trusted, version)

    @contextlib.contextmanager
    def client(self, trusted: Path, version: str) -> Iterator[socket.socket]:
        """A connection from it, as ``server``."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(SECONDS)
            self._ask(trusted, server_side=False, port=listener.getsockname()[1])
            plain, _ = listener.accept()
        with plain:
            plain.settimeout(None)
            yield plain
        self._expect(trusted, version)

    def _ask(self, trusted: Path, **how: Any) -> None:
        asked = {"own": str(self._own), "trusted": str(trusted / "cert.pem"), **how}
        assert self._process.stdin is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said

    def _expect(self, trusted: Path, version: str) -> None:
        der = ssl.PEM_cert_to_DER_cert((trusted / "cert.pem").read_text())
        certificate = hashlib.sha256(der).hexdigest()
        assert self._answer() == {"version": version, "certificate": certificate}


class OpenSSLPeer:
    """``openssl s_server`` and ``openssl s_client``: a process for each handshake."""

    def __init__(self, own: Path) -> None:
        """``own`` is the folder of its certificate and its key."""
        self._own = own

    @contextlib.contextmanager
    def server(
        self, trusted: Path, version: str, options: str = "", signature: str = _ANY
    ) -> Iterator[socket.socket]:
        """A connection to it; ``signature`` is the type that it must verify.

        That is a pattern: OpenSSL 3.5 has other words for it than OpenSSL 3.0.
        """
        command = f"openssl s_server -accept 127.0.0.1:0 -naccept 1 -rev {options}"
        with self._run(command, "-Verify 1", trusted, version) as process:
            assert process.stdout is not None
            # ACCEPT 127.0.0.1:33445
            waiting = next(line for line in process.stdout if "ACCEPT " in line)
            port = int(waiting.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as plain:
                yield plain
            _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, errors
        # With -rev it tells of the connection on standard error.
        assert f"Protocol version: {version}" in errors
        assert re.search(f"Signature type: ({signature})\n", errors)

    @contextlib.contextmanager
    def client(
        self, trusted: Path, version: str, options: str = "", signature: str = _ANY
    ) -> Iterator[socket.socket]:
        """A connection from it, as ``server``."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(SECONDS)
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            command = f"openssl s_client -connect {address} -ign_eof {options}"
            with self._run(command, "", trusted, version) as process:
                assert process.stdin is not None
                process.stdin.write(SAID.decode())
                process.stdin.flush()
                plain, _ = listener.accept()
                with plain:
                    plain.settimeout(None)
                    yield plain
                said, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, errors
        assert f"New, {version}" in said
        assert REVERSED.decode() in said
        assert re.search(f"Peer signature type: ({signature})\n", said)

    @contextlib.contextmanager
    def _run(
        self, command: str, more: str, trusted: Path, version: str
    ) -> Iterator[subprocess.Popen[str]]:
        tls = "-" + version.lower().replace("v", "").replace(".", "_")
        files = (
            f"-cert {self._own}/cert.pem -key {self._own}/key.pem "
            f"-CAfile {trusted}/cert.pem -verify_return_error"
        )
        with subprocess.Popen(
            f"{command} {more} {tls} {files}".split(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
