"""Files by which the processes of one user keep out of each other's way."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from parsec_keys.errors import ServiceUnavailable, StorageFailure
from parsec_keys.service.owned_files import own_directory

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


def open_shared(kind: str, what: str) -> int:
    """A descriptor of the file that stands for a facility: a TCTI, a module's path.

    Raises:
        ServiceUnavailable: the folder of such files cannot be used.
    """
    folder = Path(tempfile.gettempdir()) / f"parsec-keys-{os.geteuid()}"
    name = hashlib.sha256(what.encode()).hexdigest()[:16]
    try:
        own_directory(folder)
        return os.open(folder / f"{kind}-{name}", _FLAGS, 0o600)
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
    with _locked(os.open(path, _FLAGS, 0o600)):
        yield


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
