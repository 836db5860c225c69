"""Who is in a library of hardware: a bounded number of calls, and none while we fork.

A call that another thread has in a library at the moment of a fork leaves the library's
own locks closed in the child for ever, and the child holds the other end of its line.
Whoever waits for a gate to be empty keeps newcomers out meanwhile: busy threads would
else never leave it empty.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final

from parsec_keys._fork import Stage, at_fork, no_fork

FORK_SECONDS: Final = 5.0
"""How long a fork waits for calls to end; then it goes ahead, as forks must."""


class CallGate:
    """Lets ``most`` calls in at a time, in the order in which they came.

    New, and empty, in every child.
    """

    __slots__ = (
        *("__weakref__", "_empty", "_inside", "_is_closed", "_most", "_queue"),
        "_wanted",
    )

    def __init__(self, most: int) -> None:
        self._most = self._wanted = most
        self._inside, self._is_closed = 0, False
        self._queue: deque[threading.Event] = deque()
        self._empty = threading.Condition(threading.Lock())
        with no_fork():
            _gates.add(self)

    @property
    def most(self) -> int:
        """How many it lets in now."""
        return self._most

    def enter(self, seconds: float | None = None) -> bool:
        """Wait for a place, at most ``seconds``; whether there was one."""
        with self._empty:
            if not (self._queue or self._is_closed) and self._inside < self._most:
                self._inside += 1
                return True
            turn = threading.Event()
            self._queue.append(turn)
        try:
            turn.wait(seconds)
        except BaseException:  # Ctrl-C.
            if self._gives_up(turn):
                self.leave()
            raise
        return turn.is_set() or self._gives_up(turn)

    def leave(self) -> None:
        """Give a place back."""
        with self._empty:
            self._inside -= 1
            self._call_in()
            if self._inside == 0:
                self._empty.notify()

    def __enter__(self) -> None:
        self.enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    def keep_out(self, deadline: float) -> bool:
        """Let nobody in, and wait for those who are; whether they have left.

        For one thread at a time: within ``no_fork``.
        """
        with self._empty:
            self._is_closed = True
            left = max(0.0, deadline - time.monotonic())
            return self._empty.wait_for(lambda: self._inside == 0, left)

    def let_in(self) -> None:
        """Let calls in again."""
        with self._empty:
            self._is_closed = False
            self._call_in()

    def shrink(self) -> bool:
        """Have a place less from now on, unless it is the last one."""
        with self._empty:
            if self._most == 1:
                return False
            self._most -= 1
            return True

    def grow(self) -> None:
        """Have all places again."""
        with self._empty:
            self._most = self._wanted
            self._call_in()

    def renew(self) -> None:
        """Forget who is in, and who waits."""
        self._most = self._wanted
        self._inside, self._is_closed = 0, False
        self._queue = deque()
        self._empty = threading.Condition(threading.Lock())

    def _call_in(self) -> None:
        """Give free places to those who wait longest."""
        while self._queue and not self._is_closed and self._inside < self._most:
            self._inside += 1
            self._queue.popleft().set()

    def _gives_up(self, turn: threading.Event) -> bool:
        """Leave the queue, unless it was called in at the last moment: whether so."""
        with self._empty:
            if not turn.is_set():
                self._queue.remove(turn)
            return turn.is_set()


@contextlib.contextmanager
def nobody_in(gates: Iterable[CallGate], seconds: float) -> Iterator[bool]:
    """Wait for the calls in gates to end, and keep others out; whether they did."""
    deadline = time.monotonic() + seconds
    with no_fork():  # Else a fork and this would wait for each other.
        closed: list[CallGate] = []
        try:
            yield _all_empty(gates, closed, deadline)
        finally:
            for gate in closed:
                gate.let_in()


def _all_empty(
    gates: Iterable[CallGate], closed: list[CallGate], deadline: float
) -> bool:
    """Close gates; whether all of them got empty."""
    is_empty = True
    for gate in gates:
        closed.append(gate)  # First, for Ctrl-C.
        is_empty &= gate.keep_out(deadline)
    return is_empty


_gates: Final[weakref.WeakSet[CallGate]] = weakref.WeakSet()
_closed: Final[list[CallGate]] = []


def _keep_calls_out() -> None:
    _all_empty(list(_gates), _closed, time.monotonic() + FORK_SECONDS)


def _let_calls_in() -> None:
    for gate in _closed:
        gate.let_in()
    _closed.clear()


def _start_anew() -> None:
    _closed.clear()
    for gate in list(_gates):
        gate.renew()


at_fork(
    Stage.CALLS, before=_keep_calls_out, in_parent=_let_calls_in, in_child=_start_anew
)
