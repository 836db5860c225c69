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
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


class Stage(enum.IntEnum):
    """The order after a fork. Before it, it is the other way round."""

    LOCKS = 0
    FILES = 1
    KEY_INFO = 2
    CALLS = 3
    CURES = 4
    OPERATIONS = 5


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


def fork_safe_lock() -> threading.RLock:
    """A re-entrant lock that is new, and open, in every child.

    Python's own, whose ``with`` is done in C: Ctrl-C in a method of ours that opens it
    would leave it closed for ever.
    """
    lock = threading.RLock()
    _locks.add(lock)
    return lock


_hooks: Final[list[_Hook]] = []
_locks: Final[weakref.WeakSet[threading.RLock]] = weakref.WeakSet()
no_fork: Final = fork_safe_lock()
"""Whoever holds it lets forks of other threads wait, or waits for the one that goes on.

An operation may: a fork lets operations end first.
"""


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


_CURE_SECONDS: Final = 35.0
"""How long a fork waits for a cure; then it goes ahead, as forks must."""


def _renew_locks() -> None:
    for lock in list(_locks):
        lock._at_fork_reinit()  # type: ignore[attr-defined]  # As Python's own are.


def _rest() -> None:
    no_fork.acquire(timeout=_CURE_SECONDS)


def _go_on() -> None:
    with contextlib.suppress(RuntimeError):  # Ctrl-C while it waited.
        no_fork.release()


os.register_at_fork(
    before=_before, after_in_parent=_in_parent, after_in_child=_in_child
)
at_fork(Stage.LOCKS, in_child=_renew_locks)
at_fork(Stage.CURES, before=_rest, in_parent=_go_on)
