"""Key attributes in bincode, as the Rust Parsec service 1.4.1 of Debian 13 wrote them.

Each was read from its store in files, beside what that service listed over the wire.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsec_keys.errors import StorageFailure
from parsec_keys.psa.algorithms import (
    ANY_HASH,
    ECDH,
    ECDSA_ANY,
    RSA_PKCS1V15_CRYPT,
    RSA_PKCS1V15_SIGN_RAW,
    Algorithm,
    DeterministicEcdsa,
    Ecdsa,
    Hash,
    KeyAgreement,
    RsaOaep,
    RsaPkcs1v15Sign,
    RsaPss,
)
from parsec_keys.psa.attributes import (
    DhFamily,
    DhKeyPair,
    EccFamily,
    EccKeyPair,
    EccPublicKey,
    KeyAttributes,
    KeyPolicy,
    KeyType,
    Lifetime,
    RsaKeyPair,
    RsaPublicKey,
    UnstructuredKeyType,
    UsageFlags,
)
from parsec_keys.psa.symmetric import (
    Aead,
    AeadWithShortenedTag,
    BlockCipherMac,
    Cipher,
    Hmac,
    KeyAgreementWithDerivation,
    KeyDerivation,
    KeyDerivationFunction,
    TruncatedMac,
)
from parsec_keys.service.adoption.rust_attributes import decode

P256 = EccKeyPair(EccFamily.SECP_R1)
AES, HMAC = UnstructuredKeyType.AES, UnstructuredKeyType.HMAC
DERIVE = UnstructuredKeyType.DERIVE
HKDF = KeyDerivation(KeyDerivationFunction.HKDF, Hash.SHA_256)
MS = KeyDerivation(KeyDerivationFunction.TLS12_PSK_TO_MS, Hash.SHA_384)
RSA_HEAD, ECC_HEAD = "0100000009000000", "010000000a000000"
ODD, EVEN = "00010001000100010001", "00010100010001000100"
SIGNS = "00000000000101010100"
FLAGS = {
    ODD: UsageFlags(0b10_1010_1010),
    EVEN: UsageFlags(0b01_0101_0110),
    SIGNS: UsageFlags(0b01_1110_0000),
}
VECTORS: list[tuple[KeyType, int, str, Algorithm | None, str]] = [
    (P256, 256, SIGNS, Ecdsa(Hash.SHA_256), "05000000030000000000000006000000"),
    (RsaKeyPair(), 2048, SIGNS, RsaPkcs1v15Sign(ANY_HASH), "050000000000000001000000"),
    (RsaKeyPair(), 1024, EVEN, RSA_PKCS1V15_SIGN_RAW, "0500000001000000"),
    (RsaKeyPair(), 1024, ODD, RsaPss(ANY_HASH), "050000000200000001000000"),
    (RsaKeyPair(), 2048, ODD, RSA_PKCS1V15_CRYPT, "0600000000000000"),
    (RsaKeyPair(), 2048, ODD, RsaOaep(Hash.SHA_256), "060000000100000006000000"),
    (RsaKeyPair(), 1024, EVEN, None, "00000000"),
    (P256, 521, ODD, ECDSA_ANY, "0500000004000000"),
    (P256, 256, ODD, ECDH, "070000000000000001000000"),
    (
        *(P256, 256, EVEN, KeyAgreementWithDerivation(ECDH, HKDF)),
        "0700000001000000010000000000000006000000",
    ),
    (AES, 128, ODD, Aead.GCM, "040000000000000001000000"),
    (
        *(AES, 256, ODD, AeadWithShortenedTag(Aead.GCM, 12)),
        "0400000001000000010000000c00000000000000",
    ),
    (AES, 128, EVEN, Cipher.CBC_PKCS7, "0300000007000000"),
    (AES, 128, ODD, BlockCipherMac.CMAC, "020000000000000002000000"),
    (HMAC, 256, ODD, Hmac(Hash.SHA_256), "02000000000000000000000006000000"),
    (
        *(HMAC, 256, EVEN, TruncatedMac(Hmac(Hash.SHA_512), 16)),
        "020000000100000000000000080000001000000000000000",
    ),
    (HMAC, 256, ODD, Hash.SHA_256, "0100000006000000"),
    (DERIVE, 256, ODD, MS, "080000000200000007000000"),
]
HEADS = {
    RsaKeyPair(): RSA_HEAD,
    P256: ECC_HEAD + "01000000",
    AES: "0100000003000000",
    HMAC: "0100000001000000",
    DERIVE: "0100000002000000",
}
WHOLE: list[tuple[str, KeyType, int, Algorithm | None]] = [
    (
        "010000000a00000006000000000100000000000000010100010001000100"
        "0500000005000000000000000c000000",
        EccKeyPair(EccFamily.BRAINPOOL_P_R1),
        256,
        DeterministicEcdsa(Hash.SHA3_256),
    ),
    (
        "010000000a00000008000000ff0000000000000000010100010001000100"
        "070000000000000001000000",
        EccKeyPair(EccFamily.MONTGOMERY),
        255,
        ECDH,
    ),
    (
        "010000000a00000000000000000100000000000000010001000100010001"
        "05000000030000000000000006000000",
        EccKeyPair(EccFamily.SECP_K1),
        256,
        Ecdsa(Hash.SHA_256),
    ),
    (
        "010000000c00000000000000000800000000000000010001000100010001"
        "070000000000000000000000",
        DhKeyPair(DhFamily.RFC7919),
        2048,
        KeyAgreement.FFDH,
    ),
    (
        "010000000b0000000100000000000000000000000100000000000100010005000000"
        "030000000000000006000000",
        EccPublicKey(EccFamily.SECP_R1),
        0,
        Ecdsa(Hash.SHA_256),
    ),
    (
        "010000000800000000080000000000000100000000000100010005000000"
        "000000000000000006000000",
        RsaPublicKey(),
        2048,
        RsaPkcs1v15Sign(Hash.SHA_256),
    ),
    (
        "0100000000000000400000000000000000010001000100010001" + "00000000",
        UnstructuredKeyType.RAW_DATA,
        64,
        None,
    ),
    (
        "0100000007000000000100000000000000010100010001000100040000000000000002000000",
        UnstructuredKeyType.CHACHA20,
        256,
        Aead.CHACHA20_POLY1305,
    ),
]


@pytest.mark.parametrize(("key_type", "bits", "flags", "algorithm", "tail"), VECTORS)
def test_a_policy(
    key_type: KeyType, bits: int, flags: str, algorithm: Algorithm | None, tail: str
) -> None:
    data = bytes.fromhex(HEADS[key_type]) + bits.to_bytes(8, "little")
    data += bytes.fromhex(flags + tail)

    policy = KeyPolicy(FLAGS[flags], algorithm)
    assert decode(data) == KeyAttributes(key_type, bits, policy, Lifetime.PERSISTENT)


@pytest.mark.parametrize(("blob", "key_type", "bits", "algorithm"), WHOLE)
def test_a_key_type(
    blob: str, key_type: KeyType, bits: int, algorithm: Algorithm | None
) -> None:
    decoded = decode(bytes.fromhex(blob))

    assert (decoded.type, decoded.bits) == (key_type, bits)
    assert decoded.policy.algorithm == algorithm


def test_the_whole_of_one() -> None:
    blob = (
        "010000000a000000010000000001000000000000"
        "00000000000101010100" + "05000000030000000000000006000000"
    )

    assert decode(bytes.fromhex(blob)) == KeyAttributes(
        P256, 256, KeyPolicy(FLAGS[SIGNS], Ecdsa(Hash.SHA_256))
    )
    volatile = decode(b"\x00" + bytes.fromhex(blob)[1:])
    assert volatile == replace(decode(bytes.fromhex(blob)), lifetime=Lifetime.VOLATILE)


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(StorageFailure):
        decode(data)


@given(
    st.sampled_from([bytes.fromhex(blob) for blob, *_ in WHOLE]),
    st.integers(min_value=0, max_value=63),
    st.binary(max_size=3),
)
def test_a_damaged_policy_is_read_or_refused(
    blob: bytes, at: int, damage: bytes
) -> None:
    with contextlib.suppress(StorageFailure):
        decode(blob[:at] + damage + blob[at + len(damage) :])
    with pytest.raises(StorageFailure):
        decode(blob[: min(at, len(blob) - 1)])
    with pytest.raises(StorageFailure):
        decode(blob + b"\x00")
