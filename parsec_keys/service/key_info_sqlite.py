"""Key info on disk: an SQLite file that only its owner can read.

WAL with ``synchronous=FULL``: what was committed survives a power loss. An intent is
held by an advisory lock on a file of its own for as long as its process lives, so that
another process on the same store can tell a creation that is going on from one that
was killed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import re
import sqlite3
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from parsec_keys._fork import ForkSafeLock, Stage, at_fork, no_fork
from parsec_keys.errors import KeyExists, StorageFailure
from parsec_keys.psa.attributes import KeyAttributes, KeyPolicy, Lifetime, UsageFlags
from parsec_keys.psa.operations import KeyInfo
from parsec_keys.psa.words import (
    algorithm_from_words,
    algorithm_to_words,
    key_type_from_words,
    key_type_to_words,
    usage_from_words,
)
from parsec_keys.service.authenticators import ApplicationIdentity, AuthenticatorType
from parsec_keys.service.key_info import KeyIdentity, KeyRecord, name_taken
from parsec_keys.service.owned_files import check_owner, own_directory, unusable
from parsec_keys.service.shared_files import LockFile, hold

logger = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 1
FILE_NAME: Final = "key-info.sqlite3"
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
_PAGE: Final = 1000
_INTENT: Final = re.compile(r"(?:[0-9a-f]{2}){1,16}")
_MOST_OF_UID: Final = 16
"""One of a key that a Rust Parsec service made on a token is shorter."""
_TYPES: Final = (int, str, str, str, bytes, bytes, str, bytes)
"""Of the columns below: STRICT binds SQLite, and not who writes to the file past it."""
_UNREADABLE: Final = (ValueError, KeyError, TypeError, RecursionError)
_ADOPTED_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS adopted (origin BLOB PRIMARY KEY) STRICT, WITHOUT ROWID"
)
"""Made by the first adoption: most stores never have one."""
_COLUMNS: Final = (
    "authenticator, application, provider, key_name, uid, key_id, attributes, "
    "public_key"
)


class SqliteKeyInfoManager:
    """Records in ``DIRECTORY/key-info.sqlite3``, made when it is not there.

    Raises:
        StorageFailure: the folder or the file is not the user's own, can be written by
            others, is no key info, or was made by a newer version.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / FILE_NAME
        self._intents = directory / "intents"
        self._lock = ForkSafeLock()
        self._held: dict[bytes, LockFile] = {}
        self._cancelled: set[bytes] = set()
        self._process = 0
        self._database: sqlite3.Connection | None = None
        with no_fork():
            _managers.add(self)
        own_directory(directory)
        self._is_read_only = not os.access(directory, os.W_OK, effective_ids=True)
        if not self._is_read_only:
            own_directory(self._intents)
        with self._reading() as database:
            if not _is_current(database, self._path):
                with self._transaction():
                    _make_schema(database, self._path)

    def find(self, application: ApplicationIdentity, key_name: str) -> KeyRecord | None:
        with self._reading() as database:
            row = database.execute(
                f"SELECT {_COLUMNS} FROM key_record WHERE authenticator = ? AND "  # noqa: S608
                "application = ? AND key_name = ? AND NOT intent",
                (*application, key_name),
            ).fetchone()
        return None if row is None else self._record(row)

    def applications(self) -> list[ApplicationIdentity]:
        with self._reading() as database:
            rows = database.execute(
                "SELECT DISTINCT authenticator, application FROM key_record "
                "WHERE NOT intent ORDER BY authenticator, application"
            ).fetchall()
        return [self._application(*row) for row in rows]

    def records(self, application: ApplicationIdentity) -> list[KeyRecord]:
        with self._reading() as database:
            rows = database.execute(
                f"SELECT {_COLUMNS} FROM key_record WHERE authenticator = ? AND "  # noqa: S608
                "application = ? AND NOT intent ORDER BY key_name",
                application,
            ).fetchall()
        return [self._record(row) for row in rows]

    def listing(self, application: ApplicationIdentity) -> list[KeyInfo]:
        page = self._page(application, "")
        keys = list(page)
        # Page by page: between two of them, others find their keys.
        while len(page) == _PAGE:
            page = self._page(application, page[-1].name + "\0")
            keys += page
        return keys

    def _page(self, application: ApplicationIdentity, first: str) -> list[KeyInfo]:
        with self._reading() as database:
            rows = database.execute(
                "SELECT key_name, provider, attributes FROM key_record "
                "WHERE authenticator = ? AND application = ? AND NOT intent "
                "AND key_name >= ? ORDER BY key_name LIMIT ?",
                (*application, first, _PAGE),
            ).fetchall()
        return [
            KeyInfo(name, provider, self._attributes(text, name))
            for name, provider, text in rows
        ]

    def begin(self, identity: KeyIdentity, uid: bytes) -> None:
        application, provider, key_name = identity
        self._check_writable()
        self._hold(uid)
        try:
            with self._transaction() as database:
                forgotten = self._forget_cancelled(database)
                taken = database.execute(
                    "SELECT provider FROM key_record WHERE authenticator = ? AND "
                    "application = ? AND key_name = ?",
                    (*application, key_name),
                ).fetchone()
                if taken is not None:
                    raise name_taken(KeyIdentity(application, taken[0], key_name))
                database.execute(
                    "INSERT INTO key_record (authenticator, application, provider, "
                    "key_name, uid, intent) VALUES (?, ?, ?, ?, ?, 1)",
                    (*application, provider, key_name, uid),
                )
        except BaseException:
            self._let_go(uid)
            raise
        self._let_go(*forgotten)

    def commit(self, record: KeyRecord) -> None:
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE key_record SET intent = 0, key_id = ?, attributes = ?, "
                "public_key = ? WHERE uid = ?",
                (
                    record.key_id,
                    _attributes_to_json(record.attributes),
                    record.public_key,
                    record.uid,
                ),
            ).rowcount
        if changed != 1:
            raise StorageFailure(f"the key info of {record.described} has vanished")
        self._let_go(record.uid)

    def begin_destroy(self, record: KeyRecord) -> bool:
        self._check_writable()
        is_held, changed = self._hold(record.uid), 0
        try:
            with self._transaction() as database:
                changed = database.execute(
                    "UPDATE key_record SET intent = 1 WHERE uid = ? AND NOT intent",
                    (record.uid,),
                ).rowcount
        finally:
            if is_held and changed != 1:
                self._let_go(record.uid)
        return changed == 1

    def cancel(self, uid: bytes) -> None:
        # Where the disk is full the next intent tries again, or the next start.
        self._cancelled.add(uid)
        with self._transaction() as database:
            forgotten = self._forget_cancelled(database)
        self._let_go(*forgotten)

    def abandoned(self, provider: str) -> Iterator[bytes]:
        if self._is_read_only:
            return
        with self._reading() as database:
            rows = database.execute(
                "SELECT uid FROM key_record WHERE provider = ? AND intent", (provider,)
            ).fetchall()
        self._sweep()
        for (uid,) in rows:
            if not _is_uid(uid):
                logger.warning("%s has an intent that means nothing", self._path)
                continue
            if uid in self._held or not self._hold(uid):
                continue  # Its process lives.
            if self._is_intent(uid):
                yield uid
            else:
                self._let_go(uid)

    def adopt(self, records: Mapping[bytes, KeyRecord | None]) -> None:
        self._check_writable()
        new = [record for record in records.values() if record is not None]
        try:
            with self._transaction() as database:
                database.execute(_ADOPTED_SCHEMA)
                database.executemany(
                    f"INSERT INTO key_record ({_COLUMNS}, intent) "  # noqa: S608
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
                    map(_row, new),
                )
                database.executemany(
                    "INSERT OR IGNORE INTO adopted VALUES (?)",
                    [(origin,) for origin in records],
                )
        except StorageFailure as e:
            if not isinstance(e.__cause__, sqlite3.IntegrityError):
                raise
            raise KeyExists(
                "somebody made a key of a name that was about to be adopted: try again"
            ) from e

    def adopted(self) -> frozenset[bytes]:
        with self._reading() as database:
            found = database.execute(
                "SELECT 1 FROM sqlite_master WHERE name = 'adopted'"
            ).fetchone()
            if found is None:
                return frozenset()
            rows = database.execute("SELECT origin FROM adopted").fetchall()
        return frozenset(origin for (origin,) in rows)

    def close(self) -> None:
        with self._lock:
            database, self._database = self._database, None
            if database is not None and self._process == os.getpid():
                database.close()
            # What could not be undone is for whoever opens the store next.
            for file in self._held.values():
                file.close()
            self._held.clear()

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
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _check_writable(self) -> None:
        if self._is_read_only:
            raise StorageFailure(
                f"{self._directory} cannot be written to: keys can be used, but not "
                "made or deleted; mend its permissions, or use another folder"
            )

    def _sweep(self) -> None:
        """Remove lock files of creations that died before their intent was written."""
        for path in self._intents.iterdir():
            if not _INTENT.fullmatch(path.name):
                continue  # Not ours.
            uid = bytes.fromhex(path.name)
            if uid not in self._held and not self._is_intent(uid) and self._hold(uid):
                self._let_go(uid)

    def _is_intent(self, uid: bytes) -> bool:
        with self._reading() as database:
            row = database.execute(
                "SELECT intent FROM key_record WHERE uid = ?", (uid,)
            ).fetchone()
        return row is not None and bool(row[0])

    def _hold(self, uid: bytes) -> bool:
        """Lock the intent's file for this process, unless another holds it."""
        path = self._intents / uid.hex()
        with self._translated():
            file = LockFile(path)
        if not file.try_lock():
            file.close()
            return False
        self._held[uid] = file
        return True

    def _let_go(self, *uids: bytes) -> None:
        for uid in uids:
            self._cancelled.discard(uid)
            file = self._held.pop(uid, None)
            if file is not None:
                (self._intents / uid.hex()).unlink(missing_ok=True)
                file.close()

    def _forget_cancelled(self, database: sqlite3.Connection) -> list[bytes]:
        """Forget intents in a transaction, and answer those to let go after it."""
        forgotten = list(self._cancelled)
        database.executemany(
            "DELETE FROM key_record WHERE uid = ? AND intent",
            [(uid,) for uid in forgotten],
        )
        return forgotten

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated():
            yield self._connection()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:  # SQLite may have rolled back by itself.
                    database.execute("ROLLBACK")
                raise

    def _connection(self) -> sqlite3.Connection:
        if self._is_read_only and self._database is not None:
            # SQLite would not see that somebody else, who may write, did so.
            self._database.close()
            self._database = None
        if self._database is None:
            open_ = _open_to_read if self._is_read_only else _open
            self._database = open_(self._path)
            self._process = os.getpid()
            forgotten = weakref.finalize(self, _close, self._database, self._process)
            forgotten.atexit = False
        return self._database

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeError) as e:
            # A damaged schema: Python does not decode SQLite's own words about it.
            raise StorageFailure(
                f"the key info {self._path} cannot be used ({e}): free the disk, mend "
                "its permissions, or restore it from a backup"
            ) from e
        except OSError as e:
            raise unusable(self._path, e) from e

    def _record(self, row: tuple[Any, ...]) -> KeyRecord:
        authenticator, application, provider, key_name, uid, key_id, text, public = row
        try:
            _check_types(row)
            identity = KeyIdentity(
                ApplicationIdentity(AuthenticatorType(authenticator), application),
                provider,
                key_name,
            )
            return KeyRecord(identity, uid, key_id, _attributes_from_json(text), public)
        except _UNREADABLE as e:
            raise self._unreadable(key_name, e) from e

    def _application(self, authenticator: int, application: str) -> ApplicationIdentity:
        try:
            return ApplicationIdentity(AuthenticatorType(authenticator), application)
        except ValueError as e:
            raise StorageFailure(
                f"{self._path} has keys of a kind of application that is unknown here "
                f"({e}): restore the key info from a backup"
            ) from e

    def _attributes(self, text: str, key_name: str) -> KeyAttributes:
        try:
            return _attributes_from_json(text)
        except _UNREADABLE as e:
            raise self._unreadable(key_name, e) from e

    def _unreadable(self, key_name: str, error: Exception) -> StorageFailure:
        return StorageFailure(
            f"the record of key '{key_name}' in {self._path} cannot be read ({error}): "
            "restore the key info from a backup, or delete this row"
        )


def _close(database: sqlite3.Connection, process: int) -> None:
    """Close the connection of a store that nobody closed, in the process that has it.

    Python warns of a connection that is let go of unclosed (3.13).
    """
    if process == os.getpid():
        database.close()


_managers: Final[weakref.WeakSet[SqliteKeyInfoManager]] = weakref.WeakSet()
_at_fork: Final[list[SqliteKeyInfoManager]] = []


def _pause_all() -> None:
    for manager in list(_managers):
        _at_fork.append(manager)
        manager.pause()


def _go_on_with_all() -> None:
    for manager in _at_fork:
        manager.go_on()
    _at_fork.clear()


def _forget_parents() -> None:
    for manager in _at_fork:
        manager.forget_parent()
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
    database = sqlite3.connect(
        path, timeout=30, isolation_level=None, check_same_thread=False
    )
    try:
        # SQLite does not wait for another process that changes the journal's mode.
        with hold(path.with_name("lock")):
            database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
    except BaseException:
        database.close()
        raise
    return database


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
    """Check a database, and what SQLite would take for a part of it."""
    check_owner(path)
    for suffix in ("-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            check_owner(_beside(path, suffix))


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _is_current(database: sqlite3.Connection, path: Path) -> bool:
    """Whether the schema is ours; False of one that is older, or not there yet."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise StorageFailure(
            f"the key info {path} has schema {version}, made by a newer parsec-keys; "
            f"this one knows schema {SCHEMA_VERSION}: upgrade parsec-keys"
        )
    return bool(version == SCHEMA_VERSION)


def _make_schema(database: sqlite3.Connection, path: Path) -> None:
    if _is_current(database, path):
        return  # Another process was faster.
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables:
        raise StorageFailure(f"{path} is a database, but not key info of parsec-keys")
    database.execute(_SCHEMA)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _check_types(row: tuple[Any, ...]) -> None:
    if tuple(map(type, row)) != _TYPES or not _is_uid(row[4]):
        raise TypeError("a value is of another type than its column")


def _is_uid(value: object) -> bool:
    return isinstance(value, bytes) and 0 < len(value) <= _MOST_OF_UID


def _row(record: KeyRecord) -> tuple[object, ...]:
    application, provider, key_name = record.identity
    return (
        *(*application, provider, key_name, record.uid, record.key_id),
        *(_attributes_to_json(record.attributes), record.public_key),
    )


def _attributes_to_json(attributes: KeyAttributes) -> str:
    policy = attributes.policy
    return json.dumps(
        {
            "type": key_type_to_words(attributes.type),
            "bits": attributes.bits,
            "usage": policy.usage.words,
            "algorithm": algorithm_to_words(policy.algorithm),
            "lifetime": attributes.lifetime.value,
        }
    )


@functools.lru_cache(maxsize=1024)
def _attributes_from_json(text: str) -> KeyAttributes:
    fields = json.loads(text)
    usage: UsageFlags = usage_from_words(fields["usage"])
    return KeyAttributes(
        key_type_from_words(fields["type"]),
        int(fields["bits"]),
        KeyPolicy(usage, algorithm_from_words(fields["algorithm"])),
        Lifetime(fields["lifetime"]),
    )
