"""What survives a fork: locks that a child finds open.

A lock that another thread held at the moment of the fork stays locked in the child for
ever, because that thread is not there.
"""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType
from typing import Final


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


_locks: Final[weakref.WeakSet[ForkSafeLock]] = weakref.WeakSet()


def _renew_locks() -> None:
    for lock in list(_locks):
        lock.renew()


os.register_at_fork(after_in_child=_renew_locks)
