"""PSA's key formats, to and from the numbers that a TPM or a token wants.

RSA keys are PKCS#1 DER; a public point is ``04 X Y``; a private scalar is as long as
the curve's order (PSA Crypto API 1.1, section 9.3). Parsing is pyca's, which also
checks that the numbers belong together.
"""

from __future__ import annotations

import functools
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from parsec_keys._pyca import CURVES
from parsec_keys.errors import InvalidArgument, NotSupported
from parsec_keys.psa.attributes import (
    EccFamily,
    EccKeyPair,
    EccPublicKey,
    KeyAttributes,
)

MONTGOMERY_BITS: Final = {255: 32, 448: 56}
"""The Montgomery curves: PSA's size in bits, and the octets of a key (RFC 7748)."""
_SIZES: Final[dict[EccFamily, dict[int, int]]] = {
    EccFamily.MONTGOMERY: {length: bits for bits, length in MONTGOMERY_BITS.items()}
}
"""Of each family: a curve's size in bits by the length of its private keys."""
for _family, _bits in CURVES:
    _SIZES.setdefault(_family, {})[(_bits + 7) // 8] = _bits


def encode_rsa_public_key(modulus: int, public_exponent: int) -> bytes:
    """PKCS#1 ``RSAPublicKey`` DER."""
    key = rsa.RSAPublicNumbers(public_exponent, modulus).public_key()
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.PKCS1
    )


@functools.lru_cache(maxsize=1024)
def rsa_modulus(public_key: bytes) -> int:
    """The modulus of PKCS#1 ``RSAPublicKey`` DER."""
    key = serialization.load_der_public_key(public_key)
    if not isinstance(key, rsa.RSAPublicKey):
        raise InvalidArgument("the data is not an RSA public key in DER")
    return key.public_numbers().n


def encode_ecc_public_key(x: int, y: int, bits: int) -> bytes:
    """An uncompressed point (SEC 1, section 2.3.3) of a field of ``bits`` bits."""
    length = (bits + 7) // 8
    return b"\x04" + x.to_bytes(length, "big") + y.to_bytes(length, "big")


def decode_ecc_public_key(point: bytes) -> tuple[bytes, bytes]:
    """The coordinates of an uncompressed point, each as long as the field."""
    if len(point) % 2 != 1 or point[:1] != b"\x04":
        raise InvalidArgument("a public key on a curve must be an uncompressed point")
    half = len(point) // 2
    return point[1 : 1 + half], point[1 + half :]


def decode_rsa_private_key(data: bytes) -> rsa.RSAPrivateNumbers:
    """The numbers of PKCS#1 ``RSAPrivateKey`` DER.

    Raises:
        InvalidArgument: this is not such a key.
    """
    try:
        key = serialization.load_der_private_key(data, password=None)
    except (ValueError, TypeError):
        # The parser's message may quote the input, which is secret.
        raise InvalidArgument("the data is not an RSA private key in DER") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise InvalidArgument("the data is not an RSA private key in DER")
    if _encoded(key) != data:  # pyca reads PKCS#8 as well.
        raise InvalidArgument("the data is not an RSAPrivateKey of PKCS#1 in DER")
    return key.private_numbers()


def encode_rsa_private_key(numbers: rsa.RSAPrivateNumbers) -> bytes:
    """PKCS#1 ``RSAPrivateKey`` DER."""
    return _encoded(numbers.private_key())


def _encoded(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def decode_ecc_private_key(
    data: bytes, curve: ec.EllipticCurve
) -> ec.EllipticCurvePrivateNumbers:
    """The numbers of a private scalar.

    Raises:
        InvalidArgument: the scalar is out of the curve's range.
    """
    try:
        key = ec.derive_private_key(int.from_bytes(data, "big"), curve)
    except ValueError:
        raise InvalidArgument(
            f"the data is not a private scalar of {curve.name}"
        ) from None
    return key.private_numbers()


def curve_of(attributes: KeyAttributes) -> ec.EllipticCurve:
    """pyca's curve for a key's type and bits.

    Raises:
        NotSupported: there is no such curve, or pyca does not have it.
    """
    key_type = attributes.type
    if not isinstance(key_type, (EccKeyPair, EccPublicKey)):
        raise NotSupported(f"a key of type {key_type} is on no curve")
    return curve(key_type.curve_family, attributes.bits)


def curve(family: EccFamily, bits: int) -> ec.EllipticCurve:
    """pyca's curve of a family and a size in bits.

    Raises:
        NotSupported: there is no such curve, or pyca does not have it.
    """
    try:
        return CURVES[family, bits]()
    except KeyError:
        raise NotSupported(
            f"no curve of family {family} has {bits} bits here"
        ) from None


def bits_of(family: EccFamily, length: int) -> int:
    """The size in bits of a family's curve whose private keys have ``length`` bytes.

    Raises:
        NotSupported: pyca has no curve of this family.
        InvalidArgument: no curve of it has such keys.
    """
    if family not in _SIZES:
        raise NotSupported(f"no curve of family {family} is here")
    try:
        return _SIZES[family][length]
    except KeyError:
        raise InvalidArgument(
            f"no curve of family {family} has keys of {length} bytes"
        ) from None


def scalar_length(curve: ec.EllipticCurve) -> int:
    """The length in bytes of ``r``, of ``s`` and of a private scalar.

    Every curve here has an order as long as its field.
    """
    return (curve.key_size + 7) // 8
