"""A fork while another thread is inside cryptography's OpenSSL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

import parsec_keys
from parsec_keys.service.running_operations import running
from tests.service.providers.children import in_a_child
from tests.service.providers.waiting import wait_until


def test_a_fork_waits_for_operations(tmp_path: Path) -> None:
    """It finds the key made that another thread was making, and OpenSSL at rest."""
    with (
        parsec_keys.open_store(f"software:{tmp_path}") as store,
        ThreadPoolExecutor(1) as other_thread,
    ):
        assert len(running) == 0

        def in_the_child() -> None:
            assert len(running) == 0
            key = store.load("key")
            assert isinstance(key, rsa.RSAPrivateKey)
            signature = key.sign(b"data", padding.PKCS1v15(), hashes.SHA256())
            key.public_key().verify(
                signature, b"data", padding.PKCS1v15(), hashes.SHA256()
            )

        made = other_thread.submit(store.generate_rsa, "key", 3072)
        wait_until(lambda: len(running) == 1)
        in_a_child(in_the_child)
        in_a_child(in_the_child)

        assert made.result().key_size == 3072
        assert len(running) == 0
