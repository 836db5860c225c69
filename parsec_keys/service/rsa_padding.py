"""RSA paddings for hardware that does the bare RSA operation only (RFC 8017).

Encoding is exact or refused. Decoding does the same work whatever is wrong with the
padding and says one thing, because here is where oracles live; Python promises no
constant time, so what is computed never depends on where the padding broke, and
nothing returns early.
"""

from __future__ import annotations

import hmac
import os
from typing import Final

from parsec_keys._pyca import HASHES, TOO_LONG, digest
from parsec_keys.errors import DecryptionFailed, InvalidArgument, NotSupported
from parsec_keys.psa.algorithms import Hash, RsaOaep, RsaPss

# RFC 8017, section 9.2, note 1, with SHA-3 and SM3 from their own registrations:
# DigestInfo up to the digest.
_OIDS: Final[dict[Hash, str]] = {
    Hash.MD5: "2a864886f70d0205",
    Hash.SHA_1: "2b0e03021a",
    Hash.SHA_224: "608648016503040204",
    Hash.SHA_256: "608648016503040201",
    Hash.SHA_384: "608648016503040202",
    Hash.SHA_512: "608648016503040203",
    Hash.SHA_512_224: "608648016503040205",
    Hash.SHA_512_256: "608648016503040206",
    Hash.SHA3_224: "608648016503040207",
    Hash.SHA3_256: "608648016503040208",
    Hash.SHA3_384: "608648016503040209",
    Hash.SHA3_512: "60864801650304020a",
    # OpenSSL's verifiers take this identifier (1.2.156.10197.1.504) and no other.
    Hash.SM3: "2a811ccf55018378",
}


def digest_info(hash_: Hash, hashed: bytes) -> bytes:
    """DER ``DigestInfo`` of a digest (RFC 8017, section 9.2).

    Raises:
        NotSupported: the hash has no object identifier here.
    """
    try:
        oid = bytes.fromhex(_OIDS[hash_])
    except KeyError:
        raise NotSupported(
            f"PKCS#1 v1.5 signatures with {hash_} are not made"
        ) from None
    algorithm = b"\x06" + bytes([len(oid)]) + oid + b"\x05\x00"
    sequence = b"\x30" + bytes([len(algorithm)]) + algorithm
    octets = b"\x04" + bytes([len(hashed)]) + hashed
    return b"\x30" + bytes([len(sequence) + len(octets)]) + sequence + octets


def encode_pkcs1v15(octets: bytes, length: int) -> bytes:
    """EMSA-PKCS1-v1_5 around ``octets``, in ``length`` bytes (RFC 8017, section 9.2).

    Raises:
        InvalidArgument: they do not fit.
    """
    if len(octets) > length - 11:
        raise InvalidArgument(TOO_LONG)
    return b"\x00\x01" + b"\xff" * (length - 3 - len(octets)) + b"\x00" + octets


def encode_pss(algorithm: RsaPss, hashed: bytes, bits: int) -> bytes:
    """EMSA-PSS of a digest for a modulus of ``bits`` bits (RFC 8017, section 9.1.1).

    Raises:
        InvalidArgument: digest and salt do not fit.
    """
    hash_, mgf_hash, salt_length = pss_parameters(algorithm)
    em_bits = bits - 1
    em_length = (em_bits + 7) // 8
    db_length = em_length - hash_.size - 1
    if db_length < salt_length + 1:
        raise InvalidArgument(TOO_LONG)
    salt = os.urandom(salt_length)
    h = digest(HASHES[hash_], bytes(8), hashed, salt)
    db = (b"\x01" + salt).rjust(db_length, b"\x00")
    masked = int.from_bytes(_xor(db, _mgf1(mgf_hash, h, db_length)), "big")
    masked &= (1 << (em_bits - 8 * (hash_.size + 1))) - 1
    encoded = masked.to_bytes(db_length, "big") + h + b"\xbc"
    return encoded.rjust((bits + 7) // 8, b"\x00")


def pss_parameters(algorithm: RsaPss) -> tuple[Hash, Hash, int]:
    """Hash, MGF hash and salt length with PSA's defaults written out.

    Raises:
        NotSupported: a hash that is not computed here.
    """
    hash_ = algorithm.hash
    if not isinstance(hash_, Hash):
        raise InvalidArgument("a PSS signature needs one hash, not any")
    mgf_hash = algorithm.mgf_hash or hash_
    for each in (hash_, mgf_hash):
        if each not in HASHES:
            raise NotSupported(f"PSS signatures with {each} are not made")
    salt = algorithm.salt_length
    return hash_, mgf_hash, hash_.size if salt is None else salt


def check_room(algorithm: object, bits: int) -> None:
    """Pass if a modulus of ``bits`` bits has room for what an algorithm pads.

    Raises:
        NotSupported: it has not.
    """
    needed = 0
    if isinstance(algorithm, RsaPss) and isinstance(algorithm.hash, Hash):
        salt = algorithm.salt_length
        salt = algorithm.hash.size if salt is None else salt
        needed = 8 * (algorithm.hash.size + salt + 2) - 6  # RFC 8017, section 9.1.1.
    elif isinstance(algorithm, RsaOaep):
        needed = 8 * (2 * algorithm.hash.size + 2) - 7  # RFC 8017, section 7.1.1.
    if bits < needed:
        raise NotSupported(f"{algorithm} does not fit into a key of {bits} bits")


def decode_oaep(algorithm: RsaOaep, label: bytes, encoded: bytes) -> bytes:
    """The message in an OAEP block as long as the modulus (RFC 8017, section 7.1.2).

    Raises:
        DecryptionFailed: whatever is wrong with it.
    """
    hash_ = algorithm.hash
    size, length = hash_.size, len(encoded)
    if length < 2 * size + 2:
        raise DecryptionFailed
    masked_seed, masked_db = encoded[1 : 1 + size], encoded[1 + size :]
    mgf_hash = algorithm.mgf_hash or hash_
    seed = _xor(masked_seed, _mgf1(mgf_hash, masked_db, size))
    db = _xor(masked_db, _mgf1(mgf_hash, seed, length - size - 1))
    good = int(hmac.compare_digest(db[:size], digest(HASHES[hash_], label)))
    good &= int(encoded[0] == 0)
    # The separator is the first 1 after zeros; every byte is looked at.
    before, at = 1, 0
    for index in range(size, len(db)):
        is_one = int(db[index] == 1)
        is_zero = int(db[index] == 0)
        at |= index * (before & is_one)
        good &= 1 - (before & (1 - is_one) & (1 - is_zero))
        before &= 1 - is_one
    good &= 1 - before
    if not good:
        raise DecryptionFailed
    return db[at + 1 :]


def decode_pkcs1v15(encoded: bytes, ciphertext: bytes, secret: bytes) -> bytes:
    """The message in an EME-PKCS1-v1_5 block, or a pseudo-random one.

    Implicit rejection, as OpenSSL and pyca do it (draft-irtf-cfrg-rsa-guidance): a
    block with broken padding gives a message that depends on the ciphertext and on
    ``secret``, which only this key's holder has, so that nobody can tell it from a
    real one. ``secret`` is 32 bytes, the same for the same key at all times.
    """
    length = len(encoded)
    rejected = _rejection_message(ciphertext, secret, length)
    good = int(encoded[0] == 0) & int(encoded[1] == 2)
    before, at = 1, 0
    for index in range(2, length):
        is_zero = int(encoded[index] == 0)
        at |= index * (before & is_zero)
        before &= 1 - is_zero
    # At least eight bytes of padding stand before the separator.
    good &= (1 - before) & int(at >= 10)
    candidates = (rejected, encoded[at + 1 :])
    return candidates[good]


def _rejection_message(ciphertext: bytes, secret: bytes, length: int) -> bytes:
    key = hmac.digest(secret, ciphertext, "sha256")
    message = _expand(key, b"message", length)
    lengths = _expand(key, b"length", 256)
    longest = length - 11
    mask = (1 << longest.bit_length()) - 1
    chosen = 0
    for index in range(0, 256, 2):
        candidate = int.from_bytes(lengths[index : index + 2], "big") & mask
        chosen = (chosen, candidate)[int(candidate <= longest)]
    return message[length - chosen :]


def _expand(key: bytes, label: bytes, length: int) -> bytes:
    bits = (8 * length).to_bytes(2, "big")
    blocks = (length + 31) // 32
    return b"".join(
        hmac.digest(key, index.to_bytes(2, "big") + label + bits, "sha256")
        for index in range(blocks)
    )[:length]


def _mgf1(hash_: Hash, seed: bytes, length: int) -> bytes:
    blocks = -(-length // hash_.size)
    return b"".join(
        digest(HASHES[hash_], seed, counter.to_bytes(4, "big"))
        for counter in range(blocks)
    )[:length]


def _xor(left: bytes, right: bytes) -> bytes:
    number = int.from_bytes(left, "big") ^ int.from_bytes(right, "big")
    return number.to_bytes(len(left), "big")
