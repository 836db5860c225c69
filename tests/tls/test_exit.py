"""A program ends 0, and in silence, whatever OpenSSL still holds of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from parsec_keys.stores import STORE_VARIABLE
from tests.conftest import open_or_miss
from tests.tls.exits import CASES
from tests.tls.handshakes import files

ROOT = Path(__file__).parents[2]
TIMES = 20
P256 = ec.SECP256R1()


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files(ec.generate_private_key(P256), tmp_path_factory.mktemp("peer"))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("library", ["ssl", "pyopenssl"])
def test_software(tmp_path: Path, peer: Path, library: str, case: str) -> None:
    assert_clean(
        "software", f"software:{tmp_path}/store", tmp_path, peer, library, case
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("hardware", ["tpm", "pkcs11"])
def test_hardware(
    new_url: Callable[[str], str], tmp_path: Path, peer: Path, hardware: str, case: str
) -> None:
    assert_clean(hardware, new_url(hardware), tmp_path, peer, "ssl", case, times=2)


def assert_clean(
    provider: str,
    url: str,
    folder: Path,
    peer: Path,
    library: str,
    case: str,
    times: int = TIMES,
) -> None:
    """Every child of a process ends 0, and nobody says a word."""
    with open_or_miss(provider, url) as store:
        own = files(store.generate_ec("exits", P256), folder / "own")
    command = [sys.executable, "-m", "tests.tls.exits"]

    done = subprocess.run(
        [*command, library, case, str(times), str(own), str(peer), url],
        cwd=ROOT,
        env={**os.environ, STORE_VARIABLE: url},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.stderr == ""
    assert done.stdout.splitlines() == ["0"] * times
    assert done.returncode == 0
