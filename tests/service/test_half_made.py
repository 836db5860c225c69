"""Ctrl-C while a key is made or deleted: it is gone, and its name is free."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.service.providers.software import SoftwareProvider

P256 = ec.SECP256R1()


@pytest.mark.parametrize("times", [1, 2], ids=["once", "again at once"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["generate_key", "destroy_key"])
def test_ctrl_c(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    moment: str,
    times: int,
) -> None:
    do, left = getattr(SoftwareProvider, step), times

    def interrupted(*arguments: object) -> object:
        nonlocal left
        done = None if left and moment == "before" else do(*arguments)
        if left:
            left -= 1
            raise KeyboardInterrupt
        return done

    with parsec_keys.open_store(f"software:{tmp_path}") as store:
        if step == "destroy_key":
            store.generate_ec("key", P256)
            ask: Callable[[str], object] = store.delete
        else:
            ask = functools.partial(store.generate_ec, curve=P256)
        monkeypatch.setattr(SoftwareProvider, step, interrupted)

        with pytest.raises(KeyboardInterrupt):
            ask("key")

        assert store.keys() == ()
        left = 0
        store.generate_ec("key", P256)
        assert len(list((tmp_path / "software").iterdir())) == 1
        assert list((tmp_path / "intents").iterdir()) == []
