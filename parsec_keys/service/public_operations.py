"""What takes only the public half of a key: done by pyca, alike for every provider."""

from __future__ import annotations

import functools
import hashlib

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from parsec_keys._pyca import HASHES
from parsec_keys.errors import InvalidArgument, NotSupported
from parsec_keys.psa.algorithms import (
    AsymmetricEncryption,
    AsymmetricSignature,
    Hash,
    PermittedAlgorithm,
    RsaOaep,
    RsaPkcs1v15Sign,
    RsaPkcs1v15SignRaw,
    RsaPss,
)
from parsec_keys.psa.attributes import KeyAttributes, RsaKeyPair, RsaPublicKey
from parsec_keys.service.key_formats import curve_of, scalar_length
from parsec_keys.service.rsa_padding import pss_parameters

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


def fingerprint_of(public_key: bytes) -> bytes:
    """The SHA-256 that tells one public key from another."""
    return hashlib.sha256(public_key).digest()


@functools.lru_cache(maxsize=1024)
def load_public_key(attributes: KeyAttributes, data: bytes) -> PublicKey:
    """pyca's object of a public key in PSA's format, and in no other.

    Raises:
        InvalidArgument: the data is no such key.
        NotSupported: pyca has no such key.
    """
    try:
        if isinstance(attributes.type, (RsaKeyPair, RsaPublicKey)):
            return _load_rsa(data)
        curve = curve_of(attributes)
        if len(data) != 1 + 2 * scalar_length(curve) or data[0] != 4:
            raise ValueError("it is not an uncompressed point as long as the curve's")
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, data)
    except (ValueError, UnsupportedAlgorithm) as e:
        if isinstance(e, NotSupported):
            raise
        raise InvalidArgument(f"the data is no {attributes.type}: {e}") from None


def check_hashes(algorithm: PermittedAlgorithm) -> None:
    """Pass if the hashes that an algorithm names, or is, are computed here.

    Raises:
        NotSupported: one of them is not.
    """
    named = (getattr(algorithm, name, None) for name in ("hash", "mgf_hash"))
    for hash_ in (algorithm, *named):
        if isinstance(hash_, Hash) and hash_ not in HASHES:
            raise NotSupported(f"{hash_} is not computed here")


@functools.lru_cache(maxsize=256)
def has_encryption(algorithm: AsymmetricEncryption) -> bool:
    """Whether pyca has an encryption: OAEP is not there for every hash."""
    modulus = (1 << 4095) | 1  # Any will do to ask.
    key = rsa.RSAPublicNumbers(65537, modulus).public_key()
    try:
        key.encrypt(b"", encryption_padding(algorithm, b""))
    except (UnsupportedAlgorithm, KeyError):
        return False
    return True


def check_encryption(algorithm: AsymmetricEncryption) -> None:
    """Pass if pyca has an encryption.

    Raises:
        NotSupported: it has not.
    """
    if not has_encryption(algorithm):
        raise NotSupported(f"cryptography has no {algorithm}")


def encrypt(
    attributes: KeyAttributes,
    public_key: bytes,
    algorithm: AsymmetricEncryption,
    plaintext: bytes,
    label: bytes,
) -> bytes:
    """Encrypt to an RSA key.

    Raises:
        InvalidArgument: the plaintext is too long for the key.
        NotSupported: pyca has no such encryption.
    """
    check_encryption(algorithm)
    key = load_public_key(attributes, public_key)
    assert isinstance(key, rsa.RSAPublicKey)  # noqa: S101
    try:
        return key.encrypt(plaintext, encryption_padding(algorithm, label))
    except ValueError as e:
        raise InvalidArgument(str(e)) from None


def encryption_padding(
    algorithm: AsymmetricEncryption, label: bytes
) -> padding.AsymmetricPadding:
    """pyca's padding of an encryption."""
    if not isinstance(algorithm, RsaOaep):
        return padding.PKCS1v15()
    mgf = padding.MGF1(HASHES[algorithm.mgf_hash or algorithm.hash])
    return padding.OAEP(mgf, HASHES[algorithm.hash], label or None)


def is_signature(
    attributes: KeyAttributes,
    public_key: bytes,
    algorithm: AsymmetricSignature,
    hash_: bytes,
    signature: bytes,
) -> bool:
    """Whether a signature of a digest is the key's, exactly as the algorithm says.

    PSS takes only the salt length that the algorithm has; ECDSA only ``r`` and ``s``,
    each as long as the curve's order.

    Raises:
        NotSupported: pyca has no such hash.
    """
    key = load_public_key(attributes, public_key)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            _verify_rsa(key, algorithm, hash_, signature)
        else:
            _verify_ecdsa(key, hash_, signature)
    except (InvalidSignature, ValueError):
        return False
    except KeyError:
        raise NotSupported(f"there is no {algorithm} here") from None
    return True


def _load_rsa(data: bytes) -> rsa.RSAPublicKey:
    key = serialization.load_der_public_key(data)
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("it is of another type")
    encoding = (serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    if key.public_bytes(*encoding) != data:  # pyca reads SubjectPublicKeyInfo as well.
        raise ValueError("it is not an RSAPublicKey of PKCS#1 in DER")
    return key


def _verify_rsa(
    key: rsa.RSAPublicKey,
    algorithm: AsymmetricSignature,
    hashed: bytes,
    signature: bytes,
) -> None:
    if isinstance(algorithm, RsaPkcs1v15SignRaw):
        found = key.recover_data_from_signature(signature, padding.PKCS1v15(), None)
        if found != hashed:
            raise InvalidSignature
    elif isinstance(algorithm, RsaPss):
        hash_, mgf_hash, salt_length = pss_parameters(algorithm)
        pss = padding.PSS(padding.MGF1(HASHES[mgf_hash]), salt_length)
        key.verify(signature, hashed, pss, utils.Prehashed(HASHES[hash_]))
    elif isinstance(algorithm, RsaPkcs1v15Sign) and isinstance(algorithm.hash, Hash):
        prehashed = utils.Prehashed(HASHES[algorithm.hash])
        key.verify(signature, hashed, padding.PKCS1v15(), prehashed)
    else:
        raise KeyError(algorithm)


def _verify_ecdsa(
    key: ec.EllipticCurvePublicKey, hashed: bytes, signature: bytes
) -> None:
    length = scalar_length(key.curve)
    if len(signature) != 2 * length:
        raise InvalidSignature
    r, s = (int.from_bytes(signature[i : i + length], "big") for i in (0, length))
    # Of a digest that is already there, pyca asks the length and nothing else.
    of_length = ec.ECDSA(utils.Prehashed(hashes.SHAKE256(len(hashed))))
    key.verify(utils.encode_dss_signature(r, s), hashed, of_length)
