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
    AsymmetricSignature,
    Hash,
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
    """pyca's object of a public key in PSA's format.

    Raises:
        InvalidArgument: the data is no such key.
        NotSupported: pyca has no such key.
    """
    try:
        if isinstance(attributes.type, (RsaKeyPair, RsaPublicKey)):
            key = serialization.load_der_public_key(data)
            if isinstance(key, rsa.RSAPublicKey):
                return key
            raise InvalidArgument("the data is not an RSA public key in DER")
        return ec.EllipticCurvePublicKey.from_encoded_point(curve_of(attributes), data)
    except (ValueError, UnsupportedAlgorithm) as e:
        raise InvalidArgument(f"the data is no {attributes.type}: {e}") from None


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
