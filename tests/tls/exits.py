"""Programs that end with keys and contexts in OpenSSL's hands, each in every way.

``python -m tests.tls.exits LIBRARY CASE TIMES OWN PEER STORE`` gets ready once, forks,
and ends each child as Python ends: its output is how each ended.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import parsec_keys
from parsec_keys import tls
from tests.tls import handshakes

_held: list[Any] = []


class Ready:
    """Contexts of both ends, and how to connect them, with one library."""

    def __init__(self, library: str, own: Path, peer: Path) -> None:
        self._library, self._own, self._peer = library, own, peer
        self.contexts = self.new()

    def new(self) -> tuple[Any, Any]:
        """A client that has a reference, and a server that has a file."""
        own, peer = self._own, self._peer
        if self._library == "ssl":
            return (
                handshakes.context(own, peer, False),
                handshakes.context(peer, own, True),
            )
        theirs = load_pem_private_key((peer / "key.pem").read_bytes(), None)
        certificates = [
            x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
            for folder in (own, peer)
        ]
        client = handshakes.pyopenssl_context(
            own / "key.pem", own / "cert.pem", certificates[1]
        )
        server = handshakes.pyopenssl_context(
            theirs, peer / "cert.pem", certificates[0]
        )
        return client, server

    def shake(self) -> None:
        """One handshake."""
        if self._library == "ssl":
            handshakes.shake(*self.contexts)
        else:
            handshakes.pyopenssl_shake(*self.contexts)


def module_globals(ready: Ready) -> None:
    """Contexts and a key are in a module when Python ends."""
    ready.shake()
    _held.append(ready.new())


def cycle(ready: Ready) -> None:
    """They are in a reference cycle that ``sys.modules`` keeps."""
    ready.shake()
    module: Any = types.ModuleType("kept")
    module.itself, module.contexts = module, ready.new()
    sys.modules["kept"] = module


def freed_after_python(ready: Ready) -> None:
    """The last that frees the key is a C function, when Python is no more."""
    libc = ctypes.CDLL(None)
    key = load_into_libcrypto(ready)
    free = ctypes.CDLL("libcrypto.so.3").EVP_PKEY_free
    ready.shake()
    libc.__cxa_atexit(ctypes.cast(free, ctypes.c_void_p), ctypes.c_void_p(key), None)


def load_into_libcrypto(ready: Ready) -> int:
    """A key in the libcrypto of ssl that no Python object frees."""
    libcrypto = ctypes.CDLL("libcrypto.so.3")
    libcrypto.BIO_new_mem_buf.restype = ctypes.c_void_p
    libcrypto.PEM_read_bio_PrivateKey.restype = ctypes.c_void_p
    pem = (ready._own / "key.pem").read_bytes()
    bio = ctypes.c_void_p(libcrypto.BIO_new_mem_buf(pem, len(pem)))
    key = libcrypto.PEM_read_bio_PrivateKey(bio, None, None, None)
    libcrypto.BIO_free(bio)
    assert key
    return int(key)


def daemon_threads(ready: Ready) -> None:
    """Four threads are in the middle of handshakes."""
    began = threading.Barrier(5)

    def work() -> None:
        ready.shake()
        began.wait()
        while True:
            ready.shake()

    for _ in range(4):
        threading.Thread(target=work, daemon=True).start()
    began.wait()


def finaliser(ready: Ready) -> None:
    """An object shakes hands when Python destroys it, and has to fail cleanly."""

    class Last:
        def __del__(self, shake: Any = ready.shake, errors: Any = Exception) -> None:
            # Bound above: modules are empty by now.
            try:
                shake()
            except errors:
                return
            os.abort()

    ready.shake()
    module: Any = types.ModuleType("kept")
    module.last = Last()
    sys.modules["kept"] = module


def at_exit(ready: Ready) -> None:
    """A handshake is the last thing that the program wants, and works."""
    atexit.register(ready.shake)


CASES: dict[str, Callable[[Ready], None]] = {
    case.__name__: case
    for case in (
        module_globals,
        cycle,
        freed_after_python,
        daemon_threads,
        finaliser,
        at_exit,
    )
}


def main() -> None:
    library, case, times, own, peer, url = sys.argv[1:]
    _held.append(parsec_keys.open_store(url))
    tls.enable()
    ready = Ready(library, Path(own), Path(peer))
    ready.shake()
    for _ in range(int(times)):
        child = os.fork()
        if child == 0:
            CASES[case](ready)
            return  # As every program does: Python ends.
        print(os.waitpid(child, 0)[1], flush=True)
    # The parent has nothing to show.
    os._exit(0)


if __name__ == "__main__":
    main()
