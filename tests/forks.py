"""Forks while another thread is inside an operation, which is held there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from parsec_keys.service.call_gate import CallGate
from parsec_keys.service.key_info._file import KeyInfoFile
from parsec_keys.service.running_operations import running
from tests.service.providers.waiting import wait_until

T = TypeVar("T")


@contextlib.contextmanager
def inside(
    operation: Callable[[], T],
    is_inside: Callable[[], bool],
    let_go: Callable[[], None],
    verify: Callable[[T], object] = lambda result: None,
) -> Iterator[None]:
    """Be in another thread inside an operation that does not end before ``let_go``.

    A fork that waits for it is seen to wait, and then it is let go. What the operation
    answered is verified afterwards: a thread that verifies with pyca during a fork may
    leave a lock of OpenSSL's closed in the child.
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
            verify(done.result())


def _let_go_when_a_fork_waits(
    patch: pytest.MonkeyPatch, let_go: Callable[[], None]
) -> None:
    keep_out, pause = CallGate.keep_out, KeyInfoFile.pause
    end = running.end

    def kept_out(gate: CallGate, deadline: float) -> bool:
        if not keep_out(gate, 0):
            let_go()
        return keep_out(gate, deadline)

    def paused(file: KeyInfoFile) -> None:
        if file._lock.acquire(blocking=False):
            file._lock.release()
        else:
            let_go()
        pause(file)

    def ended() -> None:
        if len(running):
            let_go()
        end()

    patch.setattr(running, "end", ended)
    patch.setattr(CallGate, "keep_out", kept_out)
    patch.setattr(KeyInfoFile, "pause", paused)
