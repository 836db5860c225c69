"""Tokens that go and come back, with three modules: a daemon, a chip, a slot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

import parsec_keys
from parsec_keys.errors import Error, KeyNotFound, ProviderFailure, ServiceUnavailable
from parsec_keys.service.providers.pkcs11 import _module
from tests.service.providers.children import in_a_child, in_the_parent
from tests.service.providers.raw_module import objects_on
from tests.service.providers.tokens import Token, Tpm2Token, url

SHA256 = hashes.SHA256()
PKCS1 = padding.PKCS1v15()
OAEP = padding.OAEP(padding.MGF1(SHA256), SHA256, None)

NEEDED: dict[str, tuple[type[Error], ...]] = {
    "softhsm": (ServiceUnavailable, KeyNotFound),
    "tpm2-pkcs11": (ServiceUnavailable, ProviderFailure),
}
"""What is said while it is away; opencryptoki's daemon is needed for starting only."""


def works(key: Any) -> None:
    signature = key.sign(b"data", PKCS1, SHA256)
    key.public_key().verify(signature, b"data", PKCS1, SHA256)
    assert key.decrypt(key.public_key().encrypt(b"message", OAEP), OAEP) == b"message"


@pytest.fixture
def kind_and_token(any_token: tuple[str, Token]) -> tuple[str, Token]:
    kind, token = any_token
    if isinstance(token, Tpm2Token):
        token.flush()
    return kind, token


def test_what_is_behind_the_module_goes_and_comes_back(
    kind_and_token: tuple[str, Token], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, token = kind_and_token
    monkeypatch.setattr(_module, "RESTART_SECONDS", 0.0)

    def work() -> None:
        token.enter()
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            key = store.generate_rsa("key")
            works(key)
            for _ in range(2):
                in_the_parent("lose")
                for _ in range(2 if kind in NEEDED else 0):
                    with pytest.raises(Error) as caught:
                        key.sign(b"data", PKCS1, SHA256)
                    assert isinstance(caught.value, NEEDED[kind]), caught.value
                in_the_parent("regain")
                works(key)
                works(store.load("key"))
            store.delete("key")
            assert store.keys() == ()

    in_a_child(work, lose=token.lose_power, regain=token.regain_power)


@pytest.mark.parametrize("kind", [*NEEDED])
def test_a_key_is_deleted_wholly_or_not_at_all_where_its_token_is_away(
    new_token: Callable[[str], Token], tmp_path: Path, kind: str
) -> None:
    token = new_token(kind)

    def work() -> None:
        token.enter()
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            works(store.generate_rsa("key"))
            in_the_parent("lose")
            try:
                store.delete("key")  # tpm2-pkcs11 needs no TPM for that.
            except NEEDED[kind]:
                is_deleted = False
            else:
                is_deleted = True
            in_the_parent("regain")
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            assert len(store.keys()) == (0 if is_deleted else 1)
            if not is_deleted:
                works(store.load("key"))
                store.delete("key")
            assert objects_on(token.module, token.label) == 0

    in_a_child(work, lose=token.lose_power, regain=token.regain_power)


def test_a_token_that_goes_and_comes_back_again_and_again(
    new_token: Callable[[str], Token], tmp_path: Path
) -> None:
    """Its module is not too busy with the last time."""
    token = new_token("softhsm")

    def work() -> None:
        token.enter()
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            key = store.generate_rsa("key")
            for _ in range(3):
                works(key)
                in_the_parent("lose")
                with pytest.raises(ServiceUnavailable):
                    key.sign(b"data", PKCS1, SHA256)
                in_the_parent("regain")
            works(key)

    in_a_child(work, lose=token.lose_power, regain=token.regain_power)


def test_a_store_that_was_opened_again_after_a_loss(
    kind_and_token: tuple[str, Token], tmp_path: Path
) -> None:
    kind, token = kind_and_token

    def work() -> None:
        token.enter()
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            store.generate_rsa("key")
        in_the_parent("lose")
        if kind in NEEDED:
            with pytest.raises(Error) as caught:
                parsec_keys.open_store(url(token, tmp_path))
            assert isinstance(caught.value, NEEDED[kind]), caught.value
        in_the_parent("regain")
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            works(store.load("key"))
            store.delete("key")

    in_a_child(work, lose=token.lose_power, regain=token.regain_power)
