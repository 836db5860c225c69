"""Keys that are half made because their token went away, and what becomes of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.errors import ServiceUnavailable
from parsec_keys.service import half_made
from parsec_keys.service.providers.pkcs11 import _module
from tests.contract.test_lifecycle import signs
from tests.daemon import SOFTWARE, Daemon, pkcs11_table
from tests.service.providers import faults
from tests.service.providers.children import in_a_child, in_the_parent
from tests.service.providers.faults import ALWAYS, Faults
from tests.service.providers.raw_module import objects_on
from tests.service.providers.tokens import SoftHsmToken, Token, url

P256 = ec.SECP256R1()


@pytest.fixture
def token(new_token: Callable[[str], Token], monkeypatch: pytest.MonkeyPatch) -> Token:
    monkeypatch.setattr(_module, "RESTART_SECONDS", 0.0)
    return new_token("softhsm")


def test_a_name_is_free_again_after_a_creation_that_failed(
    token: Token, tmp_path: Path
) -> None:
    """However many failed while the token was away, and with nothing left of them."""

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    def work() -> None:
        token.enter()
        with parsec_keys.open_store(url(token, tmp_path)) as store:
            signs(store.generate_ec("key", P256))
            before = descriptors()
            in_the_parent("lose")
            for number in range(2 * half_made._MOST):
                for _ in range(2):
                    with pytest.raises(ServiceUnavailable):
                        store.generate_ec(f"new {number}", P256)
            assert descriptors() <= before + half_made._MOST
            in_the_parent("regain")
            signs(store.generate_ec("new 0", P256))
            assert descriptors() == before
            assert objects_on(token.module, token.label) == 2 * 2

    in_a_child(work, lose=token.lose_power, regain=token.regain_power)


def test_a_token_that_is_away_keeps_other_providers_from_nothing(
    token: Token, tmp_path: Path
) -> None:
    file = tmp_path / "store.toml"
    providers = pkcs11_table(token.label, token.module) + SOFTWARE
    file.write_text(f"store = '{tmp_path / 'store'}'\n{providers}")

    def work() -> None:
        token.enter()
        with parsec_keys.open_store(str(file)) as store:
            in_the_parent("lose")
            for number in range(half_made._MOST):
                with pytest.raises(ServiceUnavailable):
                    store.generate_ec(f"new {number}", P256)
            signs(store.generate_ec("other", P256, provider="software"))
            # Somebody may have this name on the token: it is not given out twice.
            with pytest.raises(ServiceUnavailable):
                store.generate_ec("new 1", P256, provider="software")
            in_the_parent("regain")
            signs(store.generate_ec("new 1", P256, provider="software"))
            signs(store.generate_ec("new 2", P256))
            assert objects_on(token.module, token.label) == 2

    in_a_child(work, lose=token.lose_power, regain=token.regain_power)


def test_what_a_start_cannot_remove_is_removed_later(
    injector: Path, token: Token, tmp_path: Path
) -> None:
    def work() -> None:
        inject = Faults(injector, token)
        inject.answer("C_GetAttributeValue", faults.DEVICE_MEMORY, times=ALWAYS)
        inject.answer("C_DestroyObject", faults.DEVICE_MEMORY, times=ALWAYS)
        with (
            parsec_keys.open_store(inject.url(tmp_path)) as store,
            pytest.raises(parsec_keys.errors.ProviderFailure),
        ):
            store.generate_ec("key", P256)
        with parsec_keys.open_store(inject.url(tmp_path)) as store:
            assert objects_on(token.module, token.label) == 2
            inject.answer("C_GetAttributeValue", 0)
            inject.answer("C_DestroyObject", 0)
            signs(store.generate_ec("key", P256))
            assert objects_on(token.module, token.label) == 2

    in_a_child(work)


def test_a_reload_leaves_no_half_made_key(token: Token, tmp_path: Path) -> None:
    assert isinstance(token, SoftHsmToken)
    environment = {"SOFTHSM2_CONF": str(token.configuration)}
    provider = pkcs11_table(token.label, token.module)
    with (
        Daemon(tmp_path, provider, environment=environment) as daemon,
        parsec_keys.open_store(daemon.url) as store,
    ):
        token.lose_power()
        with pytest.raises(ServiceUnavailable):
            store.generate_ec("key", P256)
        token.regain_power()
        daemon.reload()
        assert "stays as it was" not in daemon.words()
        signs(store.generate_ec("key", P256))
