"""pyca's key objects to and from PSA's key formats.

Imported when a key is loaded or made, not with the package: it needs all of pyca's
``serialization``, which a program that only imports us does not.
"""

from __future__ import annotations

from typing import cast

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from parsec_keys._pyca import CURVES, PSA_CURVES
from parsec_keys.errors import NotSupported
from parsec_keys.psa.attributes import EccKeyPair, KeyAttributes, KeyType, RsaKeyPair


def public_key(
    attributes: KeyAttributes, data: bytes
) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    """pyca's public key of an exported one.

    Raises:
        NotSupported: a key of a type that no key class of ours is.
        ValueError: the data is no such key.
    """
    key_type = attributes.type
    if isinstance(key_type, RsaKeyPair):
        key = serialization.load_der_public_key(data)
        if not isinstance(key, rsa.RSAPublicKey):
            raise ValueError("it is of another type")
        return key
    if isinstance(key_type, EccKeyPair):
        curve = CURVES.get((key_type.curve_family, attributes.bits))
        if curve is not None:
            return ec.EllipticCurvePublicKey.from_encoded_point(curve(), data)
    raise NotSupported(
        f"cryptography has no private key class for an {key_type} of "
        f"{attributes.bits} bits"
    )


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    """The uncompressed point of a public key (SEC 1, section 2.3.3)."""
    return key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def private_key_data(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
) -> tuple[KeyType, int, bytes]:
    """Type, bits and data of a private key to import.

    Raises:
        TypeError: no RSA or EC private key, or one whose secret does not come out.
    """
    if isinstance(key, rsa.RSAPrivateKey):
        data = key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        return RsaKeyPair(), key.key_size, data
    if isinstance(key, ec.EllipticCurvePrivateKey):
        key_type, bits = type_of_curve(key.curve)
        value: int = key.private_numbers().private_value
        return key_type, bits, value.to_bytes((bits + 7) // 8, "big")
    raise TypeError("an RSA or elliptic-curve private key of cryptography is needed")


def type_of_curve(curve: ec.EllipticCurve) -> tuple[KeyType, int]:
    """PSA's key type and bits of a curve.

    Raises:
        TypeError: no curve.
        NotSupported: a curve that PSA has no name for.
    """
    if not isinstance(curve, ec.EllipticCurve):
        raise TypeError("curve must be an EllipticCurve instance")
    try:
        family, bits = PSA_CURVES[curve.name]
    except KeyError:
        raise NotSupported(f"curve {curve.name} has no name in PSA") from None
    return EccKeyPair(family), bits


def rsa_private_key(data: bytes) -> rsa.RSAPrivateKey:
    """pyca's key of an exported one."""
    return cast(
        rsa.RSAPrivateKey, serialization.load_der_private_key(data, password=None)
    )
