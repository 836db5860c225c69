"""What survives a fork: the one hook by which everything here gets ready for one.

A lock that another thread held at the moment of the fork stays locked in the child for
ever, because that thread is not there.
"""

from __future__ import annotations

import contextlib
import enum
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final


class Stage(enum.IntEnum):
    """The order after a fork. Before it, it is the other way round."""

    LOCKS = 0
    FILES = 1
    KEY_INFO = 2
    CALLS = 3
    OPERATIONS = 4


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class _Hook:
    stage: Stage
    before: Callable[[], None]
    in_parent: Callable[[], None]
    in_child: Callable[[], None]


def at_fork(
    stage: Stage,
    *,
    before: Callable[[], None] = _nothing,
    in_parent: Callable[[], None] = _nothing,
    in_child: Callable[[], None] = _nothing,
) -> None:
    """Take part in every fork. ``in_parent`` undoes what ``before`` has begun."""
    _hooks.append(_Hook(stage, before, in_parent, in_child))
    _hooks.sort(key=lambda hook: hook.stage)


@contextlib.contextmanager
def no_fork() -> Iterator[None]:
    """Let forks of other threads wait, or wait for the one that goes on."""
    with _Forking.lock:
        yield


class ForkSafeLock:
    """A re-entrant lock that is new, and open, in every child."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Forget who held it."""
        self._lock = threading.RLock()


_hooks: Final[list[_Hook]] = []
_locks: Final[weakref.WeakSet[ForkSafeLock]] = weakref.WeakSet()


class _Forking:
    """One fork at a time: two would wait for each other, and undo each other's work."""

    lock = threading.Lock()
    thread: int | None = None
    begun: Final[list[_Hook]] = []


def _before() -> None:
    _Forking.lock.acquire()
    _Forking.thread = threading.get_ident()
    for hook in reversed(_hooks.copy()):
        _Forking.begun.append(hook)
        hook.before()


def _in_parent() -> None:
    if _Forking.thread != threading.get_ident():
        return  # Ctrl-C while it waited for another fork.
    for hook in reversed(_Forking.begun):
        hook.in_parent()
    _Forking.begun.clear()
    _Forking.thread = None
    _Forking.lock.release()


def _in_child() -> None:
    for hook in _hooks:
        hook.in_child()
    _Forking.begun.clear()
    _Forking.thread = None
    _Forking.lock = threading.Lock()


def _renew_locks() -> None:
    for lock in list(_locks):
        lock.renew()


os.register_at_fork(
    before=_before, after_in_parent=_in_parent, after_in_child=_in_child
)
at_fork(Stage.LOCKS, in_child=_renew_locks)
