"""Eight threads shake hands while others load keys and contexts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import crypto

import parsec_keys
from tests.tls.handshakes import (
    context,
    files,
    pyopenssl_context,
    pyopenssl_shake,
    shake,
)

HANDSHAKES, LOADS = 120, 12
"""Of each thread: they take about as long, so that all are at it all the time."""
P256 = ec.SECP256R1()


def test_threads(tmp_path: Path) -> None:
    """Each handshake proves a signature: the other end verifies it."""
    store = parsec_keys.open_store(f"software:{tmp_path}/store")
    theirs = ec.generate_private_key(P256)
    ours = [store.generate_ec("ec", P256), store.generate_rsa("rsa")]
    peer = files(theirs, tmp_path / "peer")
    own = [files(key, tmp_path / f"own-{i}") for i, key in enumerate(ours)]
    certificates = [
        x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
        for folder in (*own, peer)
    ]

    def with_ssl(one: int) -> tuple[Any, Any]:
        return context(own[one], peer, False), context(peer, own[one], True)

    def with_pyopenssl(one: int) -> tuple[Any, Any]:
        # The other way round: our key is the server's.
        server = pyopenssl_context(ours[one], own[one] / "cert.pem", certificates[2])
        client = pyopenssl_context(theirs, peer / "cert.pem", certificates[one])
        return client, server

    def ssl_shakes(turn: int) -> None:
        shake(*pairs["ssl"][turn % 2])

    def pyopenssl_shakes(turn: int) -> None:
        pyopenssl_shake(*pairs["pyopenssl"][turn % 2])

    def loads(turn: int) -> None:
        with_ssl(turn % 2)
        with_pyopenssl(turn % 2)
        pem = (own[turn % 2] / "key.pem").read_bytes()
        assert crypto.load_privatekey(crypto.FILETYPE_PEM, pem).bits() in (256, 2048)

    pairs = {
        "ssl": [with_ssl(0), with_ssl(1)],
        "pyopenssl": [with_pyopenssl(0), with_pyopenssl(1)],
    }
    shakes = [(ssl_shakes, HANDSHAKES), (pyopenssl_shakes, HANDSHAKES)]

    repeat(shakes * 4 + [(loads, LOADS)] * 2)


def repeat(work: list[tuple[Callable[[int], None], int]]) -> None:
    """Call functions as often as is said, each in a thread of its own, all at once."""
    failures: list[BaseException] = []

    def call(function: Callable[[int], None], times: int) -> None:
        try:
            for turn in range(times):
                function(turn)
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=call, args=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
