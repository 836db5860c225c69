"""The SQLite file of key info, and this process's connection to it.

WAL with ``synchronous=FULL``: what was committed survives a power loss.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from parsec_keys._fork import Stage, at_fork, fork_safe_lock, no_fork
from parsec_keys.errors import StorageFailure
from parsec_keys.service.owned_files import check_owner, own_directory, unusable
from parsec_keys.service.shared_files import hold

SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE key_record (
    authenticator INTEGER NOT NULL,
    application TEXT NOT NULL,
    provider TEXT NOT NULL,
    key_name TEXT NOT NULL,
    uid BLOB NOT NULL UNIQUE,
    intent INTEGER NOT NULL,
    key_id BLOB,
    attributes TEXT,
    public_key BLOB,
    UNIQUE (authenticator, application, key_name)
) STRICT;
"""


class KeyInfoFile:
    """A file, made with its folder when it is not there. Safe for threads and forks.

    Raises:
        StorageFailure: the folder or the file is not the user's own, can be written by
            others, is no key info, or was made by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = fork_safe_lock()
        self._process = 0
        self._connection: sqlite3.Connection | None = None
        with no_fork:
            _files.add(self)
        own_directory(path.parent)
        self.is_read_only = not os.access(path.parent, os.W_OK, effective_ids=True)
        with self.reading() as connection:
            if not _is_current(connection, path):
                with self.transaction():
                    _make_schema(connection, path)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone.

        Raises:
            StorageFailure: the file cannot be used.
        """
        with self._lock, self._translated():
            yield self._connected()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The same to write: all of it, or nothing."""
        with self.reading() as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite may have rolled back by itself.
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection. The next use opens another one."""
        with self._lock:
            if self._process == os.getpid():
                self._forget()
            self._connection = None

    def pause(self) -> None:
        """Let a fork find SQLite at rest: a child keeps what is locked then."""
        self._lock.__enter__()

    def go_on(self) -> None:
        """Go on after a fork, in the parent."""
        with contextlib.suppress(RuntimeError):  # Ctrl-C while it paused.
            self._lock.__exit__(None, None, None)

    def forget_parent(self) -> None:
        """Close the parent's connection in a child, which opens its own.

        A child has none of its parent's locks, and SQLite thinks it has them for as
        long as one of the parent's connections is open: others would take the WAL away.
        """
        self._forget()

    def _forget(self) -> None:
        """Close the connection, and let nobody close it once more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._end.detach()
            connection.close()

    def _connected(self) -> sqlite3.Connection:
        if self.is_read_only and self._connection is not None:
            # SQLite would not see that somebody else, who may write, did so.
            self._forget()
        if self._connection is None:
            open_ = _open_to_read if self.is_read_only else _open
            self._connection = open_(self.path)
            self._process = os.getpid()
            self._end = weakref.finalize(self, _close, self._connection, self._process)
            self._end.atexit = False
        return self._connection

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeError) as e:
            # A damaged schema: Python does not decode SQLite's own words about it.
            raise StorageFailure(
                f"the key info {self.path} cannot be used ({e}): free the disk, mend "
                "its permissions, or restore it from a backup"
            ) from e
        except OSError as e:
            raise unusable(self.path, e) from e


def _close(connection: sqlite3.Connection, process: int) -> None:
    """Close the connection of a store that nobody closed, in the process that has it.

    Python warns of a connection that is let go of unclosed (3.13).
    """
    if process == os.getpid():
        connection.close()


_files: Final[weakref.WeakSet[KeyInfoFile]] = weakref.WeakSet()
_at_fork: Final[list[KeyInfoFile]] = []


def _pause_all() -> None:
    for file in list(_files):
        _at_fork.append(file)
        file.pause()


def _go_on_with_all() -> None:
    for file in _at_fork:
        file.go_on()
    _at_fork.clear()


def _forget_parents() -> None:
    for file in _at_fork:
        file.forget_parent()
    _at_fork.clear()


at_fork(
    Stage.KEY_INFO,
    before=_pause_all,
    in_parent=_go_on_with_all,
    in_child=_forget_parents,
)


def _open(path: Path) -> sqlite3.Connection:
    # The file exists with its mode before SQLite, which copies the mode to its WAL.
    # Not opened where it exists: to close a file takes this process's locks on it away,
    # those of another store's SQLite too (sqlite.org/howtocorrupt.html, section 2.2).
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    _check_owners(path)
    connection = sqlite3.connect(
        path, timeout=30, isolation_level=None, check_same_thread=False
    )
    try:
        # SQLite does not wait for another process that changes the journal's mode.
        with hold(path.with_name("lock")):
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _open_to_read(path: Path) -> sqlite3.Connection:
    """Open what cannot be written to, and may be on a file system that cannot."""
    _check_owners(path)
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    log = _beside(path, "-wal")
    if not log.exists() or log.stat().st_size == 0:
        uri += "&immutable=1"  # SQLite would make a log and an index to it.
    elif not _beside(path, "-shm").exists():
        raise StorageFailure(
            f"{path} was left by a process that was killed: open the store once where "
            "it can be written to"
        )
    return sqlite3.connect(
        uri, uri=True, timeout=30, isolation_level=None, check_same_thread=False
    )


def _check_owners(path: Path) -> None:
    """Check a file, and what SQLite would take for a part of it."""
    check_owner(path)
    for suffix in ("-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            check_owner(_beside(path, suffix))


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _is_current(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the schema is ours; False of one that is older, or not there yet."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise StorageFailure(
            f"the key info {path} has schema {version}, made by a newer parsec-keys; "
            f"this one knows schema {SCHEMA_VERSION}: upgrade parsec-keys"
        )
    return bool(version == SCHEMA_VERSION)


def _make_schema(connection: sqlite3.Connection, path: Path) -> None:
    if _is_current(connection, path):
        return  # Another process was faster.
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables:
        raise StorageFailure(f"{path} is a database, but not key info of parsec-keys")
    connection.execute(_SCHEMA)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
