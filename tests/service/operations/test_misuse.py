"""What each provider says to each mistake: one row for each, one column a provider.

The rows are those that were measured on the Rust service 1.4.1 with MbedCrypto, SoftHSM
and swtpm. A comment tells where this service differs, and why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from parsec_keys.psa import algorithms as a
from parsec_keys.psa import symmetric as s
from parsec_keys.psa.attributes import EccFamily, EccKeyPair, RsaKeyPair, UsageFlags
from parsec_keys.psa.attributes import UnstructuredKeyType as Type
from parsec_keys.psa.operations import (
    Operation,
    PsaAsymmetricDecrypt,
    PsaAsymmetricEncrypt,
    PsaDestroyKey,
    PsaExportKey,
    PsaExportPublicKey,
    PsaGenerateKey,
    PsaGenerateRandom,
    PsaImportKey,
    PsaRawKeyAgreement,
    PsaSignHash,
    PsaVerifyHash,
)
from parsec_keys.psa.operations.symmetric import (
    PsaAeadDecrypt,
    PsaAeadEncrypt,
    PsaCipherDecrypt,
    PsaCipherEncrypt,
    PsaHashCompare,
    PsaHashCompute,
    PsaMacCompute,
    PsaMacVerify,
    PsaSignMessage,
    PsaVerifyMessage,
)
from parsec_keys.psa.status import Status
from tests.service.operations.caller import Caller, attributes
from tests.service.operations.keys import (
    ECC,
    PAIR,
    PUBLIC,
    RSA,
    SHA256,
    ecc_private,
    ecc_public,
    flipped,
    rsa_private,
)

OK = Status.SUCCESS
NOT_PERMITTED = Status.PSA_ERROR_NOT_PERMITTED
UNSUPPORTED = Status.PSA_ERROR_NOT_SUPPORTED
INVALID = Status.PSA_ERROR_INVALID_ARGUMENT
EXISTS = Status.PSA_ERROR_ALREADY_EXISTS
ABSENT = Status.PSA_ERROR_DOES_NOT_EXIST
BAD_SIGNATURE = Status.PSA_ERROR_INVALID_SIGNATURE
BAD_PADDING = Status.PSA_ERROR_INVALID_PADDING

PKCS1, PSS = a.RsaPkcs1v15Sign(SHA256), a.RsaPss(SHA256)
ECDSA, OAEP, CRYPT = a.Ecdsa(SHA256), a.RsaOaep(SHA256), a.RsaPkcs1v15Crypt()
RSA_DATA, ECC_DATA = rsa_private(RSA), ecc_private(ECC[256])
POINT = ecc_public(ECC[256].public_key())
SMALLER_THAN_THE_MODULUS = b"\0" + b"garbage!" * 31 + bytes(7)
Make = Callable[[Caller], Operation[Any]]
Row = tuple[Make, Status, Status, Status]


def generate(key_type: Any, bits: int, algorithm: Any, usage: Any = None) -> Make:
    usage = UsageFlags.SIGN_HASH if usage is None else usage
    asked = attributes(key_type, bits, algorithm, usage)
    return lambda caller: PsaGenerateKey("new", asked)


def take(key_type: Any, bits: int, algorithm: Any, data: bytes) -> Make:
    asked = attributes(key_type, bits, algorithm, UsageFlags.SIGN_HASH)
    return lambda caller: PsaImportKey("new", asked, data)


def with_rsa(algorithm: Any, operation: type, *arguments: Any) -> Make:
    return lambda caller: operation(
        caller.take(RsaKeyPair(), RSA_DATA, algorithm), *arguments
    )


def with_ecc(algorithm: Any, operation: type, *arguments: Any) -> Make:
    return lambda caller: operation(caller.take(PAIR, ECC_DATA, algorithm), *arguments)


def named(operation: type, *arguments: Any) -> Make:
    """An operation on a name that nobody has."""
    return lambda caller: operation("absent", *arguments)


def existing(caller: Caller) -> Operation[None]:
    name = caller.take(PAIR, ECC_DATA, ECDSA)
    return PsaGenerateKey(name, attributes(PAIR, 256, ECDSA))


def with_flags(usage: UsageFlags, operation: type, *arguments: Any) -> Make:
    return lambda caller: operation(
        caller.take(RsaKeyPair(), RSA_DATA, a.ANY_ALGORITHM, usage), *arguments
    )


SIGNATURE = RSA.sign(b"message", padding.PKCS1v15(), hashes.SHA256())
DER = ECC[256].sign(b"message", ec.ECDSA(hashes.SHA256()))
ENCRYPTED = RSA.public_key().encrypt(b"text", padding.PKCS1v15())
OAEP_ENCRYPTED = RSA.public_key().encrypt(
    b"text", padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"label")
)

ROWS: Final[dict[str, Row]] = {
    # Creation.                                        software, pkcs11, tpm
    "existing name": (existing, EXISTS, EXISTS, EXISTS),
    "generate a public key": (
        *(generate(PUBLIC, 256, ECDSA), INVALID, INVALID, INVALID),
    ),
    # Rust: SoftHSM 1145.
    "RSA of 0 bits": (generate(RsaKeyPair(), 0, PSS), INVALID, INVALID, INVALID),
    # Rust: 1135 on MbedCrypto and TPM. The size is a size, only not one of theirs.
    "RSA of 1000 bits": (
        generate(RsaKeyPair(), 1000, PSS),
        UNSUPPORTED,
        OK,
        UNSUPPORTED,
    ),
    # Rust: 1135 on MbedCrypto, which takes 1024, 2048 and 4096 only.
    "RSA of 3072 bits": (generate(RsaKeyPair(), 3072, PSS), OK, OK, OK),
    # Rust: 1135 on MbedCrypto, which has a misprint in its table.
    "P-384": (generate(PAIR, 384, ECDSA), OK, OK, OK),
    # Rust: a TPM makes the key, and cannot export it or sign.
    "P-521": (generate(PAIR, 521, ECDSA), OK, OK, OK),
    # Rust: 1135 on MbedCrypto.
    "a curve of 255 bits": (
        *(generate(PAIR, 255, ECDSA), UNSUPPORTED, UNSUPPORTED, UNSUPPORTED),
    ),
    # Rust: 1134 on tokens, which have it.
    "secp256k1": (
        *(generate(EccKeyPair(EccFamily.SECP_K1), 256, ECDSA), OK, OK, UNSUPPORTED),
    ),
    "brainpoolP256r1": (
        generate(EccKeyPair(EccFamily.BRAINPOOL_P_R1), 256, ECDSA),
        *(OK, OK, UNSUPPORTED),
    ),
    "X25519": (
        generate(EccKeyPair(EccFamily.MONTGOMERY), 255, a.ECDH, UsageFlags.DERIVE),
        *(OK, UNSUPPORTED, UNSUPPORTED),
    ),
    # Rust: 1134 on tokens, 1135 on a TPM.
    "no algorithm": (generate(PAIR, 256, None), OK, OK, OK),
    # Rust: 1134 of PSS on tokens, 1134 on a TPM.
    "PSS with any hash": (
        *(generate(RsaKeyPair(), 2048, a.RsaPss(a.ANY_HASH)), OK, OK, OK),
    ),
    # Rust: 1135 on a TPM.
    "ECDSA with any hash": (generate(PAIR, 256, a.Ecdsa(a.ANY_HASH)), OK, OK, OK),
    "deterministic ECDSA": (
        generate(PAIR, 256, a.DeterministicEcdsa(SHA256)),
        *(OK, UNSUPPORTED, UNSUPPORTED),
    ),
    # Rust: made on MbedCrypto and tokens, and then good for nothing.
    "an algorithm of another type": (
        *(generate(RsaKeyPair(), 2048, ECDSA), INVALID, INVALID, INVALID),
    ),
    "AES": (generate(Type.AES, 256, s.Aead.GCM), OK, UNSUPPORTED, UNSUPPORTED),
    # Rust: tokens and TPMs take no private keys. Ours do.
    "import an RSA key": (take(RsaKeyPair(), 0, PSS, RSA_DATA), OK, OK, OK),
    "import an ECC key": (take(PAIR, 256, ECDSA, ECC_DATA), OK, OK, OK),
    "import with other bits": (
        *(take(RsaKeyPair(), 1024, PSS, RSA_DATA), INVALID, INVALID, INVALID),
    ),
    "import a zero scalar": (
        *(take(PAIR, 256, ECDSA, bytes(32)), INVALID, INVALID, INVALID),
    ),
    # Lookup, then usage, then permitted algorithm, then type, then arguments.
    "absent": (named(PsaSignHash, ECDSA, bytes(32)), ABSENT, ABSENT, ABSENT),
    "destroy absent": (named(PsaDestroyKey), ABSENT, ABSENT, ABSENT),
    "export absent": (named(PsaExportPublicKey), ABSENT, ABSENT, ABSENT),
    "no flag": (
        with_flags(UsageFlags.ENCRYPT, PsaSignHash, ECDSA, bytes(1)),
        *(NOT_PERMITTED, NOT_PERMITTED, NOT_PERMITTED),
    ),
    # Rust: 1134 of PSS on a TPM.
    "algorithm not permitted": (
        with_rsa(PKCS1, PsaSignHash, PSS, bytes(1)),
        *(NOT_PERMITTED, NOT_PERMITTED, NOT_PERMITTED),
    ),
    "any hash in an operation": (
        with_ecc(a.Ecdsa(a.ANY_HASH), PsaSignHash, a.Ecdsa(a.ANY_HASH), bytes(32)),
        *(NOT_PERMITTED, NOT_PERMITTED, NOT_PERMITTED),
    ),
    "algorithm of another type": (
        with_flags(UsageFlags.SIGN_HASH, PsaSignHash, ECDSA, bytes(32)),
        *(NOT_PERMITTED, NOT_PERMITTED, NOT_PERMITTED),
    ),
    "message needs sign_message": (
        with_flags(UsageFlags.VERIFY_HASH, PsaSignMessage, PSS, b"message"),
        *(NOT_PERMITTED, NOT_PERMITTED, NOT_PERMITTED),
    ),
    "sign_hash gives sign_message": (
        with_flags(UsageFlags.SIGN_HASH, PsaSignMessage, PSS, b"message"),
        *(OK, OK, OK),
    ),
    # Signatures.
    "wrong digest length": (
        with_rsa(PSS, PsaSignHash, PSS, bytes(31)),
        *(INVALID, INVALID, INVALID),
    ),
    "wrong digest length to verify": (
        with_rsa(PKCS1, PsaVerifyHash, PKCS1, bytes(31), SIGNATURE),
        *(INVALID, INVALID, INVALID),
    ),
    "bad RSA signature": (
        with_rsa(PKCS1, PsaVerifyMessage, PKCS1, b"message", flipped(SIGNATURE)),
        *(BAD_SIGNATURE, BAD_SIGNATURE, BAD_SIGNATURE),
    ),
    "short RSA signature": (
        with_rsa(PKCS1, PsaVerifyMessage, PKCS1, b"message", SIGNATURE[1:]),
        *(BAD_SIGNATURE, BAD_SIGNATURE, BAD_SIGNATURE),
    ),
    "no RSA signature": (
        with_rsa(PKCS1, PsaVerifyMessage, PKCS1, b"message", b""),
        *(BAD_SIGNATURE, BAD_SIGNATURE, BAD_SIGNATURE),
    ),
    # Rust: 1135 on a TPM.
    "ECDSA signature in DER": (
        with_ecc(ECDSA, PsaVerifyMessage, ECDSA, b"message", DER),
        *(BAD_SIGNATURE, BAD_SIGNATURE, BAD_SIGNATURE),
    ),
    "ECDSA signature of 63 bytes": (
        with_ecc(ECDSA, PsaVerifyMessage, ECDSA, b"message", bytes(63)),
        *(BAD_SIGNATURE, BAD_SIGNATURE, BAD_SIGNATURE),
    ),
    # Encryption.
    # Rust: 1150 on MbedCrypto, a padding oracle.
    "PKCS#1 garbage": (
        with_rsa(CRYPT, PsaAsymmetricDecrypt, CRYPT, SMALLER_THAN_THE_MODULUS),
        *(OK, OK, OK),
    ),
    # Rust: 1145 on tokens and TPMs, of these five.
    "ciphertext too short": (
        with_rsa(CRYPT, PsaAsymmetricDecrypt, CRYPT, ENCRYPTED[1:]),
        *(INVALID, INVALID, INVALID),
    ),
    "ciphertext beyond the modulus": (
        with_rsa(CRYPT, PsaAsymmetricDecrypt, CRYPT, b"\xff" * 256),
        *(INVALID, INVALID, INVALID),
    ),
    "OAEP garbage": (
        with_rsa(OAEP, PsaAsymmetricDecrypt, OAEP, SMALLER_THAN_THE_MODULUS),
        *(BAD_PADDING, BAD_PADDING, BAD_PADDING),
    ),
    "OAEP with another label": (
        with_rsa(OAEP, PsaAsymmetricDecrypt, OAEP, OAEP_ENCRYPTED, b"other"),
        *(BAD_PADDING, BAD_PADDING, BAD_PADDING),
    ),
    "plaintext too long": (
        with_rsa(OAEP, PsaAsymmetricEncrypt, OAEP, bytes(191)),
        *(INVALID, INVALID, INVALID),
    ),
    # Rust: 1145 on a TPM, and a token ignores the label.
    "OAEP with its label": (
        with_rsa(OAEP, PsaAsymmetricDecrypt, OAEP, OAEP_ENCRYPTED, b"label"),
        *(OK, OK, OK),
    ),
    "PKCS#1 with a label": (
        with_rsa(CRYPT, PsaAsymmetricEncrypt, CRYPT, b"text", b"label"),
        *(INVALID, INVALID, INVALID),
    ),
    "no plaintext": (
        with_rsa(CRYPT, PsaAsymmetricEncrypt, CRYPT, b""),
        *(INVALID, INVALID, INVALID),
    ),
    # Rust: neither tokens nor TPMs agree on keys.
    "peer off the curve": (
        with_ecc(a.ECDH, PsaRawKeyAgreement, a.ECDH, flipped(POINT)),
        *(INVALID, INVALID, INVALID),
    ),
    "no peer": (
        with_ecc(a.ECDH, PsaRawKeyAgreement, a.ECDH, b""),
        *(INVALID, INVALID, INVALID),
    ),
    # Export. Rust: no token exports, and so it says 1134.
    "export without the flag": (
        with_ecc(ECDSA, PsaExportKey),
        *(NOT_PERMITTED, NOT_PERMITTED, UNSUPPORTED),
    ),
    # What a provider lacks it lacks of every name.
    "export of no key": (named(PsaExportKey), ABSENT, ABSENT, UNSUPPORTED),
    "AEAD": (
        named(PsaAeadEncrypt, s.Aead.GCM, bytes(12), b"", b"text"),
        *(ABSENT, UNSUPPORTED, UNSUPPORTED),
    ),
    "AEAD backwards": (
        named(PsaAeadDecrypt, s.Aead.GCM, bytes(12), b"", bytes(20)),
        *(ABSENT, UNSUPPORTED, UNSUPPORTED),
    ),
    "cipher": (
        named(PsaCipherEncrypt, s.Cipher.CTR, b"text"),
        *(ABSENT, UNSUPPORTED, UNSUPPORTED),
    ),
    "cipher backwards": (
        named(PsaCipherDecrypt, s.Cipher.CTR, bytes(20)),
        *(ABSENT, UNSUPPORTED, UNSUPPORTED),
    ),
    "MAC": (
        named(PsaMacCompute, s.BlockCipherMac.CMAC, b"text"),
        *(ABSENT, UNSUPPORTED, UNSUPPORTED),
    ),
    "MAC backwards": (
        named(PsaMacVerify, s.BlockCipherMac.CMAC, b"text", bytes(16)),
        *(ABSENT, UNSUPPORTED, UNSUPPORTED),
    ),
    "hash": (
        lambda caller: PsaHashCompute(SHA256, b"text"),
        *(OK, UNSUPPORTED, UNSUPPORTED),
    ),
    "hash of another length": (
        lambda caller: PsaHashCompare(SHA256, b"text", b"short"),
        *(BAD_SIGNATURE, UNSUPPORTED, UNSUPPORTED),
    ),
    # Rust: 65,536 bytes are 1145 on a TPM, and 65 silently 64.
    "much random": (lambda caller: PsaGenerateRandom(65536), OK, OK, OK),
}


@pytest.mark.parametrize("mistake", ROWS)
def test_the_status_of_each_mistake(caller: Caller, mistake: str) -> None:
    make, software, pkcs11, tpm = ROWS[mistake]
    expected = {"software": software, "pkcs11": pkcs11, "tpm": tpm}

    status = caller.status(make(caller))

    assert caller.provider is not None
    assert status is expected[caller.provider]


def test_garbage_decrypts_to_the_same_nonsense_each_time(caller: Caller) -> None:
    decrypt = with_rsa(CRYPT, PsaAsymmetricDecrypt, CRYPT, SMALLER_THAN_THE_MODULUS)
    operation = decrypt(caller)

    assert caller.do(operation) == caller.do(operation) != b"text"
