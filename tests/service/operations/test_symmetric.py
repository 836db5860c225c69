"""Symmetric keys of the software provider: published vectors, the openssl command."""

from __future__ import annotations

import hashlib
import hmac
import subprocess

import pytest

from parsec_keys.psa import symmetric as s
from parsec_keys.psa.algorithms import Hash, PermittedAlgorithm
from parsec_keys.psa.attributes import UnstructuredKeyType as Type
from parsec_keys.psa.operations import (
    PsaExportKey,
    PsaExportPublicKey,
    PsaGenerateKey,
    PsaImportKey,
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
)
from parsec_keys.psa.status import Status
from tests.service.operations.caller import EVERYTHING, Caller, attributes
from tests.service.operations.keys import flipped

GCM_KEY = "feffe9928665731c6d6a8f9467308308"
GCM_TEXT = (
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532f"
    "cf0e2449a6b525b16aedf5aa0de657ba637b39"
)
GCM_SEALED = (
    "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d"
    "8f6a5aac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47"
)
CHACHA_TEXT = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for "
    b"the future, sunscreen would be it."
).hex()
CHACHA_SEALED = (
    "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282"
    "fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab3"
    "24e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e"
    "902ecbd0600691"
)
AEAD_VECTORS = {
    # McGrew and Viega, The Galois/Counter Mode of Operation, test case 4.
    "GCM": (
        *(Type.AES, s.Aead.GCM, GCM_KEY, "cafebabefacedbaddecaf888"),
        *("feedfacedeadbeeffeedfacedeadbeefabaddad2", GCM_TEXT, GCM_SEALED),
    ),
    "GCM-12": (
        *(Type.AES, s.AeadWithShortenedTag(s.Aead.GCM, 12), GCM_KEY),
        *("cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2"),
        *(GCM_TEXT, GCM_SEALED[:-8]),
    ),
    "GCM-4": (
        *(Type.AES, s.AeadWithShortenedTag(s.Aead.GCM, 4), GCM_KEY),
        *("cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2"),
        *(GCM_TEXT, GCM_SEALED[:-24]),
    ),
    # NIST SP 800-38C, examples 1 and 2.
    "CCM-4": (
        *(Type.AES, s.AeadWithShortenedTag(s.Aead.CCM, 4)),
        *("404142434445464748494a4b4c4d4e4f", "10111213141516", "0001020304050607"),
        *("20212223", "7162015b4dac255d"),
    ),
    "CCM-6": (
        *(Type.AES, s.AeadWithShortenedTag(s.Aead.CCM, 6)),
        *("404142434445464748494a4b4c4d4e4f", "1011121314151617"),
        "000102030405060708090a0b0c0d0e0f",
        "202122232425262728292a2b2c2d2e2f",
        "d2a1f0e051ea5f62081a7792073d593d1fc64fbfaccd",
    ),
    # RFC 8439, section 2.8.2.
    "ChaCha20-Poly1305": (
        *(Type.CHACHA20, s.Aead.CHACHA20_POLY1305),
        bytes(range(0x80, 0xA0)).hex(),
        *("070000004041424344454647", "50515253c0c1c2c3c4c5c6c7"),
        *(CHACHA_TEXT, CHACHA_SEALED),
    ),
}
AES_KEY = "2b7e151628aed2a6abf7158809cf4f3c"
AES_TEXT = "6bc1bee22e409f96e93d7e117393172a"
COUNTING = "000102030405060708090a0b0c0d0e0f"
CAMELLIA = "0123456789abcdeffedcba9876543210"
CIPHER_VECTORS = {
    # NIST SP 800-38A, appendix F, the first blocks: key, text, IV, ciphertext.
    "ECB": (
        *(Type.AES, s.Cipher.ECB_NO_PADDING, AES_KEY, AES_TEXT, ""),
        "3ad77bb40d7a3660a89ecaf32466ef97",
    ),
    "CBC": (
        *(Type.AES, s.Cipher.CBC_NO_PADDING, AES_KEY, AES_TEXT, COUNTING),
        "7649abac8119b246cee98e9b12e9197d",
    ),
    "CFB": (
        *(Type.AES, s.Cipher.CFB, AES_KEY, AES_TEXT, COUNTING),
        "3b3fd92eb72dad20333449f8e83cfb4a",
    ),
    "OFB": (
        *(Type.AES, s.Cipher.OFB, AES_KEY, AES_TEXT, COUNTING),
        "3b3fd92eb72dad20333449f8e83cfb4a",
    ),
    "CTR": (
        *(Type.AES, s.Cipher.CTR, AES_KEY, AES_TEXT),
        *("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", "874d6191b620e3261bef6864990db6ce"),
    ),
    # IEEE 1619-2007, annex B, vector 2.
    "XTS": (
        *(Type.AES, s.Cipher.XTS, "11" * 16 + "22" * 16, "44" * 32),
        "33" * 5 + "00" * 11,
        "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0",
    ),
    # RFC 8439, appendix A.2, test vector 1.
    "ChaCha20": (
        *(Type.CHACHA20, s.Cipher.STREAM_CIPHER, "00" * 32, "00" * 64, "00" * 12),
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c515748"
        "8d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586",
    ),
    # RFC 3713, appendix A.
    "Camellia": (
        *(Type.CAMELLIA, s.Cipher.ECB_NO_PADDING, CAMELLIA, CAMELLIA, ""),
        "67673138549669730857065648eabe43",
    ),
    # FIPS 81, table B1: one key. NIST SP 800-67, appendix B: three.
    "DES": (
        *(Type.DES, s.Cipher.ECB_NO_PADDING, "0123456789abcdef", "4e6f772069732074"),
        *("", "3fa40e8a984d4815"),
    ),
    "3DES": (
        *(Type.DES, s.Cipher.ECB_NO_PADDING),
        "0123456789abcdef23456789abcdef01456789abcdef0123",
        "5468652071756663" + "6b2062726f776e20" + "666f78206a756d70",
        *("", "a826fd8ce53b855fcce21c8112256fe668d5c05dd9b6b900"),
    ),
    # RFC 6229, section 2, the key of 40 bits.
    "ARC4": (
        *(Type.ARC4, s.Cipher.STREAM_CIPHER, "0102030405", "00" * 16, ""),
        "b2396305f03dc027ccc3524a0a1118a8",
    ),
}
MAC_VECTORS = {
    # RFC 4231, test case 2, and RFC 2202, test case 2 of HMAC-SHA-1.
    "HMAC-SHA-256": (
        *(Type.HMAC, s.Hmac(Hash.SHA_256), b"Jefe".hex()),
        b"what do ya want for nothing?".hex(),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    "HMAC-SHA-1": (
        *(Type.HMAC, s.Hmac(Hash.SHA_1), b"Jefe".hex()),
        b"what do ya want for nothing?".hex(),
        "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
    ),
    # RFC 4231, test case 5: cut to 128 bits.
    "HMAC-SHA-256-16": (
        *(Type.HMAC, s.TruncatedMac(s.Hmac(Hash.SHA_256), 16), "0c" * 20),
        b"Test With Truncation".hex(),
        "a3b6167473100ee06e0c796c2955552b",
    ),
    # RFC 4493, section 4, example 2.
    "CMAC": (
        *(Type.AES, s.BlockCipherMac.CMAC, AES_KEY, AES_TEXT),
        "070a16b46b4d4144f79bdd9dd04a287c",
    ),
    "CMAC-8": (
        *(Type.AES, s.TruncatedMac(s.BlockCipherMac.CMAC, 8), AES_KEY, AES_TEXT),
        "070a16b46b4d4144",
    ),
}


def key_of(
    software: Caller, key_type: Type, algorithm: PermittedAlgorithm, octets: str
) -> str:
    return software.take(key_type, bytes.fromhex(octets), algorithm)


@pytest.mark.parametrize("vector", AEAD_VECTORS.values(), ids=AEAD_VECTORS)
def test_authenticated_encryption(software: Caller, vector: tuple[str, ...]) -> None:
    key_type, algorithm, octets, *texts = vector
    nonce, data, text, sealed = map(bytes.fromhex, texts)
    name = key_of(software, key_type, algorithm, octets)

    assert software.do(PsaAeadEncrypt(name, algorithm, nonce, data, text)) == sealed
    assert software.do(PsaAeadDecrypt(name, algorithm, nonce, data, sealed)) == text
    for wrong in (
        PsaAeadDecrypt(name, algorithm, nonce, data, flipped(sealed, 0)),
        PsaAeadDecrypt(name, algorithm, nonce, data, flipped(sealed, -1)),
        PsaAeadDecrypt(name, algorithm, nonce, data + b"x", sealed),
        PsaAeadDecrypt(name, algorithm, flipped(nonce, 0), data, sealed),
        PsaAeadDecrypt(name, algorithm, nonce, data, sealed[:-1]),
    ):
        assert software.status(wrong) is Status.PSA_ERROR_INVALID_SIGNATURE
    tag_length = len(sealed) - len(text)
    short = PsaAeadDecrypt(name, algorithm, nonce, data, sealed[: tag_length - 1])
    assert software.status(short) is Status.PSA_ERROR_INVALID_ARGUMENT


@pytest.mark.parametrize("vector", CIPHER_VECTORS.values(), ids=CIPHER_VECTORS)
def test_ciphers(software: Caller, vector: tuple[str, ...]) -> None:
    key_type, mode, octets, *texts = vector
    text, iv, ciphertext = map(bytes.fromhex, texts)
    name = key_of(software, key_type, mode, octets)

    assert software.do(PsaCipherDecrypt(name, mode, iv + ciphertext)) == text
    first, second = (software.do(PsaCipherEncrypt(name, mode, text)) for _ in "12")
    assert len(first) == len(iv + ciphertext)
    assert software.do(PsaCipherDecrypt(name, mode, first)) == text
    if iv:
        assert first[: len(iv)] != second[: len(iv)]
    else:
        assert first == ciphertext


@pytest.mark.parametrize("vector", MAC_VECTORS.values(), ids=MAC_VECTORS)
def test_macs(software: Caller, vector: tuple[str, ...]) -> None:
    key_type, algorithm, octets, *texts = vector
    data, mac = map(bytes.fromhex, texts)
    name = key_of(software, key_type, algorithm, octets)

    assert software.do(PsaMacCompute(name, algorithm, data)) == mac
    assert software.do(PsaMacVerify(name, algorithm, data, mac)) is None
    for wrong in (flipped(mac, 0), flipped(mac, -1), mac[:-1], mac + b"\0", b""):
        verify = PsaMacVerify(name, algorithm, data, wrong)
        assert software.status(verify) is Status.PSA_ERROR_INVALID_SIGNATURE
    other = PsaMacVerify(name, algorithm, data + b"x", mac)
    assert software.status(other) is Status.PSA_ERROR_INVALID_SIGNATURE


@pytest.mark.parametrize("length", [1, 15, 16, 17, 1000])
@pytest.mark.parametrize(
    ("key_type", "bits", "cipher", "iv_length"),
    [(Type.AES, 256, "aes-256-cbc", 16), (Type.CAMELLIA, 128, "camellia-128-cbc", 16)],
)
def test_openssl_decrypts_what_is_padded(
    software: Caller,
    key_type: Type,
    bits: int,
    cipher: str,
    iv_length: int,
    length: int,
) -> None:
    text, mode = b"x" * length, s.Cipher.CBC_PKCS7
    name = software.generate(key_type, bits, mode, EVERYTHING)
    octets = software.do(PsaExportKey(name))

    made = software.do(PsaCipherEncrypt(name, mode, text))

    done = subprocess.run(
        [
            *("openssl", "enc", "-d", f"-{cipher}"),
            *("-K", octets.hex(), "-iv", made[:iv_length].hex()),
        ],
        input=made[iv_length:],
        capture_output=True,
        check=True,
    )
    assert done.stdout == text


def test_broken_padding_says_one_thing(software: Caller) -> None:
    mode = s.Cipher.CBC_PKCS7
    name = key_of(software, Type.AES, mode, AES_KEY)
    whole = software.do(PsaCipherEncrypt(name, mode, b"x" * 16))

    broken = [flipped(whole, index) for index in range(16, 32)]
    statuses = {software.status(PsaCipherDecrypt(name, mode, each)) for each in broken}

    # Changed in its first ciphertext block, the padding of the second one breaks.
    assert statuses == {Status.PSA_ERROR_INVALID_PADDING}
    for length in (0, 15, 16, 17):
        cut = PsaCipherDecrypt(name, mode, whole[:length])
        assert software.status(cut) in (
            Status.PSA_ERROR_INVALID_ARGUMENT,
            Status.PSA_ERROR_INVALID_PADDING,
        )


@pytest.mark.parametrize(
    ("mode", "length"),
    [
        (s.Cipher.ECB_NO_PADDING, 15),
        (s.Cipher.CBC_NO_PADDING, 17),
        (s.Cipher.XTS, 15),
    ],
)
def test_a_length_that_a_mode_does_not_take(
    software: Caller, mode: s.Cipher, length: int
) -> None:
    name = software.generate(Type.AES, 256, mode)

    for operation in (
        PsaCipherEncrypt(name, mode, bytes(length)),
        PsaCipherDecrypt(name, mode, bytes(length)),
    ):
        assert software.status(operation) is Status.PSA_ERROR_INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("key_type", "aead", "length", "expected"),
    [
        (Type.AES, s.Aead.GCM, 7, Status.PSA_ERROR_NOT_SUPPORTED),
        (Type.AES, s.Aead.GCM, 129, Status.PSA_ERROR_NOT_SUPPORTED),
        (Type.AES, s.Aead.CCM, 6, Status.PSA_ERROR_INVALID_ARGUMENT),
        (Type.AES, s.Aead.CCM, 14, Status.PSA_ERROR_INVALID_ARGUMENT),
        (Type.CHACHA20, s.Aead.CHACHA20_POLY1305, 8, Status.PSA_ERROR_NOT_SUPPORTED),
    ],
)
def test_nonces_that_an_algorithm_does_not_take(
    software: Caller, key_type: Type, aead: s.Aead, length: int, expected: Status
) -> None:
    name = software.generate(key_type, 256, aead)

    for operation in (
        PsaAeadEncrypt(name, aead, bytes(length), b"", b"text"),
        PsaAeadDecrypt(name, aead, bytes(length), b"", bytes(20)),
    ):
        assert software.status(operation) is expected


@pytest.mark.parametrize(
    ("key_type", "bits"),
    [
        (Type.RAW_DATA, 8),
        (Type.RAW_DATA, 65528),
        (Type.HMAC, 256),
        (Type.DERIVE, 256),
        *((Type.AES, bits) for bits in (128, 192, 256, 512)),
        *((Type.CAMELLIA, bits) for bits in (128, 192, 256)),
        (Type.CHACHA20, 256),
        *((Type.DES, bits) for bits in (64, 128, 192)),
        *((Type.ARC4, bits) for bits in (40, 128)),
    ],
    ids=str,
)
def test_keys_come_and_go(software: Caller, key_type: Type, bits: int) -> None:
    made = software.generate(key_type, bits, None, EVERYTHING)
    octets = software.do(PsaExportKey(made))
    taken = software.take(key_type, octets, None, EVERYTHING)

    assert 8 * len(octets) == bits
    assert software.attributes(made) == software.attributes(taken)
    assert software.do(PsaExportKey(taken)) == octets
    assert software.do(
        PsaExportKey(software.generate(key_type, bits, None, EVERYTHING))
    )
    assert (
        software.status(PsaExportPublicKey(made)) is Status.PSA_ERROR_INVALID_ARGUMENT
    )
    hidden = software.generate(key_type, bits, None)
    assert software.status(PsaExportKey(hidden)) is Status.PSA_ERROR_NOT_PERMITTED


def test_a_generated_des_key_has_odd_parity(software: Caller) -> None:
    name = software.generate(Type.DES, 192, None, EVERYTHING)

    for octet in software.do(PsaExportKey(name)):
        assert octet.bit_count() % 2 == 1


@pytest.mark.parametrize(
    ("key_type", "bits", "algorithm"),
    [
        (Type.AES, 100, None),
        (Type.AES, 384, None),
        (Type.RAW_DATA, 12, None),
        (Type.CHACHA20, 128, None),
        (Type.AES, 512, s.Aead.GCM),
        (Type.AES, 512, s.Cipher.CTR),
        (Type.AES, 512, s.BlockCipherMac.CMAC),
        (Type.AES, 192, s.Cipher.XTS),
        (Type.AES, 128, s.AeadWithShortenedTag(s.Aead.GCM, 5)),
        (Type.AES, 128, s.AeadWithShortenedTag(s.Aead.GCM, 17)),
        (Type.CHACHA20, 256, s.AeadWithShortenedTag(s.Aead.CHACHA20_POLY1305, 12)),
        (Type.CAMELLIA, 128, s.Aead.GCM),
        (Type.CAMELLIA, 128, s.Cipher.CTR),
        (Type.AES, 128, s.BlockCipherMac.CBC_MAC),
        (Type.AES, 128, s.TruncatedMac(s.BlockCipherMac.CMAC, 3)),
        (Type.AES, 128, s.TruncatedMac(s.BlockCipherMac.CMAC, 17)),
        (Type.HMAC, 128, s.TruncatedMac(s.Hmac(Hash.SHA_256), 33)),
        (Type.HMAC, 128, s.Hmac(Hash.RIPEMD160)),
    ],
    ids=str,
)
def test_what_cryptography_has_not(
    software: Caller, key_type: Type, bits: int, algorithm: PermittedAlgorithm
) -> None:
    if bits % 8 == 0:
        for asked in (0, bits):
            wanted = attributes(key_type, asked, algorithm)
            operation = PsaImportKey("key", wanted, bytes(bits // 8))
            assert software.status(operation) is Status.PSA_ERROR_NOT_SUPPORTED
    made = PsaGenerateKey("key", attributes(key_type, bits, algorithm))
    assert software.status(made) is Status.PSA_ERROR_NOT_SUPPORTED


HASHES = [each for each in Hash if each.name.startswith("SHA") or each is Hash.MD5]


@pytest.mark.parametrize("hash_", HASHES, ids=str)
@pytest.mark.parametrize("data", [b"", b"abc"])
def test_hashes(software: Caller, hash_: Hash, data: bytes) -> None:
    hashed = hashlib.new(hash_.name.lower().replace("sha_", "sha"), data).digest()

    assert software.do(PsaHashCompute(hash_, data)) == hashed
    assert software.do(PsaHashCompare(hash_, data, hashed)) is None
    for wrong in (flipped(hashed, 0), hashed[:-1], b""):
        compare = PsaHashCompare(hash_, data, wrong)
        assert software.status(compare) is Status.PSA_ERROR_INVALID_SIGNATURE


@pytest.mark.parametrize("hash_", [Hash.MD2, Hash.MD4, Hash.RIPEMD160], ids=str)
def test_hashes_that_cryptography_has_not(software: Caller, hash_: Hash) -> None:
    # The Rust service has RIPEMD-160, from Mbed TLS.
    for operation in (PsaHashCompute(hash_, b""), PsaHashCompare(hash_, b"", b"")):
        assert software.status(operation) is Status.PSA_ERROR_NOT_SUPPORTED


def test_macs_are_compared_in_constant_time(
    software: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest
    name = software.generate(Type.HMAC, 256, s.Hmac(Hash.SHA_256))
    mac = software.do(PsaMacCompute(name, s.Hmac(Hash.SHA_256), b"data"))

    def recorded(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return compare(left, right)

    monkeypatch.setattr(hmac, "compare_digest", recorded)
    software.do(PsaMacVerify(name, s.Hmac(Hash.SHA_256), b"data", mac))

    assert compared == [(mac, mac)]
