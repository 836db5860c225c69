"""Other users of this machine, for tests that run as root."""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

R = TypeVar("R")


def as_user(uid: int, work: Callable[[], R]) -> R:
    """What work answers or raises in a child that is another user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            try:
                done = (True, work())
            except Exception as e:
                done = (False, e)  # type: ignore[assignment]
            with os.fdopen(writing, "wb") as file:
                pickle.dump(done, file)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        answer = file.read()
    assert os.waitpid(child, 0)[1] == 0
    succeeded, value = pickle.loads(answer)  # noqa: S301
    if not succeeded:
        raise value
    return value  # type: ignore[no-any-return]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's."""
    if os.geteuid() != 0:
        pytest.skip("only root can be several users")
    folder = Path(tempfile.mkdtemp(prefix="parsec-keys-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
