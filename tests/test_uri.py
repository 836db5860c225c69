"""Store URLs and key URIs, parsed into typed objects with a canonical text."""

from __future__ import annotations

from pathlib import Path

import pytest

from parsec_keys.service.config import (
    Pkcs11Config,
    ServiceConfig,
    SoftwareConfig,
    TpmConfig,
)
from parsec_keys.service.secret import Secret
from parsec_keys.uri import (
    AdoptedKeyUri,
    EmbeddedStore,
    SocketStore,
    StoredKeyUri,
    format_key_uri,
    parse_key_uri,
    parse_store_url,
)


@pytest.fixture(autouse=True)
def _own_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def embedded(url: str | None) -> EmbeddedStore:
    store = parse_store_url(url)
    assert isinstance(store, EmbeddedStore)
    again = parse_store_url(store.url)
    assert isinstance(again, EmbeddedStore)
    assert again.url == store.url
    return store


def test_the_default_store_is_the_users(tmp_path: Path) -> None:
    folder = tmp_path / "parsec-keys" / "software"
    for url in (None, "", "software:"):
        assert embedded(url).config == ServiceConfig((SoftwareConfig(folder),), folder)


def test_a_software_store_has_a_folder(tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("open sesame\nsecond line")
    store = embedded(f"software:{tmp_path}/a%20b?passphrase-file={tmp_path}/pass")
    folder = tmp_path / "a b"

    assert store.config.providers == (SoftwareConfig(folder, Secret(b"open sesame")),)
    assert "sesame" not in store.url + repr(store)


def test_a_relative_folder_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert embedded("software:keys").url == f"software:{tmp_path}/keys"


def test_a_tpm(tmp_path: Path) -> None:
    store = embedded("tpm:swtpm:host=127.0.0.1,port=2321")
    assert store.config.providers == (TpmConfig("swtpm:host=127.0.0.1,port=2321"),)
    assert store.config.directory is None

    (tmp_path / "auth").write_text("owner")
    url = f"tpm:device:/dev/tpmrm0?store=/keys&owner-auth-file={tmp_path}/auth"
    store = embedded(url)
    expected = TpmConfig("device:/dev/tpmrm0", Secret(b"owner"))
    assert store.config.providers == (expected,)
    assert store.config.directory == Path("/keys")


def test_a_token(tmp_path: Path) -> None:
    (tmp_path / "pin").write_text("1234\n")
    store = embedded(
        "pkcs11:token=my%20token;serial=42;slot-id=7;model=x"
        f"?module-path=/m.so&pin-source=file:{tmp_path}/pin&store=/keys"
    )

    expected = Pkcs11Config(Path("/m.so"), "my token", "42", 7, Secret(b"1234"))
    assert store.config.providers == (expected,)
    assert store.config.directory == Path("/keys")


def test_a_pin_is_never_in_the_canonical_url() -> None:
    store = parse_store_url("pkcs11:token=x?module-path=/m.so&pin-value=98765")

    assert "98765" not in store.url
    assert "98765" not in repr(store)


def test_a_socket() -> None:
    expected = SocketStore("unix:/run/p.sock", Path("/run/p.sock"))

    assert parse_store_url("unix:/run/p.sock") == expected


@pytest.mark.parametrize("name", ["web", "", "a/b?c=d&e;f%", "ключ", "a b"])
def test_key_uris_round_trip(name: str) -> None:
    store = embedded("tpm:swtpm:port=2321?store=/a folder/%25")

    parsed = parse_key_uri(format_key_uri(name, store.url))

    assert isinstance(parsed, StoredKeyUri)
    assert parsed.name == name
    assert parsed.store == store


def test_a_key_of_the_default_store() -> None:
    assert parse_key_uri("parsec:web") == StoredKeyUri("web", None)


def test_an_object_on_a_token() -> None:
    uri = "pkcs11:object=web;token=x;id=%01%02?module-path=/m.so&pin-value=98765"

    parsed = parse_key_uri(uri)

    assert isinstance(parsed, AdoptedKeyUri)
    assert parsed.reference == "id=%01%02;object=web"
    assert parsed.engine_url == "pkcs11:token=x?module-path=/m.so"
    assert parsed.uri == "pkcs11:token=x;id=%01%02;object=web?module-path=/m.so"
    assert not parsed.config.persistent
    assert "98765" not in repr(parsed)


def test_a_persistent_handle() -> None:
    parsed = parse_key_uri("tpm:handle=0x81000001")
    assert isinstance(parsed, AdoptedKeyUri)
    assert parsed.config.providers == (TpmConfig("device:/dev/tpmrm0"),)
    assert parsed.reference == "handle=0x81000001"

    other = parse_key_uri("tpm:handle=0x81000001?tcti=swtpm:port=2321")
    assert isinstance(other, AdoptedKeyUri)
    assert other.config.providers == (TpmConfig("swtpm:port=2321"),)
    assert parse_key_uri(other.uri) == other


def test_a_tss2_file(tmp_path: Path) -> None:
    file = tmp_path / "a key.pem"
    file.write_text("-----BEGIN TSS2 PRIVATE KEY-----\n")

    parsed = parse_key_uri(f"{file}?tcti=swtpm:port=2321")

    assert isinstance(parsed, AdoptedKeyUri)
    assert parsed.reference == f"file={file}"
    assert parse_key_uri(parsed.uri) == parsed
