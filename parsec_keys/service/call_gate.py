"""Who is in a library of hardware: a bounded number of calls, and none while we fork.

A call that another thread has in a library at the moment of a fork leaves the library's
own locks closed in the child for ever, and the child holds the other end of its line.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final

from parsec_keys._fork import ForkSafeLock, Stage, at_fork, no_fork

FORK_SECONDS: Final = 5.0
"""How long a fork waits for calls to end; then it goes ahead, as forks must."""


class CallGate:
    """Lets ``most`` calls in at a time. New, and empty, in every child."""

    __slots__ = ("__weakref__", "_most", "_permits", "_wanted")

    def __init__(self, most: int) -> None:
        self._most = self._wanted = most
        self._permits = threading.Semaphore(most)
        with no_fork():
            _gates.add(self)

    @property
    def most(self) -> int:
        """How many it lets in now."""
        return self._most

    def enter(self, seconds: float | None = None) -> bool:
        """Wait for a place, at most ``seconds``; whether there was one."""
        return self._permits.acquire(timeout=seconds)

    def leave(self, places: int = 1) -> None:
        """Give places back."""
        if places:
            self._permits.release(places)

    def __enter__(self) -> None:
        self.enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    def fill(self, deadline: float) -> tuple[int, int]:
        """Take all places, as they get free: how many at the deadline, of how many."""
        taken = 0
        try:
            while taken < self._most:
                if not self.enter(max(0.0, deadline - time.monotonic())):
                    break
                taken += 1
        except BaseException:  # Ctrl-C.
            self.leave(taken)
            raise
        return taken, self._most

    def shrink(self) -> bool:
        """Keep the caller's place closed from now on, unless it is the last one."""
        with _resizing:
            if self._most == 1:
                return False
            self._most -= 1
            return True

    def grow(self) -> None:
        """Open the places that ``shrink`` closed."""
        with _resizing:
            closed, self._most = self._wanted - self._most, self._wanted
        self.leave(closed)

    def renew(self) -> None:
        """Forget who is in."""
        self._most = self._wanted
        self._permits = threading.Semaphore(self._most)


@contextlib.contextmanager
def nobody_in(gates: Iterable[CallGate], seconds: float) -> Iterator[bool]:
    """Wait for the calls in gates to end, and keep others out; whether they did."""
    deadline = time.monotonic() + seconds
    with no_fork():  # Else a fork and this would wait for each other's places.
        filled: list[tuple[CallGate, int, int]] = []
        try:
            filled.extend((gate, *gate.fill(deadline)) for gate in gates)
            yield all(taken == most for _, taken, most in filled)
        finally:
            for gate, taken, _ in filled:
                gate.leave(taken)


_gates: Final[weakref.WeakSet[CallGate]] = weakref.WeakSet()
_filled: Final[list[tuple[CallGate, int]]] = []
_resizing: Final = ForkSafeLock()


def _keep_calls_out() -> None:
    deadline = time.monotonic() + FORK_SECONDS
    _filled.extend((gate, gate.fill(deadline)[0]) for gate in list(_gates))


def _let_calls_in() -> None:
    for gate, taken in _filled:
        gate.leave(taken)
    _filled.clear()


def _start_anew() -> None:
    _filled.clear()
    for gate in list(_gates):
        gate.renew()


at_fork(
    Stage.CALLS, before=_keep_calls_out, in_parent=_let_calls_in, in_child=_start_anew
)
