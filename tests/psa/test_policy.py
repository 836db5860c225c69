"""The four questions of a policy, in order, without any provider."""

from __future__ import annotations

import pytest

from parsec_keys.psa import algorithms as a
from parsec_keys.psa.attributes import (
    RSA_USAGE,
    EccFamily,
    EccKeyPair,
    KeyAttributes,
    KeyPolicy,
    KeyType,
    RsaKeyPair,
    UsageFlags,
)
from parsec_keys.psa.operations import (
    KeyOperation,
    PsaAsymmetricDecrypt,
    PsaExportKey,
    PsaExportPublicKey,
    PsaRawKeyAgreement,
    PsaSignHash,
)
from parsec_keys.psa.policy import permits, refusal
from parsec_keys.psa.status import Status

SHA256 = a.Hash.SHA_256
SIGN = PsaSignHash("key", a.RsaPkcs1v15Sign(SHA256), bytes(32))
EVERYTHING = UsageFlags(1023)


def attributes(
    usage: UsageFlags = EVERYTHING,
    algorithm: a.PermittedAlgorithm = a.ANY_ALGORITHM,
    key_type: KeyType | None = None,
) -> KeyAttributes:
    return KeyAttributes(key_type or RsaKeyPair(), 2048, KeyPolicy(usage, algorithm))


@pytest.mark.parametrize(
    ("operation", "flag"),
    [
        (SIGN, UsageFlags.SIGN_HASH),
        (
            PsaAsymmetricDecrypt("key", a.RsaPkcs1v15Crypt(), b"x"),
            UsageFlags.DECRYPT,
        ),
        (PsaExportKey("key"), UsageFlags.EXPORT),
    ],
)
def test_the_flag_is_needed(operation: KeyOperation[bytes], flag: UsageFlags) -> None:
    refused = refusal(attributes(EVERYTHING & ~flag), operation)

    assert refused is not None
    assert refused.status is Status.PSA_ERROR_NOT_PERMITTED
    assert refusal(attributes(flag), operation) is None


def test_a_public_key_needs_no_flag() -> None:
    assert refusal(attributes(UsageFlags(0), None), PsaExportPublicKey("key")) is None


def test_no_algorithm_permits_nothing() -> None:
    refused = refusal(attributes(algorithm=None), SIGN)

    assert refused is not None
    assert "no algorithm" in refused.reason


def test_the_algorithm_must_fit_the_type() -> None:
    ecc = attributes(key_type=EccKeyPair(EccFamily.SECP_R1))

    assert refusal(ecc, SIGN) is not None
    assert refusal(attributes(), PsaSignHash("k", a.Ecdsa(SHA256), bytes(32)))
    assert refusal(attributes(), PsaRawKeyAgreement("k", a.ECDH, b""))
    assert refusal(ecc, PsaRawKeyAgreement("k", a.ECDH, b"")) is None


@pytest.mark.parametrize("length", [0, 31, 33])
def test_the_digest_has_the_length_of_its_hash(length: int) -> None:
    asked = PsaSignHash("key", a.RsaPkcs1v15Sign(SHA256), bytes(length))

    refused = refusal(attributes(), asked)

    assert refused is not None
    assert refused.status is Status.PSA_ERROR_INVALID_ARGUMENT


def test_raw_octets_have_any_length() -> None:
    for length in (0, 31, 200):
        asked = PsaSignHash("key", a.RsaPkcs1v15SignRaw(), bytes(length))
        assert refusal(attributes(), asked) is None


def test_an_operation_names_its_hash() -> None:
    asked = PsaSignHash("key", a.RsaPkcs1v15Sign(a.ANY_HASH), bytes(32))
    for permitted in (a.ANY_ALGORITHM, a.RsaPkcs1v15Sign(a.ANY_HASH)):
        refused = refusal(attributes(RSA_USAGE, permitted), asked)
        assert refused is not None
        assert refused.status is Status.PSA_ERROR_NOT_PERMITTED


@pytest.mark.parametrize(
    ("permitted", "asked", "expected"),
    [
        (a.RsaPkcs1v15Sign(a.ANY_HASH), a.RsaPkcs1v15Sign(SHA256), True),
        (a.RsaPkcs1v15Sign(a.ANY_HASH), a.RsaPkcs1v15SignRaw(), False),
        (a.RsaPkcs1v15Sign(a.Hash.SHA_1), a.RsaPkcs1v15Sign(SHA256), False),
        (a.Ecdsa(a.ANY_HASH), a.Ecdsa(SHA256), True),
        (a.Ecdsa(a.ANY_HASH), a.DeterministicEcdsa(SHA256), False),
        (a.Ecdsa(a.ANY_HASH), a.EcdsaAny(), False),
        (a.EcdsaAny(), a.Ecdsa(SHA256), False),
        (a.EcdsaAny(), a.EcdsaAny(), True),
        (a.RsaPss(SHA256), a.RsaPss(SHA256), True),
        (a.RsaPss(SHA256), a.RsaPss(SHA256, SHA256, 32), True),
        (a.RsaPss(SHA256), a.RsaPss(SHA256, salt_length=20), False),
        (a.RsaPss(SHA256), a.RsaPss(SHA256, a.Hash.SHA_1), False),
        (a.RsaPss(a.ANY_HASH), a.RsaPss(a.Hash.SHA_512), True),
        (a.RsaPss(a.ANY_HASH, salt_length=20), a.RsaPss(SHA256), False),
        (a.RsaPss(a.ANY_HASH, salt_length=20), a.RsaPss(SHA256, None, 20), True),
        (a.RsaOaep(SHA256), a.RsaOaep(SHA256, SHA256), True),
        (a.RsaOaep(SHA256), a.RsaOaep(SHA256, a.Hash.SHA_1), False),
        (a.RsaOaep(SHA256), a.RsaPkcs1v15Crypt(), False),
        (a.ECDH, a.ECDH, True),
        (a.ECDH, a.KeyAgreement.FFDH, False),
        (None, a.ECDH, False),
    ],
)
def test_permits(
    permitted: a.PermittedAlgorithm, asked: a.Algorithm, expected: bool
) -> None:
    assert permits(permitted, asked) is expected
