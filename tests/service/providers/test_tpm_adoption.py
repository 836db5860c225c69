"""Keys that were there before: persistent ones, and TSS2 key files."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parsec_keys.emulators import Swtpm
from parsec_keys.errors import (
    AuthenticationError,
    KeyNotFound,
    NotSupported,
    PinLocked,
    ProviderFailure,
)
from parsec_keys.psa.algorithms import Hash, RsaPkcs1v15Sign, RsaPss
from parsec_keys.psa.attributes import UsageFlags
from parsec_keys.service.providers import CreatedKey
from parsec_keys.service.providers.tpm import TpmProvider, _tss
from parsec_keys.service.providers.tpm._key_id import (
    LoadableKey,
    Primary,
    encode_key_id,
)
from parsec_keys.service.providers.tpm._keys import public_key_data
from tests.interrupts import Interrupt
from tests.service.providers.children import in_a_child
from tests.service.providers.tpm_keys import (
    adopted,
    ec_attributes,
    generated,
    handles,
    lockout_counter,
    recorded,
    signs,
)

NO_AUTH = "ecc256:null:null"
PROTECTED = (
    _tss.TPMA_OBJECT.USERWITHAUTH
    | _tss.TPMA_OBJECT.SENSITIVEDATAORIGIN
    | _tss.TPMA_OBJECT.SIGN_ENCRYPT
)
"""Signs, and failures of its auth value count as dictionary attacks."""


@pytest.mark.parametrize("words", ["ecc256:null:null", "rsa2048:null:null"])
def test_a_persistent_key(tpm: TpmProvider, esapi: Any, words: str) -> None:
    _persist(esapi, words, 0x81000010)

    key = adopted(tpm, "handle=0x81000010")

    for _ in range(3):
        signs(tpm, key)
    tpm.destroy_key(key.uid)
    signs(tpm, key)  # It was there before us, and stays.


def test_another_key_at_the_handle_is_not_used(tpm: TpmProvider, esapi: Any) -> None:
    persistent = _persist(esapi, NO_AUTH, 0x81000010)
    key = adopted(tpm, "handle=0x81000010")
    signs(tpm, key)

    esapi.evict_control(_tss.ESYS_TR.OWNER, persistent, 0)
    with pytest.raises(KeyNotFound, match="0x81000010"):
        signs(tpm, key)
    _persist(esapi, NO_AUTH, 0x81000010)
    with pytest.raises(KeyNotFound, match="another key"):
        signs(tpm, key)


def test_a_key_with_a_password_is_tried_once(tpm: TpmProvider, esapi: Any) -> None:
    _persist(esapi, NO_AUTH, 0x81000010, auth=b"password")
    key = adopted(tpm, "handle=0x81000010")

    for _ in range(3):
        with pytest.raises(AuthenticationError, match="password of its own"):
            signs(tpm, key)

    assert lockout_counter(esapi) == 1


def test_a_key_with_a_password_is_not_tried_again_in_a_child(
    tpm: TpmProvider, esapi: Any
) -> None:
    _persist(esapi, NO_AUTH, 0x81000010, auth=b"password")
    key = adopted(tpm, "handle=0x81000010")
    with pytest.raises(AuthenticationError, match="password of its own"):
        signs(tpm, key)

    def child() -> None:
        with pytest.raises(AuthenticationError, match="password of its own"):
            signs(tpm, key)
        tpm.close()

    in_a_child(child)
    assert lockout_counter(esapi) == 1


def test_a_wrong_auth_value_of_a_protected_key_is_tried_once(
    tpm: TpmProvider, esapi: Any
) -> None:
    """As a damaged record of a key of the Rust service's."""
    right, wrong = (_of_the_rust_service(esapi, auth) for auth in (b"1", b"2"))
    damaged = replace(wrong, auth=b"3")
    attributes = ec_attributes(256)
    records = [
        recorded(os.urandom(16), attributes, CreatedKey(encode_key_id(key), public_key))
        for key in (right, damaged)
        for public_key in [public_key_data(_tss.TPM2B_PUBLIC.unmarshal(key.public)[0])]
    ]

    for _ in range(3):
        with pytest.raises(AuthenticationError, match="another auth value"):
            signs(tpm, records[1])

    signs(tpm, records[0])
    assert lockout_counter(esapi) == 1


def test_a_neighbours_session_where_ours_was(tpm: TpmProvider, esapi: Any) -> None:
    """It refuses an auth value that is right, which is tried once more."""
    wrapped = _of_the_rust_service(esapi, b"auth")
    public_key = public_key_data(_tss.TPM2B_PUBLIC.unmarshal(wrapped.public)[0])
    created = CreatedKey(encode_key_id(wrapped), public_key)
    key = recorded(os.urandom(16), ec_attributes(256), created)
    signs(tpm, key)
    for handle in handles(esapi):
        if handle < _tss.FIRST_TRANSIENT:
            esapi.flush_context(esapi.tr_from_tpmpublic(handle))
    theirs = esapi.start_auth_session(
        tpm_key=_tss.ESYS_TR.NONE,
        bind=_tss.ESYS_TR.NONE,
        session_type=_tss.TPM2_SE.HMAC,
        symmetric=_tss.NO_CIPHER,
        auth_hash=_tss.TPM2_ALG.SHA256,
    )

    for _ in range(3):
        signs(tpm, key)

    esapi.flush_context(theirs)


def test_a_tpm_that_is_locked(tpm: TpmProvider, esapi: Any) -> None:
    persistent = _persist(esapi, NO_AUTH, 0x81000010, auth=b"password")
    _persist(esapi, NO_AUTH, 0x81000011)
    esapi.dictionary_attack_parameters(1, 1000, 1000)
    esapi.tr_set_auth(persistent, b"another program's mistake")
    with pytest.raises(_tss.TSS2_Exception):
        esapi.ecdh_zgen(persistent, _tss.TPM2B_ECC_POINT())

    with pytest.raises(PinLocked, match="dictionary"):
        signs(tpm, adopted(tpm, "handle=0x81000011"))

    # Our own keys are outside of that protection.
    signs(tpm, generated(tpm, ec_attributes(256)))


def test_no_key_at_the_handle(tpm: TpmProvider) -> None:
    with pytest.raises(KeyNotFound, match="0x81000099"):
        tpm.find_key("handle=0x81000099")


def test_a_persistent_key_that_only_signs(tpm: TpmProvider, esapi: Any) -> None:
    _persist(esapi, "rsa2048:null:null", 0x81000010, _tss.TPMA_OBJECT.DECRYPT)
    key = adopted(tpm, "handle=0x81000010")
    attributes = key.attributes

    signs(tpm, key)
    assert not attributes.policy.usage & UsageFlags.DECRYPT
    for algorithm in (RsaPss(Hash.SHA_256), RsaPkcs1v15Sign(Hash.SHA_224)):
        assert isinstance(algorithm.hash, Hash)
        with pytest.raises(NotSupported, match="only sign"):
            tpm.sign_hash(key, algorithm, bytes(algorithm.hash.size))


@pytest.mark.parametrize(
    "words", ["ecc256:ecdsa-sha256:null", "rsa2048:rsassa-sha256:null", "ecc:aes128cfb"]
)
def test_keys_with_a_scheme_or_restricted_are_refused(
    tpm: TpmProvider, esapi: Any, words: str
) -> None:
    attributes = _tss.TPMA_OBJECT.DECRYPT
    if words == "ecc:aes128cfb":
        handle = esapi.create_primary(None, "ecc")[0]
        esapi.evict_control(_tss.ESYS_TR.OWNER, handle, 0x81000010)
        esapi.flush_context(handle)
    else:
        _persist(esapi, words, 0x81000010, attributes)

    with pytest.raises(NotSupported):
        tpm.find_key("handle=0x81000010")


@pytest.mark.parametrize("kind", ["rsa", "ecc"])
@pytest.mark.parametrize("parent", ["owner", "primary", "foreign"])
def test_a_tss2_key_file(
    tpm: TpmProvider, esapi: Any, tmp_path: Path, kind: str, parent: str
) -> None:
    handle = {"owner": int(_tss.TPM2_RH.OWNER)}.get(parent, 0x81000001)
    if parent != "owner":
        template = {"primary": _tss.ECC_PRIMARY, "foreign": "rsa2048:aes128cfb"}
        made = esapi.create_primary(None, template[parent])[0]
        esapi.evict_control(_tss.ESYS_TR.OWNER, made, handle)
        esapi.flush_context(made)
    make = {"rsa": _tss.TSSPrivKey.create_rsa, "ecc": _tss.TSSPrivKey.create_ecc}
    file = tmp_path / "key.pem"
    file.write_bytes(make[kind](esapi, parent=handle).to_pem())

    key = adopted(tpm, f"file={file}")

    signs(tpm, key)
    tpm.destroy_key(key.uid)
    signs(tpm, key)


def test_key_files_that_cannot_be_used(
    tpm: TpmProvider, esapi: Any, new_swtpm: Callable[[], Swtpm], tmp_path: Path
) -> None:
    file = tmp_path / "key.pem"
    with pytest.raises(KeyNotFound, match=r"key\.pem"):
        tpm.find_key(f"file={file}")

    pem = "-----BEGIN TSS2 PRIVATE KEY-----\nMAA=\n-----END TSS2 PRIVATE KEY-----\n"
    for content in (b"", b"text", pem.encode(), b"\xff\x00"):
        file.write_bytes(content)
        with pytest.raises(NotSupported, match="no TSS2 PRIVATE KEY"):
            tpm.find_key(f"file={file}")

    file.write_bytes(_tss.TSSPrivKey.create_ecc(esapi, password=b"x").to_pem())
    with pytest.raises(NotSupported, match="password"):
        tpm.find_key(f"file={file}")

    other = _tss.ESAPI(new_swtpm().tcti)
    file.write_bytes(_tss.TSSPrivKey.create_ecc(other).to_pem())
    other.close()
    with pytest.raises(ProviderFailure, match="integrity"):
        tpm.find_key(f"file={file}")


def _of_the_rust_service(esapi: Any, auth: bytes) -> LoadableKey:
    """A key under its primary, protected against dictionary attacks as its are."""
    parent = esapi.create_primary(None, _tss.RUST_PRIMARY)[0]
    template = _tss.TPM2B_PUBLIC.parse(
        "ecc256:ecdsa-sha256:null", objectAttributes=PROTECTED
    )
    sensitive = _tss.TPM2B_SENSITIVE_CREATE(_tss.TPMS_SENSITIVE_CREATE(userAuth=auth))
    private, public = esapi.create(parent, sensitive, template)[:2]
    name = bytes(esapi.tr_get_name(parent))
    esapi.flush_context(parent)
    return LoadableKey(
        name, public.marshal(), private.marshal(), auth, primary=Primary.RUST_PARSEC
    )


def _persist(
    esapi: Any, words: str, handle: int, without: int = 0, auth: bytes = b""
) -> Any:
    """Make a key and leave it in the TPM for good."""
    attributes = (PROTECTED | _tss.TPMA_OBJECT.DECRYPT) & ~without
    template = _tss.TPM2B_PUBLIC.parse(words, objectAttributes=attributes)
    parent = esapi.create_primary(None, "ecc")[0]
    sensitive = _tss.TPM2B_SENSITIVE_CREATE(_tss.TPMS_SENSITIVE_CREATE(userAuth=auth))
    private, public = esapi.create(parent, sensitive, template)[:2]
    loaded = esapi.load(parent, private, public)
    esapi.flush_context(parent)
    persistent = esapi.evict_control(_tss.ESYS_TR.OWNER, loaded, handle)
    esapi.flush_context(loaded)
    return persistent


def test_ctrl_c_at_every_moment_of_a_persistent_key(
    tpm: TpmProvider, esapi: Any
) -> None:
    """What is undone after it does not hide it."""
    _persist(esapi, NO_AUTH, 0x81000010)
    key = adopted(tpm, "handle=0x81000010")
    moments = itertools.count(1, 2)

    while Interrupt(next(moments)).during(lambda: signs(tpm, key)):
        signs(tpm, key)

    assert next(moments) > 20
