"""Ctrl-C, or a full disk, while a key is made or deleted: it is whole, or gone."""

from __future__ import annotations

import contextlib
import functools
import itertools
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.errors import StorageFailure
from parsec_keys.service.key_info._file import KeyInfoFile
from parsec_keys.service.providers.software import SoftwareProvider
from tests.contract.test_lifecycle import signs

P256 = ec.SECP256R1()
Ask = Callable[[str], object]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[parsec_keys.KeyStore]:
    with parsec_keys.open_store(f"software:{tmp_path}") as opened:
        yield opened


@pytest.fixture(params=["make", "delete"])
def ask(request: pytest.FixtureRequest, store: parsec_keys.KeyStore) -> Ask:
    """What is interrupted."""
    if request.param == "make":
        return functools.partial(store.generate_ec, curve=P256)
    store.generate_ec("key", P256)
    return store.delete


def check(store: parsec_keys.KeyStore, folder: Path) -> None:
    """Pass if there is no key, and if one of its name can be made."""
    assert store.keys() == ()
    store.generate_ec("key", P256)
    assert len(list((folder / "software").iterdir())) == 1
    assert list((folder / "intents").iterdir()) == []


@pytest.mark.parametrize("times", [1, 2], ids=["once", "again at once"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_ctrl_c_in_the_provider(
    tmp_path: Path, store: parsec_keys.KeyStore, ask: Ask, moment: str, times: int
) -> None:
    left = times

    def interrupted(do: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            nonlocal left
            done = None if left and moment == "before" else do(*arguments)
            if left:
                left -= 1
                raise KeyboardInterrupt
            return done

        return call

    with pytest.MonkeyPatch.context() as patch:
        for step in ("generate_key", "destroy_key"):
            method = getattr(SoftwareProvider, step)
            patch.setattr(SoftwareProvider, step, interrupted(method))

        with pytest.raises(KeyboardInterrupt):
            ask("key")

    assert left == 0
    check(store, tmp_path)


class Interrupted:
    """A connection to SQLite that raises once or more, before or after it executes."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        error: BaseException,
        moment: str,
        when: Callable[[str], bool],
    ) -> None:
        self._connection = connection
        self._error, self._moment, self._when = error, moment, when

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *values: object) -> Any:
        now = statement != "ROLLBACK" and self._when(statement)
        if now and self._moment == "before":
            raise self._error
        result = self._connection.execute(statement, *values)
        if now:
            raise self._error
        return result


@contextlib.contextmanager
def interrupted(
    error: BaseException, moment: str, when: Callable[[str], bool]
) -> Iterator[None]:
    connected = KeyInfoFile._connected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            KeyInfoFile,
            "_connected",
            lambda file: Interrupted(connected(file), error, moment, when),
        )
        yield


@pytest.mark.parametrize("times", [1, 2], ids=["once", "again at once"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("first", range(12))
def test_ctrl_c_in_the_key_info(
    tmp_path: Path,
    store: parsec_keys.KeyStore,
    ask: Ask,
    first: int,
    moment: str,
    times: int,
) -> None:
    statements = itertools.count()

    def when(statement: str) -> bool:
        return first <= next(statements) < first + times

    with interrupted(KeyboardInterrupt(), moment, when):
        try:
            ask("key")
        except KeyboardInterrupt:
            pass
        else:
            assert next(statements) <= first  # It has not so many.
            return

    if times == 1 and store.keys() == ():
        check(store, tmp_path)
    store.close()
    with parsec_keys.open_store(f"software:{tmp_path}") as again:
        for info in list(again.keys()):
            signs(again.load(info.name))
            again.delete(info.name)
        check(again, tmp_path)


def test_a_deletion_that_finds_the_disk_full_keeps_no_lock(
    tmp_path: Path, store: parsec_keys.KeyStore
) -> None:
    store.generate_ec("key", P256)
    full = sqlite3.OperationalError("database or disk is full")

    with (
        interrupted(full, "before", lambda statement: statement == "COMMIT"),
        pytest.raises(StorageFailure, match="disk is full"),
    ):
        store.delete("key")

    assert list((tmp_path / "intents").iterdir()) == []
    store.delete("key")
    check(store, tmp_path)


def test_a_read_only_store_remembers_no_connections(
    store: parsec_keys.KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = store.generate_ec("key", P256)
    store.close()
    monkeypatch.setattr("os.access", lambda *arguments, **named: False)
    with parsec_keys.open_store(store.url) as again:
        assert again.load("key") == key
        before = len(weakref.finalize._registry)  # type: ignore[attr-defined]
        for _ in range(5):
            assert again.load("key") == key
        assert len(weakref.finalize._registry) == before  # type: ignore[attr-defined]
