"""Keys as the Rust Parsec service makes them in a TPM: its primary, its templates.

What it asks a TPM for was read from the commands that service 1.4.1 sent to a swtpm;
``test_rust_service`` does the same with keys of the real service.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from parsec_keys.emulators import Swtpm
from parsec_keys.errors import Error, NotSupported, ProviderFailure, StorageFailure
from parsec_keys.psa.algorithms import (
    ECDH,
    RSA_PKCS1V15_CRYPT,
    Ecdsa,
    Hash,
    RsaOaep,
    RsaPkcs1v15Sign,
    RsaPss,
)
from parsec_keys.psa.attributes import (
    ECC_USAGE,
    RSA_USAGE,
    EccFamily,
    EccKeyPair,
    EccPublicKey,
    KeyAttributes,
    KeyPolicy,
    RsaKeyPair,
    RsaPublicKey,
)
from parsec_keys.service.config import TpmConfig
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers import RustKey
from parsec_keys.service.providers.tpm import TpmProvider, _rust_key, _tss
from tests.service.providers.tpm_keys import (
    generated,
    recorded,
    rsa_public_key,
    signs,
    verify_ecdsa,
)

PRIMARY = "001a0001000b00030072000000060100004300100800000000000000"
SIGN, DECRYPT = "00040072", "00060072"
"""TPMA_OBJECT of a signing and of a decrypting key."""


def rsa_template(usage: str, scheme: str) -> str:
    return f"0001000b{usage}00000010{scheme}0800000000000000"


def ecc_template(curve: str, hash_: str) -> str:
    return f"0023000b{SIGN}000000100018{hash_}{curve}001000000000"


ECDSA_256 = KeyAttributes(
    EccKeyPair(EccFamily.SECP_R1), 256, KeyPolicy(ECC_USAGE, Ecdsa(Hash.SHA_256))
)
ECDSA_384 = KeyAttributes(
    EccKeyPair(EccFamily.SECP_R1), 256, KeyPolicy(ECC_USAGE, Ecdsa(Hash.SHA_384))
)
PKCS1V15_SIGN = KeyAttributes(
    RsaKeyPair(), 2048, KeyPolicy(RSA_USAGE, RsaPkcs1v15Sign(Hash.SHA_256))
)
OAEP = KeyAttributes(RsaKeyPair(), 2048, KeyPolicy(RSA_USAGE, RsaOaep(Hash.SHA_256)))
CRYPT = KeyAttributes(RsaKeyPair(), 2048, KeyPolicy(RSA_USAGE, RSA_PKCS1V15_CRYPT))


@dataclass
class RustTpm:
    """The Rust service's side of a TPM."""

    esapi: Any

    def make(self, attributes: KeyAttributes, template: str) -> RustKey:
        """Make a key, and answer it as the service's key info has it."""
        area = bytes.fromhex(template)
        public, _ = _tss.TPM2B_PUBLIC.unmarshal(len(area).to_bytes(2, "big") + area)
        auth, (primary, name) = os.urandom(32), self._primary()
        private, made, *_ = self.esapi.create(primary, _sensitive(auth), public)
        self.esapi.flush_context(primary)
        return RustKey(
            bytes(24) + _vector(auth) + _public(made) + _vector(bytes(private.buffer)),
            attributes,
            _vector(name),
        )

    def _primary(self) -> tuple[Any, bytes]:
        template, _ = _tss.TPM2B_PUBLIC.unmarshal(bytes.fromhex(PRIMARY))
        handle = self.esapi.create_primary(_sensitive(os.urandom(32)), template)[0]
        name = self.esapi.tr_get_name(handle)
        return handle, bytes(name)


def _sensitive(auth: bytes) -> Any:
    return _tss.TPM2B_SENSITIVE_CREATE(_tss.TPMS_SENSITIVE_CREATE(userAuth=auth))


def _public(made: Any) -> bytes:
    area = made.publicArea
    if area.type == _tss.TPM2_ALG.RSA:
        return _rsa(bytes(area.unique.rsa.buffer))
    return _ecc(bytes(area.unique.ecc.x.buffer), bytes(area.unique.ecc.y.buffer))


def _rsa(modulus: bytes) -> bytes:
    return bytes(4) + _vector(modulus)


def _ecc(x: bytes, y: bytes) -> bytes:
    return b"\x01\x00\x00\x00" + _vector(x) + _vector(y)


def _vector(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + data


@pytest.fixture
def rust(esapi: Any) -> RustTpm:
    return RustTpm(esapi)


@pytest.fixture
def take(tpm: TpmProvider) -> Callable[[RustKey], KeyRecord]:
    """A function that takes over a key."""

    def take(key: RustKey) -> KeyRecord:
        return recorded(os.urandom(16), key.attributes, tpm.find_rust_key(key))

    return take


Take = Callable[[RustKey], KeyRecord]


def test_an_ecdsa_key(tpm: TpmProvider, rust: RustTpm, take: Take) -> None:
    signs(tpm, take(rust.make(ECDSA_256, ecc_template("0003", "000b"))))


def test_a_key_for_a_hash_longer_than_its_curve(
    tpm: TpmProvider, rust: RustTpm, take: Take
) -> None:
    key = take(rust.make(ECDSA_384, ecc_template("0003", "000c")))

    signature = tpm.sign_hash(key, Ecdsa(Hash.SHA_384), b"\x07" * 48)

    verify_ecdsa(key, signature, b"\x07" * 48)


def test_an_rsa_key_that_signs(tpm: TpmProvider, rust: RustTpm, take: Take) -> None:
    signs(tpm, take(rust.make(PKCS1V15_SIGN, rsa_template(SIGN, "0014000b"))))


def test_rsa_keys_that_decrypt(tpm: TpmProvider, rust: RustTpm, take: Take) -> None:
    template = rsa_template(DECRYPT, "0010")
    made = [rust.make(attributes, template) for attributes in (OAEP, CRYPT)]
    mgf = padding.MGF1(hashes.SHA256())

    key = take(made[0])
    sealed = rsa_public_key(key).encrypt(
        b"message", padding.OAEP(mgf, hashes.SHA256(), None)
    )
    assert tpm.asymmetric_decrypt(key, RsaOaep(Hash.SHA_256), sealed, b"") == b"message"

    key = take(made[1])
    sealed = rsa_public_key(key).encrypt(b"message", padding.PKCS1v15())
    assert tpm.asymmetric_decrypt(key, RSA_PKCS1V15_CRYPT, sealed, b"") == b"message"


def test_it_is_there_after_a_restart_and_beside_our_own(
    tpm: TpmProvider, rust: RustTpm, take: Take, swtpm: Swtpm
) -> None:
    signing = rust.make(ECDSA_256, ecc_template("0003", "000b"))
    decrypting = rust.make(OAEP, rsa_template(DECRYPT, "0010"))
    keys = [take(signing), generated(tpm, ECDSA_256), take(decrypting)]

    for _ in range(2):
        for key in keys[:2]:
            signs(tpm, key)
        mgf = padding.MGF1(hashes.SHA256())
        oaep = padding.OAEP(mgf, hashes.SHA256(), None)
        sealed = rsa_public_key(keys[2]).encrypt(b"m", oaep)
        algorithm = RsaOaep(Hash.SHA_256)
        assert tpm.asymmetric_decrypt(keys[2], algorithm, sealed, b"") == b"m"
        swtpm.restart()


def test_a_key_of_another_tpm(rust: RustTpm, new_swtpm: Callable[[], Swtpm]) -> None:
    key = rust.make(ECDSA_256, ecc_template("0003", "000b"))
    other = TpmProvider.open(TpmConfig(new_swtpm().tcti))

    with pytest.raises(ProviderFailure, match="made by another TPM"):
        other.find_rust_key(key)
    other.close()


def test_a_key_that_is_not_what_its_policy_says(
    tpm: TpmProvider, rust: RustTpm
) -> None:
    key = rust.make(ECDSA_256, ecc_template("0003", "000b"))

    for attributes in (ECDSA_384, PKCS1V15_SIGN):
        with pytest.raises(Error):
            tpm.find_rust_key(RustKey(key.key_id, attributes, key.root))


@pytest.mark.parametrize(
    "attributes",
    [
        KeyAttributes(ECDSA_256.type, 256, KeyPolicy(ECC_USAGE, ECDH)),
        KeyAttributes(ECDSA_256.type, 256, KeyPolicy(ECC_USAGE, None)),
        KeyAttributes(RsaKeyPair(), 2048, KeyPolicy(RSA_USAGE, RsaPss(Hash.SHA_224))),
    ],
)
def test_keys_that_are_not_taken_over(
    tpm: TpmProvider, rust: RustTpm, attributes: KeyAttributes
) -> None:
    key = rust.make(ECDSA_256, ecc_template("0003", "000b"))

    with pytest.raises(NotSupported):
        tpm.find_rust_key(RustKey(key.key_id, attributes, key.root))


def test_public_keys_that_were_imported(tpm: TpmProvider) -> None:
    rsa_key = rsa.generate_private_key(65537, 2048).public_key()
    rsa_data = rsa_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.PKCS1
    )
    modulus = rsa_key.public_numbers().n.to_bytes(256, "big")
    point = (
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
    )
    ecc = EccPublicKey(EccFamily.SECP_R1)

    for attributes, public, data in (
        (replace(PKCS1V15_SIGN, type=RsaPublicKey()), _rsa(modulus), rsa_data),
        (replace(ECDSA_256, type=ecc), _ecc(point[1:33], point[33:]), point),
    ):
        key_id = bytes(24) + _vector(b"") + public + _vector(b"")
        found = tpm.find_rust_key(RustKey(key_id, attributes))
        assert (found.public_key, found.attributes) == (data, attributes)


def test_a_key_info_without_the_primary(tpm: TpmProvider, rust: RustTpm) -> None:
    key = rust.make(ECDSA_256, ecc_template("0003", "000b"))

    with pytest.raises(ProviderFailure, match="name of the TPM's primary"):
        tpm.find_rust_key(RustKey(key.key_id, key.attributes))
    with pytest.raises(StorageFailure, match="name of the TPM's primary"):
        tpm.find_rust_key(RustKey(key.key_id, key.attributes, b"\x22"))


@given(st.binary(max_size=200))
def test_any_key_id_is_read_or_refused(data: bytes) -> None:
    for prefix in (b"", bytes(24) + _vector(b"auth")):
        with contextlib.suppress(StorageFailure):
            _rust_key._decode(prefix + data)
