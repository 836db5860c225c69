"""Files by which the processes of one user keep out of each other's way.

A lock belongs to the open file, which a fork shares (flock(2)): a child would hold its
killed parent's lock for as long as it lives, and wait for it as well. So each child
closes what its parent had open.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from parsec_keys._fork import Stage, at_fork
from parsec_keys.errors import ServiceUnavailable, StorageFailure
from parsec_keys.service.owned_files import own_directory

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class LockFile:
    """An open file that locks other processes out, and that no child keeps open."""

    def __init__(self, path: Path) -> None:
        """Open it, with mode 0600 where it is not there.

        Raises:
            OSError: it cannot be opened.
        """
        self.descriptor = os.open(path, _FLAGS, 0o600)
        _open_files.add(self)

    def lock(self) -> None:
        """Wait until no other open file holds the lock."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def try_lock(self) -> bool:
        """Whether it could be locked at once."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        """Let the next one have it."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Unlock and close it; a second time nothing."""
        descriptor, self.descriptor = self.descriptor, _CLOSED
        if descriptor != _CLOSED:
            os.close(descriptor)


_CLOSED: Final = -1
_open_files: Final[weakref.WeakSet[LockFile]] = weakref.WeakSet()


def _close_parents_files() -> None:
    for file in list(_open_files):
        file.close()


at_fork(Stage.FILES, in_child=_close_parents_files)


def open_shared(kind: str, what: str) -> LockFile:
    """The file that stands for a facility: a TCTI, a module's path.

    Raises:
        ServiceUnavailable: the folder of such files cannot be used.
    """
    folder = Path(tempfile.gettempdir()) / f"parsec-keys-{os.geteuid()}"
    name = hashlib.sha256(what.encode()).hexdigest()[:16]
    try:
        own_directory(folder)
        return LockFile(folder / f"{kind}-{name}")
    except (OSError, StorageFailure) as e:
        raise ServiceUnavailable(
            f"'{what}' cannot be shared with other processes through {folder} ({e}): "
            "remove that folder, or mend its owner and mode"
        ) from e


@contextlib.contextmanager
def one_process_at_a_time(kind: str, what: str) -> Iterator[None]:
    """Hold a facility against the other processes of this user.

    Raises:
        ServiceUnavailable: the folder of such files cannot be used.
    """
    with _locked(open_shared(kind, what)):
        yield


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold a lock file, made where it is not there, against other processes.

    Raises:
        OSError: it cannot be opened.
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
