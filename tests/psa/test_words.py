"""Algorithms, key types and usage flags as text and back."""

from __future__ import annotations

import pytest

from parsec_keys.psa import algorithms as a
from parsec_keys.psa import symmetric as s
from parsec_keys.psa.attributes import (
    DhFamily,
    DhKeyPair,
    DhPublicKey,
    EccFamily,
    EccKeyPair,
    EccPublicKey,
    RsaKeyPair,
    RsaPublicKey,
    UnstructuredKeyType,
    UsageFlags,
)
from parsec_keys.psa.words import (
    algorithm_from_words,
    algorithm_to_words,
    key_type_from_words,
    key_type_to_words,
    usage_from_words,
)

HKDF = s.KeyDerivation(s.KeyDerivationFunction.HKDF, a.Hash.SHA_256)
ALGORITHMS = {
    "ANY": a.ANY_ALGORITHM,
    "NONE": None,
    "RSA_PKCS1V15_SIGN_RAW": a.RsaPkcs1v15SignRaw(),
    "RSA_PKCS1V15_SIGN(ANY_HASH)": a.RsaPkcs1v15Sign(a.ANY_HASH),
    "RSA_PKCS1V15_SIGN(SHA3_256)": a.RsaPkcs1v15Sign(a.Hash.SHA3_256),
    "RSA_PSS(SHA_256)": a.RsaPss(a.Hash.SHA_256),
    "RSA_PSS(ANY_HASH, mgf=SHA_1, salt=0)": a.RsaPss(a.ANY_HASH, a.Hash.SHA_1, 0),
    "RSA_PSS(SHA_512, salt=20)": a.RsaPss(a.Hash.SHA_512, salt_length=20),
    "RSA_PKCS1V15_CRYPT": a.RsaPkcs1v15Crypt(),
    "RSA_OAEP(SHA_1)": a.RsaOaep(a.Hash.SHA_1),
    "RSA_OAEP(SHA_1, mgf=SHA_256)": a.RsaOaep(a.Hash.SHA_1, a.Hash.SHA_256),
    "ECDSA(SHA_512_256)": a.Ecdsa(a.Hash.SHA_512_256),
    "DETERMINISTIC_ECDSA(SHA_384)": a.DeterministicEcdsa(a.Hash.SHA_384),
    "ECDSA_ANY": a.EcdsaAny(),
    "ECDH": a.KeyAgreement.ECDH,
    "FFDH": a.KeyAgreement.FFDH,
    "SHA3_512": a.Hash.SHA3_512,
    **{each.name: each for each in (*s.Cipher, *s.Aead, *s.BlockCipherMac)},
    "AEAD_WITH_SHORTENED_TAG(CCM, 8)": s.AeadWithShortenedTag(s.Aead.CCM, 8),
    "HMAC(SHA_256)": s.Hmac(a.Hash.SHA_256),
    "TRUNCATED_MAC(CMAC, 8)": s.TruncatedMac(s.BlockCipherMac.CMAC, 8),
    "TRUNCATED_MAC(HMAC(SHA_1), 12)": s.TruncatedMac(s.Hmac(a.Hash.SHA_1), 12),
    "HKDF(SHA_256)": HKDF,
    "KEY_AGREEMENT(ECDH, HKDF(SHA_256))": s.KeyAgreementWithDerivation(a.ECDH, HKDF),
}
KEY_TYPES = {
    "RSA_KEY_PAIR": RsaKeyPair(),
    "RSA_PUBLIC_KEY": RsaPublicKey(),
    "ECC_KEY_PAIR(SECP_R1)": EccKeyPair(EccFamily.SECP_R1),
    "ECC_PUBLIC_KEY(BRAINPOOL_P_R1)": EccPublicKey(EccFamily.BRAINPOOL_P_R1),
    "DH_KEY_PAIR(RFC7919)": DhKeyPair(DhFamily.RFC7919),
    "DH_PUBLIC_KEY(RFC7919)": DhPublicKey(DhFamily.RFC7919),
    **{each.name: each for each in UnstructuredKeyType},
}


@pytest.mark.parametrize("words", ALGORITHMS)
def test_algorithms_round_trip(words: str) -> None:
    assert algorithm_from_words(words) == ALGORITHMS[words]
    assert algorithm_to_words(ALGORITHMS[words]) == words


def test_psas_own_prefix_is_understood() -> None:
    assert algorithm_from_words("PSA_ALG_ECDSA(PSA_ALG_SHA_256)") == a.Ecdsa(
        a.Hash.SHA_256
    )


@pytest.mark.parametrize(
    "words",
    [
        *("", "ECDSA", "ECDSA()", "ECDSA(SHA256)", "ECDSA(SHA_256, salt=1)", "ANY(x)"),
        *("RSA_PSS(SHA_256, salt=-1)", "RSA_PSS(SHA_256, iv=1)", "RSA_OAEP(ANY_HASH)"),
        *("HMAC", "HMAC(SHA256)", "HKDF()", "CMAC(8)", "TRUNCATED_MAC(CMAC)"),
        *("TRUNCATED_MAC(GCM, 8)", "AEAD_WITH_SHORTENED_TAG(CMAC, 8)", "HMAC(CMAC, 1)"),
        *("KEY_AGREEMENT(ECDH, HMAC(SHA_256))", "AEAD_WITH_SHORTENED_TAG(GCM, -8)"),
        *("RSA_OAEP(SHA_256, salt=1)", "ECDSA(SHA_256", "RSA_PSS(SHA_256, SHA_1)"),
    ],
)
def test_what_is_no_algorithm(words: str) -> None:
    with pytest.raises(ValueError, match=r"is no|there are"):
        algorithm_from_words(words)


@pytest.mark.parametrize("words", KEY_TYPES)
def test_key_types_round_trip(words: str) -> None:
    assert key_type_from_words(words) == KEY_TYPES[words]
    assert key_type_to_words(KEY_TYPES[words]) == words


def test_what_is_no_key_type() -> None:
    for words in (
        "",
        "AES256",
        "DH_KEY_PAIR",
        "RSA_KEY_PAIR(x)",
        "ECC_KEY_PAIR",
        "ECC_KEY_PAIR(P256)",
    ):
        with pytest.raises(ValueError, match=r"is no"):
            key_type_from_words(words)


def test_usage_flags_round_trip() -> None:
    for bits in range(1 << 10):
        usage = UsageFlags(bits)
        assert usage_from_words(usage.words) == usage
    assert usage_from_words("derive,sign_hash") == (
        UsageFlags.DERIVE | UsageFlags.SIGN_HASH
    )
    with pytest.raises(ValueError, match="'sign' is no usage flag"):
        usage_from_words("sign")
