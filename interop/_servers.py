"""Real servers that the proofs talk to, each as a process that ends with its proof."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from interop._keys import Key
from interop._tls import Files
from parsec_keys.ec import EllipticCurvePrivateKey
from parsec_keys.rsa import RSAPrivateKey

# PostgreSQL does not run as root.
_POSTGRES_USER: Final = "postgres" if os.getuid() == 0 else None
_MOSQUITTO: Final = """\
user root
listener {port} 127.0.0.1
cafile {files.own_certificate}
certfile {files.peer_certificate}
keyfile {files.peer_key}
require_certificate true
use_identity_as_username true
allow_anonymous false
"""
_POSTGRESQL: Final = """\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
ssl = on
ssl_cert_file = 'peer.pem'
ssl_key_file = 'peer.key'
ssl_ca_file = 'own.pem'
"""


@contextlib.contextmanager
def mosquitto(files: Files) -> Iterator[int]:
    """The port of a broker whose clients log in with our certificate."""
    port, config = free_port(), files.folder / "mosquitto.conf"
    config.write_text(_MOSQUITTO.format(port=port, files=files))
    with program(["/usr/sbin/mosquitto", "-v", "-c", str(config)], "running"):
        yield port


@contextlib.contextmanager
def postgresql(files: Files) -> Iterator[int]:
    """The port of a PostgreSQL whose one user is the name in our certificate."""
    port = free_port()
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path())
    with tempfile.TemporaryDirectory() as folder:
        shutil.chown(folder, _POSTGRES_USER or os.getuid())
        data = Path(folder, "data")
        command = [str(programs / "initdb"), "-U", "parsec-keys", "-D", str(data)]
        subprocess.run(
            command,
            user=_POSTGRES_USER,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        for name in ("own.pem", "peer.pem", "peer.key"):
            shutil.copy(files.folder / name, data)
            shutil.chown(data / name, _POSTGRES_USER or os.getuid())
        (data / "postgresql.conf").write_text(f"port = {port}\n{_POSTGRESQL}")
        (data / "pg_hba.conf").write_text("hostssl all all all cert\n")
        postgres = [str(programs / "postgres"), "-D", str(data)]
        with program(postgres, "ready to accept connections", _POSTGRES_USER):
            yield port


def with_keys(key: Key) -> list[str]:
    """The start of a command that runs a program with a key's store as its default."""
    assert isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey)
    _, _, store = key.uri.partition("?store=")
    ours = [sys.executable, "-m", "parsec_keys", "--store", unquote(store)]
    return [*ours, "run", "--"]


@contextlib.contextmanager
def program(
    command: Sequence[str],
    until: str,
    user: str | None = None,
) -> Iterator[None]:
    """A program that runs, from when it says a text on its standard error."""
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, user=user, cwd="/"
    ) as process:
        try:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line)
                if until in line:
                    break
            else:
                raise AssertionError(f"{command[0]} ended: {''.join(said)}")
            yield
        finally:
            process.terminate()


def free_port() -> int:
    """A port that nobody listens on, for a program that cannot choose one itself."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
