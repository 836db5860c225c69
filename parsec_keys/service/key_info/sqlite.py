"""Key info on disk: an SQLite file that only its owner can read.

Records of it last: an intent is in the file before a provider makes or removes a key,
and gone once that is done; what a killed process left is found by its uid.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from parsec_keys.errors import Error, KeyExists, StorageFailure
from parsec_keys.psa.operations import KeyInfo
from parsec_keys.service.authenticators import ApplicationIdentity
from parsec_keys.service.key_info import KeyIdentity, KeyRecord, name_taken
from parsec_keys.service.key_info._file import KeyInfoFile
from parsec_keys.service.key_info._intents import HeldIntents
from parsec_keys.service.key_info._rows import (
    COLUMNS,
    application_of,
    attributes_to_json,
    is_uid,
    key_info_of,
    record_of,
    row_of,
)

logger = logging.getLogger(__name__)

FILE_NAME: Final = "key-info.sqlite3"
_LOOK_SECONDS: Final = 1.0
"""How long another process may look whether an intent is held."""
_PAGE: Final = 1000
_ADOPTED_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS adopted (origin BLOB PRIMARY KEY) STRICT, WITHOUT ROWID"
)
"""Made by the first adoption: most stores never have one."""


class SqliteKeyInfoManager:
    """Records in ``DIRECTORY/key-info.sqlite3``, made when it is not there.

    Raises:
        StorageFailure: the folder or the file is not the user's own, can be written by
            others, is no key info, or was made by a newer version.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        self._file = KeyInfoFile(self._path)
        self._held = HeldIntents(directory / "intents")
        self._cancelled: set[bytes] = set()
        if not self._file.is_read_only:
            self._held.make_directory()

    def find(self, application: ApplicationIdentity, key_name: str) -> KeyRecord | None:
        with self._file.reading() as connection:
            row = connection.execute(
                f"SELECT {COLUMNS} FROM key_record WHERE authenticator = ? AND "  # noqa: S608
                "application = ? AND key_name = ? AND NOT intent",
                (*application, key_name),
            ).fetchone()
        return None if row is None else record_of(row, self._path)

    def applications(self) -> list[ApplicationIdentity]:
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT DISTINCT authenticator, application FROM key_record "
                "WHERE NOT intent ORDER BY authenticator, application"
            ).fetchall()
        return [application_of(row, self._path) for row in rows]

    def records(self, application: ApplicationIdentity) -> list[KeyRecord]:
        with self._file.reading() as connection:
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM key_record WHERE authenticator = ? AND "  # noqa: S608
                "application = ? AND NOT intent ORDER BY key_name",
                application,
            ).fetchall()
        return [record_of(row, self._path) for row in rows]

    def listing(self, application: ApplicationIdentity) -> list[KeyInfo]:
        page = self._page(application, "")
        keys = list(page)
        # Page by page: between two of them, others find their keys.
        while len(page) == _PAGE:
            page = self._page(application, page[-1].name + "\0")
            keys += page
        return keys

    def _page(self, application: ApplicationIdentity, first: str) -> list[KeyInfo]:
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT key_name, provider, attributes FROM key_record "
                "WHERE authenticator = ? AND application = ? AND NOT intent "
                "AND key_name >= ? ORDER BY key_name LIMIT ?",
                (*application, first, _PAGE),
            ).fetchall()
        return [key_info_of(row, self._path) for row in rows]

    def begin(self, identity: KeyIdentity, uid: bytes) -> None:
        application, provider, key_name = identity
        self._check_writable()
        deadline = time.monotonic() + _LOOK_SECONDS
        while uid not in self._held and not self._held.hold(uid):
            if time.monotonic() > deadline:
                break  # It is another process's: the statement says so.
            time.sleep(0.001)
        try:
            with self._file.transaction() as connection:
                forgotten = self._forget_cancelled(connection)
                taken = connection.execute(
                    "SELECT provider FROM key_record WHERE authenticator = ? AND "
                    "application = ? AND key_name = ?",
                    (*application, key_name),
                ).fetchone()
                if taken is not None:
                    raise name_taken(KeyIdentity(application, taken[0], key_name))
                connection.execute(
                    "INSERT INTO key_record (authenticator, application, provider, "
                    "key_name, uid, intent) VALUES (?, ?, ?, ?, ?, 1)",
                    (*application, provider, key_name, uid),
                )
            self._let_go(*forgotten)
        except Error:
            self._let_go(uid)
            raise
        except BaseException:  # Ctrl-C, perhaps when it was written.
            self._cancelled.add(uid)
            raise

    def commit(self, record: KeyRecord) -> None:
        with self._file.transaction() as connection:
            changed = connection.execute(
                "UPDATE key_record SET intent = 0, key_id = ?, attributes = ?, "
                "public_key = ? WHERE uid = ?",
                (
                    record.key_id,
                    attributes_to_json(record.attributes),
                    record.public_key,
                    record.uid,
                ),
            ).rowcount
        if changed != 1:
            raise StorageFailure(f"the key info of {record.described} has vanished")
        self._let_go(record.uid)

    def begin_destroy(self, record: KeyRecord) -> bool:
        self._check_writable()
        is_held = self._held.hold(record.uid)
        try:
            is_begun = self._make_an_intent(record.uid)
        except Error:
            if is_held:
                self._let_go(record.uid)
            raise
        if is_held and not is_begun:
            self._let_go(record.uid)
        return is_begun

    def cancel(self, uid: bytes) -> None:
        # Where the disk is full the next intent tries again, or the next start.
        self._cancelled.add(uid)
        with self._file.transaction() as connection:
            forgotten = self._forget_cancelled(connection)
        self._let_go(*forgotten)

    def withdraw(self, uid: bytes) -> None:
        if uid not in self._held:
            self._held.hold(uid)
        self._make_an_intent(uid)

    def abandoned(self, provider: str) -> Iterator[tuple[bytes, KeyIdentity]]:
        if self._file.is_read_only:
            return
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT uid, authenticator, application, key_name FROM key_record "
                "WHERE provider = ? AND intent",
                (provider,),
            ).fetchall()
        self._sweep()
        for uid, *application, key_name in rows:
            if not is_uid(uid):
                logger.warning("%s has an intent that means nothing", self._path)
                continue
            if uid in self._held or not self._held.hold(uid):
                continue  # Its process lives.
            if self._is_intent(uid):
                owner = ApplicationIdentity(*application)
                yield uid, KeyIdentity(owner, provider, key_name)
            else:
                self._let_go(uid)

    def adopt(self, records: Mapping[bytes, KeyRecord | None]) -> None:
        self._check_writable()
        new = [record for record in records.values() if record is not None]
        try:
            with self._file.transaction() as connection:
                connection.execute(_ADOPTED_SCHEMA)
                connection.executemany(
                    f"INSERT INTO key_record ({COLUMNS}, intent) "  # noqa: S608
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
                    map(row_of, new),
                )
                connection.executemany(
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
        with self._file.reading() as connection:
            found = connection.execute(
                "SELECT 1 FROM sqlite_master WHERE name = 'adopted'"
            ).fetchone()
            if found is None:
                return frozenset()
            rows = connection.execute("SELECT origin FROM adopted").fetchall()
        return frozenset(origin for (origin,) in rows)

    def close(self) -> None:
        self._file.close()
        self._held.close()

    def _check_writable(self) -> None:
        if self._file.is_read_only:
            raise StorageFailure(
                f"{self._path.parent} cannot be written to: keys can be used, but not "
                "made or deleted; mend its permissions, or use another folder"
            )

    def _sweep(self) -> None:
        """Remove lock files of creations that died before their intent was written."""
        for uid in self._held.of_anybody():
            if uid in self._held or self._is_intent(uid):
                continue
            if self._held.hold(uid):
                self._let_go(uid)

    def _make_an_intent(self, uid: bytes) -> bool:
        """Whether there was a record of this uid, which is an intent now."""
        with self._file.transaction() as connection:
            changed = connection.execute(
                "UPDATE key_record SET intent = 1 WHERE uid = ? AND NOT intent", (uid,)
            ).rowcount
        return changed == 1

    def _is_intent(self, uid: bytes) -> bool:
        with self._file.reading() as connection:
            row = connection.execute(
                "SELECT intent FROM key_record WHERE uid = ?", (uid,)
            ).fetchone()
        return row is not None and bool(row[0])

    def _let_go(self, *uids: bytes) -> None:
        for uid in uids:
            self._cancelled.discard(uid)
            self._held.let_go(uid)

    def _forget_cancelled(self, connection: sqlite3.Connection) -> list[bytes]:
        """Forget intents in a transaction, and answer those to let go after it."""
        forgotten = list(self._cancelled)
        connection.executemany(
            "DELETE FROM key_record WHERE uid = ? AND intent",
            [(uid,) for uid in forgotten],
        )
        return forgotten
