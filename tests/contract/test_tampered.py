"""A store that somebody else wrote to: one sentence, and never a wrong signature."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.errors import Error, StorageFailure
from parsec_keys.service import key_operations
from parsec_keys.service.key_info.sqlite import FILE_NAME

P256 = ec.SECP256R1()
ECDSA = ec.ECDSA(hashes.SHA256())
LONGEST = 2100
COLUMNS = (
    *("authenticator", "application", "provider", "key_name", "uid", "intent"),
    *("key_id", "attributes", "public_key"),
)
VALUES = (
    *(None, 0, -1, 2**62, 1.5, "", "x", b"", b"\xff" * 16, b"\xff" * 70000),
    *("9" * 5000, "[]", "null", '{"type": 1}', "[" * 100000),
)


@pytest.fixture
def tampered(provider: str, embedded_url: Callable[[str], str]) -> tuple[str, Path]:
    """The URL of a store with two keys, and its key info without types."""
    url = embedded_url(provider)
    with parsec_keys.open_store(url) as store:
        store.generate_ec("key", P256)
        store.generate_ec("other", P256)
    folder = Path(url.partition("store=")[2] or url.removeprefix("software:"))
    file = folder / FILE_NAME
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE kept AS SELECT * FROM key_record")
        database.execute("DROP TABLE key_record")
        database.execute(f"CREATE TABLE key_record ({', '.join(COLUMNS)})")
        database.execute("INSERT INTO key_record SELECT * FROM kept")
        database.execute("DROP TABLE kept")
    return url, file


def change(file: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(statement, values)


def refusal(use: Callable[..., object], *arguments: object) -> str:
    """The sentence of an error of ours; nothing where there is none."""
    try:
        use(*arguments)
    except Error as e:
        return str(e)
    return ""


@pytest.mark.parametrize("column", COLUMNS)
def test_a_value_of_any_type(tampered: tuple[str, Path], column: str) -> None:
    url, file = tampered
    content = file.read_bytes()
    for value in VALUES:
        file.write_bytes(content)
        change(
            file,
            f"UPDATE key_record SET {column} = ? WHERE uid = "  # noqa: S608
            "(SELECT uid FROM key_record WHERE key_name = 'key')",
            value,
        )
        with parsec_keys.open_store(url) as store:
            listed, signed = refusal(store.keys), refusal(store.load, "key")
            assert all("\n" not in each for each in (listed, signed))
            assert all(len(each) < LONGEST for each in (listed, signed))
            if not signed:
                refusal(store.load("key").sign, b"", ECDSA)
            signature = store.load("other").sign(b"", ECDSA)
            store.load("other").public_key().verify(signature, b"", ECDSA)


@pytest.mark.parametrize("columns", ["key_id", "public_key", "uid, key_id"])
def test_a_record_that_points_to_another_key(
    provider: str, tampered: tuple[str, Path], columns: str
) -> None:
    url, file = tampered
    for column in columns.split(", "):
        change(
            file,
            f"UPDATE key_record SET {column} = (SELECT {column} FROM key_record "  # noqa: S608
            "WHERE key_name = 'other') WHERE key_name = 'key'",
        )

    with parsec_keys.open_store(url) as store:
        key = store.load("key")
        if provider == "software" and columns == "key_id":
            # It finds its keys by their uid.
            key.public_key().verify(key.sign(b"", ECDSA), b"", ECDSA)
            return
        with pytest.raises(StorageFailure, match="another key"):
            key.sign(b"", ECDSA)


def test_what_is_not_ours_among_the_intents(tampered: tuple[str, Path]) -> None:
    url, file = tampered
    (file.parent / "intents" / "README").touch()

    with parsec_keys.open_store(url) as store:
        assert len(store.keys()) == 2


def test_which_records_are_proved_is_not_remembered_for_ever(
    provider: str, embedded_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_operations, "_MOST_PROVED", 3)
    key_operations._proved.clear()
    with parsec_keys.open_store(embedded_url(provider)) as store:
        kept = store.generate_ec("kept", P256)
        for _ in range(5):
            for key in (kept, store.generate_ec("key", P256)):
                key.public_key().verify(key.sign(b"", ECDSA), b"", ECDSA)
                assert 0 < len(key_operations._proved) <= 3
            store.delete("key")
