"""Files and folders that only their owner can change."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from parsec_keys.errors import StorageFailure


def own_directory(path: Path) -> None:
    """Make a folder of mode 0700, or check that it is the user's own.

    Raises:
        StorageFailure: it belongs to somebody else, or others can write to it.
    """
    try:
        _make(path)
        check_owner(path)
    except OSError as e:
        raise unusable(path, e) from e


def _make(path: Path) -> None:
    """Make a folder and those above it, so that they survive a power loss."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            if not folder.is_dir():
                raise
        with contextlib.suppress(PermissionError):  # To write to it is enough.
            sync_directory(folder.parent)


def check_owner(path: Path) -> None:
    """Pass if a file or folder is this user's or root's, and nobody else's to write.

    Raises:
        StorageFailure: it is not, or somebody else made a link to it.
        OSError: it cannot be looked at.
    """
    check_status(path, path.lstat())
    check_status(path, path.stat())


def check_status(path: Path, status: os.stat_result) -> None:
    """The same of what was opened, or of a link.

    Raises:
        StorageFailure: as ``check_owner``.
    """
    if status.st_uid not in (os.geteuid(), 0):
        raise StorageFailure(
            f"{path} belongs to uid {status.st_uid}, not to this user: choose a "
            "folder of your own for the store"
        )
    is_link = stat.S_ISLNK(status.st_mode)  # Nobody writes to one.
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not is_link:
        raise StorageFailure(
            f"others can write to {path}, and so to the keys: run chmod go-w {path}"
        )


def write_whole(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 that is there whole or not at all, after a crash too.

    Raises:
        OSError: it cannot be written; nothing of it is left.
    """
    partial = _partial(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        with open(os.open(partial, flags, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def remove_whole(path: Path) -> None:
    """Remove a file, and what a killed process left of one; nothing there is no error.

    Raises:
        OSError: it cannot be removed.
    """
    path.unlink(missing_ok=True)
    _partial(path).unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def sync_directory(path: Path) -> None:
    """Make a folder's entries survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unusable(path: Path, error: OSError) -> StorageFailure:
    """What to say of a path that the system refuses."""
    return StorageFailure(
        f"{path} cannot be used: {error.strerror}; make room or mend its permissions, "
        "or choose another folder for the store"
    )
