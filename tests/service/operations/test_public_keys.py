"""Public keys: kept in the key info alone, on every provider, and what they do."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from parsec_keys.psa import algorithms as a
from parsec_keys.psa.attributes import (
    DhFamily,
    DhPublicKey,
    EccFamily,
    EccPublicKey,
    KeyType,
    RsaKeyPair,
    RsaPublicKey,
    UsageFlags,
)
from parsec_keys.psa.operations import (
    ListKeys,
    PsaAsymmetricDecrypt,
    PsaAsymmetricEncrypt,
    PsaDestroyKey,
    PsaExportKey,
    PsaExportPublicKey,
    PsaGenerateKey,
    PsaImportKey,
    PsaRawKeyAgreement,
    PsaSignHash,
    PsaVerifyHash,
)
from parsec_keys.psa.operations.symmetric import PsaSignMessage, PsaVerifyMessage
from parsec_keys.psa.status import Status
from tests.service.operations.caller import Caller, attributes
from tests.service.operations.conftest import open_service
from tests.service.operations.keys import (
    ECC,
    PUBLIC,
    RSA,
    SHA256,
    ecc_public,
    flipped,
    from_der,
    pss,
    rsa_public,
)

MESSAGE = b"a message"
RSA_PUBLIC = rsa_public(RSA.public_key())
POINT = ecc_public(ECC[256].public_key())
SPKI = RSA.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)
COMPRESSED = bytes([2 + (POINT[-1] & 1)]) + POINT[1:33]


def test_an_rsa_key_verifies(caller: Caller) -> None:
    algorithm = a.RsaPss(a.ANY_HASH)
    name = caller.take(RsaPublicKey(), RSA_PUBLIC, algorithm)
    signature = RSA.sign(MESSAGE, pss(hashes.SHA256(), 32), hashes.SHA256())

    verify = PsaVerifyMessage(name, a.RsaPss(SHA256), MESSAGE, signature)
    wrong = PsaVerifyMessage(name, a.RsaPss(SHA256), MESSAGE + b"?", signature)

    assert caller.do(verify) is None
    assert caller.status(wrong) is Status.PSA_ERROR_INVALID_SIGNATURE
    assert caller.attributes(name).bits == 2048


@pytest.mark.parametrize("bits", ECC)
def test_an_ecc_key_verifies(caller: Caller, bits: int) -> None:
    algorithm = a.Ecdsa(SHA256)
    name = caller.take(PUBLIC, ecc_public(ECC[bits].public_key()), algorithm)
    signature = from_der(ECC[bits].sign(MESSAGE, ec.ECDSA(hashes.SHA256())), bits)

    verify = PsaVerifyMessage(name, algorithm, MESSAGE, signature)
    wrong = PsaVerifyMessage(name, algorithm, MESSAGE + b"?", signature)

    assert caller.do(verify) is None
    assert caller.status(wrong) is Status.PSA_ERROR_INVALID_SIGNATURE
    assert caller.attributes(name).bits == bits


def test_openssl_decrypts(caller: Caller, tmp_path: Path) -> None:
    algorithm = a.RsaOaep(SHA256)
    name = caller.take(RsaPublicKey(), RSA_PUBLIC, algorithm)
    file = tmp_path / "key.pem"
    file.write_bytes(
        RSA.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )

    encrypted = caller.do(PsaAsymmetricEncrypt(name, algorithm, MESSAGE, b"label"))

    options = (
        "rsa_padding_mode:oaep",
        "rsa_oaep_md:sha256",
        "rsa_oaep_label:6c6162656c",
    )
    done = subprocess.run(
        [
            *("openssl", "pkeyutl", "-decrypt", "-inkey", str(file)),
            *(part for option in options for part in ("-pkeyopt", option)),
        ],
        input=encrypted,
        capture_output=True,
        check=True,
    )
    assert done.stdout == MESSAGE


def test_it_comes_out_as_it_went_in(caller: Caller) -> None:
    usage = UsageFlags.VERIFY_HASH
    name = caller.take(RsaPublicKey(), RSA_PUBLIC, a.RsaPss(SHA256), usage)

    assert caller.do(PsaExportPublicKey(name)) == RSA_PUBLIC
    if caller.provider == "tpm":  # Nothing comes out of a TPM: no such operation.
        assert caller.status(PsaExportKey(name)) is Status.PSA_ERROR_NOT_SUPPORTED
    else:
        assert caller.do(PsaExportKey(name)) == RSA_PUBLIC
    assert caller.do(PsaDestroyKey(name)) is None
    assert caller.status(PsaExportPublicKey(name)) is Status.PSA_ERROR_DOES_NOT_EXIST


@pytest.mark.parametrize(("bits", "length"), [(255, 32), (448, 56)])
def test_montgomery_keys_are_kept(caller: Caller, bits: int, length: int) -> None:
    key_type, data = EccPublicKey(EccFamily.MONTGOMERY), b"\x09" * length
    name = caller.take(key_type, data, a.ECDH)

    assert caller.do(PsaExportPublicKey(name)) == data
    assert caller.attributes(name).bits == bits


INVALID, UNSUPPORTED = Status.PSA_ERROR_INVALID_ARGUMENT, Status.PSA_ERROR_NOT_SUPPORTED
MONTGOMERY = EccPublicKey(EccFamily.MONTGOMERY)
NO_SUCH_KEYS: dict[str, tuple[KeyType, int, bytes, Status]] = {
    "SubjectPublicKeyInfo": (RsaPublicKey(), 0, SPKI, INVALID),
    "no RSA key": (RsaPublicKey(), 0, b"", INVALID),
    "RSA key and more": (RsaPublicKey(), 0, RSA_PUBLIC + b"\0", INVALID),
    "other bits": (RsaPublicKey(), 1024, RSA_PUBLIC, INVALID),
    "compressed": (PUBLIC, 0, COMPRESSED, INVALID),
    "compressed, with bits": (PUBLIC, 256, COMPRESSED, INVALID),
    # The Rust service takes a point that is not on the curve into a token.
    "not on the curve": (PUBLIC, 0, flipped(POINT), INVALID),
    "other curve": (PUBLIC, 384, POINT, INVALID),
    "no point": (PUBLIC, 0, b"", INVALID),
    "no Montgomery curve's": (MONTGOMERY, 0, bytes(33), INVALID),
    "curve that is not here": (EccPublicKey(EccFamily.SECT_R1), 0, POINT, UNSUPPORTED),
    "group": (DhPublicKey(DhFamily.RFC7919), 0, bytes(256), UNSUPPORTED),
}


@pytest.mark.parametrize("case", NO_SUCH_KEYS)
def test_what_is_no_such_key(caller: Caller, case: str) -> None:
    key_type, bits, data, expected = NO_SUCH_KEYS[case]
    operation = PsaImportKey("key", attributes(key_type, bits, None), data)

    assert caller.status(operation) is expected
    assert caller.do(ListKeys()) == ()


@pytest.mark.parametrize("key_type", [RsaPublicKey(), PUBLIC], ids=str)
def test_it_is_not_generated(caller: Caller, key_type: KeyType) -> None:
    operation = PsaGenerateKey("key", attributes(key_type, 256, None))

    assert caller.status(operation) is Status.PSA_ERROR_INVALID_ARGUMENT


def test_it_does_nothing_that_needs_the_private_key(caller: Caller) -> None:
    signing = caller.take(RsaPublicKey(), RSA_PUBLIC, a.RsaPkcs1v15Sign(SHA256))
    crypting = caller.take(RsaPublicKey(), RSA_PUBLIC, a.RsaPkcs1v15Crypt())
    agreeing = caller.take(PUBLIC, POINT, a.ECDH)

    for operation in (
        PsaSignHash(signing, a.RsaPkcs1v15Sign(SHA256), bytes(32)),
        PsaSignMessage(signing, a.RsaPkcs1v15Sign(SHA256), MESSAGE),
        PsaAsymmetricDecrypt(crypting, a.RsaPkcs1v15Crypt(), bytes(256)),
        PsaRawKeyAgreement(agreeing, a.ECDH, POINT),
    ):
        assert caller.status(operation) is Status.PSA_ERROR_INVALID_ARGUMENT


def test_it_outlives_its_service(provider: str, new_url: Callable[[str], str]) -> None:
    url = new_url(provider)
    algorithm = a.RsaPkcs1v15Sign(SHA256)
    signature = RSA.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256())
    hashed = hashes.Hash(hashes.SHA256())
    hashed.update(MESSAGE)
    verify = PsaVerifyHash("key", algorithm, hashed.finalize(), signature)
    first = open_service(url)
    asked = attributes(RsaPublicKey(), 0, algorithm)
    Caller(first, "1").do(PsaImportKey("key", asked, RSA_PUBLIC))
    first.close()

    again = open_service(url)

    assert Caller(again, "1").do(verify) is None
    assert Caller(again, "1").do(PsaDestroyKey("key")) is None
    again.close()
    last = open_service(url)
    assert Caller(last, "1").do(ListKeys()) == ()
    last.close()


def test_a_private_key_is_of_pkcs1(caller: Caller) -> None:
    pkcs8 = RSA.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )

    taken = PsaImportKey("key", attributes(RsaKeyPair(), 0, None), pkcs8)

    assert caller.status(taken) is Status.PSA_ERROR_INVALID_ARGUMENT


def test_a_small_key_verifies_where_none_is_made(caller: Caller) -> None:
    key = rsa.generate_private_key(3, 1032)
    data = rsa_public(key.public_key())
    name = caller.take(RsaPublicKey(), data, a.RsaPkcs1v15Sign(SHA256))
    signature = key.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256())

    verify = PsaVerifyMessage(name, a.RsaPkcs1v15Sign(SHA256), MESSAGE, signature)

    assert caller.do(verify) is None
