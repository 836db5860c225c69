"""Signatures and decryption through libcrypto's own calls, verified by pyca."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

import parsec_keys
from tests.tls.evp import LIBRARIES, Evp, RefusedError

DATA = b"a message of some length" * 3
HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA1": hashes.SHA1(),
    "SHA224": hashes.SHA224(),
    "SHA256": hashes.SHA256(),
    "SHA384": hashes.SHA384(),
    "SHA512": hashes.SHA512(),
    "SHA3-256": hashes.SHA3_256(),
}
OAEP_HASHES = [name for name in HASHES if name != "SHA3-256"]  # pyca has no other.
CURVES = {"p-256": ec.SECP256R1(), "p-384": ec.SECP384R1(), "p-521": ec.SECP521R1()}
# RFC 8017, section 9.1.1: an encoded message of 2048 bits.
MAX = {name: 256 - 2 - hash_.digest_size for name, hash_ in HASHES.items()}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Keys of ours by kind."""
    store = parsec_keys.open_store(f"software:{tmp_path_factory.mktemp('store')}")
    curves = {name: store.generate_ec(name, curve) for name, curve in CURVES.items()}
    return {"rsa": store.generate_rsa("rsa"), **curves}


@pytest.fixture(scope="module", params=LIBRARIES)
def evp(request: pytest.FixtureRequest) -> Evp:
    return Evp(request.param)


@pytest.mark.parametrize("digest", HASHES)
@pytest.mark.parametrize("parts", [1, 3])
def test_pkcs1(keys: dict[str, Any], evp: Evp, digest: str, parts: int) -> None:
    signature = evp.sign(keys["rsa"], DATA, digest, parts)

    keys["rsa"].public_key().verify(signature, DATA, padding.PKCS1v15(), HASHES[digest])


@pytest.mark.parametrize("digest", HASHES)
@pytest.mark.parametrize("salt", ["digest", "max", "auto", "0", "20"])
def test_pss(keys: dict[str, Any], evp: Evp, digest: str, salt: str) -> None:
    controls = {"rsa_padding_mode": "pss", "rsa_pss_saltlen": salt}
    signature = evp.sign(keys["rsa"], DATA, digest, **controls)

    algorithm = HASHES[digest]
    named = {"digest": algorithm.digest_size, "max": MAX[digest], "auto": MAX[digest]}
    length = named.get(salt, int(salt) if salt.isdecimal() else -1)
    expected = padding.PSS(padding.MGF1(algorithm), length)
    keys["rsa"].public_key().verify(signature, DATA, expected, algorithm)


@pytest.mark.parametrize("mgf", ["SHA1", "SHA384"])
def test_pss_with_another_mgf_hash(keys: dict[str, Any], evp: Evp, mgf: str) -> None:
    controls = {"rsa_padding_mode": "pss", "rsa_pss_saltlen": "32", "rsa_mgf1_md": mgf}
    signature = evp.sign(keys["rsa"], DATA, "SHA256", **controls)

    def verify(hash_: hashes.HashAlgorithm) -> None:
        scheme = padding.PSS(padding.MGF1(hash_), 32)
        keys["rsa"].public_key().verify(signature, DATA, scheme, hashes.SHA256())

    verify(HASHES[mgf])
    with pytest.raises(InvalidSignature):
        verify(hashes.SHA256())


@pytest.mark.parametrize("digest", HASHES)
@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("parts", [1, 3])
def test_ecdsa(
    keys: dict[str, Any], evp: Evp, curve: str, digest: str, parts: int
) -> None:
    signature = evp.sign(keys[curve], DATA, digest, parts)

    keys[curve].public_key().verify(signature, DATA, ec.ECDSA(HASHES[digest]))


@pytest.mark.parametrize("kind", ["rsa", "p-384"])
def test_a_digest_that_is_made_already(
    keys: dict[str, Any], evp: Evp, kind: str
) -> None:
    digest = hashlib.sha256(DATA).digest()
    signature = evp.sign_digest(keys[kind], digest, "SHA256")

    prehashed = utils.Prehashed(hashes.SHA256())
    schemes: Any = {
        "rsa": (padding.PKCS1v15(), prehashed),
        "p-384": (ec.ECDSA(prehashed),),
    }
    keys[kind].public_key().verify(signature, digest, *schemes[kind])


def test_octets_without_a_digest(keys: dict[str, Any], evp: Evp) -> None:
    octets = bytes(range(36))
    signature = evp.sign_digest(keys["rsa"], octets, None)

    recovered = (
        keys["rsa"]
        .public_key()
        .recover_data_from_signature(signature, padding.PKCS1v15(), None)
    )
    assert recovered == octets


@pytest.mark.parametrize("digest", OAEP_HASHES)
@pytest.mark.parametrize("mgf", [None, "SHA1", "SHA512"])
@pytest.mark.parametrize("label", [b"", b"a label"])
def test_oaep(
    keys: dict[str, Any], evp: Evp, digest: str, mgf: str | None, label: bytes
) -> None:
    controls = {"rsa_padding_mode": "oaep", "rsa_oaep_md": digest}
    controls |= {"rsa_mgf1_md": mgf} if mgf else {}
    controls |= {"rsa_oaep_label": label.hex()} if label else {}
    scheme = padding.OAEP(padding.MGF1(HASHES[mgf or digest]), HASHES[digest], label)
    ciphertext = keys["rsa"].public_key().encrypt(b"message", scheme)

    assert evp.decrypt(keys["rsa"], ciphertext, **controls) == b"message"
    with pytest.raises(RefusedError, match="DecryptionFailed: "):
        evp.decrypt(keys["rsa"], ciphertext, **{**controls, "rsa_oaep_label": "ff"})


def test_pkcs1_decryption(keys: dict[str, Any], evp: Evp) -> None:
    ciphertext = keys["rsa"].public_key().encrypt(b"message", padding.PKCS1v15())

    assert evp.decrypt(keys["rsa"], ciphertext) == b"message"
    explicit = {"rsa_padding_mode": "pkcs1"}
    assert evp.decrypt(keys["rsa"], ciphertext, **explicit) == b"message"


@pytest.mark.parametrize(
    ("kind", "operation", "name", "value"),
    [
        ("rsa", "sign", "unheard-of", "value"),
        ("rsa", "sign", "pad-mode", "x931"),
        ("rsa", "sign", "pad-mode", "none"),
        ("rsa", "sign", "saltlen", "a lot"),
        ("rsa", "sign", "digest", "MD4"),
        ("rsa", "decrypt", "unheard-of", "value"),
        ("rsa", "decrypt", "pad-mode", "none"),
        ("rsa", "decrypt", "mgf1-digest", "MD4"),
        ("rsa", "decrypt", "tls-client-version", 0x303),
        ("rsa", "decrypt", "implicit-rejection", 0),
        ("p-256", "sign", "nonce-type", 1),
        ("p-256", "sign", "pad-mode", "pss"),
        ("p-256", "sign", "saltlen", "digest"),
    ],
)
def test_a_parameter_is_never_ignored(
    keys: dict[str, Any], evp: Evp, kind: str, operation: str, name: str, value: Any
) -> None:
    with pytest.raises(RefusedError, match=r"NotSupported: |InvalidArgument: "):
        evp.set_parameter(keys[kind], operation, name, value)


def test_a_salt_that_does_not_fit(keys: dict[str, Any], evp: Evp) -> None:
    controls = {"rsa_padding_mode": "pss", "rsa_pss_saltlen": str(MAX["SHA256"] + 1)}

    with pytest.raises(RefusedError, match=r"Error: |InvalidArgument: "):
        evp.sign(keys["rsa"], DATA, "SHA256", **controls)
