"""Forks with sessions open, on three modules: parent and children sign."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

import parsec_keys
from tests.service.providers.children import in_a_child
from tests.service.providers.tokens import Token, Tpm2Token, url

SHA256 = hashes.SHA256()
PKCS1 = padding.PKCS1v15()


@pytest.fixture(params=["softhsm", "opencryptoki"])
def token(request: pytest.FixtureRequest, new_token: Callable[[str], Token]) -> Token:
    """Not tpm2-pkcs11: of the three slots of an emulated TPM, it uses two a process."""
    return new_token(request.param)


def signs(key: Any) -> None:
    signature = key.sign(b"data", PKCS1, SHA256)
    key.public_key().verify(signature, b"data", PKCS1, SHA256)


def test_a_child_does_not_take_the_login_of_its_parent(
    any_token: tuple[str, Token], tmp_path: Path
) -> None:
    _, token = any_token
    if isinstance(token, Tpm2Token):
        token.flush()

    def made() -> None:
        token.enter()
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            store.generate_rsa("key")

    def work() -> None:
        token.enter()
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            key = store.load("key")
            in_a_child(lambda: signs(key))
            signs(key)
            store.delete("key")

    in_a_child(made)
    if isinstance(token, Tpm2Token):
        token.flush()
    in_a_child(work)


def test_children_and_their_parent_sign_while_a_thread_is_inside(
    token: Token, tmp_path: Path
) -> None:
    def work() -> None:
        token.enter()
        failures: list[Exception] = []
        is_done = threading.Event()
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            key = store.generate_rsa("key")

            def sign_on() -> None:
                try:
                    while not is_done.is_set():
                        signs(key)
                except Exception as e:
                    failures.append(e)

            threads = [threading.Thread(target=sign_on) for _ in range(2)]
            for thread in threads:
                thread.start()
            for _ in range(3):
                in_a_child(lambda: [signs(key) for _ in range(5)])
                signs(key)
            is_done.set()
            for thread in threads:
                thread.join()
            assert failures == []
            signs(key)
            store.delete("key")

    in_a_child(work)


def test_a_grandchild_signs(token: Token, tmp_path: Path) -> None:
    def work() -> None:
        token.enter()
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            key = store.generate_rsa("key")

            def descend(left: int) -> None:
                signs(key)
                if left:
                    in_a_child(lambda: descend(left - 1))
                    signs(key)

            descend(2)
            store.delete("key")

    in_a_child(work)
