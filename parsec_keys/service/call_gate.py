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


class Place:
    """A place in a gate, or in its queue. It ends with ``with``, or with this object.

    So Ctrl-C may keep anybody from giving it back, at whatever moment. Where a
    traceback keeps the object, its thread's next place takes this one's.
    """

    _gate: CallGate | None = None
    called: threading.Lock | None = None
    """For one in the queue: open when it is called in."""

    def __init__(self, gate: CallGate) -> None:
        self.thread = threading.get_ident()
        self._gate = gate

    def leave(self) -> None:
        """Give the place back; a second time nothing."""
        if self._gate is not None:
            self._gate._leave(self)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    def __del__(self) -> None:
        self.leave()


class CallGate:
    """Lets ``most`` threads in at a time, in the order in which they came.

    New, and empty, in every child. All locks are closed and opened in C: in a method of
    Python's, Ctrl-C would leave them closed for ever.
    """

    __slots__ = (
        *("__weakref__", "_closer", "_emptied", "_inside", "_is_closed", "_lock"),
        *("_most", "_queue", "_wanted"),
    )
    _emptied: threading.Lock | None
    _inside: dict[int, int]
    _lock: contextlib.AbstractContextManager[bool]
    _queue: deque[Place]

    def __init__(self, most: int) -> None:
        self._wanted = most
        self.renew()
        with no_fork:
            _gates.add(self)

    @property
    def most(self) -> int:
        """How many it lets in now."""
        return self._most

    def place(self) -> Place:
        """Wait for a place."""
        place = self.enter()
        assert place is not None  # noqa: S101
        return place

    def enter(self, seconds: float | None = None) -> Place | None:
        """Wait for a place, at most ``seconds``; ``None`` if there was none."""
        place = Place(self)
        with self._lock:
            if place.thread in self._inside.values():
                self._leave_all(place.thread)
            if not (self._queue or self._is_closed) and self._has_room:
                self._inside[id(place)] = place.thread
                return place
        called = place.called = _closed_lock()
        try:
            with self._lock:
                self._queue.append(place)
                self._call_in()
            if called.acquire(timeout=-1 if seconds is None else seconds):
                return place
        finally:  # Ctrl-C, too.
            is_in = self._leave_the_queue(place)
        return place if is_in else None

    def keep_out(self, deadline: float) -> bool:
        """Let nobody in, and wait for those who are; whether they have left.

        For one thread at a time, within ``no_fork``, which does not wait for itself.
        """
        emptied = _closed_lock()
        with self._lock:
            self._is_closed, self._closer = True, threading.get_ident()
            if self._is_left:
                return True
            self._emptied = emptied
        return emptied.acquire(timeout=max(0.0, deadline - time.monotonic()))

    def let_in(self) -> None:
        """Let calls in again."""
        with self._lock:
            self._is_closed, self._emptied = False, None
            self._call_in()

    def shrink(self) -> bool:
        """Have a place less from now on, unless it is the last one."""
        with self._lock:
            if self._most == 1:
                return False
            self._most -= 1
            return True

    def grow(self) -> None:
        """Have all places again."""
        with self._lock:
            self._most = self._wanted
            self._call_in()

    def renew(self) -> None:
        """Forget who is in, and who waits."""
        self._most = self._wanted
        self._lock = threading.RLock()
        self._inside, self._queue = {}, deque()
        self._is_closed, self._closer = False, 0
        self._emptied = None

    @property
    def _has_room(self) -> bool:
        return len(self._inside) < self._most

    @property
    def _is_left(self) -> bool:
        """Whether nobody is in but who keeps others out, as a signal handler may."""
        return set(self._inside.values()) <= {self._closer}

    def _call_in(self) -> None:
        """Give free places to those who wait longest."""
        while self._queue and not self._is_closed and self._has_room:
            place = self._queue[0]
            self._inside[id(place)] = place.thread
            if place.called is not None and place.called.locked():
                place.called.release()
            self._queue.popleft()  # Last: Ctrl-C forgets nobody who waits.

    def _leave_the_queue(self, place: Place) -> bool:
        """Leave the queue; whether it was called in."""
        with self._lock:
            if place in self._queue:
                self._queue.remove(place)
            return id(place) in self._inside

    def _leave_all(self, thread: int) -> None:
        """Give back what a thread has that comes again: it is in once at most."""
        for key, each in list(self._inside.items()):
            if each == thread:
                del self._inside[key]

    def _leave(self, place: Place) -> None:
        with self._lock:
            self._inside.pop(id(place), None)
            self._call_in()  # Even so: Ctrl-C may have kept it from that before.
            emptied = self._emptied
            if emptied is not None and self._is_left:
                self._emptied = None
                emptied.release()


def _closed_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@contextlib.contextmanager
def nobody_in(gates: Iterable[CallGate], seconds: float) -> Iterator[bool]:
    """Wait for the calls in gates to end, and keep others out; whether they did."""
    deadline = time.monotonic() + seconds
    with no_fork:  # Else a fork and this would wait for each other.
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
