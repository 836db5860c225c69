"""One daemon of the software provider for every test that only asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.daemon import Daemon

BODY_LIMIT = 65_536
BUFFER_LIMIT = 4096
LIMITS = f"body_len_limit = {BODY_LIMIT}\nbuffer_size_limit = {BUFFER_LIMIT}\n"


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that shares its state with other tests."""
    with Daemon(tmp_path_factory.mktemp("daemon"), core=LIMITS) as running:
        yield running
