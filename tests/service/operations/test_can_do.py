"""CanDoCrypto and ListOpcodes: each answer is what the operation itself then says."""

from __future__ import annotations

import pytest

from parsec_keys.psa import algorithms as a
from parsec_keys.psa import symmetric as s
from parsec_keys.psa.attributes import (
    DhFamily,
    DhKeyPair,
    EccFamily,
    EccKeyPair,
    KeyAttributes,
    KeyType,
    RsaKeyPair,
    RsaPublicKey,
    UsageFlags,
)
from parsec_keys.psa.attributes import UnstructuredKeyType as Type
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import PsaDestroyKey, PsaGenerateKey
from parsec_keys.psa.operations.service import CanDoCrypto, CheckType, ListOpcodes
from parsec_keys.psa.status import Status
from parsec_keys.service import Service
from parsec_keys.service.config import ServiceConfig, SoftwareConfig
from tests.service.operations.caller import NO_EXPORT, Caller, attributes
from tests.service.operations.keys import PAIR, PUBLIC, SHA256

RSA = RsaKeyPair()
DERIVE, SIGN = UsageFlags.DERIVE, UsageFlags.SIGN_HASH
VERIFY, ENCRYPT = UsageFlags.VERIFY_MESSAGE, UsageFlags.ENCRYPT
EVERYWHERE = {
    *(Opcode.PSA_GENERATE_KEY, Opcode.PSA_DESTROY_KEY, Opcode.PSA_IMPORT_KEY),
    *(Opcode.PSA_SIGN_HASH, Opcode.PSA_VERIFY_HASH, Opcode.PSA_EXPORT_PUBLIC_KEY),
    *(Opcode.PSA_SIGN_MESSAGE, Opcode.PSA_VERIFY_MESSAGE, Opcode.PSA_GENERATE_RANDOM),
    *(Opcode.PSA_ASYMMETRIC_ENCRYPT, Opcode.PSA_ASYMMETRIC_DECRYPT),
    *(Opcode.PSA_RAW_KEY_AGREEMENT, Opcode.CAN_DO_CRYPTO),
}
OPCODES = {
    "software": EVERYWHERE
    | {
        *(Opcode.PSA_EXPORT_KEY, Opcode.PSA_HASH_COMPUTE, Opcode.PSA_HASH_COMPARE),
        *(Opcode.PSA_AEAD_ENCRYPT, Opcode.PSA_AEAD_DECRYPT),
        *(Opcode.PSA_CIPHER_ENCRYPT, Opcode.PSA_CIPHER_DECRYPT),
        *(Opcode.PSA_MAC_COMPUTE, Opcode.PSA_MAC_VERIFY),
    },
    "pkcs11": EVERYWHERE | {Opcode.PSA_EXPORT_KEY},
    "tpm": EVERYWHERE | {Opcode.PREPARE_KEY_ATTESTATION, Opcode.ATTEST_KEY},
}


def can(caller: Caller, check_type: CheckType, wanted: KeyAttributes) -> bool:
    status = caller.status(CanDoCrypto(check_type, wanted))
    assert status in (Status.SUCCESS, Status.PSA_ERROR_NOT_SUPPORTED)
    return status is Status.SUCCESS


def test_opcodes_are_what_a_provider_implements(caller: Caller, provider: str) -> None:
    assert caller.do(ListOpcodes()) == OPCODES[provider]


GENERATED = [
    *((RSA, bits, a.RsaPss(SHA256)) for bits in (0, 1000, 1024, 2048)),
    (RSA, 2048, a.Ecdsa(SHA256)),
    (RSA, 2048, a.RsaOaep(a.Hash.SHA3_256)),
    (RSA, 2048, a.RsaPkcs1v15Sign(a.ANY_HASH)),
    (RSA, 2048, None),
    *((PAIR, bits, a.Ecdsa(SHA256)) for bits in (0, 255, 256, 384, 521)),
    (PAIR, 256, a.DeterministicEcdsa(SHA256)),
    (PAIR, 256, a.Ecdsa(a.Hash.MD4)),
    (PAIR, 256, a.ECDH),
    (PUBLIC, 256, a.Ecdsa(SHA256)),
    (EccKeyPair(EccFamily.SECP_K1), 256, a.Ecdsa(SHA256)),
    (EccKeyPair(EccFamily.BRAINPOOL_P_R1), 384, a.Ecdsa(SHA256)),
    (EccKeyPair(EccFamily.SECT_R1), 233, a.Ecdsa(SHA256)),
    (EccKeyPair(EccFamily.MONTGOMERY), 255, a.ECDH),
    (EccKeyPair(EccFamily.MONTGOMERY), 255, a.Ecdsa(SHA256)),
    (EccKeyPair(EccFamily.MONTGOMERY), 256, a.ECDH),
    (DhKeyPair(DhFamily.RFC7919), 2048, a.FFDH),
    (Type.AES, 128, s.Aead.GCM),
    (Type.AES, 100, s.Aead.GCM),
    (Type.AES, 128, s.Aead.CHACHA20_POLY1305),
    (Type.HMAC, 256, s.Hmac(SHA256)),
    (Type.CAMELLIA, 256, s.Cipher.CTR),
    (Type.DES, 192, s.Cipher.CBC_NO_PADDING),
]


@pytest.mark.parametrize(("key_type", "bits", "algorithm"), GENERATED, ids=str)
def test_generation_is_promised_if_it_succeeds(
    caller: Caller, key_type: KeyType, bits: int, algorithm: a.PermittedAlgorithm
) -> None:
    wanted = attributes(key_type, bits, algorithm)

    promised = can(caller, CheckType.GENERATE, wanted)

    status = caller.status(PsaGenerateKey("key", wanted))
    assert promised is (status is Status.SUCCESS)
    if promised:
        caller.do(PsaDestroyKey("key"))


@pytest.mark.parametrize(
    ("key_type", "bits", "algorithm", "usage", "expected"),
    [
        # The Rust service says no to derive alone, and to RSA keys of zero bits.
        (PAIR, 256, a.ECDH, DERIVE, True),
        (PAIR, 256, a.ECDH, SIGN, False),
        (RSA, 0, a.RsaPss(SHA256), SIGN, True),
        (RSA, 2048, a.RsaPss(SHA256), SIGN, True),
        (RSA, 2048, a.RsaPss(SHA256), ENCRYPT, False),
        (RSA, 2048, a.RsaPss(SHA256), UsageFlags(0), False),
        (RSA, 2048, a.RsaOaep(SHA256), ENCRYPT, True),
        (RSA, 2048, a.RsaOaep(SHA256), SIGN, False),
        # cryptography has no OAEP with SHA-3.
        (RSA, 2048, a.RsaOaep(a.Hash.SHA3_256), ENCRYPT, False),
        (RsaPublicKey(), 2048, a.RsaOaep(a.Hash.SHA3_256), ENCRYPT, False),
        (RSA, 2048, None, SIGN, False),
        (RSA, 2048, a.Ecdsa(SHA256), SIGN, False),
        (RSA, 1024, a.RsaPss(a.Hash.SHA_512), SIGN, False),
        (RSA, 1024, a.RsaPss(a.Hash.SHA_384), SIGN, True),
        (RSA, 1024, a.RsaOaep(a.Hash.SHA_512), ENCRYPT, False),
        (PAIR, 521, a.Ecdsa(a.ANY_HASH), SIGN, True),
        (PAIR, 0, a.Ecdsa(SHA256), VERIFY, True),
        (PAIR, 255, a.Ecdsa(SHA256), VERIFY, False),
        (PUBLIC, 256, a.Ecdsa(SHA256), VERIFY, True),
        (PUBLIC, 256, a.Ecdsa(SHA256), SIGN, False),
        (PUBLIC, 255, a.Ecdsa(SHA256), VERIFY, False),
        (RsaPublicKey(), 2048, a.RsaOaep(SHA256), ENCRYPT, True),
        (RsaPublicKey(), 2048, a.RsaOaep(SHA256), UsageFlags.DECRYPT, False),
    ],
    ids=str,
)
def test_use_needs_a_flag_that_fits(
    caller: Caller,
    key_type: KeyType,
    bits: int,
    algorithm: a.PermittedAlgorithm,
    usage: UsageFlags,
    expected: bool,
) -> None:
    wanted = attributes(key_type, bits, algorithm, usage)

    assert can(caller, CheckType.USE, wanted) is expected


@pytest.mark.parametrize(
    ("key_type", "bits", "algorithm", "usage", "expected"),
    [
        (Type.AES, 128, s.Aead.GCM, ENCRYPT, True),
        (Type.AES, 0, s.Cipher.CTR, ENCRYPT, True),
        (Type.AES, 128, s.Aead.GCM, SIGN, False),
        (Type.AES, 128, s.BlockCipherMac.CMAC, UsageFlags.SIGN_MESSAGE, True),
        (Type.HMAC, 256, s.Hmac(SHA256), VERIFY, True),
        (Type.HMAC, 256, s.Hmac(SHA256), ENCRYPT, False),
        (Type.RAW_DATA, 256, None, ENCRYPT, False),
        # Kept, and used by nothing: there is no key derivation.
        (
            Type.DERIVE,
            256,
            HKDF := s.KeyDerivation(s.KeyDerivationFunction.HKDF, SHA256),
            DERIVE,
            False,
        ),
    ],
    ids=str,
)
def test_use_of_symmetric_keys(
    caller: Caller,
    key_type: KeyType,
    bits: int,
    algorithm: a.PermittedAlgorithm,
    usage: UsageFlags,
    expected: bool,
) -> None:
    wanted = attributes(key_type, bits, algorithm, usage)

    has_them = caller.provider == "software"
    assert can(caller, CheckType.USE, wanted) is (expected and has_them)


@pytest.mark.parametrize(
    ("key_type", "bits", "expected"),
    [
        (RSA, 0, True),  # The Rust service says no, and then does it.
        (RSA, 2048, True),
        (RSA, 256, False),
        (RsaPublicKey(), 0, True),
        (PAIR, 0, True),
        (PAIR, 384, True),
        (PUBLIC, 521, True),
        (PUBLIC, 0, True),
        (PUBLIC, 255, False),
        (EccKeyPair(EccFamily.SECT_R1), 0, False),
    ],
    ids=str,
)
def test_import(caller: Caller, key_type: KeyType, bits: int, expected: bool) -> None:
    wanted = attributes(key_type, bits, None)

    assert can(caller, CheckType.IMPORT, wanted) is expected


def test_no_key_is_derived(caller: Caller) -> None:
    wanted = attributes(PAIR, 256, a.ECDH, DERIVE)

    assert not can(caller, CheckType.DERIVE, wanted)


def test_a_key_that_shall_leave_is_promised_where_one_can(caller: Caller) -> None:
    wanted = attributes(PAIR, 256, a.Ecdsa(SHA256), UsageFlags(1023))

    assert can(caller, CheckType.GENERATE, wanted) is (caller.provider != "tpm")


@pytest.fixture
def strict(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """A service that makes no keys for deprecated algorithms."""
    software = SoftwareConfig(tmp_path_factory.mktemp("strict"))
    config = ServiceConfig((software,), persistent=False, allow_deprecated=False)
    return Caller(Service(config), "1", "software")


DEPRECATED: list[tuple[KeyType, int, a.PermittedAlgorithm]] = [
    (PAIR, 256, a.Ecdsa(a.Hash.SHA_1)),
    (RSA, 2048, a.RsaPss(a.Hash.MD5)),
    (RSA, 2048, a.RsaOaep(a.Hash.SHA_1)),
    (Type.HMAC, 128, s.TruncatedMac(s.Hmac(a.Hash.SHA_1), 12)),
    (Type.DES, 192, s.Cipher.CBC_PKCS7),
    (Type.ARC4, 128, s.Cipher.STREAM_CIPHER),
]


@pytest.mark.parametrize(("key_type", "bits", "algorithm"), DEPRECATED, ids=str)
def test_deprecated_keys_are_not_made(
    strict: Caller,
    software: Caller,
    key_type: KeyType,
    bits: int,
    algorithm: a.PermittedAlgorithm,
) -> None:
    generate = PsaGenerateKey("key", attributes(key_type, bits, algorithm))

    assert strict.status(generate) is Status.DEPRECATED_PRIMITIVE
    assert not can(strict, CheckType.GENERATE, generate.attributes)
    assert software.status(generate) is Status.SUCCESS


def test_deprecated_keys_are_imported_with_a_warning(
    strict: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    strict.take(Type.DES, bytes(range(24)), s.Cipher.CBC_PKCS7)

    assert "DES, which is deprecated" in caplog.text
    assert can(strict, CheckType.IMPORT, attributes(Type.DES, 192, None, NO_EXPORT))
