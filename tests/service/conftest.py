"""One daemon of the software provider for every test that only asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from parsec_keys.emulators import SoftHsm, Swtpm
from tests.daemon import Daemon
from tests.service.hardware import Hardware, Software, Token, Tpm

BODY_LIMIT = 65_536
BUFFER_LIMIT = 4096
LIMITS = f"body_len_limit = {BODY_LIMIT}\nbuffer_size_limit = {BUFFER_LIMIT}\n"


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that shares its state with other tests."""
    with Daemon(tmp_path_factory.mktemp("daemon"), core=LIMITS) as running:
        yield running


@pytest.fixture
def hardware(
    provider: str,
    tmp_path: Path,
    softhsm: SoftHsm,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Hardware]:
    """A provider's facility that no other test uses."""
    if provider == "software":
        yield Software()
    elif provider == "tpm":
        with Swtpm(tmp_path / "swtpm") as own:
            yield Tpm(own)
    else:
        monkeypatch.setenv("SOFTHSM2_CONF", "")  # Afterwards it is what it was.
        yield Token(SoftHsm(tmp_path / "softhsm"), "its own")
