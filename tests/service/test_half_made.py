"""Ctrl-C while a key is made or deleted: it is gone, and its name is free."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.service.key_info._file import KeyInfoFile
from parsec_keys.service.providers.software import SoftwareProvider

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
    """A connection to SQLite in which Ctrl-C is pressed when something was written."""

    def __init__(self, connection: sqlite3.Connection, commits: list[int]) -> None:
        self._connection = connection
        self._commits = commits

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *values: object) -> Any:
        result = self._connection.execute(statement, *values)
        if statement == "COMMIT":
            self._commits[0] -= 1
            if self._commits[0] == 0:
                raise KeyboardInterrupt
        return result


@pytest.mark.parametrize("commit", [1, 2])
def test_ctrl_c_in_the_key_info(
    tmp_path: Path, store: parsec_keys.KeyStore, ask: Ask, commit: int
) -> None:
    connected, commits = KeyInfoFile._connected, [commit]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            KeyInfoFile,
            "_connected",
            lambda file: Interrupted(connected(file), commits),
        )

        with pytest.raises(KeyboardInterrupt):
            ask("key")

    check(store, tmp_path)
