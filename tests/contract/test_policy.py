"""A key does what its policy says and nothing else, on every provider."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

import parsec_keys
from parsec_keys.errors import InvalidArgument, NotPermitted
from parsec_keys.psa.algorithms import (
    ANY_HASH,
    ECDH,
    Ecdsa,
    Hash,
    RsaPkcs1v15Sign,
    RsaPss,
)
from parsec_keys.psa.attributes import UsageFlags
from tests.contract import wire

SHA256, SHA384 = hashes.SHA256(), hashes.SHA384()
PKCS1 = padding.PKCS1v15()
P256 = ec.SECP256R1()


def pss(salt: Any, mgf_hash: hashes.HashAlgorithm = SHA256) -> padding.PSS:
    return padding.PSS(padding.MGF1(mgf_hash), salt)


def test_one_hash(store: parsec_keys.KeyStore) -> None:
    for name, algorithm in (
        ("object", Ecdsa(Hash.SHA_256)),
        ("words", "ECDSA(SHA_256)"),
    ):
        key = store.generate_ec(name, P256, algorithm=algorithm)

        signature = key.sign(b"data", ec.ECDSA(SHA256))

        key.public_key().verify(signature, b"data", ec.ECDSA(SHA256))
        with pytest.raises(NotPermitted, match=r"permits ECDSA with SHA-256") as caught:
            key.sign(b"data", ec.ECDSA(SHA384))
        assert not isinstance(caught.value, ValueError)
        with pytest.raises(NotPermitted):
            key.exchange(ec.ECDH(), ec.generate_private_key(P256).public_key())


def test_one_rsa_scheme(store: parsec_keys.KeyStore, engine: str) -> None:
    pkcs1 = store.generate_rsa("pkcs1", algorithm=RsaPkcs1v15Sign(ANY_HASH))
    for hash_ in (SHA256, SHA384):
        signature = pkcs1.sign(b"data", PKCS1, hash_)
        pkcs1.public_key().verify(signature, b"data", PKCS1, hash_)
    for scheme in (pss(32), pss(20)):
        with pytest.raises(wire.forbidden(engine, scheme, SHA256)):
            pkcs1.sign(b"data", scheme, SHA256)
    ciphertext = pkcs1.public_key().encrypt(b"data", PKCS1)
    with pytest.raises(NotPermitted) as caught:
        pkcs1.decrypt(ciphertext, PKCS1)
    assert not isinstance(caught.value, ValueError)


def test_psa_leaves_no_choice_in_pss(store: parsec_keys.KeyStore, engine: str) -> None:
    key = store.generate_rsa("pss", algorithm=RsaPss(Hash.SHA_256))

    for salt in (32, padding.PSS.DIGEST_LENGTH):
        signature = key.sign(b"data", pss(salt), SHA256)
        key.public_key().verify(signature, b"data", pss(32), SHA256)
    for scheme, hash_ in (
        (pss(31), SHA256),
        (pss(padding.PSS.MAX_LENGTH), SHA256),
        (pss(32, SHA384), SHA256),
        (pss(48, SHA384), SHA384),
    ):
        with pytest.raises(wire.forbidden(engine, scheme, hash_)):
            key.sign(b"data", scheme, hash_)


def test_one_oaep(store: parsec_keys.KeyStore, engine: str) -> None:
    key = store.generate_rsa("oaep", algorithm="RSA_OAEP(SHA_256)", usage="decrypt")
    permitted = padding.OAEP(padding.MGF1(SHA256), SHA256, b"label")
    forbidden = padding.OAEP(padding.MGF1(hashes.SHA1()), SHA256, None)

    ciphertext = key.public_key().encrypt(b"data", permitted)

    assert key.decrypt(ciphertext, permitted) == b"data"
    for scheme in (forbidden, PKCS1):
        with pytest.raises(wire.forbidden(engine, scheme)) as caught:
            key.decrypt(key.public_key().encrypt(b"data", scheme), scheme)
        assert not isinstance(caught.value, ValueError)
    with pytest.raises(NotPermitted, match="may not sign_hash"):
        key.sign(b"data", PKCS1, SHA256)


def test_usage_flags(store: parsec_keys.KeyStore, engine: str) -> None:
    signer = store.generate_ec("signer", P256, usage="sign_hash")
    ecdh = wire.policy(engine, ECDH)
    agreer = store.generate_ec("agreer", P256, usage=UsageFlags.DERIVE, **ecdh)
    peer = ec.generate_private_key(P256).public_key()

    signer.sign(b"data", ec.ECDSA(SHA256))
    assert len(agreer.exchange(ec.ECDH(), peer)) == 32
    with pytest.raises(NotPermitted, match="may not derive"):
        signer.exchange(ec.ECDH(), peer)
    with pytest.raises(NotPermitted, match="may not sign_hash"):
        agreer.sign(b"data", ec.ECDSA(SHA256))


def test_a_policy_survives_closing_the_store(provider: str, new_url: Any) -> None:
    url = new_url(provider)
    with parsec_keys.open_store(url) as store:
        before = store.generate_ec("key", P256, algorithm="ECDSA(SHA_384)")
    with parsec_keys.open_store(url) as store:
        after = store.load("key")

        assert after.attributes == before.attributes
        with pytest.raises(NotPermitted):
            after.sign(b"data", ec.ECDSA(SHA256))


def test_a_policy_must_fit_its_key(store: parsec_keys.KeyStore) -> None:
    with pytest.raises(InvalidArgument, match="cannot do ECDSA"):
        store.generate_rsa("rsa", algorithm="ECDSA(SHA_256)")
    with pytest.raises(InvalidArgument, match="cannot do RSA PSS"):
        store.generate_ec("ec", P256, algorithm="RSA_PSS(SHA_256)")
    with pytest.raises(ValueError, match="is no algorithm"):
        store.generate_ec("ec", P256, algorithm="ECDSA256")
    with pytest.raises(ValueError, match="'sign' is no usage flag"):
        store.generate_ec("ec", P256, usage="sign")
    assert store.keys() == ()
