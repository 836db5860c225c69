"""RSA ciphertexts whose padding is broken in each way that a decryption can notice.

Made with the public key alone, as an attacker does (Bleichenbacher 1998, Manger 2001).
"""

from __future__ import annotations

import hashlib
import os

from cryptography.hazmat.primitives.asymmetric import rsa

_SIZE = 32  # SHA-256.


def broken_oaep(key: rsa.RSAPublicKey) -> dict[str, bytes]:
    """A ciphertext of each kind for OAEP with SHA-256 and no label."""
    length = key.key_size // 8
    hashed, room = hashlib.sha256(b"").digest(), length - 2 * _SIZE - 2
    zeros = bytes(room - 8)
    blocks = {
        "first byte": (1, hashed + zeros + b"\x01message"),
        "label": (0, hashlib.sha256(b"other").digest() + zeros + b"\x01message"),
        "no separator": (0, hashed + bytes(room + 1)),
        "late separator": (0, hashed + bytes(room) + b"\x02"),
        "early garbage": (0, hashed + b"\x02" + zeros[1:] + b"\x01message"),
        "late garbage": (0, hashed + zeros[1:] + b"\x02\x01message"),
    }
    encrypted = {
        kind: _encrypted(key, _oaep(first, db.ljust(length - _SIZE - 1, b"\x01")))
        for kind, (first, db) in blocks.items()
    }
    return {**encrypted, "random": _random(key)}


def broken_pkcs1v15(key: rsa.RSAPublicKey) -> dict[str, bytes]:
    """A ciphertext of each kind for PKCS#1 v1.5."""
    length = key.key_size // 8
    filler = bytes(1 + octet % 255 for octet in os.urandom(length))
    blocks = {
        "first byte": b"\x01\x02" + filler[:-12] + b"\x00message\x00\x00",
        "second byte": b"\x00\x01" + filler[:-12] + b"\x00message\x00\x00",
        "no separator": b"\x00\x02" + filler[:-2],
        "short padding": b"\x00\x02" + filler[:7] + b"\x00" + filler[:-10],
        "no padding": b"\x00\x02\x00" + filler[:-3],
    }
    encrypted = {kind: _encrypted(key, block) for kind, block in blocks.items()}
    return {**encrypted, "random": _random(key)}


def _oaep(first: int, db: bytes) -> bytes:
    seed = os.urandom(_SIZE)
    masked = _xor(db, _mgf1(seed, len(db)))
    return bytes([first]) + _xor(seed, _mgf1(masked, _SIZE)) + masked


def _encrypted(key: rsa.RSAPublicKey, block: bytes) -> bytes:
    numbers, length = key.public_numbers(), key.key_size // 8
    assert len(block) == length
    return pow(int.from_bytes(block, "big"), numbers.e, numbers.n).to_bytes(
        length, "big"
    )


def _random(key: rsa.RSAPublicKey) -> bytes:
    number = int.from_bytes(os.urandom(key.key_size // 8), "big")
    return (number % key.public_numbers().n).to_bytes(key.key_size // 8, "big")


def _mgf1(seed: bytes, length: int) -> bytes:
    blocks = (
        hashlib.sha256(seed + n.to_bytes(4, "big")).digest() for n in range(length)
    )
    mask = b""
    while len(mask) < length:
        mask += next(blocks)
    return mask[:length]


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
