"""A store of 100,000 keys: one of them is found at once, and all are listed by and by.

The bounds are generous; how fast it is, benchmarks tell.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.service.key_info.sqlite import FILE_NAME
from tests.contract.test_lifecycle import signs
from tests.daemon import Daemon, answers_ping, exchange
from tests.service.test_front import LIST_KEYS, UID, frame

MANY = int(os.environ.get("PARSEC_KEYS_MANY", "100000"))
SECONDS = 5.0
COPY = """
    INSERT INTO key_record
    WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT ?)
    SELECT authenticator, application, provider, 'key-' || n, randomblob(16), intent,
        key_id, attributes, public_key
    FROM number, (SELECT * FROM key_record LIMIT 1)
"""


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with one key that is one, and records of many others."""
    folder: Path = tmp_path_factory.mktemp("crowded")
    daemon = Daemon(folder)
    with daemon, parsec_keys.open_store(daemon.url) as store:
        store.generate_ec("the key", ec.SECP256R1())
    with closing(sqlite3.connect(folder / "keys" / FILE_NAME)) as database, database:
        database.execute(COPY, (MANY,))
    with daemon:
        yield daemon


def test_the_first_signature(crowded: Daemon) -> None:
    start = time.monotonic()

    with parsec_keys.open_store(crowded.url) as store:
        signs(store.load("the key"))
        store.generate_ec("another", ec.SECP256R1())
        store.delete("another")

    assert time.monotonic() - start < SECONDS
    start = time.monotonic()
    with parsec_keys.open_store(str(crowded.file)) as embedded:
        signs(embedded.load("the key"))
    assert time.monotonic() - start < SECONDS


def test_a_listing_stops_nobody(crowded: Daemon) -> None:
    listed: list[int] = []

    def list_all() -> None:
        request = frame(LIST_KEYS, b"", UID, authenticator=3)
        listed.append(len(exchange(crowded.socket, request, 60)))

    threads = [threading.Thread(target=list_all) for _ in range(3)]
    for thread in threads:
        thread.start()
    pings = 0
    while any(thread.is_alive() for thread in threads):
        assert answers_ping(crowded.socket, SECONDS)
        pings += 1
    assert len(listed) == 3
    assert min(listed) > 40 * MANY
    assert pings > 5


def test_all_are_listed_in_order(crowded: Daemon) -> None:
    with parsec_keys.open_store(crowded.url) as store:
        listed = store.keys()

    names = [key.name for key in listed]
    assert len(names) == MANY + 1
    assert names == sorted(names)
    assert len(set(names)) == len(names)
