"""Libraries that talk TLS, unmodified, with a key in a TPM: their interop proofs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from interop._proof import PASSED, Proof, proofs, run
from tests.conftest import open_or_miss

LIBRARIES = (
    *("requests", "urllib3", "httpx", "aiohttp", "asyncio_streams", "smtplib"),
    "paho_mqtt",
)


@pytest.fixture(scope="module")
def uri(new_url: Callable[[str], str]) -> str:
    """The URI of a key in a TPM."""
    with open_or_miss("tpm", new_url("tpm")) as store:
        return store.generate_ec("key", ec.SECP256R1()).uri


@pytest.mark.parametrize("proof", proofs([*LIBRARIES]), ids=lambda proof: proof.name)
def test_mutual_tls(
    proof: Proof, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "error")

    assert run(proof, Path(sys.executable), uri, tmp_path) == PASSED
