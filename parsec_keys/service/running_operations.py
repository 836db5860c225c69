"""Operations that run, which a fork waits for.

cryptography lets other threads run while its OpenSSL works. A fork at that moment
leaves OpenSSL's own locks closed in the child for ever, which then hangs.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Final

from parsec_keys._fork import Stage, at_fork
from parsec_keys.service.call_gate import FORK_SECONDS


class _RunningOperations:
    """A context for as long as an operation runs. Every signature enters it: cheap.

    A thread that enters says so and then looks for a fork; a fork says so and then
    looks for threads: whoever is first, one of them sees the other. A thread is in at
    most one operation: what Ctrl-C keeps it from taking back, its next one does.
    """

    def __init__(self) -> None:
        self._running: Final[set[int]] = set()
        self._forking: int | None = None
        """The thread that forks, which may do so in an operation: in a signal handler.
        """
        self._ended, self._forked = threading.Event(), threading.Event()

    def __len__(self) -> int:
        """How many run."""
        return len(self._running)

    def __enter__(self) -> None:
        thread = threading.get_ident()
        self._running.add(thread)
        while self._forking not in (None, thread):
            forked = self._forked
            self.__exit__(None, None, None)
            forked.wait()
            self._running.add(thread)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running.discard(threading.get_ident())
        if self._forking is not None and self._running <= {self._forking}:
            self._ended.set()

    def end(self) -> None:
        """Let nobody enter, and wait until all have left; not for ever."""
        self._ended, self._forked = threading.Event(), threading.Event()
        self._forking = threading.get_ident()
        if not self._running <= {self._forking}:
            self._ended.wait(FORK_SECONDS)

    def go_on(self) -> None:
        """Let the threads enter that wait."""
        self._forking = None
        self._forked.set()

    def start_anew(self) -> None:
        """Begin with none, in a child: its parent's threads are not there."""
        self._running.clear()
        self._forking = None


running: Final = _RunningOperations()
at_fork(
    Stage.OPERATIONS,
    before=lambda: running.end(),
    in_parent=running.go_on,
    in_child=running.start_anew,
)
