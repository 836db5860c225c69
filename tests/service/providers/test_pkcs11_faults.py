"""Faults of a module, injected at a chosen call: cured once, or told in a sentence."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from pkcs11.exceptions import SessionHandleInvalid

import parsec_keys
from parsec_keys.errors import (
    Error,
    NotSupported,
    PinLocked,
    ProviderFailure,
    ServiceUnavailable,
)
from parsec_keys.service import Service
from parsec_keys.service.providers.pkcs11 import _token
from tests.service.providers import faults
from tests.service.providers.children import in_a_child
from tests.service.providers.faults import ALWAYS, Faults
from tests.service.providers.raw_module import RawModule, objects_on
from tests.service.providers.tokens import Token, Tpm2Token
from tests.service.providers.waiting import wait_until

T = TypeVar("T")
SHA256 = hashes.SHA256()
ECDSA = ec.ECDSA(SHA256)
P256 = ec.SECP256R1()
OAEP = padding.OAEP(padding.MGF1(SHA256), SHA256, None)
PSS = padding.PSS(padding.MGF1(SHA256), padding.PSS.DIGEST_LENGTH)
SHA1_MGF = padding.MGF1(hashes.SHA1())
RSA_X_509 = 0x03
USED = ("C_SignInit", "C_Sign", "C_FindObjectsInit", "C_FindObjects", "C_OpenSession")
"""What a signature in a new session calls."""


@pytest.fixture
def in_a_store(
    injector: Path, softhsm_token: Token, tmp_path: Path
) -> Callable[[Callable[[parsec_keys.KeyStore, Faults], T]], T]:
    """A function that runs another one in a child, with a store and its faults."""

    def run(work: Callable[[parsec_keys.KeyStore, Faults], T]) -> T:
        def child() -> T:
            inject = Faults(injector, softhsm_token)
            with parsec_keys.open_store(inject.url(tmp_path)) as store:
                return work(store, inject)

        answer: T = in_a_child(child)
        return answer

    return run


def signs(key: Any) -> None:
    key.public_key().verify(key.sign(b"data", ECDSA), b"data", ECDSA)


@pytest.mark.parametrize("function", USED)
@pytest.mark.parametrize(
    "code",
    [
        *(faults.SESSION_HANDLE_INVALID, faults.DEVICE_REMOVED, faults.DEVICE_ERROR),
        *(faults.TOKEN_NOT_PRESENT, faults.FUNCTION_FAILED, faults.GENERAL_ERROR),
        *(faults.KEY_HANDLE_INVALID, faults.OPERATION_ACTIVE),
        faults.USER_NOT_LOGGED_IN,
    ],
    ids=hex,
)
def test_a_failure_that_passes_is_not_seen(
    in_a_store: Any, function: str, code: int
) -> None:
    def work(store: parsec_keys.KeyStore, inject: Faults) -> None:
        key = store.generate_ec("key", P256)
        inject.answer("C_SignInit", faults.OPERATION_ACTIVE)  # So that one is opened.
        inject.answer(function, code)
        signs(key)
        signs(key)
        assert inject.calls("C_Initialize") <= 2
        assert inject.sessions <= 2

    in_a_store(work)


def test_every_module_bears_the_cures(
    any_token: tuple[str, Token], injector: Path, tmp_path: Path
) -> None:
    """A new session, the token found again, the module started again."""
    kind, token = any_token
    pkcs1 = padding.PKCS1v15()

    def work() -> None:
        inject = Faults(injector, token)
        with parsec_keys.open_store(inject.url(tmp_path)) as store:
            key = store.generate_rsa("key", 2048 if kind == "tpm2-pkcs11" else 1024)
            for code in (
                *(faults.OPERATION_ACTIVE, faults.SESSION_HANDLE_INVALID),
                *(faults.KEY_HANDLE_INVALID, faults.USER_NOT_LOGGED_IN),
                *(faults.DEVICE_REMOVED, faults.DEVICE_ERROR),
            ):
                for times in (1, 2):
                    inject.answer("C_SignInit", code, times=times)
                    signature = key.sign(b"data", pkcs1, SHA256)
                    key.public_key().verify(signature, b"data", pkcs1, SHA256)
            store.delete("key")
            assert 1 < inject.calls("C_Initialize") == inject.calls("C_Finalize") + 1
            assert inject.sessions <= 2

    if isinstance(token, Tpm2Token):
        token.flush()
    in_a_child(work)


@pytest.mark.parametrize(
    ("code", "class_", "words"),
    [
        (faults.SESSION_HANDLE_INVALID, ProviderFailure, "SessionHandleInvalid"),
        (faults.DEVICE_REMOVED, ServiceUnavailable, "insert it"),
        (faults.TOKEN_NOT_PRESENT, ServiceUnavailable, "insert it"),
        (faults.DEVICE_ERROR, ProviderFailure, "DeviceError.*vendor"),
        (faults.FUNCTION_FAILED, ProviderFailure, "FunctionFailed.*vendor"),
        (faults.HOST_MEMORY, ProviderFailure, "memory"),
        (faults.OPERATION_ACTIVE, ProviderFailure, "OperationActive"),
        (faults.VENDOR_DEFINED, ProviderFailure, "0x80001234"),
    ],
)
def test_a_failure_that_stays_is_one_sentence(
    in_a_store: Any, code: int, class_: type[Error], words: str
) -> None:
    def work(store: parsec_keys.KeyStore, inject: Faults) -> None:
        key, other = store.generate_ec("key", P256), store.generate_ec("other", P256)
        for _ in range(5):
            inject.answer("C_Sign", code, times=ALWAYS)
            with pytest.raises(class_, match=f"using key 'key'.*{words}") as caught:
                key.sign(b"data", ECDSA)
            assert not isinstance(caught.value, (ValueError, OSError))
            assert caught.value.__cause__ is not None
            inject.answer("C_Sign", 0)
            # Nothing is left of it, and it is not a reason to start again and again.
            signs(other)
        assert inject.calls("C_Initialize") <= 2
        assert inject.sessions <= 2

    in_a_store(work)


def test_a_session_in_the_middle_of_something_is_the_only_one_to_go(
    in_a_store: Any,
) -> None:
    def work(store: parsec_keys.KeyStore, inject: Faults) -> None:
        key = store.generate_ec("key", P256)
        signs(key)
        opened, listed = inject.calls("C_OpenSession"), inject.calls("C_GetSlotList")
        inject.answer("C_SignInit", faults.OPERATION_ACTIVE)

        signs(key)

        assert inject.calls("C_OpenSession") == opened + 1
        assert inject.calls("C_GetSlotList") == listed

    in_a_store(work)


def test_every_session_is_in_the_middle_of_something(in_a_store: Any) -> None:
    """More of them than an operation is begun again for other reasons."""

    def work(store: parsec_keys.KeyStore, inject: Faults) -> None:
        key = store.generate_ec("key", P256)
        inject.hold("C_Sign")
        threads = [threading.Thread(target=signs, args=[key]) for _ in range(6)]
        for thread in threads:
            thread.start()
        wait_until(lambda: inject.held == len(threads))
        inject.let_go("C_Sign")
        for thread in threads:
            thread.join()
        opened, listed = inject.calls("C_OpenSession"), inject.calls("C_GetSlotList")
        inject.answer("C_SignInit", faults.OPERATION_ACTIVE, times=len(threads))

        signs(key)

        assert inject.calls("C_OpenSession") == opened + 1
        assert inject.calls("C_GetSlotList") == listed

    in_a_store(work)


def test_a_module_that_fails_is_started_again(in_a_store: Any) -> None:
    def work(store: parsec_keys.KeyStore, inject: Faults) -> None:
        key = store.generate_ec("key", P256)
        inject.answer("C_SignInit", faults.DEVICE_ERROR)
        inject.answer("C_OpenSession", faults.DEVICE_ERROR)

        signs(key)

        assert inject.calls("C_Initialize") == 2
        assert inject.calls("C_Login") == 2
        signs(key)

    in_a_store(work)


def test_a_module_that_does_not_start_again_is_tried_again(in_a_store: Any) -> None:
    def work(store: parsec_keys.KeyStore, inject: Faults) -> None:
        key = store.generate_ec("key", P256)
        inject.answer("C_SignInit", faults.DEVICE_REMOVED, times=2)
        inject.answer("C_Initialize", faults.DEVICE_ERROR)

        with pytest.raises(ServiceUnavailable, match="C_Initialize says 0x30"):
            signs(key)

        signs(key)

    in_a_store(work)


@pytest.mark.parametrize("function", ["C_GenerateKeyPair", "C_GetAttributeValue"])
@pytest.mark.parametrize("code", [faults.DEVICE_REMOVED, faults.HOST_MEMORY], ids=hex)
def test_a_key_is_made_whole_or_not_at_all(
    injector: Path, softhsm_token: Token, tmp_path: Path, function: str, code: int
) -> None:
    def work() -> None:
        inject = Faults(injector, softhsm_token)
        with parsec_keys.open_store(inject.url(tmp_path)) as store:
            inject.answer(function, code, times=ALWAYS)
            with pytest.raises(Error, match="making an ECC key pair"):
                store.generate_ec("key", P256)
            inject.answer(function, 0)
            assert store.keys() == ()
        with parsec_keys.open_store(inject.url(tmp_path)) as store:
            before = objects(inject)
            for skip in range(6):
                # Lost after the token made it, and again where half of it is removed.
                inject.answer(function, faults.DEVICE_REMOVED, skip)
                inject.answer("C_DestroyObject", faults.DEVICE_REMOVED)
                signs(store.generate_ec("key", P256))
                assert objects(inject) == before + 2
                inject.answer("C_DestroyObject", 0)
                inject.answer(function, 0)
                store.delete("key")
            assert objects(inject) == before

    in_a_child(work)


def test_sessions_forget_keys_that_were_deleted_while_they_were_busy(
    in_a_store: Any,
) -> None:
    def work(store: parsec_keys.KeyStore, inject: Faults) -> None:
        gone, key = store.generate_ec("gone", P256), store.generate_ec("key", P256)

        with ThreadPoolExecutor(2) as pool:

            def busy(*at_once: Any) -> list[Any]:
                before = inject.held
                inject.hold("C_Sign")
                tasks = [pool.submit(signs, each) for each in at_once]
                wait_until(lambda: inject.held == before + len(tasks))
                return tasks

            def finish(tasks: list[Any]) -> None:
                inject.let_go("C_Sign")
                for task in tasks:
                    task.result()

            for each in (gone, key):
                finish(busy(each, each))  # Each session knows both of them.
            tasks = busy(key)
            store.delete("gone")
            finish(tasks)
            finish(busy(key, key))
        assert isinstance(store._engine, Service)
        token = store._engine._providers["pkcs11"]._token  # type: ignore[attr-defined]
        assert [len(session._keys) for session in token._idle] == [1, 1]

    in_a_store(work)


def test_sessions_remember_some_of_many_keys(
    in_a_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_token, "_MOST_KEYS", 2)

    def work(store: parsec_keys.KeyStore, inject: Faults) -> None:
        keys = [store.generate_ec(f"key {number}", P256) for number in range(5)]
        for key in keys * 2:
            signs(key)
        assert isinstance(store._engine, Service)
        token = store._engine._providers["pkcs11"]._token  # type: ignore[attr-defined]
        assert [len(session._keys) for session in token._idle] == [2]

    in_a_store(work)


@pytest.mark.parametrize("skip", range(2))
def test_a_deletion_that_fails_half_way_leaves_a_key_that_works(
    injector: Path, softhsm_token: Token, tmp_path: Path, skip: int
) -> None:
    def work() -> None:
        inject = Faults(injector, softhsm_token)
        with parsec_keys.open_store(inject.url(tmp_path)) as store:
            before = objects(inject)
            key = store.generate_ec("key", P256)
            inject.answer("C_DestroyObject", faults.DEVICE_MEMORY, skip, ALWAYS)

            with pytest.raises(ProviderFailure):
                store.delete("key")

            signs(key)
            inject.answer("C_DestroyObject", 0)
            store.delete("key")
            assert objects(inject) == before

    in_a_child(work)


def objects(inject: Faults) -> int:
    """How many objects are on the token behind the injector."""
    return objects_on(inject.behind, "token")


def test_a_full_token_says_so(in_a_store: Any) -> None:
    def work(store: parsec_keys.KeyStore, inject: Faults) -> None:
        inject.answer("C_GenerateKeyPair", faults.DEVICE_MEMORY)
        with pytest.raises(ProviderFailure, match="full: remove keys"):
            store.generate_ec("key", P256)
        inject.answer("C_CreateObject", faults.DEVICE_MEMORY, skip=1)
        with pytest.raises(ProviderFailure, match="full: remove keys"):
            store.import_key("key", ec.generate_private_key(P256))

    in_a_store(work)


def test_a_read_only_token(
    injector: Path, softhsm_token: Token, tmp_path: Path
) -> None:
    def work() -> None:
        inject = Faults(injector, softhsm_token)
        with parsec_keys.open_store(inject.url(tmp_path)) as store:
            key = store.generate_ec("key", P256)
        with parsec_keys.open_store(inject.url(tmp_path)) as store:
            # Sessions that write are refused, and those that only read are not.
            inject.answer("C_OpenSession", faults.TOKEN_WRITE_PROTECTED)
            key = store.load("key")
            signs(key)
            for change in (
                lambda: store.generate_ec("other", P256),
                lambda: store.import_key("other", ec.generate_private_key(P256)),
                lambda: store.delete("key"),
            ):
                with pytest.raises(NotSupported, match="read-only: keys on it can be"):
                    change()
            signs(key)
            assert len(store.keys()) == 1

    in_a_child(work)


def test_sixteen_sessions_serve_more_threads(in_a_store: Any) -> None:
    def work(store: parsec_keys.KeyStore, inject: Faults) -> None:
        key = store.generate_ec("key", P256)
        inject.hold("C_Sign")
        threads = [threading.Thread(target=signs, args=[key]) for _ in range(40)]
        for thread in threads:
            thread.start()
        wait_until(lambda: inject.held == _token.MOST_SESSIONS)
        inject.let_go("C_Sign")
        for thread in threads:
            thread.join()

        # And the one that keeps the login.
        assert inject.sessions == _token.MOST_SESSIONS + 1
        store.close()
        assert inject.sessions == 0

    in_a_store(work)


def test_a_token_whose_sessions_stay_busy(
    in_a_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_token, "WAIT_SECONDS", 0.2)

    def work(store: parsec_keys.KeyStore, inject: Faults) -> None:
        key = store.generate_ec("key", P256)
        inject.hold("C_Sign")
        threads = [
            threading.Thread(target=signs, args=[key])
            for _ in range(_token.MOST_SESSIONS)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: inject.held == _token.MOST_SESSIONS)

        with pytest.raises(ServiceUnavailable, match=r"busy.*fewer threads"):
            signs(key)

        inject.let_go("C_Sign")
        for thread in threads:
            thread.join()
        signs(key)

    in_a_store(work)


def test_a_token_with_few_sessions_is_used_with_few(in_a_store: Any) -> None:
    def work(store: parsec_keys.KeyStore, inject: Faults) -> None:
        key = store.generate_ec("key", P256)
        signs(key)
        # One session is there; one more is to be had, and no other.
        inject.answer("C_OpenSession", faults.SESSION_COUNT, skip=1, times=ALWAYS)
        failures: list[Exception] = []

        def work() -> None:
            try:
                for _ in range(20):
                    signs(key)
            except Exception as e:
                failures.append(e)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failures == []
        assert inject.sessions <= 3

    in_a_store(work)


def test_a_token_without_any_session(injector: Path, softhsm_token: Token) -> None:
    def work() -> None:
        inject = Faults(injector, softhsm_token)
        inject.answer("C_OpenSession", faults.SESSION_COUNT, times=ALWAYS)
        with pytest.raises(ServiceUnavailable, match="no session left: close other"):
            parsec_keys.open_store(inject.url(Path("unused")))

    in_a_child(work)


def test_no_session_leaks(injector: Path, softhsm_token: Token, tmp_path: Path) -> None:
    def work() -> None:
        inject = Faults(injector, softhsm_token)
        for _ in range(3):
            with parsec_keys.open_store(inject.url(tmp_path)) as store:
                key = store.generate_ec("key", P256)
                for code in (faults.HOST_MEMORY, faults.DEVICE_REMOVED, 0):
                    inject.answer("C_Sign", code, times=3)
                    with pytest.raises(Error) if code else contextlib.nullcontext():
                        key.sign(b"data", ECDSA)
                rsa = store.generate_rsa("rsa", 1024)
                with pytest.raises(ValueError, match="Decryption"):
                    rsa.decrypt(os.urandom(128), OAEP)
                store.delete("key")
                store.delete("rsa")
            for function in ("C_Login", "C_GetTokenInfo", "C_OpenSession"):
                inject.answer(function, faults.HOST_MEMORY)
                with pytest.raises(Error):
                    parsec_keys.open_store(inject.url(tmp_path))
            gc.collect()
            assert inject.sessions == 0

    in_a_child(work)


def test_a_locked_pin_and_an_expired_one(injector: Path, softhsm_token: Token) -> None:
    def work() -> None:
        inject = Faults(injector, softhsm_token)
        for code, class_, words in (
            (faults.PIN_LOCKED, PinLocked, "security officer"),
            (faults.PIN_EXPIRED, Error, "expired: change it"),
        ):
            inject.answer("C_Login", code)
            with pytest.raises(class_, match=words):
                parsec_keys.open_store(inject.url(Path("unused")))
            assert inject.sessions == 0

    in_a_child(work)


def test_a_module_that_lacks_functions(injector: Path, softhsm_token: Token) -> None:
    def work() -> None:
        inject = Faults(injector, softhsm_token)
        os.environ["FAULTY_MODULE_OF"] = "/nonexistent.so"
        with pytest.raises(ServiceUnavailable, match="C_GetFunctionList says 0x5"):
            parsec_keys.open_store(inject.url(Path("unused")))
        os.environ["FAULTY_MODULE_OF"] = str(softhsm_token.module)
        inject.get_function_list()
        inject.remove("C_DeriveKey")
        with pytest.raises(ServiceUnavailable, match="lacks functions; ask its vendor"):
            parsec_keys.open_store(inject.url(Path("unused")))

    in_a_child(work)


def test_a_module_that_crashes_when_it_is_finalised(
    injector: Path, softhsm_token: Token, tmp_path: Path
) -> None:
    code = (
        "import ctypes, sys, parsec_keys\n"
        "from cryptography.hazmat.primitives.asymmetric import ec\n"
        "from cryptography.hazmat.primitives.hashes import SHA256\n"
        "injector = ctypes.CDLL(sys.argv[1])\n"
        f"injector.faulty_answer(b'C_Finalize', {faults.CRASH}, 0, 1)\n"
        "store = parsec_keys.open_store(sys.argv[2])\n"
        "store.generate_ec('key', ec.SECP256R1()).sign(b'', ec.ECDSA(SHA256()))\n"
        "store.delete('key')\n"
        "if sys.argv[3:]: store.close()\n"
        "print('signed')\n"
    )

    def work() -> None:
        url = Faults(injector, softhsm_token).url(tmp_path)
        for closing in ([], ["close"]):
            done = subprocess.run(
                [sys.executable, "-c", code, injector, url, *closing],
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stdout, done.stderr) == (0, "signed\n", "")

    in_a_child(work)


@pytest.mark.parametrize("is_copied", [True, False])
def test_a_module_that_does_not_notice_a_fork(
    in_a_store: Any, monkeypatch: pytest.MonkeyPatch, is_copied: bool
) -> None:
    def refuse(name: str) -> int:
        raise OSError

    def work(store: parsec_keys.KeyStore, inject: Faults) -> None:
        key = store.generate_ec("key", P256)
        if not is_copied:
            monkeypatch.setattr(os, "memfd_create", refuse)

        def child() -> None:
            signs(key)
            # What the parent's sessions are in is left alone, if that is possible.
            assert inject.calls("C_Finalize") == (0 if is_copied else 1)

        in_a_child(child)
        signs(key)
        assert inject.calls("C_Initialize") == 1

    in_a_store(work)


def test_a_session_that_another_threads_cure_closed_does_not_count(
    injector: Path, softhsm_token: Token, tmp_path: Path
) -> None:
    def work() -> None:
        faults = Faults(injector, softhsm_token)
        with parsec_keys.open_store(faults.url(tmp_path)) as store:
            (provider,) = store._engine._providers.values()
            token = provider._token
            tries: list[int] = []

            def use(session: object) -> str:
                tries.append(len(tries))
                if len(tries) < 6:
                    token._life += 1  # What a reconnection does.
                    raise SessionHandleInvalid
                return "used"

            assert token.run("a test", use) == "used"

    in_a_child(work)


@pytest.mark.parametrize("times", [1, 2], ids=["reconnection", "restart"])
def test_a_cure_waits_for_the_threads_that_are_inside(
    injector: Path, softhsm_token: Token, tmp_path: Path, times: int
) -> None:
    def work() -> None:
        inject = Faults(injector, softhsm_token)
        one = parsec_keys.open_store(inject.url(tmp_path / "one"))
        # Sessions of its own are what a store opens anew; a restart ends all stores'.
        two = one if times == 1 else parsec_keys.open_store(inject.url(tmp_path / "2"))
        key, rsa = one.generate_ec("key", P256), two.generate_rsa("rsa")
        inject.hold("C_DecryptInit")
        ciphertext = rsa.public_key().encrypt(b"message", OAEP)
        messages: list[bytes] = []
        busy = threading.Thread(
            target=lambda: messages.append(rsa.decrypt(ciphertext, OAEP))
        )
        busy.start()
        wait_until(lambda: inject.held == 1)
        inject.answer("C_SignInit", faults.DEVICE_ERROR, times=times)
        signing = threading.Thread(target=signs, args=[key])
        signing.start()
        signing.join(0.5)
        assert signing.is_alive()
        assert inject.calls("C_Finalize") == 0
        inject.let_go("C_DecryptInit")
        signing.join()
        busy.join()

        assert messages == [b"message"]
        assert inject.calls("C_Finalize") == times - 1
        signs(key)
        assert rsa.decrypt(ciphertext, OAEP) == b"message"

    in_a_child(work)


def test_many_threads_lose_everything_at_once(in_a_store: Any) -> None:
    def work(store: parsec_keys.KeyStore, inject: Faults) -> None:
        keys = [store.generate_ec(f"key-{n}", P256) for n in range(4)]
        failures: list[Exception] = []
        done = [0] * 8
        is_done = threading.Event()

        def use(number: int) -> None:
            try:
                while not is_done.is_set():
                    signs(keys[(number + done[number]) % 4])
                    done[number] += 1
            except Exception as e:
                failures.append(e)

        def all_went_on(seen: list[int]) -> bool:
            return bool(failures) or all(
                n > m + 2 for n, m in zip(done, seen, strict=True)
            )

        threads = [threading.Thread(target=use, args=[n]) for n in range(8)]
        for thread in threads:
            thread.start()
        for code in (faults.DEVICE_REMOVED, faults.SESSION_HANDLE_INVALID) * 3:
            # Two, for what an operation begins three times; no more before it ended.
            inject.answer("C_SignInit", code, times=2)
            wait_until(partial(all_went_on, done.copy()))
        is_done.set()
        for thread in threads:
            thread.join()

        assert failures == []
        assert inject.sessions <= 9

    in_a_store(work)


def test_a_module_that_somebody_else_finalised(in_a_store: Any) -> None:
    def work(store: parsec_keys.KeyStore, inject: Faults) -> None:
        key = store.generate_ec("key", P256)
        for _ in range(3):
            assert RawModule(inject.behind).finalize() == 0
            signs(key)

    in_a_store(work)


def test_oaep_of_a_token_without_the_bare_operation(
    injector: Path, softhsm_token: Token, tmp_path: Path
) -> None:
    def work() -> None:
        inject = Faults(injector, softhsm_token)
        inject.hide(RSA_X_509)
        sha1 = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
        with parsec_keys.open_store(inject.url(tmp_path)) as store:
            key = store.generate_rsa("rsa")
            ciphertext = key.public_key().encrypt(b"message", sha1)
            assert key.decrypt(ciphertext, sha1) == b"message"
            with pytest.raises(ValueError, match="Decryption failed"):
                key.decrypt(key.public_key().encrypt(b"", OAEP), sha1)
            with pytest.raises(NotSupported, match="CKM_RSA_X_509"):
                key.decrypt(key.public_key().encrypt(b"", OAEP), OAEP)
            # Its session is good for others.
            signature = key.sign(b"data", padding.PKCS1v15(), SHA256)
            key.public_key().verify(signature, b"data", padding.PKCS1v15(), SHA256)

    in_a_child(work)


def test_a_failed_decryption_leaves_nothing_active(
    any_token: tuple[str, Token], injector: Path, tmp_path: Path
) -> None:
    """With tpm2-pkcs11, a session that failed to decrypt is good for nothing more."""
    _, token = any_token
    pkcs1, oaep = padding.PKCS1v15(), padding.OAEP(SHA1_MGF, hashes.SHA1(), None)

    def work() -> None:
        inject = Faults(injector, token)
        inject.hide(RSA_X_509)  # So that the token itself unpads.
        with parsec_keys.open_store(inject.url(tmp_path)) as store:
            key = store.generate_rsa("key")
            for _ in range(20):
                with pytest.raises(ValueError, match="Decryption failed"):
                    key.decrypt(key.public_key().encrypt(b"", pkcs1), oaep)
            signature = key.sign(b"data", pkcs1, SHA256)
            key.public_key().verify(signature, b"data", pkcs1, SHA256)
            ciphertext = key.public_key().encrypt(b"message", oaep)
            assert key.decrypt(ciphertext, oaep) == b"message"
            store.delete("key")

    if isinstance(token, Tpm2Token):
        token.flush()
    in_a_child(work)


def test_what_a_token_can_is_asked_when_it_is_opened(in_a_store: Any) -> None:
    """Later another thread may be starting the module again, and it would crash."""

    def work(store: parsec_keys.KeyStore, inject: Faults) -> None:
        asking = ("C_GetMechanismList", "C_GetMechanismInfo")
        before = [inject.calls(name) for name in asking]

        signs(store.generate_ec("ec", P256))
        store.generate_rsa("rsa").sign(b"data", PSS, SHA256)
        with pytest.raises(NotSupported):
            store.generate_rsa("long", 2**15)

        assert [inject.calls(name) for name in asking] == before

    in_a_store(work)


def test_a_token_that_hiccups_has_pss_afterwards(
    injector: Path, softhsm_token: Token, tmp_path: Path
) -> None:
    """Without the bare operation, nothing else would do PSS."""

    def work() -> None:
        inject = Faults(injector, softhsm_token)
        inject.hide(RSA_X_509)
        with parsec_keys.open_store(inject.url(tmp_path)) as store:
            key = store.generate_rsa("key")
            inject.answer("C_Sign", faults.GENERAL_ERROR)
            for _ in range(2):
                signature = key.sign(b"data", PSS, SHA256)
                key.public_key().verify(signature, b"data", PSS, SHA256)

    in_a_child(work)


def test_pkcs1v15_that_a_token_unpads(
    any_token: tuple[str, Token], injector: Path, tmp_path: Path
) -> None:
    """A padding that is bad gives a message all the same, always the same one."""
    _, token = any_token
    pkcs1 = padding.PKCS1v15()

    def work() -> None:
        inject = Faults(injector, token)
        inject.hide(RSA_X_509)
        with parsec_keys.open_store(inject.url(tmp_path)) as store:
            key = store.generate_rsa("key")
            ciphertext = key.public_key().encrypt(b"message", pkcs1)
            assert key.decrypt(ciphertext, pkcs1) == b"message"
            bad = key.public_key().encrypt(b"", OAEP)
            for _ in range(3):
                assert key.decrypt(bad, pkcs1) == key.decrypt(bad, pkcs1)
                assert key.decrypt(ciphertext, pkcs1) == b"message"
            store.delete("key")

    if isinstance(token, Tpm2Token):
        token.flush()
    in_a_child(work)
