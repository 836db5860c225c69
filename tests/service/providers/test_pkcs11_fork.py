"""Forks with sessions open, on three modules: parent and children sign."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

import parsec_keys
from parsec_keys.service.providers.pkcs11._function_list import FunctionList
from parsec_keys.service.shared_files import open_shared
from tests.forks import inside
from tests.service.providers.children import in_a_child, in_the_parent
from tests.service.providers.faults import Faults
from tests.service.providers.tokens import Token, Tpm2Token, url

SHA256 = hashes.SHA256()
PKCS1 = padding.PKCS1v15()


@pytest.fixture(params=["softhsm", "opencryptoki"])
def token(request: pytest.FixtureRequest, new_token: Callable[[str], Token]) -> Token:
    """Not tpm2-pkcs11: of the three slots of an emulated TPM, it uses two a process."""
    return new_token(request.param)


def signs(key: Any) -> None:
    verify(key, key.sign(b"data", PKCS1, SHA256))


def verify(key: Any, signature: bytes) -> None:
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
        signatures: list[bytes] = []
        is_done = threading.Event()
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            key = store.generate_rsa("key")

            # What pyca verifies in a thread during a fork is verified with locks of
            # OpenSSL's, which may be closed in the child.
            def sign_on() -> None:
                try:
                    while not is_done.is_set():
                        signatures.append(key.sign(b"data", PKCS1, SHA256))
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
            for signature in signatures:
                verify(key, signature)
            signs(key)
            store.delete("key")

    in_a_child(work)


def test_a_fork_waits_for_a_call(
    any_token: tuple[str, Token], injector: Path, tmp_path: Path
) -> None:
    """Else the module's own lock is closed in the child for ever."""
    _, token = any_token

    def work() -> None:
        faults = Faults(injector, token)
        faults.lock()
        with parsec_keys.open_store(faults.url(tmp_path)) as store:
            key = store.generate_rsa("key")

            def let_go() -> None:
                faults.let_go("C_Sign")

            def in_the_child() -> None:
                in_the_parent("let_go")
                let_go()
                signs(key)

            faults.hold("C_Sign")
            with inside(
                lambda: key.sign(b"data", PKCS1, SHA256),
                lambda: faults.held > 0,
                let_go,
                lambda signature: verify(key, signature),
            ):
                in_a_child(in_the_child, let_go=let_go)
                signs(key)
            store.delete("key")

    if isinstance(token, Tpm2Token):
        token.flush()
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


def test_a_child_starts_the_module_while_no_other_process_does(
    token: Token, tmp_path: Path
) -> None:
    initialize = FunctionList.initialize
    was_held: list[bool] = []

    def watched(functions: FunctionList) -> int:
        lock = open_shared("pkcs11", str(token.module))
        was_held.append(not lock.try_lock())
        lock.close()
        return initialize(functions)

    def in_the_child(key: Any) -> None:
        FunctionList.initialize = watched  # type: ignore[method-assign]
        signs(key)
        assert was_held
        assert all(was_held)

    def work() -> None:
        token.enter()
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            key = store.generate_rsa("key")
            in_a_child(lambda: in_the_child(key))
            store.delete("key")

    in_a_child(work)


def test_a_process_that_writes_finds_what_another_one_wrote(
    token: Token, tmp_path: Path
) -> None:
    def others(name: str) -> None:
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            store.generate_rsa(name)

    def work() -> None:
        token.enter()
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            store.generate_rsa("first")
            in_a_child(lambda: others("generated meanwhile"))
            store.generate_rsa("second")
            signs(store.load("generated meanwhile"))
            in_a_child(lambda: others("imported meanwhile"))
            store.import_key("third", rsa.generate_private_key(65537, 2048))
            signs(store.load("imported meanwhile"))
            for key in store.keys():  # noqa: SIM118
                store.delete(key.name)

    in_a_child(work)
