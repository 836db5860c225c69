"""Processes that are killed before the n-th thing that they do to the world outside.

strace counts a thread's system calls that change something that others see, and kills
its process at the entry of one: every moment between two of them is the same to all
others. So a step that is added to an operation is one more to be killed at.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import traceback
import warnings
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from tests.daemon import SECONDS
from tests.want import missing

STEPS = (
    *("?open", "openat", "?mkdir", "mkdirat", "?rename", "?renameat", "renameat2"),
    *("?link", "linkat", "?symlink", "symlinkat", "?unlink", "unlinkat", "?rmdir"),
    *("write", "writev", "pwrite64", "ftruncate", "fallocate", "?chmod", "fchmod"),
    *("connect", "sendto", "sendmsg"),
)
"""Those with a question mark are not on every architecture.

A lock is not among them: it ends with its process. Shared memory of SQLite's WAL is
not the kernel's to see; others that use it lock it before and after."""
SYNCS = ("fsync", "fdatasync")


class Process:
    """A child of this one that does its work when it is told to."""

    def __init__(self, prepare: Callable[[], Callable[[], object]]) -> None:
        """Fork it, and wait until it has prepared and knows its work."""
        self._line, childs = Pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pytest-xdist.
            self.pid = os.fork()
        if self.pid == 0:
            self._line.close()
            _work(childs, prepare)
        childs.close()
        self._said("ready")

    @property
    def threads(self) -> list[int]:
        """Its threads, the first one first."""
        return sorted(int(tid) for tid in os.listdir(f"/proc/{self.pid}/task"))

    def work(self) -> int:
        """Have it work to its end: 0, or less the signal that killed it."""
        self.go_on()
        return self.ended()

    def go_on(self) -> None:
        """Have it work."""
        self._line.send("go on")

    def ended(self) -> int:
        """Wait for its end: 0, or less the signal that killed it."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        try:
            if status == 0:
                self._said("done")
        finally:
            self._line.close()
        return status

    def kill(self) -> None:
        """End it at once."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._line.close()

    def _said(self, word: str) -> None:
        assert self._line.poll(SECONDS), f"it is not {word}"
        said = self._line.recv()
        assert said == word, said


def _work(parent: Connection, prepare: Callable[[], Callable[[], object]]) -> None:
    status = 1
    try:
        signal.alarm(int(3 * SECONDS))
        try:
            work = prepare()
            parent.send("ready")
            parent.recv()
            work()
        except BaseException:
            parent.send(traceback.format_exc())
            raise
        parent.send("done")
        status = 0
    finally:
        os._exit(status)


class Traced:
    """One thread of a process under strace. A context manager."""

    def __init__(self, thread: int, log: Path, kill_before: int | None = None) -> None:
        """Args:
        kill_before: at which step the process is killed, from 1; never without.
        """
        if shutil.which("strace") is None:
            missing("software", "run apt install strace")
        self._log = log
        steps = ",".join(STEPS)
        command = [
            *("strace", "-y", "-p", str(thread), "-o", log),
            *("-e", ",".join((f"trace={steps}", *SYNCS))),
        ]
        if kill_before is not None:
            command += ["-e", f"inject={steps}:signal=KILL:when={kill_before}"]
        self._strace = subprocess.Popen(command, stderr=subprocess.PIPE)

    def __enter__(self) -> Traced:
        # Before it says so, the thread may have a tracer already, and run unseen.
        assert self._strace.stderr is not None
        assert select.select([self._strace.stderr], [], [], SECONDS)[0]
        said = self._strace.stderr.readline()
        assert b"attached" in said, said
        return self

    def __exit__(self, *error: object) -> None:
        self._strace.terminate()
        self._strace.communicate()

    @property
    def steps(self) -> list[str]:
        """What the thread has done, as strace says it."""
        return [line for line in self.calls if not line.startswith(SYNCS)]

    @property
    def calls(self) -> list[str]:
        """The same, and what it had written to the disk."""
        lines = self._log.read_text().splitlines()
        return [line for line in lines if line[:1].isalpha()]
