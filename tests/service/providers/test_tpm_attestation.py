"""Key attestation: what only the TPM that holds a key can open, and nobody else."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from parsec_keys.emulators import Swtpm
from parsec_keys.errors import (
    AuthenticationError,
    InvalidArgument,
    KeyNotFound,
    NotSupported,
)
from parsec_keys.psa.attributes import EccKeyPair, KeyAttributes
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import Operation, PsaGenerateKey
from parsec_keys.psa.operations.attestation import (
    AttestKey,
    CredentialParameters,
    PrepareKeyAttestation,
)
from parsec_keys.psa.operations.service import ListOpcodes
from parsec_keys.psa.status import Status
from parsec_keys.service import Service
from parsec_keys.service.config import ServiceConfig, SoftwareConfig, TpmConfig
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers import Attester
from parsec_keys.service.providers.tpm import TpmProvider, _tss
from parsec_keys.service.secret import Secret
from parsec_keys.service.wire.requests import decode_request, encode_request
from parsec_keys.service.wire.results import Numbering, decode_result, encode_result
from tests.service.providers.credentials import endorsement_key, made
from tests.service.providers.tpm_keys import (
    adopted,
    ec_attributes,
    ec_public_key,
    generated,
    handles,
    imported,
    lockout_counter,
    rsa_attributes,
    rsa_public_key,
    signs,
)

CREDENTIAL = b"what the verifier wants to see"


@pytest.fixture
def config(config: TpmConfig) -> TpmConfig:
    return replace(config, endorsement_hierarchy_auth=Secret(b""))


def prepared(tpm: TpmProvider, key: KeyRecord) -> CredentialParameters:
    return tpm.prepare_key_attestation(key, "")


def attests(tpm: TpmProvider, key: KeyRecord) -> None:
    credential = os.urandom(32)
    blob, secret = made(prepared(tpm, key), credential)
    assert credential == tpm.attest_key(key, "", blob, secret)


@pytest.mark.parametrize(
    "attributes",
    [ec_attributes(256), ec_attributes(384), rsa_attributes(2048)],
    ids=["P-256", "P-384", "RSA"],
)
def test_a_verifier_in_software(tpm: TpmProvider, attributes: KeyAttributes) -> None:
    key = generated(tpm, attributes)
    asked = prepared(tpm, key)

    blob, secret = made(asked, CREDENTIAL)

    assert isinstance(tpm, Attester)
    assert tpm.attest_key(key, "", blob, secret) == CREDENTIAL
    # What the verifier made the credential for is this key, which cannot leave.
    assert asked.name == b"\x00\x0b" + hashlib.sha256(asked.public).digest()
    assert _public_key(asked.public) == _expected(key)
    assert _attributes(asked.public) & int(_tss.TPMA_OBJECT.FIXEDTPM)
    assert endorsement_key(asked).key_size == 2048
    signs(tpm, key)


def test_a_verifier_with_a_tpm_of_its_own(
    tpm: TpmProvider, new_swtpm: Callable[[], Swtpm]
) -> None:
    key = generated(tpm, ec_attributes(256))
    asked = prepared(tpm, key)
    with _tss.ESAPI(new_swtpm().tcti) as verifier:
        public = _tss.TPM2B_PUBLIC.unmarshal(_tss.ENDORSEMENT_KEY.marshal())[0]
        modulus = endorsement_key(asked).public_numbers().n
        public.publicArea.unique.rsa = modulus.to_bytes(256, "big")
        loaded = verifier.load_external(public, hierarchy=_tss.ESYS_TR.ENDORSEMENT)

        blob, secret = verifier.make_credential(loaded, CREDENTIAL, asked.name)

        assert (
            tpm.attest_key(key, "", bytes(blob.credential), bytes(secret.secret))
            == CREDENTIAL
        )


def test_an_imported_key_tells_that_it_was(tpm: TpmProvider) -> None:
    key = imported(tpm, ec_attributes(256), (1234).to_bytes(32, "big"))

    attests(tpm, key)

    assert not _attributes(prepared(tpm, key).public) & int(_tss.TPMA_OBJECT.FIXEDTPM)


def test_a_persistent_key(tpm: TpmProvider, esapi: Any) -> None:
    parent = esapi.create_primary(None, "ecc")[0]
    private, public = esapi.create(
        parent, _tss.TPM2B_SENSITIVE_CREATE(), "ecc256:null:null"
    )[:2]
    loaded = esapi.load(parent, private, public)
    esapi.evict_control(_tss.ESYS_TR.OWNER, loaded, 0x81018001)
    for handle in (parent, loaded):
        esapi.flush_context(handle)

    attests(tpm, adopted(tpm, "handle=0x81018001"))


def test_a_credential_for_another_key(tpm: TpmProvider) -> None:
    right, wrong = (generated(tpm, ec_attributes(256)) for _ in range(2))
    blob, secret = made(prepared(tpm, right), CREDENTIAL)

    with pytest.raises(InvalidArgument, match="another key") as caught:
        tpm.attest_key(wrong, "", blob, secret)

    assert caught.value.status is Status.PSA_ERROR_INVALID_ARGUMENT
    assert tpm.attest_key(right, "", blob, secret) == CREDENTIAL


def test_a_credential_for_another_tpm(
    tpm: TpmProvider, config: TpmConfig, new_swtpm: Callable[[], Swtpm]
) -> None:
    key = generated(tpm, ec_attributes(256))
    other = TpmProvider.open(replace(config, tcti=new_swtpm().tcti))
    elsewhere = prepared(other, generated(other, ec_attributes(256)))
    other.close()
    attesting_key_pub = elsewhere.attesting_key_pub

    blob, secret = made(
        replace(prepared(tpm, key), attesting_key_pub=attesting_key_pub), CREDENTIAL
    )

    with pytest.raises(InvalidArgument, match="another key or TPM"):
        tpm.attest_key(key, "", blob, secret)
    attests(tpm, key)


def test_every_damage_to_a_credential(tpm: TpmProvider, esapi: Any) -> None:
    key = generated(tpm, ec_attributes(256))
    blob, secret = made(prepared(tpm, key), CREDENTIAL)
    tpm.attest_key(key, "", blob, secret)
    before = handles(esapi)
    for bad in _damaged(blob):
        with pytest.raises(InvalidArgument, match="damaged"):
            tpm.attest_key(key, "", bad, secret)
    for bad in _damaged(secret):
        with pytest.raises(InvalidArgument, match="damaged"):
            tpm.attest_key(key, "", blob, bad)

    # Nothing was loaded anew: a client's nonsense costs the others nothing.
    assert before == handles(esapi)
    assert tpm.attest_key(key, "", blob, secret) == CREDENTIAL
    assert lockout_counter(esapi) == 0


def test_only_the_endorsement_key_attests(tpm: TpmProvider) -> None:
    key = generated(tpm, ec_attributes(256))

    for ask in (
        lambda: tpm.prepare_key_attestation(key, "another"),
        lambda: tpm.attest_key(key, "another", b"blob", b"secret"),
    ):
        with pytest.raises(NotSupported, match="'another' cannot attest"):
            ask()


def test_without_an_auth_value_the_remedy_is_told(config: TpmConfig) -> None:
    tpm = TpmProvider.open(replace(config, endorsement_hierarchy_auth=None))
    key = generated(tpm, ec_attributes(256))

    for ask in (
        lambda: prepared(tpm, key),
        lambda: tpm.attest_key(key, "", b"blob", b"secret"),
    ):
        with pytest.raises(NotSupported, match="write endorsement_hierarchy_auth"):
            ask()
    tpm.close()


def test_the_endorsement_hierarchy_has_an_auth_value(
    config: TpmConfig, esapi: Any
) -> None:
    auth = b"the endorsement hierarchy's"
    right = TpmProvider.open(replace(config, endorsement_hierarchy_auth=Secret(auth)))
    esapi.hierarchy_change_auth(_tss.ESYS_TR.ENDORSEMENT, auth)
    key = generated(right, ec_attributes(256))
    attests(right, key)
    blob, secret = made(prepared(right, key), CREDENTIAL)
    for wrong in (Secret(b""), Secret(b"wrong")):
        tpm = TpmProvider.open(replace(config, endorsement_hierarchy_auth=wrong))
        for ask in (
            lambda: prepared(tpm, key),  # noqa: B023
            lambda: tpm.attest_key(key, "", blob, secret),  # noqa: B023
        ):
            with pytest.raises(AuthenticationError, match="endorsement") as caught:
                ask()
            assert "wrong" not in str(caught.value)
        signs(tpm, key)
        tpm.close()

    attests(right, key)
    assert lockout_counter(esapi) == 0
    right.close()
    assert handles(esapi) == []


def test_the_auth_value_is_asked_for_each_time(tpm: TpmProvider, esapi: Any) -> None:
    key = generated(tpm, ec_attributes(256))
    blob, secret = made(prepared(tpm, key), CREDENTIAL)

    esapi.hierarchy_change_auth(_tss.ESYS_TR.ENDORSEMENT, b"new")

    with pytest.raises(AuthenticationError, match="endorsement"):
        tpm.attest_key(key, "", blob, secret)
    signs(tpm, key)


@pytest.mark.parametrize("foreign", [0, 1])
def test_three_slots_and_two(config: TpmConfig, esapi: Any, foreign: int) -> None:
    for _ in range(foreign):
        esapi.create_primary(None, "ecc")
    tpm = TpmProvider.open(config)
    keys = [generated(tpm, ec_attributes(256)) for _ in range(3)]
    keys.append(generated(tpm, rsa_attributes(2048)))

    for key in (*keys, *keys):
        attests(tpm, key)
        signs(tpm, key)

    tpm.close()
    assert len(handles(esapi)) == foreign


def test_a_tpm_that_restarts(tpm: TpmProvider, swtpm: Swtpm, esapi: Any) -> None:
    key = generated(tpm, ec_attributes(256))
    asked = prepared(tpm, key)
    blob, secret = made(asked, CREDENTIAL)

    swtpm.restart()

    assert tpm.attest_key(key, "", blob, secret) == CREDENTIAL
    swtpm.restart()
    assert asked == prepared(tpm, key)
    tpm.close()
    assert handles(esapi) == []


def test_a_child_and_its_parent(tpm: TpmProvider, esapi: Any) -> None:
    key = generated(tpm, ec_attributes(256))
    attests(tpm, key)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for _ in range(3):
                attests(tpm, key)
            tpm.close()
            status = 0
        finally:
            os._exit(status)
    for _ in range(3):
        attests(tpm, key)

    assert os.waitpid(child, 0)[1] == 0
    tpm.close()
    assert handles(esapi) == []


def test_four_threads(tpm: TpmProvider, esapi: Any) -> None:
    keys = [generated(tpm, ec_attributes(256)) for _ in range(4)]
    failures: list[Exception] = []

    def work(key: KeyRecord) -> None:
        try:
            for _ in range(5):
                attests(tpm, key)
                signs(tpm, key)
        except Exception as e:
            failures.append(e)

    threads = [threading.Thread(target=work, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    tpm.close()
    assert handles(esapi) == []


@pytest.mark.parametrize("protect_bus", [True, False])
def test_what_crosses_the_bus(
    swtpm: Swtpm,
    esapi: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    protect_bus: bool,
) -> None:
    auth = b"the endorsement hierarchy's"
    esapi.hierarchy_change_auth(_tss.ESYS_TR.ENDORSEMENT, auth)
    capture = tmp_path / "bus.pcap"
    monkeypatch.setenv("TCTI_PCAP_FILE", str(capture))
    tcti = f"pcap:{swtpm.tcti}"
    tpm = TpmProvider.open(TpmConfig(tcti, None, "tpm", protect_bus, Secret(auth)))
    key = generated(tpm, ec_attributes(256))

    blob, secret = made(prepared(tpm, key), CREDENTIAL)
    assert tpm.attest_key(key, "", blob, secret) == CREDENTIAL
    tpm.close()

    traffic = capture.read_bytes()
    assert secret in traffic
    assert [each in traffic for each in (auth, CREDENTIAL)] == [not protect_bus] * 2


def test_through_the_service_and_the_wire(config: TpmConfig, tmp_path: Path) -> None:
    software = SoftwareConfig(tmp_path)
    service = Service(ServiceConfig((config, software), persistent=False))
    for provider in ("tpm", "software"):
        name = f"{provider} key"
        service.execute(PsaGenerateKey(name, ec_attributes(256)), provider=provider)

    asked = _over_the_wire(service, PrepareKeyAttestation("tpm key"))
    assert isinstance(asked, CredentialParameters)
    blob, secret = made(asked, CREDENTIAL)

    assert _over_the_wire(service, AttestKey("tpm key", blob, secret)) == CREDENTIAL
    with pytest.raises(InvalidArgument):  # With the outer size.
        _over_the_wire(service, AttestKey("tpm key", _sized(blob), secret))
    with pytest.raises(NotSupported, match="'tpm key' cannot attest"):
        _over_the_wire(service, PrepareKeyAttestation("tpm key", "tpm key"))
    with pytest.raises(NotSupported):
        service.execute(PrepareKeyAttestation("software key"))
    with pytest.raises(KeyNotFound):
        service.execute(AttestKey("no key", blob, secret))
    both = {Opcode.ATTEST_KEY, Opcode.PREPARE_KEY_ATTESTATION}
    opcodes = [
        service.execute(ListOpcodes(), provider=provider) & both
        for provider in ("tpm", "software")
    ]
    assert opcodes == [both, set()]
    service.close()


def _over_the_wire(service: Service, operation: Operation[Any]) -> Any:
    """Perform what the bytes of a request say, and read the bytes of the result."""
    opcode, numbering = operation.opcode, Numbering({3: "tpm"})
    received = decode_request(opcode, encode_request(operation))
    answer = encode_result(opcode, service.execute(received), numbering)
    return decode_result(opcode, answer, numbering)


def _public_key(public: bytes) -> Any:
    """The key of a ``TPMT_PUBLIC``."""
    read, _ = _tss.TPM2B_PUBLIC.unmarshal(_sized(public))
    return serialization.load_pem_public_key(read.to_pem())


def _expected(key: KeyRecord) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    if isinstance(key.attributes.type, EccKeyPair):
        return ec_public_key(key)
    return rsa_public_key(key)


def _attributes(public: bytes) -> int:
    """The attributes in a ``TPMT_PUBLIC`` (TPM 2.0 part 2, section 12.2.4)."""
    return int.from_bytes(public[4:8], "big")


def _damaged(data: bytes) -> list[bytes]:
    flipped = []
    for index in range(0, len(data), 11):
        changed = bytearray(data)
        changed[index] ^= 1
        flipped.append(bytes(changed))
    return [
        *flipped,
        *(b"", data[:1], data[:-1], data + b"\0", _sized(data), bytes(1000)),
    ]


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data
