"""Key info that somebody wrote nonsense into: an error of ours, or the right key.

Whoever can write a store's folder can give a record away: that is why only its owner
can. What cannot happen is a crash, an error of another's, or a signature of another key
than the one whose public key the caller sees.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

import parsec_keys
from parsec_keys.emulators import SoftHsm
from parsec_keys.errors import Error, KeyNotFound, StorageFailure
from parsec_keys.psa.algorithms import Ecdsa, Hash
from parsec_keys.psa.operations import PsaExportPublicKey, PsaSignHash
from parsec_keys.service import Service
from parsec_keys.service.authenticators import ApplicationIdentity, AuthenticatorType
from parsec_keys.service.key_info.sqlite import FILE_NAME
from parsec_keys.service.providers.tpm._key_id import (
    PersistentKey,
    decode_key_id,
    encode_key_id,
)
from parsec_keys.uri import EmbeddedStore, parse_store_url

P256 = ec.SECP256R1()
ECDSA = ec.ECDSA(hashes.SHA256())
PREHASHED = ec.ECDSA(utils.Prehashed(hashes.SHA256()))
TIMES = {"software": 150, "tpm": 30, "pkcs11": 30}
NAMES = ("first", "second")


def folder_of(url: str) -> Path:
    return Path(url.partition("store=")[2] or url.removeprefix("software:"))


def change(file: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        assert database.execute(statement, values).rowcount == 1


@pytest.fixture
def store(provider: str, embedded_url: Callable[[str], str]) -> tuple[str, Path]:
    """The URL of a store with two keys, and its key info."""
    url = embedded_url(provider)
    with parsec_keys.open_store(url) as opened:
        for name in NAMES:
            opened.generate_ec(name, P256)
    return url, folder_of(url) / FILE_NAME


def damages(data: bytes, numbers: random.Random) -> bytes:
    """A file with some of its octets changed, or its end cut off or made longer."""
    damaged = bytearray(data)
    kind = numbers.randrange(6)
    if kind == 0:
        return data[: numbers.randrange(len(data))]
    if kind == 1:
        return data + numbers.randbytes(numbers.randrange(1, 9000))
    for _ in range(numbers.choice((1, 1, 3, 30))):
        place = numbers.randrange(100 if kind == 2 else len(data))
        many = numbers.choice((1, 1, 1, 16, 300))
        damaged[place : place + many] = numbers.randbytes(many)
    return bytes(damaged[: len(data)])


def test_random_damage(provider: str, store: tuple[str, Path]) -> None:
    url, file = store
    content = file.read_bytes()
    with parsec_keys.open_store(url) as opened:
        points = {name: opened.load(name).public_key() for name in NAMES}
    numbers = random.Random(provider)

    signed = refused = 0
    for _ in range(TIMES[provider]):
        for leftover in file.parent.glob(f"{FILE_NAME}-*"):
            leftover.unlink()
        file.write_bytes(damages(content, numbers))
        for name in NAMES:
            try:
                with parsec_keys.open_store(url) as opened:
                    opened.keys()
                    key = opened.load(name)
                    assert isinstance(key, ec.EllipticCurvePrivateKey)
                    signature = key.sign(b"data", ECDSA)
            except Error as e:
                refused += bool(sentence(e))
                continue
            key.public_key().verify(signature, b"data", ECDSA)
            assert key.public_key() in points.values()
            signed += 1

    assert signed > TIMES[provider] // 10
    assert refused > TIMES[provider] // 10


ANNA, BERT = (
    ApplicationIdentity(AuthenticatorType.UNIX_PEER_CREDENTIALS, uid)
    for uid in ("20001", "20002")
)


@pytest.fixture
def shared(
    provider: str, embedded_url: Callable[[str], str]
) -> tuple[Callable[[], Service], Path]:
    """What opens a service in which two applications have a key, and its key info."""
    url = embedded_url(provider)
    parsed = parse_store_url(url)
    assert isinstance(parsed, EmbeddedStore)
    config = parsed.config
    with parsec_keys.open_store(url) as opened:
        for _, uid in (ANNA, BERT):
            opened.generate_ec(uid, P256)
    file = folder_of(url) / FILE_NAME
    for _, uid in (ANNA, BERT):
        change(
            file,
            "UPDATE key_record SET application = ?, key_name = 'key' "
            "WHERE key_name = ?",
            *(uid, uid),
        )
    return lambda: Service(config), file


def use(service: Service, application: ApplicationIdentity) -> bytes:
    """Sign with an application's key, and answer its public key."""
    public_key = service.execute_for(application, PsaExportPublicKey("key"))
    digest = bytes(range(32))
    numbers = service.execute_for(
        application, PsaSignHash("key", Ecdsa(Hash.SHA_256), digest)
    )
    r, s = (int.from_bytes(each, "big") for each in (numbers[:32], numbers[32:]))
    ec.EllipticCurvePublicKey.from_encoded_point(P256, public_key).verify(
        utils.encode_dss_signature(r, s), digest, PREHASHED
    )
    return public_key


def test_a_record_that_points_to_another_application_s_key(
    provider: str, shared: tuple[Callable[[], Service], Path]
) -> None:
    opens, file = shared
    with closing(opens()) as service:
        annas, berts = use(service, ANNA), use(service, BERT)
    assert annas != berts
    change(
        file,
        "UPDATE key_record SET key_id = (SELECT key_id FROM key_record WHERE "
        "application = ?) WHERE application = ?",
        *(ANNA.name, BERT.name),
    )

    with closing(opens()) as service:
        assert use(service, ANNA) == annas
        if provider == "software":
            assert use(service, BERT) == berts  # It finds its keys by their uid.
        else:
            with pytest.raises(StorageFailure, match="another key"):
                use(service, BERT)


def test_a_file_of_another_application_s_key(
    tmp_path: Path, embedded_url: Callable[[str], str]
) -> None:
    """The software provider finds a key by its uid, whose file may be another's."""
    url = embedded_url("software")
    with parsec_keys.open_store(url) as opened:
        for name in NAMES:
            opened.generate_ec(name, P256)
    first, second = (folder_of(url) / "software").glob("*.pem")
    shutil.copy(first, second)

    with parsec_keys.open_store(url) as opened:
        refusals = 0
        for name in NAMES:
            key = opened.load(name)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            try:
                key.public_key().verify(key.sign(b"", ECDSA), b"", ECDSA)
            except StorageFailure as e:
                refusals += "another key" in sentence(e)
        assert refusals == 1


KEY_IDS = (
    b"pkcs11 key named: ",
    b"pkcs11 key named: {}",
    b"pkcs11 key named: []",
    b"pkcs11 key named: null",
    b'pkcs11 key named: {"id": 5}',
    b'pkcs11 key named: {"id": "zz"}',
    b'pkcs11 key named: {"label": 5}',
    b'pkcs11 key named: {"label": "theirs"}',
    b'pkcs11 key named: {"label": "\\ud800"}',
    b'pkcs11 key named: {"label": "theirs", "id": "00"}',
    b"pkcs11 key named: " + b"[" * 100_000,
    *(b"", b"\0", b"x" * 16, b"theirs", b"\xff" * 5000),
)


@pytest.mark.parametrize("key_id", KEY_IDS, ids=lambda each: f"{each[18:40]!r}")
def test_a_record_that_names_a_foreign_object(
    softhsm: SoftHsm, embedded_url: Callable[[str], str], key_id: bytes
) -> None:
    """Another program's key on the same token is not used in a key's place."""
    url = embedded_url("pkcs11")
    foreign = embedded_url("pkcs11")
    with parsec_keys.open_store(foreign) as theirs:
        theirs.generate_ec("theirs", P256)
        with parsec_keys.open_store(url) as opened:
            opened.generate_ec("key", P256)
        change(folder_of(url) / FILE_NAME, "UPDATE key_record SET key_id = ?", key_id)

        with parsec_keys.open_store(url) as opened:
            key = opened.load("key")
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            with pytest.raises((StorageFailure, KeyNotFound)) as caught:
                key.sign(b"", ECDSA)
        assert str(caught.value).isprintable()
        theirs.delete("theirs")


HANDLES = (0x81000001, 0x40000001, 0x4000000B, 0x80000000, 0x01C00002, 0xFFFFFFFF, 1)


def test_a_record_that_is_a_tpm_s_no_more(
    embedded_url: Callable[[str], str],
) -> None:
    url = embedded_url("tpm")
    with parsec_keys.open_store(url) as opened:
        opened.generate_ec("key", P256)
        opened.generate_ec("other", P256)
    key_id = key_id_of(url)
    key = decode_key_id(key_id)
    assert not isinstance(key, PersistentKey)
    changed = [
        *(encode_key_id(PersistentKey(handle, key.parent)) for handle in HANDLES),
        *(encode_key_id(replace(key, parent_handle=handle)) for handle in HANDLES),
        encode_key_id(replace(key, auth=bytes(32))),
        encode_key_id(replace(key, auth=bytes(5000))),
        encode_key_id(replace(key, public=b"")),
        encode_key_id(replace(key, private=b"\xff" * 5000)),
        *(bytes([version]) + key_id[1:] for version in range(5)),
        *(key_id[:length] for length in (0, 1, 3, 40, 200)),
    ]

    for each in changed:
        if each != key_id:
            assert not signs_right(url, each)
        assert signs_right(url)


def test_random_damage_to_a_tpm_s_record(embedded_url: Callable[[str], str]) -> None:
    url = embedded_url("tpm")
    with parsec_keys.open_store(url) as opened:
        opened.generate_ec("key", P256)
        opened.generate_ec("other", P256)
    key_id = key_id_of(url)
    numbers = random.Random("TPM")

    for _ in range(60):
        signs_right(url, damages(key_id, numbers))
        assert signs_right(url)


def key_id_of(url: str) -> bytes:
    with closing(sqlite3.connect(folder_of(url) / FILE_NAME)) as database:
        ((key_id,),) = database.execute(
            "SELECT key_id FROM key_record WHERE key_name = 'key'"
        ).fetchall()
    assert isinstance(key_id, bytes)
    return key_id


def signs_right(url: str, key_id: bytes | None = None) -> bool:
    """Whether a key signs: with a key id in its record, or the key beside it."""
    name = "other" if key_id is None else "key"
    if key_id is not None:
        change(
            folder_of(url) / FILE_NAME,
            "UPDATE key_record SET key_id = ? WHERE key_name = 'key'",
            key_id,
        )
    with parsec_keys.open_store(url) as opened:
        key = opened.load(name)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        try:
            signature = key.sign(b"", ECDSA)
        except Error as e:
            return not sentence(e)
        key.public_key().verify(signature, b"", ECDSA)
        return True


def sentence(error: Error) -> str:
    assert str(error).isprintable()
    return str(error)
