"""What libcrypto has freed does not stay with us."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.tls._asym_cipher import Decrypting
from parsec_keys.tls._bridged import BridgedKey
from parsec_keys.tls._signature import Signing
from tests.tls.handshakes import (
    context,
    files,
    pyopenssl_context,
    pyopenssl_shake,
    shake,
)

TIMES = 60
THEIRS = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    store = parsec_keys.open_store(f"software:{tmp_path}/store")
    own = files(store.generate_ec("key", ec.SECP256R1()), tmp_path / "own")
    return own, files(THEIRS, tmp_path / "peer")


def test_ssl(folders: tuple[Path, Path]) -> None:
    own, peer = folders

    def use() -> None:
        shake(context(own, peer, False), context(peer, own, True))

    assert_nothing_stays(use)


def test_pyopenssl(folders: tuple[Path, Path]) -> None:
    own, peer = folders
    ours, theirs = (
        x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
        for folder in folders
    )

    def use() -> None:
        pyopenssl_shake(
            pyopenssl_context(own / "key.pem", own / "cert.pem", theirs),
            pyopenssl_context(THEIRS, peer / "cert.pem", ours),
        )

    assert_nothing_stays(use)


def test_handshakes_with_one_context(folders: tuple[Path, Path]) -> None:
    """Nothing is loaded meanwhile, so that contexts wait for their pool to be full."""
    own, peer = folders
    pair = context(own, peer, False), context(peer, own, True)
    shake(*pair)
    before = alive()

    for _ in range(600):
        shake(*pair)

    assert alive()[BridgedKey] <= before[BridgedKey]
    assert alive()[Signing] <= 256


def assert_nothing_stays(use: Callable[[], None]) -> None:
    """As many keys and contexts after many uses as after a few, and files."""
    for _ in range(3):
        use()
    gc.collect()
    before, files_before = alive(), len(os.listdir("/proc/self/fd"))

    for _ in range(TIMES):
        use()
    gc.collect()

    # What the last use freed goes with the next key that is loaded.
    assert all(count <= before[kind] + 2 for kind, count in alive().items())
    assert len(os.listdir("/proc/self/fd")) <= files_before


def alive() -> dict[type, int]:
    """How many objects there are of what libcrypto has handles for."""
    kinds = BridgedKey, Signing, Decrypting
    objects = gc.get_objects()
    return {kind: sum(type(each) is kind for each in objects) for kind in kinds}
