"""Lock files, and what a fork does to them."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

from parsec_keys.service.shared_files import LockFile

SECONDS = 10.0


def test_a_child_does_not_hold_its_killed_parents_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    told, tells = os.pipe()
    parent = os.fork()
    if parent == 0:
        held = LockFile(path)
        held.lock()
        if os.fork() == 0:
            signal.alarm(int(SECONDS) + 1)
            waiting = LockFile(path)
            waiting.lock()
            os.write(tells, b"locked")
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(parent, 0)[1] == signal.SIGKILL

    readable, _, _ = select.select([told], [], [], SECONDS)

    assert readable, "the child waits for itself"
    assert os.read(told, 10) == b"locked"
    os.close(told)
    os.close(tells)


def test_a_parent_keeps_its_lock_when_a_child_ends(tmp_path: Path) -> None:
    held, other = LockFile(tmp_path / "lock"), LockFile(tmp_path / "lock")
    held.lock()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)

    assert not other.try_lock()

    held.unlock()
    assert other.try_lock()
    held.close()
    other.close()
