"""Files by which the processes of one user keep out of each other's way."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from parsec_keys.errors import ServiceUnavailable, StorageFailure
from parsec_keys.service.owned_files import own_directory


def open_shared(kind: str, what: str) -> int:
    """A descriptor of the file that stands for a facility: a TCTI, a module's path.

    Raises:
        ServiceUnavailable: the folder of such files cannot be used.
    """
    folder = Path(tempfile.gettempdir()) / f"parsec-keys-{os.geteuid()}"
    name = hashlib.sha256(what.encode()).hexdigest()[:16]
    try:
        own_directory(folder)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        return os.open(folder / f"{kind}-{name}", flags, 0o600)
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
    descriptor = open_shared(kind, what)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
