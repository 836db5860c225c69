"""A prefork server: the parent opens store and context, four children serve."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.conftest import open_or_miss
from tests.tls.handshakes import files

ROOT = Path(__file__).parents[2]
P256 = ec.SECP256R1()


@pytest.mark.parametrize("library", ["ssl", "pyopenssl"])
def test_prefork(
    provider: str, new_url: Callable[[str], str], tmp_path: Path, library: str
) -> None:
    url = new_url(provider)
    with open_or_miss(provider, url) as store:
        key = store.generate_ec("server", P256)
        own = files(key, tmp_path / "own")
    peer = files(ec.generate_private_key(P256), tmp_path / "peer")
    command = [sys.executable, "-m", "tests.tls.prefork"]

    done = subprocess.run(
        [*command, library, str(own), str(peer), url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert said["children"] == [0] * 4
    assert said["versions"] == {"TLSv1.3": 24}
    assert said["signatures"]
    for signature in said["signatures"]:
        key.public_key().verify(
            bytes.fromhex(signature), b"meanwhile", ec.ECDSA(hashes.SHA256())
        )
