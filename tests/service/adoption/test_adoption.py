"""Taking over old keys into the software provider: which, once, whole or not at all.

The TPM and the token, and the real Rust Parsec service, are in ``test_rust_service``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parsec_keys.cli import main
from parsec_keys.errors import ConfigurationError, StorageFailure
from parsec_keys.psa.algorithms import Ecdsa, Hash
from parsec_keys.psa.attributes import EccFamily, EccKeyPair, KeyAttributes, KeyPolicy
from parsec_keys.psa.operations import PsaDestroyKey, PsaExportPublicKey, PsaSignHash
from parsec_keys.psa.words import usage_from_words
from parsec_keys.service import Service
from parsec_keys.service.adoption.candidates import Candidate, Verdict
from parsec_keys.service.adoption.old_stores import read
from parsec_keys.service.adoption.sources import find_source
from parsec_keys.service.authenticators import ApplicationIdentity, AuthenticatorType
from parsec_keys.service.config_toml import RustKeyInfo, read_config
from parsec_keys.service.key_formats import decode_ecc_public_key
from tests.service.adoption.old_service import (
    EC_SIGN,
    MBED_CRYPTO,
    PKCS11,
    RSA_SIGN,
    OldService,
    file_of,
)

APP = ApplicationIdentity(AuthenticatorType.UNIX_PEER_CREDENTIALS, "1000")
SIGN = usage_from_words("sign_message verify_message sign_hash verify_hash")


@pytest.fixture
def old(tmp_path: Path) -> OldService:
    return OldService(tmp_path / "old")


def adopt(old: OldService, *, write: bool, **paths: Path) -> list[Candidate]:
    """Look at the old keys, and adopt them if that is wanted."""
    service = Service(read_config(old.config))
    try:
        adoption = service.adoption(find_source(old.config, **paths))
        candidates = adoption.look()
        return adoption.adopt(candidates) if write else candidates
    finally:
        service.close()


def destroy(old: OldService, name: str) -> None:
    """Delete a key as its application does."""
    service = Service(read_config(old.config))
    service.execute_for(APP, PsaDestroyKey(name))
    service.close()


def verdicts(candidates: list[Candidate]) -> dict[str, Verdict]:
    return {each.key.key_name: each.verdict for each in candidates}


def reason(candidates: list[Candidate]) -> str:
    (candidate,) = candidates
    assert candidate.verdict is Verdict.CANNOT
    return candidate.reason


def digests(old: OldService) -> dict[str, str]:
    """What is in the old service's files; all but the new service's own."""
    files = [*old.folder.glob("*.psa_its"), old.config]
    files += [p for p in old.database.parent.iterdir() if p.name.startswith("keys")]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_a_key_keeps_its_owner_its_name_and_its_policy(old: OldService) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    old.keep(key)
    old.add("web/server")

    assert verdicts(adopt(old, write=True)) == {"web/server": Verdict.ADOPTED}

    service = Service(read_config(old.config))
    exported = service.execute_for(APP, PsaExportPublicKey("web/server"))
    digest = hashlib.sha256(b"message").digest()
    sign = PsaSignHash("web/server", Ecdsa(Hash.SHA_256), digest)
    assert len(service.execute_for(APP, sign)) == 64
    record = service._key_info.find(APP, "web/server")
    service.close()
    numbers = key.public_key().public_numbers()
    x, y = decode_ecc_public_key(exported)
    assert (numbers.x, numbers.y) == tuple(int.from_bytes(i, "big") for i in (x, y))
    assert record is not None
    assert record.attributes == KeyAttributes(
        EccKeyPair(EccFamily.SECP_R1), 256, KeyPolicy(SIGN, Ecdsa(Hash.SHA_256))
    )


def test_a_first_look_writes_nothing(old: OldService) -> None:
    old.keep(ec.generate_private_key(ec.SECP256R1()))
    old.add("key")
    before = digests(old)

    for _ in range(2):
        assert verdicts(adopt(old, write=False)) == {"key": Verdict.ADOPT}

    assert digests(old) == before
    assert not any((old.database.parent / "software").iterdir())


def test_the_old_store_stays_as_it_is(old: OldService) -> None:
    old.keep(rsa.generate_private_key(65537, 2048))
    old.add("key", RSA_SIGN)
    before = digests(old)

    adopt(old, write=True)

    assert digests(old) == before


def test_a_second_run_adopts_nothing_twice(old: OldService) -> None:
    old.keep(ec.generate_private_key(ec.SECP256R1()))
    old.add("first")
    adopt(old, write=True)
    old.keep(ec.generate_private_key(ec.SECP256R1()))
    old.add("second")

    assert verdicts(adopt(old, write=True)) == {
        "first": Verdict.BEFORE,
        "second": Verdict.ADOPTED,
    }
    assert set(verdicts(adopt(old, write=True)).values()) == {Verdict.BEFORE}


def test_a_key_that_was_deleted_since_does_not_come_back(old: OldService) -> None:
    old.keep(ec.generate_private_key(ec.SECP256R1()))
    old.add("key")
    adopt(old, write=True)
    destroy(old, "key")

    assert verdicts(adopt(old, write=True)) == {"key": Verdict.DELETED}


def test_a_run_that_ended_before_it_remembered_a_key(old: OldService) -> None:
    old.keep(ec.generate_private_key(ec.SECP256R1()))
    old.add("key")
    adopt(old, write=True)
    with contextlib.closing(sqlite3.connect(old.new_database)) as database:
        database.execute("DELETE FROM adopted")
        database.commit()

    assert verdicts(adopt(old, write=True)) == {"key": Verdict.BEFORE}

    destroy(old, "key")
    assert verdicts(adopt(old, write=True)) == {"key": Verdict.DELETED}


def test_another_key_under_the_key_id_of_one_that_was_adopted(old: OldService) -> None:
    old.keep(ec.generate_private_key(ec.SECP256R1()))
    old.add("key")
    adopt(old, write=True)
    old._files -= 1
    old.keep(ec.generate_private_key(ec.SECP256R1()))

    assert "another key has its name" in reason(adopt(old, write=True))

    destroy(old, "key")
    assert verdicts(adopt(old, write=True)) == {"key": Verdict.ADOPTED}


def test_key_files_that_were_removed_after_their_adoption(old: OldService) -> None:
    old.keep(ec.generate_private_key(ec.SECP256R1()))
    old.add("key")
    adopt(old, write=True)
    for file in old.folder.glob("*.psa_its"):
        file.unlink()

    assert verdicts(adopt(old, write=True)) == {"key": Verdict.BEFORE}


def test_a_name_that_is_taken(old: OldService) -> None:
    old.keep(ec.generate_private_key(ec.SECP256R1()))
    old.add("key")
    adopt(old, write=True)
    with old.connect() as database:
        database.execute("DELETE FROM key_mapping")
    old.keep(ec.generate_private_key(ec.SECP256R1()))
    old.add("key")

    assert "another key has its name" in reason(adopt(old, write=True))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"attributes": EC_SIGN[:-1]}, "its policy cannot be read"),
        ({"attributes": RSA_SIGN}, "not an RSA private key"),
        ({"key_id": b"\x63\x00\x00\x00"}, "0000000000000063.psa_its"),
        ({"key_id": b"\x02"}, "its key id cannot be read"),
        ({"authenticator": 9}, "no authenticator 9"),
        ({"uuid": PKCS11}, "no such provider"),
        ({"provider_name": "renamed"}, "no such provider"),
    ],
)
def test_what_cannot_be_adopted_says_why(
    old: OldService, row: dict[str, object], words: str
) -> None:
    old.keep(ec.generate_private_key(ec.SECP256R1()))
    old.add("key", **row)  # type: ignore[arg-type]

    assert words in reason(adopt(old, write=True))


def test_the_key_files_elsewhere(old: OldService, tmp_path: Path) -> None:
    old.keep(ec.generate_private_key(ec.SECP256R1()))
    old.add("key")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in old.folder.glob("*.psa_its"):
        file.rename(elsewhere / file.name)

    assert "say in which folder" in reason(adopt(old, write=False))
    found = adopt(old, write=False, key_files=elsewhere)
    assert verdicts(found) == {"key": Verdict.ADOPT}


def test_a_store_in_files(old: OldService, tmp_path: Path) -> None:
    folder = tmp_path / "mappings"
    for name, application in (("key", "1000"), ("", "1000"), ("key", "spiffe://x/y")):
        old.keep(ec.generate_private_key(ec.SECP256R1()))
        file = file_of(folder, application, 1, name or "unnamed/π")
        file.parent.mkdir(parents=True, exist_ok=True)
        key_id = old._files.to_bytes(4, "little")
        file.write_bytes(len(key_id).to_bytes(8, "little") + key_id + EC_SIGN)
    (folder / "not ours" / "1").mkdir(parents=True)
    (folder / "not ours" / "1" / "file").write_text("text")

    found = adopt(old, write=True, key_info=folder)

    assert {(each.key.application, each.key.key_name) for each in found} == {
        ("1000", "key"),
        ("1000", "unnamed/π"),
        ("spiffe://x/y", "key"),
    }
    assert {each.verdict for each in found} == {Verdict.ADOPTED}


def test_a_store_in_files_with_one_name_in_two_providers(
    old: OldService, tmp_path: Path
) -> None:
    folder = tmp_path / "mappings"
    old.keep(ec.generate_private_key(ec.SECP256R1()))
    for provider in (1, 2):
        file = file_of(folder, "1000", provider, "key")
        file.parent.mkdir(parents=True)
        file.write_bytes((4).to_bytes(8, "little") + b"\x02\x00\x00\x00" + EC_SIGN)

    first, second = adopt(old, write=True, key_info=folder)

    assert (first.verdict, first.provider) == (Verdict.ADOPTED, "software")
    assert second.verdict is Verdict.CANNOT


def test_stores_that_are_none(old: OldService, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no database at all, but a text of some length" * 20)
    empty = tmp_path / "empty.sqlite3"
    sqlite3.connect(empty).close()
    for path, words in (
        (tmp_path / "absent", "there is no key info"),
        (text, "cannot be read as key info"),
        (empty, "cannot be read as key info|there is no key info"),
    ):
        with pytest.raises(StorageFailure, match=words):
            adopt(old, write=False, key_info=path)

    with old.connect() as database:
        database.execute("UPDATE kim_metadata SET int_value = 2")
    with pytest.raises(StorageFailure, match="another schema"):
        adopt(old, write=False)


def test_a_service_that_was_killed_while_it_wrote(
    old: OldService, tmp_path: Path
) -> None:
    copied = tmp_path / "copied"
    with old.connect() as database:
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN IMMEDIATE")
        for number in range(200):
            row = (3, "1000", f"key {number}", MBED_CRYPTO, "", b"", 1, bytes(500), 1)
            database.execute("INSERT INTO key_mapping VALUES (?,?,?,?,?,?,?,?,?)", row)
        shutil.copytree(old.database.parent, copied)
        database.execute("ROLLBACK")
    before = {p.name: p.read_bytes() for p in copied.iterdir()}
    assert set(before) == {"keys.sqlite3", "keys.sqlite3-journal"}

    with pytest.raises(StorageFailure, match="start and stop it once"):
        adopt(old, write=False, key_info=copied / "keys.sqlite3")

    assert {p.name: p.read_bytes() for p in copied.iterdir()} == before


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 20_000), st.binary(min_size=1, max_size=8))
def test_a_damaged_store_is_read_or_refused(
    damaged: Path, at: int, damage: bytes
) -> None:
    whole = damaged.read_bytes()
    at %= len(whole)
    other = damaged.with_name("other.sqlite3")
    other.write_bytes(whole[:at] + damage + whole[at + len(damage) :])

    with contextlib.suppress(StorageFailure):
        read(RustKeyInfo(True, other), AuthenticatorType.UNIX_PEER_CREDENTIALS)


@pytest.fixture
def damaged(old: OldService) -> Path:
    """A store that is still whole."""
    for name in ("one", "two"):
        old.add(name)
    return old.database


def test_a_row_of_a_newer_service(old: OldService) -> None:
    old.keep(ec.generate_private_key(ec.SECP256R1()))
    old.add("key", version=2)

    with pytest.raises(StorageFailure, match=r"'key'.*newer"):
        adopt(old, write=False)


def test_a_configuration_that_names_no_old_store(tmp_path: Path) -> None:
    config = tmp_path / "new.toml"
    config.write_text('store = "keys"\n[[provider]]\nprovider_type = "Software"\n')

    with pytest.raises(ConfigurationError, match="names no key info"):
        find_source(config)


def test_the_command_line(
    old: OldService, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    old.keep(ec.generate_private_key(ec.SECP256R1()))
    old.add("key")
    old.add("elsewhere", uuid=PKCS11)

    for option, verdict in (([], "adopt"), (["--write"], "adopted")):
        assert main(["adopt", "--config", str(old.config), *option]) == 0
        out, err = capsys.readouterr()
        rows = {row[1]: row for row in (line.split("\t") for line in out.splitlines())}
        assert rows["key"][0] == "1000"
        assert rows["key"][2] == "software"
        assert rows["key"][5] == "ECDSA(SHA_256)"
        assert rows["key"][7:] == [verdict, ""]
        assert rows["elsewhere"][7] == "cannot be adopted"
        assert "no such provider" in rows["elsewhere"][8]
        assert ("nothing was written" in err) is (option == [])

    absent = tmp_path / "absent"
    arguments = ["adopt", "--config", str(old.config), "--key-info", str(absent)]
    assert main(arguments) == 1
    assert f"there is no key info of the Rust Parsec service at {absent}" in (
        capsys.readouterr().err
    )


def test_a_killed_adoption_leaves_nothing_half_done(old: OldService) -> None:
    names = {f"key {number}" for number in range(150)}
    for name in sorted(names):
        old.keep(ec.generate_private_key(ec.SECP256R1()))
        old.add(name)
    command = [sys.executable, "-m", "parsec_keys", "adopt", "--write"]
    command += ["--config", str(old.config)]

    for share in (10, 60):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while _recorded(old) < share and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL

    found = adopt(old, write=True)
    counts = Counter(each.verdict for each in found)
    assert counts.keys() == {Verdict.BEFORE, Verdict.ADOPTED}
    assert counts[Verdict.BEFORE] >= 60
    assert {each.key.key_name for each in found} == names
    assert _recorded(old) == len(names)
    store = old.new_database.parent
    assert len(os.listdir(store / "software")) == len(names)
    assert os.listdir(store / "intents") == []


def _recorded(old: OldService) -> int:
    if not old.new_database.exists():
        return 0
    database = sqlite3.connect(f"file:{old.new_database}?mode=ro", uri=True)
    try:
        query = "SELECT count(*) FROM key_record WHERE NOT intent"
        return int(database.execute(query).fetchone()[0])
    except sqlite3.OperationalError:  # The schema is not there yet.
        return 0
    finally:
        database.close()


def test_an_adopted_rsa_key_signs(old: OldService) -> None:
    key = rsa.generate_private_key(65537, 2048)
    old.keep(key)
    old.add("key", RSA_SIGN, application=str(os.geteuid()))
    adopt(old, write=True)

    import parsec_keys

    with parsec_keys.open_store(str(old.config)) as store:
        signature = store.load("key").sign(
            b"message", padding.PKCS1v15(), hashes.SHA256()
        )

    key.public_key().verify(signature, b"message", padding.PKCS1v15(), hashes.SHA256())
