"""What crosses the bus of a TPM, as a capture of all its traffic shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from parsec_keys.emulators import Swtpm
from parsec_keys.psa.algorithms import ECDH, Hash, RsaOaep
from parsec_keys.service.config import TpmConfig
from parsec_keys.service.key_formats import curve_of
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers.tpm import TpmProvider, _tcti, _tss
from parsec_keys.service.providers.tpm._key_id import (
    LoadableKey,
    decode_key_id,
)
from parsec_keys.service.secret import Secret
from tests.service.providers.relay import Command, Relay
from tests.service.providers.tpm_keys import (
    ec_attributes,
    generated,
    handles,
    imported,
    rsa_attributes,
    rsa_public_key,
    signs,
)

OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
PEER = ec_attributes(256)


@pytest.mark.parametrize(
    ("tcti", "private"),
    [
        ("swtpm", True),
        ("swtpm:port=2321", True),
        ("swtpm:host=127.0.0.1,port=2321", True),
        ("mssim:host=localhost", True),
        ("libtpms", True),
        ("swtpm:host=192.0.2.1,port=2321", False),
        ("cmd:ssh elsewhere", False),
        ("device:/dev/tpmrm0", False),
        ("tabrmd", False),
        ("pcap:swtpm", False),
    ],
)
def test_what_is_a_bus_that_nobody_probes(tcti: str, private: bool) -> None:
    assert _tcti.is_private(tcti) == private


@pytest.mark.parametrize("protect_bus", [True, False])
def test_no_secret_crosses_a_bus(
    swtpm: Swtpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protect_bus: bool
) -> None:
    capture = tmp_path / "bus.pcap"
    monkeypatch.setenv("TCTI_PCAP_FILE", str(capture))
    message = b"a message that only one shall read"
    tpm = TpmProvider.open(TpmConfig(f"pcap:{swtpm.tcti}", protect_bus=protect_bus))

    rsa_key = generated(tpm, rsa_attributes(2048))
    signs(tpm, rsa_key)
    ciphertext = rsa_public_key(rsa_key).encrypt(message, OAEP)
    decrypted = tpm.asymmetric_decrypt(rsa_key, RsaOaep(Hash.SHA_256), ciphertext, b"")
    ec_key = generated(tpm, ec_attributes(256))
    secret = tpm.raw_key_agreement(ec_key, ECDH, generated(tpm, PEER).public_key)
    tpm.close()

    assert decrypted == message
    traffic = capture.read_bytes()
    secrets = [message, secret, *(_auth_value(key) for key in (rsa_key, ec_key))]
    assert [each in traffic for each in secrets] == [not protect_bus] * 4


@pytest.mark.parametrize("protect_bus", [True, False])
def test_no_hierarchys_auth_value_crosses_a_bus(
    swtpm: Swtpm,
    esapi: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    protect_bus: bool,
) -> None:
    auth = b"the owner hierarchy's"
    esapi.hierarchy_change_auth(_tss.ESYS_TR.OWNER, auth)
    capture = tmp_path / "bus.pcap"
    monkeypatch.setenv("TCTI_PCAP_FILE", str(capture))
    tcti = f"pcap:{swtpm.tcti}"
    tpm = TpmProvider.open(TpmConfig(tcti, Secret(auth), protect_bus=protect_bus))
    keys = [generated(tpm, ec_attributes(256)) for _ in range(4)]

    for key in keys * 2:
        signs(tpm, key)
    tpm.close()

    assert (auth in capture.read_bytes()) == (not protect_bus)
    assert handles(esapi) == []


@pytest.mark.parametrize("bits", [256, 521])
def test_no_imported_key_crosses_a_bus(
    swtpm: Swtpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: int
) -> None:
    capture = tmp_path / "bus.pcap"
    monkeypatch.setenv("TCTI_PCAP_FILE", str(capture))
    tpm = TpmProvider.open(TpmConfig(f"pcap:{swtpm.tcti}"))
    attributes = ec_attributes(bits)
    native = ec.generate_private_key(curve_of(attributes)).private_numbers()
    data = native.private_value.to_bytes((bits + 7) // 8, "big")

    key = imported(tpm, attributes, data)
    signs(tpm, key)
    tpm.close()

    traffic = capture.read_bytes()
    assert key.public_key[1:33] in traffic
    assert data not in traffic
    assert _auth_value(key) not in traffic


def _auth_value(key: KeyRecord) -> bytes:
    wrapped = decode_key_id(key.key_id)
    assert isinstance(wrapped, LoadableKey)
    return wrapped.auth


@pytest.mark.parametrize("auth", [b"", b"the owner's"], ids=["no auth", "owner's auth"])
def test_every_session_is_salted(swtpm: Swtpm, esapi: Any, auth: bytes) -> None:
    """Encrypted to a key of the TPM (TPM 2.0 part 3, section 11.1)."""
    esapi.hierarchy_change_auth(_tss.ESYS_TR.OWNER, auth)
    with Relay(swtpm) as relay:
        config = TpmConfig(relay.tcti, Secret(auth), protect_bus=True)
        tpm = TpmProvider.open(config)
        signs(tpm, generated(tpm, ec_attributes(256)))
        tpm.close()
        traffic = bytes(relay.traffic)

    started = traffic.split(Command.START_AUTH_SESSION.to_bytes(4, "big"))[1:]
    assert len(started) == relay.commands.count(Command.START_AUTH_SESSION) > 0
    for parameters in started:
        key, nonce = parameters[:4], int.from_bytes(parameters[8:10], "big")
        salt = int.from_bytes(parameters[10 + nonce : 12 + nonce], "big")
        assert int.from_bytes(key, "big") >= _tss.FIRST_TRANSIENT
        assert salt >= 32
