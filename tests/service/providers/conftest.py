"""TPMs of one's own, for tests that restart them, clear them or look into them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from parsec_keys.emulators import Swtpm
from parsec_keys.errors import Error
from tests.want import missing


@pytest.fixture(scope="session")
def new_swtpm(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[], Swtpm]]:
    """A function that starts another swtpm; all are stopped in the end."""
    with contextlib.ExitStack() as started:

        def start() -> Swtpm:
            try:
                emulator = Swtpm(tmp_path_factory.mktemp("swtpm"))
            except Error as e:
                missing("tpm", str(e))
            return started.enter_context(emulator)

        yield start
