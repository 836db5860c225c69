"""A module that others in the process use too; two tokens; three modules at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

import parsec_keys
from parsec_keys.errors import ConfigurationError, KeyNotFound
from parsec_keys.service.providers.pkcs11 import _token
from tests.service.providers.children import in_a_child
from tests.service.providers.faults import OS_LOCKING_OK, Faults
from tests.service.providers.raw_module import OK, RawModule
from tests.service.providers.tokens import (
    KINDS,
    PIN,
    SoftHsmToken,
    Token,
    Tpm2Token,
    url,
)

SHA256 = hashes.SHA256()
ECDSA = ec.ECDSA(SHA256)
P256 = ec.SECP256R1()
PKCS1 = padding.PKCS1v15()
ALREADY_INITIALIZED, ALREADY_LOGGED_IN = 0x191, 0x100


def signs(key: Any) -> None:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        key.public_key().verify(key.sign(b"data", ECDSA), b"data", ECDSA)
    else:
        signature = key.sign(b"data", PKCS1, SHA256)
        key.public_key().verify(signature, b"data", PKCS1, SHA256)


def in_threads(keys: list[Any], threads: int = 8, turns: int = 20) -> None:
    """Sign with keys from many threads."""
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for turn in range(turns):
                signs(keys[(number + turn) % len(keys)])
        except Exception as e:
            failures.append(e)

    started = [threading.Thread(target=work, args=[n]) for n in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    assert failures == []


def test_a_module_of_somebody_else_is_used_one_call_at_a_time(
    injector: Path, softhsm_token: Token, tmp_path: Path
) -> None:
    def work() -> None:
        inject = Faults(injector, softhsm_token)
        other = RawModule(softhsm_token.module)
        assert other.initialize(flags=0) == OK  # For one thread only.
        with parsec_keys.open_store(inject.url(tmp_path)) as store:
            in_threads([store.generate_ec("key", P256), store.generate_rsa("rsa")])
            assert inject.most_inside == 1
        assert inject.calls("C_Finalize") == 0
        assert other.slots()

    in_a_child(work)


def test_our_module_is_used_by_many_threads(
    injector: Path, softhsm_token: Token, tmp_path: Path
) -> None:
    def work() -> None:
        inject = Faults(injector, softhsm_token)
        with parsec_keys.open_store(inject.url(tmp_path)) as store:
            in_threads([store.generate_rsa("rsa")])
            assert 1 < inject.most_inside <= _token.MOST_SESSIONS
            assert inject.flags == OS_LOCKING_OK

    in_a_child(work)


def test_softhsm_is_used_one_call_at_a_time(
    injector: Path, softhsm_token: Token, tmp_path: Path
) -> None:
    """Its tokens bear no more where other processes change them."""

    def work() -> None:
        inject = Faults(injector, softhsm_token)
        inject.show_manufacturer()
        with (
            parsec_keys.open_store(inject.url(tmp_path / "one")) as one,
            parsec_keys.open_store(inject.url(tmp_path / "two")) as two,
        ):
            in_threads([one.generate_ec("key", P256), two.generate_rsa("rsa")])
        assert inject.most_inside == 1

    in_a_child(work)


def test_others_come_after_us_and_stay_when_we_go(
    any_token: tuple[str, Token], tmp_path: Path
) -> None:
    _, token = any_token
    if isinstance(token, Tpm2Token):
        token.flush()

    def work() -> None:
        token.enter()
        other = RawModule(token.module)
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            key = store.generate_rsa("key")
            signs(key)
            assert other.initialize() == ALREADY_INITIALIZED
            slot = other.slot_of(token.label)
            session = other.open_session(slot)
            assert other.login(session, PIN.encode()) == ALREADY_LOGGED_IN
            signs(key)
        # Nobody logged them out.
        assert other.login(session, PIN.encode()) == ALREADY_LOGGED_IN
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            signs(store.load("key"))
            store.delete("key")
        assert other.close_session(session) == OK
        # With the last session the login ends by itself.
        session = other.open_session(slot)
        assert other.login(session, PIN.encode()) != ALREADY_LOGGED_IN

    in_a_child(work)


def test_others_came_before_us_and_do_as_they_like(
    any_token: tuple[str, Token], tmp_path: Path
) -> None:
    _, token = any_token
    if isinstance(token, Tpm2Token):
        token.flush()

    def work() -> None:
        token.enter()
        other = RawModule(token.module)
        assert other.initialize() == OK
        slot = other.slot_of(token.label)
        session = other.open_session(slot)
        assert other.login(session, PIN.encode()) == OK
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            key = store.generate_rsa("key")
            signs(key)
            assert other.logout(session) == OK
            signs(key)
            assert other.call("C_CloseAllSessions", slot) == OK
            signs(key)
            assert other.finalize() == OK
            signs(key)
            store.delete("key")

    in_a_child(work)


def test_a_key_is_deleted_although_others_have_logged_out(
    any_token: tuple[str, Token], tmp_path: Path
) -> None:
    _, token = any_token
    if isinstance(token, Tpm2Token):
        token.flush()

    def work() -> None:
        token.enter()
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            other = RawModule(token.module)
            session = other.open_session(other.slot_of(token.label))
            before = other.count_objects(session)
            store.generate_rsa("key")
            assert other.logout(session) == OK
            store.delete("key")
            # It logged in again, and so sees whatever is left.
            assert other.is_logged_in(session)
            assert other.count_objects(session) == before

    in_a_child(work)


def test_two_tokens_in_one_module(
    new_token: Callable[[str], Token], tmp_path: Path
) -> None:
    token = new_token("softhsm")
    assert isinstance(token, SoftHsmToken)
    token.add("second")

    def work() -> None:
        token.enter()
        first = url(token, tmp_path / "first")
        second = url(token, tmp_path / "second").replace("=token?", "=second?")
        with (
            parsec_keys.open_store(first) as one,
            parsec_keys.open_store(second) as two,
        ):
            keys = [one.generate_ec("key", P256), two.generate_ec("key", P256)]
            in_threads(keys)
            one.close()
            signs(keys[1])
        with parsec_keys.open_store(first) as one:
            signs(one.load("key"))
            with pytest.raises(KeyNotFound):
                parsec_keys.load_key(second.replace("?", ";object=none?"))

    in_a_child(work)


def test_two_tokens_of_one_name_are_told_apart_by_serial_number(
    new_token: Callable[[str], Token], tmp_path: Path
) -> None:
    token = new_token("softhsm")
    assert isinstance(token, SoftHsmToken)
    token.add(token.label)

    def work() -> None:
        token.enter()
        twins = url(token, tmp_path / "store")
        with pytest.raises(ConfigurationError, match=r"several tokens match.*serial="):
            parsec_keys.open_store(twins)
        other = RawModule(token.module)
        other.initialize()
        public_keys: list[Any] = []
        for number, serial in enumerate(other.serials(token.label)):
            said = twins.replace("token=token", f"token=token;serial={serial}")
            said = said.replace("/store", f"/store-{number}")
            with parsec_keys.open_store(said) as store:
                public_keys.append(store.generate_ec("key", P256).public_key())
            with parsec_keys.open_store(said) as store:
                assert store.load("key").public_key() == public_keys[-1]
        assert len(public_keys) == 2
        assert public_keys[0] != public_keys[1]

    in_a_child(work)


def test_three_modules_in_one_process(
    new_token: Callable[[str], Token], tmp_path: Path
) -> None:
    tokens = {kind: new_token(kind) for kind in KINDS}

    def work() -> None:
        for token in tokens.values():
            token.enter()
        stores = [
            parsec_keys.open_store(url(token, tmp_path / kind))
            for kind, token in tokens.items()
        ]
        keys = [store.generate_rsa("key") for store in stores]
        in_threads(keys, turns=9)
        for store in stores:
            store.close()

    in_a_child(work)


def test_hundreds_of_keys_of_one_name(
    new_token: Callable[[str], Token], tmp_path: Path
) -> None:
    token = new_token("softhsm")
    count = 240

    def work() -> None:
        token.enter()
        at = url(token, tmp_path)
        with parsec_keys.open_store(at) as store:
            made = [store.generate_ec(f"{n}", P256) for n in range(count)]
        with parsec_keys.open_store(at) as store:
            for n in range(0, count, 7):
                key = store.load(f"{n}")
                assert key == made[n]
                signs(key)
        # On the token, all of ours have one label.
        uri = at.partition("&store=")[0] + f"&pin-value={PIN}"
        label = uri.replace("?", ";object=parsec-keys?")
        with pytest.raises(
            KeyNotFound, match=rf"{count} private keys.*object= and id="
        ):
            parsec_keys.load_key(label)

    in_a_child(work)


def test_a_key_is_loaded_with_a_pin_after_it_was_not_without(
    new_token: Callable[[str], Token], tmp_path: Path
) -> None:
    token = new_token("softhsm")

    def work() -> None:
        token.enter()
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            store.generate_ec("key", P256)
        uri = url(token, tmp_path, None).partition("&store=")[0]
        uri = uri.replace("?", ";object=parsec-keys?")

        with pytest.raises(parsec_keys.errors.Error):
            parsec_keys.load_key(uri)

        key = parsec_keys.load_key(f"{uri}&pin-value={PIN}")
        signs(key)

    in_a_child(work)
