"""What every TLS proof needs: files of both ends, and the other end in a process."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from interop._keys import Key, certificate

_ROOT: Final = Path(__file__).parents[1]
_PEM: Final = serialization.Encoding.PEM
_PKCS8: Final = serialization.PrivateFormat.PKCS8
_PLAIN: Final = serialization.NoEncryption()


@dataclass(frozen=True, slots=True)
class Files:
    """Names of PEM files. ``own_key`` is a key reference, ``peer_key`` a key."""

    folder: Path
    own: x509.Certificate

    @property
    def own_certificate(self) -> str:
        return str(self.folder / "own.pem")

    @property
    def own_key(self) -> str:
        return str(self.folder / "own.key")

    @property
    def peer_certificate(self) -> str:
        return str(self.folder / "peer.pem")

    @property
    def peer_key(self) -> str:
        return str(self.folder / "peer.key")

    @property
    def fingerprint(self) -> str:
        """What ``https_server`` answers who has our certificate and its key."""
        return self.own.fingerprint(hashes.SHA256()).hex()


def reference_files(key: Key, folder: Path) -> Files:
    """Write a certificate and the reference of a key, and a peer's files.

    The reference registers our OpenSSL provider in each libcrypto that is mapped now.
    """
    peer = ec.generate_private_key(ec.SECP256R1())
    own = certificate(key)
    for name, cert, its_key in (("own", own, key), ("peer", certificate(peer), peer)):
        (folder / f"{name}.pem").write_bytes(cert.public_bytes(_PEM))
        private = its_key.private_bytes(_PEM, _PKCS8, _PLAIN)
        (folder / f"{name}.key").touch(mode=0o600)
        (folder / f"{name}.key").write_bytes(private)
    return Files(folder, own)


def context(files: Files, purpose: ssl.Purpose) -> ssl.SSLContext:
    """The context that one makes with key files, for our end of mutual TLS."""
    made = ssl.create_default_context(purpose, cafile=files.peer_certificate)
    made.load_cert_chain(files.own_certificate, files.own_key)
    made.verify_mode = ssl.CERT_REQUIRED
    return made


@contextlib.contextmanager
def https_server(files: Files) -> Iterator[str]:
    """The URL of a server in another process that wants our certificate."""
    command = [sys.executable, "-m", "interop._peer", "serve", str(files.folder)]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            yield f"https://localhost:{int(server.stdout.readline())}/"
        finally:
            server.terminate()


def visit(files: Files, port: int) -> str:
    """What a client in another process gets from our server, which it verifies."""
    url = f"https://localhost:{port}/"
    command = [sys.executable, "-m", "interop._peer", "get", str(files.folder), url]
    done = subprocess.run(
        command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )
    return done.stdout
