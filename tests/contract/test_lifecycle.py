"""Keys come and go, on every provider: made, imported, loaded, copied, destroyed."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

import parsec_keys
from parsec_keys._pyca import CURVES
from parsec_keys.emulators import PIN
from parsec_keys.errors import (
    KeyExists,
    KeyNotFound,
    NotExportable,
    NotPermitted,
    NotSupported,
    ServiceUnavailable,
)
from parsec_keys.psa.attributes import (
    ECC_USAGE,
    RSA_USAGE,
    EccFamily,
    EccKeyPair,
    KeyAttributes,
    KeyPolicy,
    KeyType,
    RsaKeyPair,
)
from tests.contract import wire

SHA256 = hashes.SHA256()
ECDSA = ec.ECDSA(SHA256)
PKCS1 = padding.PKCS1v15()
P256 = ec.SECP256R1()


def signs(key: Any) -> None:
    """Assert that pyca accepts a signature of a key."""
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(b"data", PKCS1, SHA256)
        key.public_key().verify(signature, b"data", PKCS1, SHA256)
    else:
        key.public_key().verify(key.sign(b"data", ECDSA), b"data", ECDSA)


def default_attributes(
    store: parsec_keys.KeyStore, key_type: KeyType, bits: int
) -> KeyAttributes:
    """What a store records of a key for which nobody chose a policy."""
    usage = RSA_USAGE if isinstance(key_type, RsaKeyPair) else ECC_USAGE
    algorithms = store._engine.default_algorithms(key_type, bits)
    said = [
        KeyAttributes(key_type, bits, KeyPolicy(usage, each)) for each in algorithms
    ]
    return next(filter(store.supports, said), said[0])


def names(store: parsec_keys.KeyStore) -> list[str]:
    listed = store.keys()
    return [info.name for info in listed]


@pytest.mark.parametrize("family_and_bits", CURVES, ids=str)
def test_every_curve_is_kept_or_refused(
    store: parsec_keys.KeyStore, family_and_bits: tuple[EccFamily, int]
) -> None:
    family, bits = family_and_bits
    curve = CURVES[family_and_bits]()
    attributes = default_attributes(store, EccKeyPair(family), bits)
    native = ec.generate_private_key(curve)

    if store.supports(attributes):
        signs(store.generate_ec("generated", curve))
        imported = store.import_key("imported", native)
        assert imported.public_key() == native.public_key()
        signs(imported)
    else:
        for make in (
            lambda: store.generate_ec("generated", curve),
            lambda: store.import_key("imported", native),
        ):
            with pytest.raises(NotSupported):
                make()
        assert store.keys() == ()


def test_hardware_keeps_the_nist_curves(store: parsec_keys.KeyStore) -> None:
    for bits in (256, 384, 521):
        key_type = EccKeyPair(EccFamily.SECP_R1)
        assert store.supports(default_attributes(store, key_type, bits))


@pytest.mark.parametrize("bits", [1024, 2048, 3072, 4096])
def test_every_rsa_size_is_kept_or_refused(
    store: parsec_keys.KeyStore, bits: int
) -> None:
    attributes = default_attributes(store, RsaKeyPair(), bits)
    native = rsa.generate_private_key(65537, bits)

    if store.supports(attributes):
        imported = store.import_key("imported", native)
        assert imported.public_key() == native.public_key()
        signs(imported)
        if bits <= 3072:
            signs(store.generate_rsa("generated", bits))
    else:
        with pytest.raises(NotSupported, match=str(bits)):
            store.generate_rsa("generated", bits)
        with pytest.raises(NotSupported, match=str(bits)):
            store.import_key("imported", native)
        assert store.keys() == ()


def test_a_size_that_pyca_refuses_too(store: parsec_keys.KeyStore) -> None:
    for make in (
        lambda: store.generate_rsa("small", 512),
        lambda: rsa.generate_private_key(65537, 512),
    ):
        with pytest.raises(ValueError, match="at least 1024-bits"):
            make()
    assert store.keys() == ()


def test_the_public_exponent_is_as_asked(
    store: parsec_keys.KeyStore, provider: str, engine: str
) -> None:
    native, asked = rsa.generate_private_key(3, 2048), wire.exponent(engine, 3)

    if provider == "tpm" or asked != 3:
        with pytest.raises(NotSupported, match="65537"):
            store.generate_rsa("rsa", public_exponent=3)
    if provider == "tpm":
        with pytest.raises(NotSupported, match=wire.words(engine, "65537")):
            store.import_key("rsa", native)
        assert store.keys() == ()
    else:
        key = store.generate_rsa("rsa", public_exponent=asked)
        assert key.public_key().public_numbers().e == asked
        signs(key)
        signs(store.import_key("imported", native))


def test_a_key_survives_closing_the_store(
    provider: str, new_url: Callable[[str], str]
) -> None:
    url = new_url(provider)
    with parsec_keys.open_store(url) as store:
        before = store.generate_ec("kept", P256)

    with parsec_keys.open_store(url) as store:
        after = store.load("kept")
        signs(after)

        assert after.public_key() == before.public_key()
        assert after == before
        assert names(store) == ["kept"]
    with pytest.raises(ServiceUnavailable, match="closed"):
        after.sign(b"data", ECDSA)
    with pytest.raises(ServiceUnavailable, match="closed"):
        store.keys()


def test_a_name_is_taken_once(store: parsec_keys.KeyStore) -> None:
    key = store.generate_ec("name", P256)

    for make in (
        lambda: store.generate_ec("name", P256),
        lambda: store.generate_rsa("name"),
        lambda: store.import_key("name", ec.generate_private_key(P256)),
    ):
        with pytest.raises(KeyExists, match="exists already"):
            make()
    assert len(store.keys()) == 1
    signs(key)


def test_a_destroyed_key_is_gone(store: parsec_keys.KeyStore) -> None:
    key = store.generate_ec("gone", P256)

    store.delete("gone")

    for use in (
        lambda: key.sign(b"data", ECDSA),
        lambda: store.load("gone"),
        lambda: store.delete("gone"),
    ):
        with pytest.raises(KeyNotFound, match="'gone'"):
            use()
    assert store.keys() == ()
    signs(store.generate_ec("gone", P256))


def test_a_key_never_signs_with_its_successor(store: parsec_keys.KeyStore) -> None:
    old = store.generate_ec("name", P256)
    store.delete("name")
    new = store.generate_ec("name", P256)

    with pytest.raises(KeyNotFound, match="another key"):
        old.sign(b"data", ECDSA)
    signs(new)


@pytest.mark.parametrize(
    "name",
    ["", "a/b c", "ключ", "🔑", "x" * 5000, "%25?store=x&y", "null\0null", "'\""],
)
def test_names(store: parsec_keys.KeyStore, name: str) -> None:
    key = store.generate_ec(name, P256)

    assert store.load(name) == key
    assert names(store) == [name]
    store.delete(name)


def test_a_name_that_utf8_cannot_say(store: parsec_keys.KeyStore) -> None:
    with pytest.raises(ValueError, match="UTF-8"):
        store.generate_ec("\ud800", P256)
    with pytest.raises(TypeError, match="str"):
        store.load(b"name")  # type: ignore[arg-type]


def test_copies_pickles_and_uris_are_the_same_key(
    provider: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    url = new_url(provider)
    if provider == "pkcs11":
        # A pickle has no PIN in it: one that works elsewhere names its source.
        (tmp_path / "pin").write_text(f"{PIN}\n")
        url = url.replace(f"pin-value={PIN}", f"pin-source=file:{tmp_path / 'pin'}")
    with parsec_keys.open_store(url) as store:
        key = store.generate_ec("key", P256)
        assert copy.copy(key) is key
        assert copy.deepcopy(key) is key
        assert pickle.loads(pickle.dumps(key)) == key  # noqa: S301
        assert hash(parsec_keys.load_key(key.uri)) == hash(key)
        assert key != store.generate_ec("other", P256)
        assert key != key.public_key()
        assert "'key'" in repr(key)
        assert f"'{provider}'" in repr(key)

    again = parsec_keys.load_key(key.uri)
    signs(again)
    assert again == key


def test_no_pin_in_words(new_url: Callable[[str], str]) -> None:
    with parsec_keys.open_store(new_url("pkcs11")) as store:
        key = store.generate_ec("key", P256)
        for text in (key.uri, repr(key), store.url, repr(store)):
            assert PIN not in text
        assert PIN.encode() not in pickle.dumps(key)


def test_private_numbers_are_the_public_ones(shared_store: Any) -> None:
    key = _loaded_or_made(shared_store)

    numbers = key.private_numbers()

    assert numbers.public_numbers == key.public_key().public_numbers()
    with pytest.raises(NotExportable, match="stays in"):
        _ = numbers.private_value
    with pytest.raises(TypeError):
        _ = numbers.d


def test_the_secret_does_not_come_out(shared_store: Any) -> None:
    key = _loaded_or_made(shared_store)
    encodings, formats = serialization.Encoding, serialization.PrivateFormat
    plain = serialization.NoEncryption()
    encrypted = serialization.BestAvailableEncryption(b"passphrase")

    for arguments in (
        (encodings.PEM, formats.TraditionalOpenSSL, plain),
        (encodings.DER, formats.TraditionalOpenSSL, plain),
        (encodings.PEM, formats.OpenSSH, plain),
        (encodings.PEM, formats.PKCS8, encrypted),
        (encodings.DER, formats.PKCS8, encrypted),
        (encodings.Raw, formats.Raw, plain),
    ):
        with pytest.raises(NotExportable, match="stays in"):
            key.private_bytes(*arguments)


def test_export_is_a_matter_of_policy(
    store: parsec_keys.KeyStore, provider: str, engine: str
) -> None:
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    if provider == "tpm":
        with pytest.raises(NotPermitted, match=wire.words(engine, "never gives")):
            store.generate_ec("ec", P256, usage="export sign_hash")
        assert store.keys() == ()
        return

    for key in (
        store.generate_ec("ec", P256, usage="export sign_hash"),
        store.generate_rsa("rsa", usage="export sign_hash"),
        store.import_key("in", ec.generate_private_key(P256), usage="export"),
    ):
        exported = key.private_bytes(pem, pkcs8, serialization.NoEncryption())
        native = serialization.load_pem_private_key(exported, None)
        assert native.public_key() == key.public_key()
        assert key.private_numbers().public_numbers is not None


def test_two_stores_do_not_see_each_other(
    provider: str, new_url: Callable[[str], str]
) -> None:
    with (
        parsec_keys.open_store(new_url(provider)) as one,
        parsec_keys.open_store(new_url(provider)) as two,
    ):
        first, second = one.generate_ec("key", P256), two.generate_ec("key", P256)

        assert first.public_key() != second.public_key()
        for _ in range(3):
            signs(first)
            signs(second)
        one.delete("key")
        signs(second)


def test_one_store_opened_twice(provider: str, new_url: Callable[[str], str]) -> None:
    url = new_url(provider)
    with parsec_keys.open_store(url) as one, parsec_keys.open_store(url) as two:
        key = one.generate_ec("key", P256)

        signs(two.load("key"))
        two.delete("key")
        with pytest.raises(KeyNotFound):
            one.load("key")
        with pytest.raises(KeyNotFound):
            key.sign(b"data", ECDSA)


def test_random_bytes_are_exactly_as_many(shared_store: Any) -> None:
    from parsec_keys.psa.operations import PsaGenerateRandom

    engine = shared_store._engine
    for size in (0, 1, 31, 64, 65, 1000, 10_000):
        random = engine.execute(PsaGenerateRandom(size))
        assert len(random) == size
        assert size < 16 or random != engine.execute(PsaGenerateRandom(size))


def test_openssl_verifies(shared_store: Any, tmp_path: Path) -> None:
    key = _loaded_or_made(shared_store)
    public_key = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "public.pem").write_bytes(public_key)
    (tmp_path / "data").write_bytes(b"data")
    (tmp_path / "signature").write_bytes(key.sign(b"data", ECDSA))

    command = "openssl dgst -sha256 -verify public.pem -signature signature data"
    done = subprocess.run(
        command.split(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "Verified OK\n")


def test_a_child_and_its_parent_sign_at_the_same_time(
    store: parsec_keys.KeyStore,
) -> None:
    keys = [store.generate_ec("ec", P256), store.generate_rsa("rsa")]
    for key in keys:
        signs(key)
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            _exit_status(lambda: [signs(key) for _ in range(10) for key in keys])
        children.append(child)

    for _ in range(10):
        for key in keys:
            signs(key)

    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    store.delete("ec")


def _exit_status(work: Callable[[], object]) -> None:
    """End a child, without pytest noticing that it ever was."""
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def _loaded_or_made(store: parsec_keys.KeyStore) -> Any:
    try:
        return store.load("some-ec-key")
    except KeyNotFound:
        return store.generate_ec("some-ec-key", P256)
