"""pyca's keys in PSA's formats, and signatures in both."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from parsec_keys.psa import algorithms as a
from parsec_keys.psa.attributes import EccFamily, EccKeyPair, EccPublicKey

RSA = rsa.generate_private_key(65537, 2048)
CURVES: dict[int, ec.EllipticCurve] = {
    256: ec.SECP256R1(),
    384: ec.SECP384R1(),
    521: ec.SECP521R1(),
}
ECC = {bits: ec.generate_private_key(curve) for bits, curve in CURVES.items()}
PAIR, PUBLIC = EccKeyPair(EccFamily.SECP_R1), EccPublicKey(EccFamily.SECP_R1)
SHA256 = a.Hash.SHA_256
NATIVE: dict[a.Hash, hashes.HashAlgorithm] = {
    a.Hash.SHA_256: hashes.SHA256(),
    a.Hash.SHA_384: hashes.SHA384(),
    a.Hash.SHA_512: hashes.SHA512(),
    a.Hash.SHA3_256: hashes.SHA3_256(),
}


def rsa_private(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def rsa_public(key: rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.PKCS1
    )


def ecc_private(key: ec.EllipticCurvePrivateKey) -> bytes:
    value: int = key.private_numbers().private_value
    return value.to_bytes((key.key_size + 7) // 8, "big")


def ecc_public(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def to_der(signature: bytes) -> bytes:
    half = len(signature) // 2
    r, s = signature[:half], signature[half:]
    return utils.encode_dss_signature(
        int.from_bytes(r, "big"), int.from_bytes(s, "big")
    )


def from_der(signature: bytes, bits: int) -> bytes:
    length = (bits + 7) // 8
    numbers = utils.decode_dss_signature(signature)
    return b"".join(number.to_bytes(length, "big") for number in numbers)


def pss(hash_: hashes.HashAlgorithm, salt_length: int) -> padding.PSS:
    return padding.PSS(padding.MGF1(hash_), salt_length)


def flipped(data: bytes, index: int = -1) -> bytes:
    """The same but for one bit."""
    changed = bytearray(data)
    changed[index] ^= 1
    return bytes(changed)
