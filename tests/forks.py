"""Forks while another thread is inside an operation, which is held there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from parsec_keys.service.call_gate import CallGate
from parsec_keys.service.key_info_sqlite import SqliteKeyInfoManager
from parsec_keys.service.running_operations import running
from tests.service.providers.waiting import wait_until


@contextlib.contextmanager
def inside(
    operation: Callable[[], object],
    is_inside: Callable[[], bool],
    let_go: Callable[[], None],
) -> Iterator[None]:
    """Be in another thread inside an operation that does not end before ``let_go``.

    A fork that waits for it is seen to wait, and then it is let go.
    """
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as other_thread:
        _let_go_when_a_fork_waits(patch, let_go)
        done = other_thread.submit(operation)
        try:
            wait_until(lambda: is_inside() or done.done())
            assert not done.done(), done.exception()
            yield
        finally:
            let_go()
            done.result()


def _let_go_when_a_fork_waits(
    patch: pytest.MonkeyPatch, let_go: Callable[[], None]
) -> None:
    here = threading.get_ident()
    enter, pause, end = CallGate.enter, SqliteKeyInfoManager.pause, running.end

    def entered(gate: CallGate, seconds: float | None = None) -> bool:
        if threading.get_ident() == here:
            if enter(gate, 0):
                return True
            let_go()
        return enter(gate, seconds)

    def paused(manager: SqliteKeyInfoManager) -> None:
        lock = manager._lock._lock
        if lock.acquire(blocking=False):
            lock.release()
        else:
            let_go()
        pause(manager)

    def ended() -> None:
        if len(running):
            let_go()
        end()

    patch.setattr(running, "end", ended)
    patch.setattr(CallGate, "enter", entered)
    patch.setattr(SqliteKeyInfoManager, "pause", paused)
