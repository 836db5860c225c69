"""Files by which the processes of one user keep out of each other's way.

A lock belongs to the open file, which a fork shares (flock(2)): a child would hold its
killed parent's lock for as long as it lives, and wait for it as well. So each child
closes what its parent had open.

All processes of a user must find the same folder, so that no environment decides on it:
it is in the user's home, as the password database has it. A folder in /run/user comes
and goes as the user logs in and out, and one in /tmp anybody else may make first.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import hashlib
import os
import pwd
import shutil
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from parsec_keys._fork import Stage, at_fork
from parsec_keys.errors import ServiceUnavailable, StorageFailure
from parsec_keys.service.owned_files import own_directory

PATIENCE_SECONDS: Final = 330.0
"""How long others may have a lock: a slow TPM makes an RSA key in five minutes."""
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class LockFile:
    """An open file that locks other processes out, and that no child keeps open."""

    def __init__(self, path: Path, descriptor: int | None = None) -> None:
        """Open it, with mode 0600 where it is not there, or take what is open.

        Raises:
            OSError: it cannot be opened.
        """
        self.path = path
        self._have(os.open(path, _FLAGS, 0o600) if descriptor is None else descriptor)
        _open_files.add(self)

    def lock(self) -> None:
        """Wait until no other open file holds the lock.

        Raises:
            OSError: it cannot be locked.
            ServiceUnavailable: another one holds it for too long.
        """
        while not self.try_lock():
            if not self._wait():
                raise ServiceUnavailable(
                    f"another process has held {self.path} for {PATIENCE_SECONDS:.0f} "
                    "seconds, and so what that stands for: see which one it is (fuser "
                    f"-v {self.path}), and continue or end it"
                )

    def try_lock(self) -> bool:
        """Whether it could be locked at once."""
        if self.descriptor == _CLOSED:
            self._reopen()
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return not self._was_removed() or self.try_lock()

    def _was_removed(self) -> bool:
        """Open it again if others removed it, who held it, before it was locked here.

        Else the next one locks a file of the same name, and both would go on.
        """
        if os.fstat(self.descriptor).st_nlink:
            return False
        self._reopen()
        return True

    def _reopen(self) -> None:
        descriptor = os.open(self.path, _FLAGS, 0o600)
        self.close()
        self._have(descriptor)

    def _have(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._end = weakref.finalize(self, _close, descriptor)
        self._end.atexit = False

    def _wait(self) -> bool:
        """Wait for the lock in a thread, which can be left behind; whether it came.

        It has a descriptor of its own for the same open file, to which the lock
        belongs: the lock is gone when both are closed.
        """
        twin = LockFile(self.path, os.dup(self.descriptor))
        came = threading.Lock()
        if sys.is_finalizing():  # No thread starts any more.
            _wait_for(twin, came)
            return True
        came.acquire()
        thread = threading.Thread(
            target=_wait_for, args=(twin, came), name="parsec-keys lock", daemon=True
        )
        is_there = False
        try:
            thread.start()
            is_there = came.acquire(timeout=PATIENCE_SECONDS)
        except RuntimeError:  # Nor does it at the end of a program, or at a limit.
            _wait_for(twin, came)
            is_there = True
        finally:
            if not is_there:  # Or Ctrl-C. The thread gives back what it still gets.
                self.close()
        return is_there

    def unlock(self) -> None:
        """Let the next one have it."""
        if self.descriptor != _CLOSED:
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Unlock and close it, as happens to one that nobody has; once."""
        self.descriptor = _CLOSED
        self._end()


def _close(descriptor: int) -> None:
    if not sys.is_finalizing():  # Who signs last may still need it.
        os.close(descriptor)


def _wait_for(file: LockFile, came: threading.Lock) -> None:
    try:
        fcntl.flock(file.descriptor, fcntl.LOCK_EX)
    finally:
        file.close()
        if came.locked():
            came.release()


_CLOSED: Final = -1
_open_files: Final[weakref.WeakSet[LockFile]] = weakref.WeakSet()


def _close_parents_files() -> None:
    for file in list(_open_files):
        file.close()


at_fork(Stage.FILES, in_child=_close_parents_files)


def open_shared(kind: str, what: str) -> LockFile:
    """The file that stands for a facility: a TCTI, a module's path.

    Raises:
        ServiceUnavailable: there is no folder for such files.
    """
    name = hashlib.sha256(what.encode()).hexdigest()[:16]
    reasons = []
    for folder in _folders():
        try:
            own_directory(folder)
            _sweep(folder)
            return LockFile(folder / f"{kind}-{name}")
        except (OSError, StorageFailure) as e:
            reasons.append(str(e))
    raise ServiceUnavailable(
        f"'{what}' cannot be shared with other processes ({'; '.join(reasons)}): give "
        "this user a home of its own, or the store a folder that can be written to"
    )


@functools.cache
def _sweep(folder: Path) -> None:
    """Remove what nobody has used since the machine was started, once a process."""
    started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < started:
                with contextlib.closing(LockFile(path)) as file:
                    if file.try_lock():
                        path.unlink()


def offer(folder: Path) -> None:
    """Have a store's folder serve as well, for a user that has no home."""
    with contextlib.suppress(StorageFailure):  # Whoever opens the store says so.
        own_directory(folder)
    if folder not in _offered:
        _offered.append(folder)


def _folders() -> Iterator[Path]:
    """Where such files may be: the first one that is of use counts."""
    user = os.geteuid()
    home = _home(user)
    if home is not None and _belongs_to(user, home):
        yield home / ".local/share/parsec-keys/shared"
    runtime = Path(f"/run/user/{user}")
    if _belongs_to(user, runtime):
        yield runtime / "parsec-keys"
    for store in _offered:
        if _belongs_to(user, store):
            yield store / "shared"
    # Shared with nobody but this process's children.
    with contextlib.suppress(OSError):
        yield _private_folder(user)


@functools.cache
def _home(user: int) -> Path | None:
    """The home that the password database has, asked once.

    A child of a program with threads may find the locks of libc's look-up closed.
    """
    try:
        return Path(pwd.getpwuid(user).pw_dir)
    except KeyError:
        return None


def _belongs_to(user: int, folder: Path) -> bool:
    try:
        return folder.stat().st_uid == user
    except OSError:
        return False


def _private_folder(user: int) -> Path:
    folder = _private.get(user)
    if folder is None:
        folder = _private[user] = Path(tempfile.mkdtemp(prefix="parsec-keys-"))
        atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, process: int) -> None:
    if process == os.getpid():
        shutil.rmtree(folder, ignore_errors=True)


_offered: Final[list[Path]] = []
_private: Final[dict[int, Path]] = {}


@contextlib.contextmanager
def one_process_at_a_time(kind: str, what: str) -> Iterator[None]:
    """Hold a facility against the other processes of this user.

    Raises:
        ServiceUnavailable: there is no folder for such files, or another process does
            not let go.
    """
    with _locked(open_shared(kind, what)):
        yield


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold a lock file, made where it is not there, against other processes.

    Raises:
        OSError: it cannot be opened.
        ServiceUnavailable: another process does not let go.
    """
    with _locked(LockFile(path)):
        yield


@contextlib.contextmanager
def _locked(file: LockFile) -> Iterator[None]:
    try:
        file.lock()
        yield
    finally:
        file.close()
