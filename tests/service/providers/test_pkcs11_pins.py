"""PINs: wrong, locked, changed, of any bytes, or none; the tokens judge."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

import parsec_keys
from parsec_keys.emulators import PIN
from parsec_keys.errors import AuthenticationError, Error, PinIncorrect, PinLocked
from parsec_keys.service.providers.tpm import _tss
from tests.service.providers.children import in_a_child
from tests.service.providers.faults import Faults
from tests.service.providers.raw_module import RawModule
from tests.service.providers.tokens import SoftHsmToken, Token, Tpm2Token, url
from tests.service.providers.tpm_keys import lockout_counter

SHA256 = hashes.SHA256()
PKCS1 = padding.PKCS1v15()
COUNT_LOW, FINAL_TRY, LOCKED = 0x10000, 0x20000, 0x40000
"""CKF_USER_PIN_… (PKCS#11 3.0, section 3.2)."""


def signs(key: Any) -> None:
    signature = key.sign(b"data", PKCS1, SHA256)
    key.public_key().verify(signature, b"data", PKCS1, SHA256)


def flags(token: Token) -> int:
    """What the token says, to somebody else in this process."""
    raw = RawModule(token.module)
    raw.initialize()
    return raw.state(raw.slot_of(token.label)).flags & (COUNT_LOW | FINAL_TRY | LOCKED)


def opens(token: Token, store: Path, pin: str | None = PIN) -> None:
    with parsec_keys.open_store(url(token, store, pin)):
        pass


@pytest.mark.parametrize("kind", ["softhsm", "opencryptoki"])
def test_a_wrong_pin_is_tried_once(
    new_token: Callable[[str], Token], kind: str, tmp_path: Path
) -> None:
    token = new_token(kind)

    def work() -> None:
        token.enter()
        for turn in range(6):
            with pytest.raises(PinIncorrect) as caught:
                opens(token, tmp_path, "4321")
            assert ("not asked again" in str(caught.value)) is (turn > 0)
            assert "4321" not in str(caught.value)
            # The first of the token's warnings, and never the second.
            assert flags(token) == COUNT_LOW
        opens(token, tmp_path)
        assert flags(token) == 0

    in_a_child(work)


def test_a_wrong_pin_of_a_tpms_token_is_tried_once(
    new_token: Callable[[str], Token], tmp_path: Path
) -> None:
    """It has no warnings; its TPM counts."""
    token = new_token("tpm2-pkcs11")
    assert isinstance(token, Tpm2Token)

    def work() -> None:
        token.enter()
        for _ in range(6):
            with pytest.raises(PinIncorrect):
                opens(token, tmp_path, "4321")
        opens(token, tmp_path)

    in_a_child(work)
    token.flush()
    with contextlib.closing(_tss.ESAPI(token.swtpm.tcti)) as esapi:
        assert lockout_counter(esapi) == 1


def test_a_token_that_warns_of_its_last_try_is_not_tried(
    new_token: Callable[[str], Token], tmp_path: Path
) -> None:
    token = new_token("opencryptoki")

    def work() -> None:
        token.enter()
        raw = RawModule(token.module)
        raw.initialize()
        session = raw.open_session(raw.slot_of(token.label))
        while not flags(token) & FINAL_TRY:
            assert raw.login(session, b"0000") != 0
        for pin in ("4321", PIN):
            with pytest.raises(AuthenticationError, match="not tried: one more wrong"):
                opens(token, tmp_path, pin)
        assert flags(token) & FINAL_TRY
        assert not flags(token) & LOCKED
        assert raw.login(session, b"0000") != 0
        with pytest.raises(PinLocked, match="security officer"):
            opens(token, tmp_path)

    in_a_child(work)


def test_a_tpm_that_locks_its_tokens(
    new_token: Callable[[str], Token], tmp_path: Path
) -> None:
    token = new_token("tpm2-pkcs11")

    def work() -> None:
        token.enter()
        raw = RawModule(token.module)
        raw.initialize()
        session = raw.open_session(raw.slot_of(token.label))
        while raw.login(session, b"0000") == 0xA0:
            pass
        with pytest.raises(PinLocked, match="security officer"):
            opens(token, tmp_path)

    in_a_child(work)


@pytest.mark.parametrize("kind", ["softhsm", "opencryptoki"])
def test_a_pin_that_changes(
    new_token: Callable[[str], Token], injector: Path, tmp_path: Path, kind: str
) -> None:
    token = new_token(kind)

    def work() -> None:
        inject = Faults(injector, token)
        raw = RawModule(token.module)
        with parsec_keys.open_store(inject.url(tmp_path)) as store:
            key = store.generate_rsa("key")
            session = raw.open_session(raw.slot_of(token.label))
            assert raw.set_pin(session, PIN.encode(), b"567890") == 0
            signs(key)  # Who is in stays in.
            with pytest.raises(AuthenticationError, match="close that store first"):
                parsec_keys.open_store(inject.url(tmp_path, "567890"))
            signs(key)

            assert raw.logout(session) == 0
            tried = inject.calls("C_Login")
            for _ in range(5):
                with pytest.raises(
                    PinIncorrect, match=r"refuses the PIN|not asked again"
                ):
                    key.sign(b"data", PKCS1, SHA256)
            assert inject.calls("C_Login") == tried + 1
        with pytest.raises(PinIncorrect, match="not asked again"):
            parsec_keys.open_store(inject.url(tmp_path))
        with parsec_keys.open_store(inject.url(tmp_path, "567890")) as store:
            signs(store.load("key"))

    in_a_child(work)


@pytest.mark.parametrize(
    "pin", [b"pa ss&?=%;/#", "pä ßwörtche".encode(), b"\xff\x00\xfe\x80 pin"]
)
def test_pins_of_any_bytes(
    new_token: Callable[[str], Token], pin: bytes, tmp_path: Path
) -> None:
    token = new_token("softhsm")
    (tmp_path / "pin").write_bytes(pin + b"\n")

    def work() -> None:
        token.enter()
        raw = RawModule(token.module)
        raw.initialize()
        session = raw.open_session(raw.slot_of(token.label))
        assert raw.login(session, PIN.encode()) == 0
        assert raw.set_pin(session, PIN.encode(), pin) == 0
        raw.close_session(session)
        base = url(token, tmp_path / "store", None)
        for said in (f"pin-value={quote(pin)}", f"pin-source=file:{tmp_path / 'pin'}"):
            with parsec_keys.open_store(f"{base}&{said}") as store:
                assert pin.decode("utf-8", "replace") not in repr(store)
                assert quote(pin) not in store.url
        wrong = quote(pin[:-1] + b"\xfd")
        with pytest.raises(PinIncorrect) as caught:
            parsec_keys.open_store(f"{base}&pin-value={wrong}")
        assert wrong not in str(caught.value)

    in_a_child(work)


def test_no_pin_and_an_empty_one(any_token: tuple[str, Token], tmp_path: Path) -> None:
    _, token = any_token

    def work() -> None:
        token.enter()
        with (
            parsec_keys.open_store(url(token, tmp_path, None)) as store,
            pytest.raises(AuthenticationError, match="pin-value or pin-source"),
        ):
            store.generate_rsa("key")
        if isinstance(token, SoftHsmToken):
            with pytest.raises(Error, match="PIN"):
                opens(token, tmp_path, "")

    in_a_child(work)
