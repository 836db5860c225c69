"""URLs and URIs that went wrong anywhere: understood, or refused with a sentence.

And PINs of any octets, by every way in.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import parsec_keys
from parsec_keys.emulators import SoftHsm, Swtpm
from parsec_keys.errors import (
    AuthenticationError,
    ConfigurationError,
    Error,
    NotPermitted,
)
from parsec_keys.service.config import Pkcs11Config, SoftwareConfig, TpmConfig
from parsec_keys.service.config_toml import read_config
from parsec_keys.service.secret import Secret
from parsec_keys.stores import resolve
from parsec_keys.uri import (
    EmbeddedStore,
    StoredKeyUri,
    format_key_uri,
    parse_key_uri,
    parse_store_url,
)
from tests.secrets.errors import all_said_by

PIN = "correct-horse"
URLS = (
    "software:/x/y%20z",
    "software:/x",
    "tpm:swtpm:host=127.0.0.1,port=2321?store=/x",
    "tpm:device:/dev/tpmrm0",
    f"pkcs11:token=my%20token;serial=42?module-path=/m.so&pin-value={PIN}&store=/x",
    "pkcs11:slot-id=7?module-path=/m.so",
    "unix:/run/parsec/parsec.sock?application=me&timeout=1.5",
)
KEYS = (
    "parsec:web?store=software:/x/y%2520z",
    "parsec:a%2Fb",
    f"pkcs11:token=t;object=web;id=%01%02?module-path=/m.so&pin-value={PIN}",
    "tpm:handle=0x81000001?tcti=device:/dev/tpmrm0",
)
PIECES = (
    "%",
    "%zz",
    "%00",
    "%ff",
    "?",
    "&",
    ";",
    "=",
    ":",
    "/",
    "..",
    "~",
    "~x/",
    "\n",
)


@st.composite
def damaged(draw: st.DrawFn, texts: tuple[str, ...]) -> str:
    """One of a few texts with pieces put in, or characters taken out before its PIN."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(text)))
        if PIN in text and place > text.index(PIN) - len("pin-value="):
            place = 0
        rest = text[place + draw(st.integers(0, 2)) :]
        if PIN in text and f"pin-value={PIN}" not in rest + text[:place]:
            rest = text[place:]
        piece = draw(st.sampled_from(PIECES) | st.text(max_size=5))
        text = text[:place] + piece + rest
    return text


def sentence(error: Error) -> str:
    """What an error says, which is one short line without the PIN."""
    assert PIN not in all_said_by(error)
    assert str(error).isprintable()
    assert len(str(error)) < 2100
    return str(error)


@settings(max_examples=400)
@given(damaged(URLS))
def test_a_store(url: str) -> None:
    try:
        store = parse_store_url(url)
    except ConfigurationError as e:
        sentence(e)
        return
    assert PIN not in repr(store)
    assert parse_store_url(store.url).url == store.url


@settings(max_examples=400)
@given(damaged(KEYS))
def test_a_key(uri: str) -> None:
    try:
        parsed = parse_key_uri(uri)
    except ConfigurationError as e:
        sentence(e)
        return
    assert PIN not in repr(parsed)


@settings(max_examples=200)
@given(damaged(KEYS))
def test_a_reference_reaches_nothing_that_is_not_open(uri: str) -> None:
    with pytest.raises(Error) as caught:
        resolve(uri)
    assert isinstance(caught.value, NotPermitted | LookupError | ConfigurationError)
    sentence(caught.value)


texts = st.text() | st.text(st.characters(categories=["Cs", "Cc", "Cf", "Mn", "Lo"]))


@given(texts)
@example("x" * 10_000_000)
@example("../../etc/passwd\n\0\u202e")
def test_a_name_of_any_characters(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        with pytest.raises(ConfigurationError):
            parse_key_uri(f"parsec:{name}")
        return
    uri = format_key_uri(name, "software:/x%3Fy")
    parsed = parse_key_uri(uri)
    assert isinstance(parsed, StoredKeyUri)
    assert parsed.name == name


def config_of(url: str) -> object:
    store = parse_store_url(url)
    assert isinstance(store, EmbeddedStore)
    return store.config.providers[0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pin=st.binary(max_size=100))
@example(pin=b"\0")
@example(pin=b"\xff" * 10_000)
@example(pin=b"&pin-source=/x#;?%00")
def test_a_pin_of_any_octets(tmp_path: Path, pin: bytes) -> None:
    token = "pkcs11:token=x?module-path=/m.so"
    by_value = config_of(f"{token}&pin-value={quote(pin)}")
    assert isinstance(by_value, Pkcs11Config)
    assert by_value.pin == Secret(pin)

    (tmp_path / "toml").write_text(
        '[[provider]]\nprovider_type = "Pkcs11"\nlibrary_path = "/m.so"\n'
        f'user_pin = "hex:{pin.hex()}"\n'
    )
    (by_toml,) = read_config(tmp_path / "toml").providers
    assert isinstance(by_toml, Pkcs11Config)
    assert by_toml.pin == Secret(pin)

    line = pin.partition(b"\n")[0].rstrip(b"\r")
    file = tmp_path / "secret"
    file.write_bytes(pin)
    by_file = config_of(f"{token}&pin-source=file:{file}")
    assert isinstance(by_file, Pkcs11Config)
    assert by_file.pin == Secret(line)
    tpm = config_of(f"tpm:device:/dev/tpmrm0?owner-auth-file={file}")
    assert isinstance(tpm, TpmConfig)
    assert tpm.owner_hierarchy_auth == Secret(line)
    software = config_of(f"software:/x?passphrase-file={file}")
    assert isinstance(software, SoftwareConfig)
    assert software.passphrase == Secret(line)


WRONG = (b"\0", b"\xff\xfe", b"x" * 10_000, b"x" * 65, b"\0" * 64, b"a\0b")


@pytest.mark.parametrize("secret", WRONG, ids=lambda each: f"{each[:3]!r}, {len(each)}")
def test_a_secret_that_is_wrong(
    secret: bytes,
    softhsm: SoftHsm,
    swtpm: Swtpm,
    tmp_path: Path,
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(secret)
    token = f"pkcs11:token=shared?module-path={softhsm.module}"
    refused: list[tuple[str, Callable[[str], object]]] = [
        (f"{token}&pin-source={file}", parsec_keys.open_store),
        (f"{token}&pin-value={quote(secret)}", parsec_keys.open_store),
        (f"tpm:{swtpm.tcti}?store={tmp_path}&owner-auth-file={file}", _make),
        (f"software:{encrypted(tmp_path)}?passphrase-file={file}", _load),
    ]
    for url, use in refused:
        if url.startswith("tpm:") and not secret.strip(b"\0"):
            continue  # A TPM takes the zeros at an auth value's end for nothing.
        with pytest.raises((AuthenticationError, ConfigurationError)) as caught:
            use(url)
        assert caught.value.args[0].isprintable()


def encrypted(folder: Path) -> Path:
    """A software store with a key under a passphrase."""
    (folder / "right").write_bytes(b"open sesame")
    store = folder / "encrypted"
    with parsec_keys.open_store(
        f"software:{store}?passphrase-file={folder / 'right'}"
    ) as opened:
        opened.generate_rsa("key", 1024)
    return store


def _make(url: str) -> None:
    with parsec_keys.open_store(url) as store:
        store.generate_rsa("key")


def _load(url: str) -> None:
    with parsec_keys.open_store(url) as store:
        key = store.load("key")
        assert isinstance(key, rsa.RSAPrivateKey)
        key.sign(b"", padding.PKCS1v15(), hashes.SHA256())
