"""The Rust Parsec service's key info, SQLite or files, read and never written.

Rule: nothing is made, locked for writing or changed in the old store, so that the
service that it belongs to can come back to it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from parsec_keys.errors import StorageFailure
from parsec_keys.service.authenticators import AuthenticatorType
from parsec_keys.service.bincode import Reader
from parsec_keys.service.config_toml import RustKeyInfo
from parsec_keys.service.owned_files import unusable

_SCHEMA_VERSION: Final = 1
_BLOB_VERSION: Final = 1
_PROVIDER_IDS: Final = {
    "1c1139dc-ad7c-47dc-ad6b-db6fdb466552": 1,
    "30e39502-eba6-4d60-a4af-c518b7f5e38f": 2,
    "1e4954a4-ff21-46d3-ab0c-661eeb667e1d": 3,
    "71129441-508a-4da6-b6e8-7b98a777e4c0": 4,
    "b8ba81e2-e9f7-4bdd-b096-a29d0019960c": 5,
}
INTERNAL: Final = 255
"""The authenticator of what the service keeps for itself."""
_INTERNAL_FOLDER: Final = "parsec"
_INTERNAL_PREFIXES: Final = {"tpm": 3}


@dataclass(frozen=True, slots=True)
class OldKey:
    """A key of the old store, as it stands there.

    ``authenticator`` and ``provider`` are the numbers of the wire; ``provider_name`` is
    ``None`` where the store does not have it.
    """

    authenticator: int
    application: str
    key_name: str
    provider: int
    provider_name: str | None
    key_id: bytes = field(repr=False)
    attributes: bytes


def read(store: RustKeyInfo, authenticator: AuthenticatorType) -> list[OldKey]:
    """Every key of a store; ``authenticator`` is whose the keys in files are.

    Raises:
        StorageFailure: it is not there, cannot be read, or is no such store.
    """
    if store.is_sqlite:
        return _read_sqlite(store.path)
    return _read_files(store.path, int(authenticator))


def _read_sqlite(path: Path) -> list[OldKey]:
    if not path.is_file():
        raise _missing(path)
    try:
        with contextlib.closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
        ) as database:
            _check_version(path, database)
            rows = database.execute(
                "SELECT authenticator_id, application_name, key_name, provider_uuid, "
                "provider_name, key_id, key_id_version, key_attributes, "
                "key_attributes_version FROM key_mapping "
                "ORDER BY authenticator_id, application_name, key_name"
            ).fetchall()
    except (sqlite3.Error, UnicodeDecodeError) as e:
        raise StorageFailure(
            f"{path} cannot be read as key info of the Rust Parsec service ({e}): if "
            "that was killed, start and stop it once, so that it mends its file"
        ) from e
    return [_from_row(path, row) for row in rows]


def _check_version(path: Path, database: sqlite3.Connection) -> None:
    row = database.execute(
        "SELECT int_value FROM kim_metadata WHERE id = 'schema_version'"
    ).fetchone()
    if row != (_SCHEMA_VERSION,):
        raise StorageFailure(
            f"{path} has another schema than {_SCHEMA_VERSION}, the one of the Rust "
            "Parsec service up to 1.5 that is understood here"
        )


def _from_row(path: Path, row: tuple[object, ...]) -> OldKey:
    authenticator, application, key_name, uuid, provider_name, *blobs = row
    key_id, key_id_version, attributes, attributes_version = blobs
    if (
        isinstance(authenticator, int)
        and isinstance(application, str)
        and isinstance(key_name, str)
        and isinstance(provider_name, str)
        and isinstance(key_id, bytes)
        and isinstance(attributes, bytes)
        and (key_id_version, attributes_version) == (_BLOB_VERSION, _BLOB_VERSION)
    ):
        provider = _PROVIDER_IDS.get(str(uuid), 0)
        return OldKey(
            authenticator,
            application,
            key_name,
            provider,
            provider_name,
            key_id,
            attributes,
        )
    raise StorageFailure(
        f"{path} has a row for key {key_name!r} that the Rust Parsec service up to 1.5 "
        "does not write: it is damaged, or of a newer version"
    )


def _read_files(path: Path, authenticator: int) -> list[OldKey]:
    if not path.is_dir():
        raise _missing(path)
    try:
        keys = [*_internal_files(path), *_application_files(path, authenticator)]
    except OSError as e:
        raise unusable(path, e) from e
    return sorted(keys, key=lambda key: (key.application, key.key_name, key.provider))


def _internal_files(path: Path) -> Iterator[OldKey]:
    folder = path / _INTERNAL_FOLDER
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = _decoded(file.name)
        for prefix, provider in _INTERNAL_PREFIXES.items():
            if name is not None and name.startswith(prefix):
                key_name = name.removeprefix(prefix)
                yield _from_file(file, INTERNAL, _INTERNAL_FOLDER, key_name, provider)


def _application_files(path: Path, authenticator: int) -> Iterator[OldKey]:
    for file in sorted(path.glob("*/*/*")):
        application = _decoded(file.parent.parent.name)
        key_name, provider = _decoded(file.name), file.parent.name
        if application is None or key_name is None or not provider.isdecimal():
            continue  # Another program's.
        yield _from_file(file, authenticator, application, key_name, int(provider))


def _from_file(
    file: Path, authenticator: int, application: str, key_name: str, provider: int
) -> OldKey:
    data = file.read_bytes()
    reader = Reader(data, f"the file {file}")
    key_id = reader.octets()
    attributes = reader.rest()
    return OldKey(
        authenticator, application, key_name, provider, None, key_id, attributes
    )


def _decoded(name: str) -> str | None:
    """The text of a file's name, or None of one that the service did not write."""
    try:
        text = base64.b64decode(name, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return text


def _missing(path: Path) -> StorageFailure:
    return StorageFailure(
        f"there is no key info of the Rust Parsec service at {path}: say where it is"
    )
