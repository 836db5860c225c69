"""The four questions of a policy, in order, without any provider."""

from __future__ import annotations

import pytest

from parsec_keys.psa import algorithms as a
from parsec_keys.psa.attributes import (
    RSA_USAGE,
    DhFamily,
    DhKeyPair,
    EccFamily,
    EccKeyPair,
    EccPublicKey,
    KeyAttributes,
    KeyPolicy,
    KeyType,
    RsaKeyPair,
    RsaPublicKey,
    UnstructuredKeyType,
    UsageFlags,
)
from parsec_keys.psa.deprecated import deprecated_in
from parsec_keys.psa.operations import (
    KeyOperation,
    PsaAsymmetricDecrypt,
    PsaAsymmetricEncrypt,
    PsaExportKey,
    PsaExportPublicKey,
    PsaRawKeyAgreement,
    PsaSignHash,
    PsaVerifyHash,
)
from parsec_keys.psa.operations.symmetric import (
    PsaAeadDecrypt,
    PsaAeadEncrypt,
    PsaCipherDecrypt,
    PsaCipherEncrypt,
    PsaSignMessage,
    PsaVerifyMessage,
)
from parsec_keys.psa.policy import fits, permits, refusal
from parsec_keys.psa.status import Status
from parsec_keys.psa.symmetric import (
    Aead,
    AeadWithShortenedTag,
    BlockCipherMac,
    Cipher,
    Hmac,
    TruncatedMac,
)

SHA256 = a.Hash.SHA_256
SIGN = PsaSignHash("key", a.RsaPkcs1v15Sign(SHA256), bytes(32))
EVERYTHING = UsageFlags(1023)
UNRELATED = UsageFlags.CACHE | UsageFlags.COPY


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
            PsaAsymmetricDecrypt("key", a.RsaPkcs1v15Crypt(), bytes(256)),
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


KEY_PAIR = RsaKeyPair()
PUBLIC = RsaPublicKey()
CURVE = EccKeyPair(EccFamily.SECP_R1)
AES, CHACHA = UnstructuredKeyType.AES, UnstructuredKeyType.CHACHA20
PKCS1, OAEP = a.RsaPkcs1v15Crypt(), a.RsaOaep(SHA256)


@pytest.mark.parametrize(
    ("key_type", "operation"),
    [
        (PUBLIC, SIGN),
        (PUBLIC, PsaSignMessage("key", a.RsaPss(SHA256), b"m")),
        (PUBLIC, PsaAsymmetricDecrypt("key", PKCS1, bytes(256))),
        (KEY_PAIR, PsaVerifyHash("key", a.RsaPss(SHA256), bytes(31), bytes(256))),
        (KEY_PAIR, PsaSignMessage("key", a.RsaPkcs1v15SignRaw(), b"m")),
        (CURVE, PsaVerifyMessage("key", a.EcdsaAny(), b"m", bytes(64))),
        (KEY_PAIR, PsaAsymmetricEncrypt("key", OAEP, b"")),
        (KEY_PAIR, PsaAsymmetricEncrypt("key", PKCS1, b"text", b"label")),
        (KEY_PAIR, PsaAsymmetricDecrypt("key", PKCS1, bytes(256), b"label")),
        (KEY_PAIR, PsaAsymmetricDecrypt("key", OAEP, bytes(255))),
        (AES, PsaAeadEncrypt("key", Aead.GCM, bytes(12), b"", b"")),
        (AES, PsaAeadEncrypt("key", Aead.GCM, b"", b"", b"text")),
        (AES, PsaAeadDecrypt("key", Aead.GCM, bytes(12), b"", b"")),
        (AES, PsaAeadDecrypt("key", Aead.GCM, b"", b"", bytes(16))),
        (AES, PsaCipherEncrypt("key", Cipher.CTR, b"")),
        (AES, PsaCipherDecrypt("key", Cipher.CTR, b"")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_arguments_are_checked_last(
    key_type: KeyType, operation: KeyOperation[object]
) -> None:
    refused = refusal(attributes(key_type=key_type), operation)
    not_used = refusal(attributes(UNRELATED, key_type=key_type), operation)

    assert refused is not None
    assert refused.status is Status.PSA_ERROR_INVALID_ARGUMENT
    assert not_used is not None
    assert not_used.status is Status.PSA_ERROR_NOT_PERMITTED


def test_a_public_key_may_always_leave() -> None:
    usage = UsageFlags(0)

    assert refusal(attributes(usage, key_type=PUBLIC), PsaExportKey("key")) is None
    assert refusal(attributes(usage, key_type=KEY_PAIR), PsaExportKey("key"))


@pytest.mark.parametrize(
    ("key_type", "algorithm", "expected"),
    [
        (AES, Aead.GCM, True),
        (AES, AeadWithShortenedTag(Aead.CCM, 8), True),
        (AES, Cipher.CBC_PKCS7, True),
        (AES, BlockCipherMac.CMAC, True),
        (AES, TruncatedMac(BlockCipherMac.CMAC, 8), True),
        (AES, Aead.CHACHA20_POLY1305, False),
        (AES, Cipher.STREAM_CIPHER, False),
        (AES, Hmac(SHA256), False),
        (CHACHA, Aead.CHACHA20_POLY1305, True),
        (CHACHA, Cipher.STREAM_CIPHER, True),
        (CHACHA, Aead.GCM, False),
        (UnstructuredKeyType.DES, Cipher.CBC_NO_PADDING, True),
        (UnstructuredKeyType.DES, Aead.CCM, False),
        (UnstructuredKeyType.ARC4, Cipher.STREAM_CIPHER, True),
        (UnstructuredKeyType.HMAC, TruncatedMac(Hmac(SHA256), 16), True),
        (UnstructuredKeyType.HMAC, BlockCipherMac.CMAC, False),
        (UnstructuredKeyType.RAW_DATA, Cipher.CTR, False),
        (UnstructuredKeyType.AES, a.ECDH, False),
        (DhKeyPair(DhFamily.RFC7919), a.FFDH, True),
        (DhKeyPair(DhFamily.RFC7919), a.ECDH, False),
        (CURVE, a.FFDH, False),
        (EccPublicKey(EccFamily.SECP_R1), a.Ecdsa(SHA256), True),
        (EccKeyPair(EccFamily.MONTGOMERY), a.ECDH, True),
        (EccKeyPair(EccFamily.MONTGOMERY), a.Ecdsa(SHA256), False),
        (KEY_PAIR, Hmac(SHA256), False),
    ],
    ids=str,
)
def test_which_algorithm_fits_which_type(
    key_type: KeyType, algorithm: a.Algorithm, expected: bool
) -> None:
    assert fits(key_type, algorithm) is expected


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        (a.Ecdsa(SHA256), None),
        (a.Ecdsa(a.ANY_HASH), None),
        (a.Ecdsa(a.Hash.SHA_1), "SHA-1"),
        (a.RsaPss(SHA256, a.Hash.SHA_1), "SHA-1"),
        (a.RsaOaep(a.Hash.MD5), "MD5"),
        (TruncatedMac(Hmac(a.Hash.MD4), 8), "MD4"),
        (BlockCipherMac.CMAC, None),
        (None, None),
    ],
    ids=str,
)
def test_a_deprecated_hash_is_found_wherever_it_is(
    algorithm: a.PermittedAlgorithm, expected: str | None
) -> None:
    assert deprecated_in(attributes(algorithm=algorithm)) == expected


def test_des_and_arc4_are_deprecated() -> None:
    deprecated = {
        key_type
        for key_type in UnstructuredKeyType
        if deprecated_in(attributes(algorithm=None, key_type=key_type))
    }

    assert deprecated == {UnstructuredKeyType.DES, UnstructuredKeyType.ARC4}
