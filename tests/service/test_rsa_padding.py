"""Software paddings over the bare RSA operation, verified by pyca."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from parsec_keys._pyca import HASHES
from parsec_keys.errors import DecryptionFailed, InvalidArgument
from parsec_keys.psa.algorithms import Hash, RsaOaep, RsaPss
from parsec_keys.service import rsa_padding

SECRET = bytes(range(32))


@pytest.fixture(scope="module", params=[1024, 1025, 1030, 2048, 2049])
def key(request: pytest.FixtureRequest) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, request.param)


def bare(key: rsa.RSAPrivateKey, block: bytes) -> bytes:
    numbers = key.private_numbers()
    result = pow(int.from_bytes(block, "big"), numbers.d, numbers.public_numbers.n)
    return result.to_bytes((key.key_size + 7) // 8, "big")


@pytest.mark.parametrize("hash_", HASHES)
def test_pkcs1v15_signature_verifies(key: rsa.RSAPrivateKey, hash_: Hash) -> None:
    hashed = os.urandom(hash_.size)
    length = (key.key_size + 7) // 8

    block = rsa_padding.encode_pkcs1v15(rsa_padding.digest_info(hash_, hashed), length)

    key.public_key().verify(
        bare(key, block), hashed, padding.PKCS1v15(), utils.Prehashed(HASHES[hash_])
    )


@pytest.mark.parametrize("hash_", HASHES)
@pytest.mark.parametrize("mgf_hash", [Hash.SHA_1, Hash.SHA_512, Hash.SHA3_256])
def test_pss_signature_verifies_with_every_salt(
    key: rsa.RSAPrivateKey, hash_: Hash, mgf_hash: Hash
) -> None:
    longest = (key.key_size + 6) // 8 - hash_.size - 2
    for salt in {0, 1, 20, hash_.size, longest}:
        if salt > longest:
            continue
        hashed = os.urandom(hash_.size)
        block = rsa_padding.encode_pss(
            RsaPss(hash_, mgf_hash, salt), hashed, key.key_size
        )
        key.public_key().verify(
            bare(key, block),
            hashed,
            padding.PSS(padding.MGF1(HASHES[mgf_hash]), salt),
            utils.Prehashed(HASHES[hash_]),
        )
    with pytest.raises(InvalidArgument, match="salt length too long"):
        rsa_padding.encode_pss(
            RsaPss(hash_, mgf_hash, longest + 1), hashed, key.key_size
        )


@pytest.mark.parametrize("message", [b"", b"hi", b"\x01\x00\x01" * 5])
@pytest.mark.parametrize("label", [b"", b"label"])
def test_oaep_decrypts(key: rsa.RSAPrivateKey, message: bytes, label: bytes) -> None:
    scheme = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA1(), label)
    block = bare(key, key.public_key().encrypt(message, scheme))
    algorithm = RsaOaep(Hash.SHA_1, Hash.SHA_256)

    assert message == rsa_padding.decode_oaep(algorithm, label, block)
    for spoiled in (b"\x01" + block[1:], block[:-1] + bytes([block[-1] ^ 1])):
        with pytest.raises(DecryptionFailed, match=r"^Decryption failed$"):
            rsa_padding.decode_oaep(algorithm, label, spoiled)
    with pytest.raises(DecryptionFailed, match=r"^Decryption failed$"):
        rsa_padding.decode_oaep(algorithm, label + b"x", block)


def test_pkcs1v15_decrypts(key: rsa.RSAPrivateKey) -> None:
    for message in (b"", b"hi", b"\x00" * 5, b"x" * ((key.key_size + 7) // 8 - 11)):
        ciphertext = key.public_key().encrypt(message, padding.PKCS1v15())
        block = bare(key, ciphertext)
        assert message == rsa_padding.decode_pkcs1v15(block, ciphertext, SECRET)


@pytest.mark.parametrize(
    "block",
    [
        b"\x01\x02" + b"\x55" * 10 + b"\x00message",
        b"\x00\x01" + b"\x55" * 10 + b"\x00message",
        b"\x00\x02" + b"\x55" * 7 + b"\x00message",
        b"\x00\x02" + b"\x55" * 20,
        bytes(20),
    ],
)
def test_broken_pkcs1v15_padding_gives_a_pseudo_random_message(block: bytes) -> None:
    block = block.ljust(128, b"\x55")

    first = rsa_padding.decode_pkcs1v15(block, b"ciphertext", SECRET)

    assert first == rsa_padding.decode_pkcs1v15(block, b"ciphertext", SECRET)
    others = {
        rsa_padding.decode_pkcs1v15(block, os.urandom(128), SECRET) for _ in range(50)
    }
    assert len(others) > 40
    assert max(map(len, others)) <= 128 - 11
    assert not any(message.endswith(b"message") for message in others)
