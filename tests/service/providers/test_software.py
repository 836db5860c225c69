"""The files of the software provider: what they say, and who can read them."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from parsec_keys.errors import (
    AuthenticationError,
    KeyNotFound,
    ServiceUnavailable,
    StorageFailure,
)
from parsec_keys.psa.algorithms import ECDH
from parsec_keys.psa.attributes import (
    EccFamily,
    EccKeyPair,
    KeyAttributes,
    KeyPolicy,
    KeyType,
    UnstructuredKeyType,
    UsageFlags,
)
from parsec_keys.service.authenticators import NOBODY
from parsec_keys.service.config import SoftwareConfig
from parsec_keys.service.key_info import KeyIdentity, KeyRecord
from parsec_keys.service.providers.software import SoftwareProvider
from parsec_keys.service.secret import Secret
from tests.secrets.errors import all_said_by

UID, OTHER = bytes(range(16)), bytes(range(16, 32))
OCTETS = b"sixteen bytes!!!"
PASSPHRASE = b"correct horse"
AES, CAMELLIA = UnstructuredKeyType.AES, UnstructuredKeyType.CAMELLIA


def attributes(key_type: KeyType, bits: int = 128) -> KeyAttributes:
    return KeyAttributes(key_type, bits, KeyPolicy(UsageFlags.EXPORT))


def opened(directory: Path, passphrase: bytes | None = None) -> SoftwareProvider:
    secret = None if passphrase is None else Secret(passphrase)
    return SoftwareProvider.open(SoftwareConfig(directory, secret))


def record(
    uid: bytes = UID, key_type: KeyType = AES, bits: int = 128, public: bytes = b""
) -> KeyRecord:
    identity = KeyIdentity(NOBODY, "software", "key")
    return KeyRecord(identity, uid, uid, attributes(key_type, bits), public)


def imported(directory: Path, passphrase: bytes | None = None) -> Path:
    opened(directory, passphrase).import_key(UID, attributes(AES), OCTETS)
    return directory / "software" / f"{UID.hex()}.json"


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_symmetric_key_comes_back(tmp_path: Path, passphrase: bytes | None) -> None:
    imported(tmp_path, passphrase)

    again = opened(tmp_path, passphrase)

    assert again.export_key(record()) == OCTETS


def test_its_file_says_what_it_is(tmp_path: Path) -> None:
    file = imported(tmp_path)

    assert json.loads(file.read_text()) == {
        "format": "parsec-keys symmetric key 1",
        "uid": UID.hex(),
        "type": "AES",
        "key": base64.b64encode(OCTETS).decode(),
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_an_encrypted_file_says_nothing_of_the_key(tmp_path: Path) -> None:
    file = imported(tmp_path, PASSPHRASE)

    text = file.read_bytes()
    assert OCTETS not in text
    assert base64.b64encode(OCTETS) not in text
    assert json.loads(text)["type"] == "AES"
    with pytest.raises(AuthenticationError, match="give the store its passphrase"):
        opened(tmp_path).export_key(record())
    with pytest.raises(AuthenticationError, match="does not open"):
        opened(tmp_path, b"wrong").export_key(record())


def test_a_key_is_removed_with_its_file(tmp_path: Path) -> None:
    file = imported(tmp_path)
    provider = opened(tmp_path)
    provider.destroy_key(UID)

    assert not file.exists()
    with pytest.raises(KeyNotFound, match="is gone"):
        provider.export_key(record())
    provider.destroy_key(UID)


@pytest.mark.parametrize("suffix", ["pem", "json"])
def test_what_a_killed_process_was_writing_is_removed(
    tmp_path: Path, suffix: str
) -> None:
    provider = opened(tmp_path)
    half = tmp_path / "software" / f"{UID.hex()}.{suffix}.partial"
    half.write_bytes(b"half a secret")

    provider.destroy_key(UID)

    assert not half.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"format": "parsec-keys symmetric key 2"},
        {"key": "not Base64"},
        {"key": 5},
        {"key": None},
    ],
    ids=str,
)
def test_a_file_that_is_no_key(tmp_path: Path, change: dict[str, Any]) -> None:
    file = imported(tmp_path)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))

    with pytest.raises(StorageFailure, match="is no key any more"):
        opened(tmp_path).export_key(record())


@pytest.mark.parametrize(
    "text", ["", "[]", "5", "{}", "\0", '{"format": 1}', "[" * 10_000]
)
def test_a_file_that_is_anything(tmp_path: Path, text: str) -> None:
    imported(tmp_path).write_text(text)

    with pytest.raises(StorageFailure, match="is no key any more"):
        opened(tmp_path).export_key(record())


@pytest.mark.parametrize("key_type", [AES, EccKeyPair(EccFamily.SECP_R1)], ids=str)
def test_nothing_is_written_without_the_passphrase_of_a_closed_store(
    tmp_path: Path, key_type: KeyType
) -> None:
    """As by a thread that was making a key while another closed the store."""
    provider = opened(tmp_path, PASSPHRASE)
    provider.close()

    with pytest.raises(ServiceUnavailable):
        provider.generate_key(UID, attributes(key_type, 256), 65537)

    assert list((tmp_path / "software").iterdir()) == []


def test_an_error_does_not_hold_the_file(tmp_path: Path) -> None:
    file = imported(tmp_path)
    file.write_bytes(file.read_bytes() + b"}")

    with pytest.raises(StorageFailure, match="is no key any more") as caught:
        opened(tmp_path).export_key(record())

    for secret in (OCTETS.decode(), base64.b64encode(OCTETS).decode()):
        assert secret not in all_said_by(caught.value)


def test_another_keys_file_is_not_taken(tmp_path: Path) -> None:
    file = imported(tmp_path)
    file.rename(file.with_name(f"{OTHER.hex()}.json"))
    provider = opened(tmp_path)

    with pytest.raises(StorageFailure, match="holds another key"):
        provider.export_key(record(OTHER))


@pytest.mark.parametrize(("key_type", "bits"), [(CAMELLIA, 128), (AES, 256)], ids=str)
def test_a_file_of_another_type_or_size_is_not_taken(
    tmp_path: Path, key_type: KeyType, bits: int
) -> None:
    imported(tmp_path)

    with pytest.raises(StorageFailure, match="holds another key"):
        opened(tmp_path).export_key(record(key_type=key_type, bits=bits))


def test_what_an_encrypted_file_says_is_authenticated(tmp_path: Path) -> None:
    file = imported(tmp_path, PASSPHRASE)
    text = file.read_text()
    assert '"AES"' in text
    file.write_text(text.replace('"AES"', '"CAMELLIA"'))

    with pytest.raises(AuthenticationError, match="does not open"):
        opened(tmp_path, PASSPHRASE).export_key(record(key_type=CAMELLIA))


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
@pytest.mark.parametrize("bits", [255, 448])
def test_montgomery_keys_come_back(
    tmp_path: Path, bits: int, passphrase: bytes | None
) -> None:
    key_type = EccKeyPair(EccFamily.MONTGOMERY)
    provider = opened(tmp_path, passphrase)
    created = provider.generate_key(UID, attributes(key_type, bits), 65537)
    key = record(UID, key_type, bits, created.public_key)

    again = opened(tmp_path, passphrase)

    assert again.export_key(key) == provider.export_key(key)
    # Alone with its own public key, a key shares the same secret every time.
    shared = again.raw_key_agreement(key, ECDH, created.public_key)
    assert shared == provider.raw_key_agreement(key, ECDH, created.public_key)
