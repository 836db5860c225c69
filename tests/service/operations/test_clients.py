"""Applications: each sees its own keys; an administrator lists and deletes them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from parsec_keys.emulators import Swtpm
from parsec_keys.errors import ProviderFailure, ServiceUnavailable, StorageFailure
from parsec_keys.psa import algorithms as a
from parsec_keys.psa.operations import (
    ListKeys,
    PsaDestroyKey,
    PsaExportPublicKey,
    PsaSignHash,
)
from parsec_keys.psa.operations.service import DeleteClient, ListClients
from parsec_keys.psa.status import Status
from parsec_keys.service import Service
from parsec_keys.service.authenticators import ApplicationIdentity, AuthenticatorType
from parsec_keys.service.config import ServiceConfig, SoftwareConfig, TpmConfig
from parsec_keys.service.providers.software._files import KeyFiles
from tests.service.operations.caller import Caller
from tests.service.operations.conftest import open_service
from tests.service.operations.keys import ECC, PAIR, SHA256, ecc_private

ALGORITHM = a.Ecdsa(SHA256)
SIGN = PsaSignHash("key 0", ALGORITHM, bytes(32))


def make_key(caller: Caller) -> str:
    return caller.take(PAIR, ecc_private(ECC[256]), ALGORITHM)


def test_keys_of_one_are_nothing_to_another(service: Service, provider: str) -> None:
    mine, theirs = (
        Caller(service, "mine", provider),
        Caller(service, "theirs", provider),
    )
    make_key(mine)

    for operation in (SIGN, PsaExportPublicKey("key 0"), PsaDestroyKey("key 0")):
        assert theirs.status(operation) is Status.PSA_ERROR_DOES_NOT_EXIST
    assert theirs.do(ListKeys()) == ()
    assert make_key(theirs) == "key 0"
    theirs.do(PsaDestroyKey("key 0"))
    assert mine.status(SIGN) is Status.SUCCESS
    mine.do(PsaDestroyKey("key 0"))


@pytest.fixture
def both(swtpm: Swtpm, tmp_path: Path) -> ServiceConfig:
    """A store with a software provider and a TPM."""
    software, tpm = SoftwareConfig(tmp_path), TpmConfig(swtpm.tcti)
    return ServiceConfig((software, tpm), tmp_path)


def test_a_key_is_reached_through_its_provider_only(both: ServiceConfig) -> None:
    service = Service(both)
    software, tpm = (Caller(service, "1", each) for each in ("software", "tpm"))
    make_key(software)

    for operation in (SIGN, PsaExportPublicKey("key 0"), PsaDestroyKey("key 0")):
        assert tpm.status(operation) is Status.PSA_ERROR_DOES_NOT_EXIST

    # The Rust service forgets the key when it is destroyed through another provider.
    assert software.status(SIGN) is Status.SUCCESS
    service.close()


def test_all_providers_keys_are_listed(both: ServiceConfig) -> None:
    service = Service(both)
    software = Caller(service, "1", "software")
    tpm = Caller(service, "1", "tpm", itertools.count(1))

    made = {("software", make_key(software)), ("tpm", make_key(tpm))}

    assert {(key.provider, key.name) for key in tpm.do(ListKeys())} == made
    service.close()


def test_clients_are_listed_once_and_deleted_whole(
    new_url: Callable[[str], str], provider: str
) -> None:
    service = open_service(new_url(provider))
    admin, one, two = (Caller(service, name) for name in ("admin", "one", "two"))
    for each in (one, one, two):
        make_key(each)

    assert admin.do(ListClients()) == ("one", "two")
    assert admin.do(DeleteClient("one")) is None
    assert admin.do(ListClients()) == ("two",)
    assert one.do(ListKeys()) == ()
    assert one.status(SIGN) is Status.PSA_ERROR_DOES_NOT_EXIST
    assert two.status(SIGN) is Status.SUCCESS
    assert admin.do(DeleteClient("nobody")) is None
    two.do(PsaDestroyKey("key 0"))
    service.close()


def test_an_administrator_is_one_of_its_own_authenticator(
    new_url: Callable[[str], str],
) -> None:
    service = open_service(new_url("software"))
    make_key(Caller(service, "1000"))
    peer = ApplicationIdentity(AuthenticatorType.UNIX_PEER_CREDENTIALS, "1000")

    assert service.execute_for(peer, ListClients()) == ()
    service.execute_for(peer, DeleteClient("1000"))
    assert Caller(service, "admin").do(ListClients()) == ("1000",)
    service.close()


def test_a_key_that_stays_is_told(
    new_url: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = open_service(new_url("software"))
    admin, client = Caller(service, "admin"), Caller(service, "client")
    for _ in range(3):
        make_key(client)
    destroy, tries = KeyFiles.remove, itertools.count()

    def failing(files: KeyFiles, uid: bytes) -> None:
        if next(tries) == 0:
            raise StorageFailure("the disk does not let go of it")
        destroy(files, uid)

    monkeypatch.setattr(KeyFiles, "remove", failing)

    with pytest.raises(
        ProviderFailure, match=r"1 of 3 keys of client .* stay.* let go"
    ):
        admin.do(DeleteClient("client"))

    assert "a key of a deleted client stays: PSA_ERROR_STORAGE_FAILURE" in caplog.text
    assert len(client.do(ListKeys())) == 1
    assert admin.do(DeleteClient("client")) is None
    assert client.do(ListKeys()) == ()
    service.close()


def test_a_key_of_a_provider_that_is_not_there_is_told(both: ServiceConfig) -> None:
    # Otherwise the next one with this uid would find it when the provider is back.
    service = Service(both)
    make_key(Caller(service, "client", "tpm"))
    service.close()
    service = Service(dataclasses.replace(both, providers=both.providers[:1]))
    admin, client = Caller(service, "admin"), Caller(service, "client")

    assert admin.do(ListClients()) == ("client",)
    with pytest.raises(ServiceUnavailable, match="1 of 1 keys of client 'client' stay"):
        admin.do(DeleteClient("client"))

    assert client.status(PsaDestroyKey("key 0")) is Status.PSA_ERROR_DOES_NOT_EXIST
    service.close()
    service = Service(both)
    assert Caller(service, "admin").do(DeleteClient("client")) is None
    service.close()
