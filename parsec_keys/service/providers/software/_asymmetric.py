"""Private keys of the software provider: what pyca's objects do, in PSA's words."""

from __future__ import annotations

from typing import Final, cast

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import (
    ec,
    padding,
    rsa,
    utils,
    x448,
    x25519,
)

from parsec_keys._pyca import HASHES
from parsec_keys.errors import DecryptionFailed, InvalidArgument, NotSupported
from parsec_keys.psa.algorithms import (
    AsymmetricEncryption,
    AsymmetricSignature,
    EccSignature,
    Ecdsa,
    Hash,
    PermittedAlgorithm,
    RsaOaep,
    RsaPkcs1v15Sign,
    RsaPss,
    RsaSignature,
)
from parsec_keys.psa.attributes import (
    DhKeyPair,
    EccFamily,
    EccKeyPair,
    KeyAttributes,
    RsaKeyPair,
)
from parsec_keys.service.key_formats import (
    MONTGOMERY_BITS,
    curve_of,
    decode_ecc_private_key,
    decode_rsa_private_key,
    scalar_length,
)
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.public_operations import (
    check_encryption,
    check_hashes,
    encryption_padding,
)
from parsec_keys.service.rsa_padding import pss_parameters

_MontgomeryKey = x25519.X25519PrivateKey | x448.X448PrivateKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | _MontgomeryKey
PRIVATE_KEYS: Final = (
    rsa.RSAPrivateKey,
    ec.EllipticCurvePrivateKey,
    x25519.X25519PrivateKey,
    x448.X448PrivateKey,
)
_RsaScheme = tuple[padding.AsymmetricPadding, utils.Prehashed | utils.NoDigestInfo]

_RSA_BITS: Final = range(1024, 16384 + 1)
_PREHASHED: Final = {hash_: utils.Prehashed(each) for hash_, each in HASHES.items()}
_ECDSA: Final = {hash_: ec.ECDSA(each) for hash_, each in _PREHASHED.items()}
_DETERMINISTIC_ECDSA: Final = {
    hash_: ec.ECDSA(each, deterministic_signing=True)
    for hash_, each in _PREHASHED.items()
}
_MONTGOMERY: Final[
    dict[int, type[x25519.X25519PrivateKey] | type[x448.X448PrivateKey]]
] = {255: x25519.X25519PrivateKey, 448: x448.X448PrivateKey}


def check_key(attributes: KeyAttributes) -> None:
    """Pass if pyca has private keys of this type and size.

    Raises:
        NotSupported: it has none.
    """
    key_type, bits = attributes.type, attributes.bits
    if isinstance(key_type, DhKeyPair):
        raise NotSupported(
            "cryptography is about to drop finite-field Diffie-Hellman: use a curve"
        )
    if isinstance(key_type, RsaKeyPair):
        if bits not in _RSA_BITS:
            raise NotSupported(
                f"RSA keys in software have {_RSA_BITS[0]} to {_RSA_BITS[-1]} bits, "
                f"not {bits}"
            )
    elif not _is_montgomery(attributes):
        curve_of(attributes)
    elif bits not in MONTGOMERY_BITS:
        raise NotSupported(f"no Montgomery curve has {bits} bits: X25519 has 255")


def check_algorithm(algorithm: PermittedAlgorithm) -> None:
    """Pass if private keys here can do this algorithm.

    Raises:
        NotSupported: they cannot.
    """
    check_hashes(algorithm)
    if isinstance(algorithm, RsaOaep):
        check_encryption(algorithm)


def generate(attributes: KeyAttributes, public_exponent: int) -> PrivateKey:
    """Make a key.

    Raises:
        InvalidArgument: pyca does not take this public exponent.
    """
    if _is_montgomery(attributes):
        return _MONTGOMERY[attributes.bits].generate()
    if not isinstance(attributes.type, RsaKeyPair):
        return ec.generate_private_key(curve_of(attributes))
    try:
        return rsa.generate_private_key(public_exponent, attributes.bits)
    except ValueError as e:
        raise InvalidArgument(str(e)) from None


def decode(attributes: KeyAttributes, data: bytes) -> PrivateKey:
    """A key from PSA's format.

    Raises:
        InvalidArgument: the data is no such key.
    """
    if _is_montgomery(attributes):
        return _MONTGOMERY[attributes.bits].from_private_bytes(data)
    if isinstance(attributes.type, RsaKeyPair):
        return decode_rsa_private_key(data).private_key()
    return decode_ecc_private_key(data, curve_of(attributes)).private_key()


def encode(key: PrivateKey) -> bytes:
    """A key in PSA's format."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    if isinstance(key, ec.EllipticCurvePrivateKey):
        value: int = key.private_numbers().private_value
        return value.to_bytes(scalar_length(key.curve), "big")
    return key.private_bytes_raw()


def public_key(key: PrivateKey) -> bytes:
    """The public half of a key in PSA's format."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.PKCS1
        )
    if isinstance(public, ec.EllipticCurvePublicKey):
        return public.public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
    return public.public_bytes_raw()


def sign(
    private_key: PrivateKey,
    key: KeyRecord,
    algorithm: AsymmetricSignature,
    hashed: bytes,
) -> bytes:
    """Sign a digest; ECDSA answers ``r`` and ``s``.

    Raises:
        NotSupported: pyca has no such hash.
        InvalidArgument: the padding does not fit the key.
    """
    try:
        if isinstance(private_key, ec.EllipticCurvePrivateKey):
            ecdsa = _ecdsa(cast(EccSignature, algorithm), len(hashed))
            r, s = utils.decode_dss_signature(private_key.sign(hashed, ecdsa))
            length = (private_key.key_size + 7) // 8
            return r.to_bytes(length, "big") + s.to_bytes(length, "big")
        scheme, prehashed = _rsa_scheme(cast(RsaSignature, algorithm))
        return cast(rsa.RSAPrivateKey, private_key).sign(hashed, scheme, prehashed)
    except ValueError as e:
        raise InvalidArgument(str(e)) from None
    except KeyError:
        raise NotSupported(f"{key.described} has no {algorithm}") from None


def decrypt(
    private_key: PrivateKey,
    algorithm: AsymmetricEncryption,
    ciphertext: bytes,
    label: bytes,
) -> bytes:
    """Decrypt with an RSA key.

    Raises:
        DecryptionFailed: a bad ciphertext.
        NotSupported: pyca has no such encryption.
    """
    check_encryption(algorithm)
    scheme = encryption_padding(algorithm, label)
    try:
        return cast(rsa.RSAPrivateKey, private_key).decrypt(ciphertext, scheme)
    except ValueError:
        raise DecryptionFailed from None


def agree(private_key: PrivateKey, peer_key: bytes) -> bytes:
    """The secret that a key shares with a peer's.

    Raises:
        InvalidArgument: the peer's key is not on the curve, or gives no secret.
    """
    try:
        if isinstance(private_key, ec.EllipticCurvePrivateKey):
            curve = private_key.curve
            peer = ec.EllipticCurvePublicKey.from_encoded_point(curve, peer_key)
            return private_key.exchange(ec.ECDH(), peer)
        if isinstance(private_key, x25519.X25519PrivateKey):
            return private_key.exchange(
                x25519.X25519PublicKey.from_public_bytes(peer_key)
            )
        return cast(x448.X448PrivateKey, private_key).exchange(
            x448.X448PublicKey.from_public_bytes(peer_key)
        )
    except ValueError:
        raise InvalidArgument("Error computing shared key.") from None


def _is_montgomery(attributes: KeyAttributes) -> bool:
    return (
        isinstance(attributes.type, EccKeyPair)
        and attributes.type.curve_family is EccFamily.MONTGOMERY
    )


def _ecdsa(algorithm: EccSignature, length: int) -> ec.ECDSA:
    hash_ = getattr(algorithm, "hash", None)
    if hash_ is None:
        # Of a digest that is already there, pyca asks the length and nothing else.
        return ec.ECDSA(utils.Prehashed(hashes.SHAKE256(length)))
    table = _ECDSA if isinstance(algorithm, Ecdsa) else _DETERMINISTIC_ECDSA
    return table[hash_]


def _rsa_scheme(algorithm: RsaSignature) -> _RsaScheme:
    if isinstance(algorithm, RsaPss):
        hash_, mgf_hash, salt_length = pss_parameters(algorithm)
        mgf = padding.MGF1(HASHES[mgf_hash])
        return padding.PSS(mgf, salt_length), _PREHASHED[hash_]
    if isinstance(algorithm, RsaPkcs1v15Sign) and isinstance(algorithm.hash, Hash):
        return padding.PKCS1v15(), _PREHASHED[algorithm.hash]
    return padding.PKCS1v15(), utils.NoDigestInfo()
