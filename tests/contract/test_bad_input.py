"""Bad input: one sentence with what to do, a class of its own, nothing lost."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.emulators import PIN, SoftHsm, free_port_pair
from parsec_keys.errors import (
    ConfigurationError,
    Error,
    KeyNotFound,
    PinIncorrect,
    ServiceUnavailable,
    StorageFailure,
)
from parsec_keys.service.key_info.sqlite import FILE_NAME
from parsec_keys.service.providers.tpm import _connection

P256 = ec.SECP256R1()
ECDSA = ec.ECDSA(hashes.SHA256())


def refused(url: str | None, class_: type[Error]) -> str:
    """The sentence with which a store is refused."""
    with pytest.raises(class_) as caught:
        parsec_keys.open_store(url)
    sentence = str(caught.value)
    assert type(caught.value) is class_
    assert "\n" not in sentence
    assert len(sentence) > 30
    return sentence


@pytest.mark.parametrize(
    "url",
    [
        *("nonsense", "foo:bar", "http://example.org", "tpm", "tpm:", "unix:/x?y=z"),
        *("software:/tmp?x=y", "tpm:device?x=y", "pkcs11:", "pkcs11:token=x"),
        *("pkcs11:x", "pkcs11:token=a;token=b?module-path=/x", "pkcs11:color=red"),
        "pkcs11:object=x?module-path=/x",
        "pkcs11:slot-id=x?module-path=/x",
        "pkcs11:token=%ff?module-path=/x",
        "pkcs11:token=x?module-path=/x&pin-value=1&pin-source=/y",
        "pkcs11:token=x?module-path=/x&pin-source=/nonexistent/pin",
        *("/nonexistent.toml", "software:/tmp?passphrase-file=/nonexistent/file"),
    ],
)
def test_a_url_that_names_no_store(url: str) -> None:
    refused(url, ConfigurationError)


@pytest.mark.parametrize(
    "uri",
    [
        *("nonsense", "parsec:x?y=z", "tpm:handle=0x82000000", "tpm:handle=x"),
        *("pkcs11:token=x?module-path=/x", "parsec:x?store=nonsense", ""),
    ],
)
def test_a_uri_that_names_no_key(uri: str) -> None:
    with pytest.raises(ConfigurationError):
        parsec_keys.load_key(uri)


@pytest.mark.parametrize(
    "url",
    [
        *("software:/tmp/\0x", "software:/tmp/%00x", "software:\ud800", "\ud800.toml"),
        *("unix:/\0", "tpm:swtpm:\0", "tpm:\ud800", f"tpm:{'x' * 10_000_000}"),
        *("pkcs11:token=\ud800?module-path=/x", "pkcs11:token=x?module-path=/x%00y"),
        f"pkcs11:slot-id={'9' * 5000}?module-path=/x",
        "pkcs11:token=x?module-path=/x&pin-value=\ud800",
        *("x" * 10_000_000, "two\nlines", "\0"),
    ],
    ids=lambda url: ascii(url[:40]),
)
def test_a_url_of_any_characters(url: str) -> None:
    assert len(refused(url, ConfigurationError)) < 2100


@pytest.mark.parametrize("name", ["\n", "\u202eabc", "e\u0301", "\ufeff", "\u2028"])
def test_a_sentence_about_any_name(store: parsec_keys.KeyStore, name: str) -> None:
    with pytest.raises(KeyNotFound) as caught:
        store.load(name)
    assert len(str(caught.value)) < 2100
    assert str(caught.value).isprintable()

    key = store.generate_ec(name, P256)
    key.public_key().verify(key.sign(b"", ECDSA), b"", ECDSA)
    store.delete(name)


@pytest.mark.parametrize(
    "url",
    [
        "pkcs11:x?pin-value=98765",
        "pkcs11:token=x?module-path=/x&pin-value=1&98765",
        "pkcs11:token=x?module-path=/x&pin-value=1&98765=2",
        "pkcs11:token=x?module-path=/x&pin-value=1&98765&98765",
        "pkcs12:token=x?pin-value=98765",
        "pkcs11:token=x?module-path=/x.so;pin-value=98765",
        "pkcs11:token=x;pin-value=98765?module-path=/x",
    ],
)
def test_a_pin_is_not_repeated(url: str) -> None:
    assert "98765" not in refused(url, ConfigurationError)


def test_a_socket_where_nobody_serves(tmp_path: Path) -> None:
    assert "running" in refused(f"unix:{tmp_path / 'none.sock'}", ServiceUnavailable)


def test_a_missing_pkcs11_module(tmp_path: Path) -> None:
    url = f"pkcs11:token=x?module-path={tmp_path / 'none.so'}"

    assert "install" in refused(url, ServiceUnavailable)


def test_a_file_that_is_no_pkcs11_module(tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("text")
    libc = "libc.so.6"

    refused(f"pkcs11:token=x?module-path={tmp_path / 'text.so'}", ServiceUnavailable)
    for folder in ("/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"):
        if (Path(folder) / libc).exists():
            url = f"pkcs11:token=x?module-path={folder}/{libc}"
            assert "no PKCS#11 module" in refused(url, ServiceUnavailable)


def test_a_missing_token(softhsm: SoftHsm) -> None:
    sentence = refused(
        f"pkcs11:token=absent?module-path={softhsm.module}", ServiceUnavailable
    )

    assert "'shared'" in sentence


def test_several_tokens_match(softhsm: SoftHsm) -> None:
    sentence = refused(
        f"pkcs11:token=twin?module-path={softhsm.module}", ConfigurationError
    )

    assert "serial=" in sentence


def test_a_wrong_pin_is_tried_once(softhsm: SoftHsm, tmp_path: Path) -> None:
    url = softhsm.url("pin", tmp_path)
    wrong = url.replace(f"pin-value={PIN}", "pin-value=4321")

    first, second = refused(wrong, PinIncorrect), refused(wrong, PinIncorrect)

    assert "tried once" in first
    assert "not asked again" in second
    assert "4321" not in first + second
    with parsec_keys.open_store(url) as store:
        store.generate_ec("key", P256)
        # Who has the token open already has not proved that another PIN is right.
        refused(wrong, PinIncorrect)


def test_no_pin(softhsm: SoftHsm, tmp_path: Path) -> None:
    url = softhsm.url("without", tmp_path)
    with parsec_keys.open_store(url) as store:
        store.generate_ec("key", P256)

    with parsec_keys.open_store(url.replace(f"&pin-value={PIN}", "")) as store:
        with pytest.raises(Error, match=r"login|pin-value|expected") as caught:
            store.load("key").sign(b"", ECDSA)
        assert not isinstance(caught.value, ValueError)


def test_an_absent_tpm() -> None:
    for tcti in ("swtpm:port=1", "device:/dev/nonexistent", "nonsense:x"):
        assert "check the TCTI" in refused(f"tpm:{tcti}", ServiceUnavailable)


def test_a_tcti_that_answers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connection, "OPEN_SECONDS", 0.5)
    with socket.socket() as mute, socket.socket() as control:
        port = free_port_pair()
        mute.bind(("127.0.0.1", port))
        control.bind(("127.0.0.1", port + 1))
        mute.listen()
        control.listen()

        sentence = refused(f"tpm:swtpm:port={port}", ServiceUnavailable)

    assert "no answer" in sentence


@pytest.mark.parametrize("library", ["tpm2_pytss", "pkcs11"])
def test_a_provider_whose_library_is_missing(library: str) -> None:
    urls = {
        "tpm2_pytss": "tpm:swtpm:port=1",
        "pkcs11": "pkcs11:token=x?module-path=/x",
    }
    code = (
        "import sys\n"
        f"sys.modules['{library}'] = None\n"
        "import parsec_keys\n"
        "try:\n"
        f"    parsec_keys.open_store('{urls[library]}')\n"
        "except parsec_keys.errors.NotSupported as e:\n"
        "    print(e)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert "pip install parsec-keys[" in done.stdout
    assert done.stdout.count("\n") == 1


def test_a_key_that_does_not_exist(store: parsec_keys.KeyStore) -> None:
    with pytest.raises(KeyNotFound, match="no key named 'absent'") as caught:
        store.load("absent")

    assert isinstance(caught.value, LookupError)


def test_an_unknown_provider(store: parsec_keys.KeyStore) -> None:
    with pytest.raises(ValueError, match="no provider 'absent'"):
        store.generate_ec("key", P256, provider="absent")
    assert store.keys() == ()


@pytest.fixture
def damaged(provider: str, embedded_url: Callable[[str], str]) -> tuple[str, Path]:
    """The URL of a store with a key, and the file of its key info."""
    url = embedded_url(provider)
    with parsec_keys.open_store(url) as store:
        store.generate_ec("key", P256)
    folder = Path(url.partition("store=")[2] or url.removeprefix("software:"))
    return url, folder / FILE_NAME


def test_corrupt_key_info(damaged: tuple[str, Path]) -> None:
    url, file = damaged
    content = file.read_bytes()
    file.write_bytes(b"no database" * 1000)

    assert str(file) in refused(url, StorageFailure)
    assert file.read_bytes() == b"no database" * 1000

    file.write_bytes(content)
    with parsec_keys.open_store(url) as store:
        assert store.load("key").name == "key"


def test_key_info_of_a_newer_version(damaged: tuple[str, Path]) -> None:
    url, file = damaged
    _change(file, "PRAGMA user_version = 99")

    assert "newer" in refused(url, StorageFailure)

    _change(file, "PRAGMA user_version = 1")
    with parsec_keys.open_store(url) as store:
        assert len(store.keys()) == 1


def test_another_database(damaged: tuple[str, Path]) -> None:
    url, file = damaged
    file.unlink()
    _change(file, "CREATE TABLE somebody_elses (x)")
    file.chmod(0o600)

    assert "not key info" in refused(url, StorageFailure)


def test_a_record_that_cannot_be_read(damaged: tuple[str, Path]) -> None:
    url, file = damaged
    _change(file, 'UPDATE key_record SET attributes = \'{"type": "x"}\'')

    with (
        parsec_keys.open_store(url) as store,
        pytest.raises(StorageFailure, match="'key'"),
    ):
        store.load("key")


def test_a_folder_that_others_can_write(damaged: tuple[str, Path]) -> None:
    url, file = damaged
    file.parent.chmod(0o777)

    assert "chmod" in refused(url, StorageFailure)

    file.parent.chmod(0o700)
    with parsec_keys.open_store(url) as store:
        assert len(store.keys()) == 1


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    refused(f"software:{tmp_path / 'file' / 'store'}", StorageFailure)


def test_files_are_the_owners_alone(damaged: tuple[str, Path]) -> None:
    _, file = damaged

    for path in (file.parent, *file.parent.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    assert file.parent.stat().st_uid == os.geteuid()


def _change(file: Path, statement: str) -> None:
    database = sqlite3.connect(file)
    with database:
        database.execute(statement)
    database.close()
