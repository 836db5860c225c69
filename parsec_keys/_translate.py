"""pyca's padding, hash and signature objects, translated to PSA's algorithms.

What pyca refuses is refused here with pyca's own exception and words; what PSA has no
name for is refused too. Nothing is dropped on the way.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm, _Reasons
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.utils import Buffer

from parsec_keys._pyca import PSA_HASHES, TOO_LONG
from parsec_keys.psa.algorithms import (
    ECDSA_ANY,
    RSA_PKCS1V15_CRYPT,
    RSA_PKCS1V15_SIGN_RAW,
    AsymmetricEncryption,
    DeterministicEcdsa,
    EccSignature,
    Ecdsa,
    RsaOaep,
    RsaPkcs1v15Sign,
    RsaPss,
    RsaSignature,
)

_ECDSA: Final = {name: Ecdsa(hash_) for name, hash_ in PSA_HASHES.items()}
_DETERMINISTIC_ECDSA: Final = {
    name: DeterministicEcdsa(hash_) for name, hash_ in PSA_HASHES.items()
}
_PKCS1V15_SIGN: Final = {
    name: RsaPkcs1v15Sign(hash_) for name, hash_ in PSA_HASHES.items()
}
_OAEP_HASHES: Final = frozenset({"sha1", "sha224", "sha256", "sha384", "sha512"})
"""The hashes of which OpenSSL, and so pyca, makes OAEP."""

RsaHashArgument = hashes.HashAlgorithm | utils.Prehashed | utils.NoDigestInfo


def digest(
    data: Buffer, algorithm: hashes.HashAlgorithm | utils.Prehashed
) -> tuple[bytes, hashes.HashAlgorithm]:
    """The digest to sign, and the hash that it is of.

    Raises:
        TypeError: no buffer, or no hash algorithm.
        UnsupportedAlgorithm: a hash that pyca does not have.
        ValueError: a prehashed digest of another length than its hash's.
    """
    if isinstance(algorithm, utils.Prehashed):
        inner: hashes.HashAlgorithm = algorithm._algorithm
        hashed = octets(data)
        if len(hashed) != algorithm.digest_size:
            raise ValueError(
                "The provided data must be the same length as the hash "
                "algorithm's digest size."
            )
        return hashed, inner
    context = hashes.Hash(algorithm)
    context.update(data)
    return context.finalize(), algorithm


def octets(data: Buffer) -> bytes:
    """A copy of any contiguous buffer of bytes.

    Raises:
        TypeError: no such buffer.
        BufferError: a buffer with gaps.
    """
    if isinstance(data, bytes):
        return data
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(
            f'Cannot convert "{type(data)}" instance to a buffer.'
        ) from None
    if view.itemsize != 1:
        raise TypeError(f'Cannot convert "{type(data)}" instance to a buffer.')
    if not view.c_contiguous:
        raise BufferError("memoryview: underlying buffer is not C-contiguous")
    return view.tobytes()


def rsa_signature(
    scheme: padding.AsymmetricPadding,
    algorithm: hashes.HashAlgorithm | utils.NoDigestInfo,
    key_size: int,
) -> RsaSignature:
    """The algorithm of ``sign(data, scheme, algorithm)`` for a modulus in bits.

    Raises:
        TypeError, ValueError, UnsupportedAlgorithm: as pyca's own key.
    """
    _check_padding(scheme)
    if isinstance(scheme, padding.PKCS1v15):
        if isinstance(algorithm, utils.NoDigestInfo):
            return RSA_PKCS1V15_SIGN_RAW
        known = _PKCS1V15_SIGN.get(algorithm.name)
        if known is None:
            raise _no_rsa_hash(algorithm)
        return known
    if isinstance(scheme, padding.PSS):
        return _pss(scheme, algorithm, key_size)
    raise _no_padding(scheme)


def check_raw(octets: bytes, key_size: int) -> None:
    """Pass if octets fit into a modulus in bits (RFC 8017, section 9.2).

    Raises:
        ValueError: as pyca's own key.
    """
    if len(octets) + 11 > (key_size + 7) // 8:
        raise ValueError(TOO_LONG)


def rsa_encryption(
    scheme: padding.AsymmetricPadding,
) -> tuple[AsymmetricEncryption, bytes]:
    """The algorithm and the label of ``decrypt(ciphertext, scheme)``.

    Raises:
        TypeError, UnsupportedAlgorithm: as pyca's own key.
    """
    _check_padding(scheme)
    if isinstance(scheme, padding.PKCS1v15):
        return RSA_PKCS1V15_CRYPT, b""
    if not isinstance(scheme, padding.OAEP):
        raise _no_padding(scheme)
    mgf_name = _mgf_hash(scheme.mgf).name
    name = scheme.algorithm.name
    if not {name, mgf_name} <= _OAEP_HASHES:
        raise UnsupportedAlgorithm(
            "This combination of padding and hash algorithm is not supported",
            _Reasons.UNSUPPORTED_PADDING,
        )
    mgf_hash = None if mgf_name == name else PSA_HASHES[mgf_name]
    return RsaOaep(PSA_HASHES[name], mgf_hash), scheme._label or b""


def ecdsa(algorithm: hashes.HashAlgorithm, deterministic: bool) -> EccSignature:
    """The algorithm of ``ECDSA(algorithm)``.

    PSA has no name for BLAKE2 and SHAKE; ECDSA asks the digest only, so that they are
    ``ECDSA_ANY``.

    Raises:
        UnsupportedAlgorithm: deterministic with a hash that RFC 6979 cannot use here.
    """
    table: dict[str, Ecdsa] | dict[str, DeterministicEcdsa] = _ECDSA
    if deterministic:
        table = _DETERMINISTIC_ECDSA
    known = table.get(algorithm.name)
    if known is not None:
        return known
    if deterministic:
        raise UnsupportedAlgorithm(
            f"{algorithm.name} is not supported for deterministic ECDSA",
            _Reasons.UNSUPPORTED_HASH,
        )
    return ECDSA_ANY


def der_signature(signature: bytes) -> bytes:
    """ECDSA's ``r`` and ``s``, end to end and equally long, as DER (RFC 3279)."""
    half = len(signature) // 2
    return utils.encode_dss_signature(
        int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    )


def check_ecdsa(algorithm: ec.EllipticCurveSignatureAlgorithm) -> ec.ECDSA:
    """The same object, if it is ECDSA.

    Raises:
        UnsupportedAlgorithm: as pyca's own key.
    """
    if isinstance(algorithm, ec.ECDSA):
        return algorithm
    raise UnsupportedAlgorithm(
        "Unsupported elliptic curve signature algorithm",
        _Reasons.UNSUPPORTED_PUBLIC_KEY_ALGORITHM,
    )


def _pss(
    scheme: padding.PSS,
    algorithm: hashes.HashAlgorithm | utils.NoDigestInfo,
    key_size: int,
) -> RsaPss:
    mgf_hash = _mgf_hash(scheme.mgf)
    if not isinstance(algorithm, hashes.HashAlgorithm):
        raise TypeError("Expected instance of hashes.HashAlgorithm.")
    if algorithm.digest_size + 2 > (key_size + 7) // 8:
        raise ValueError(
            "Digest too large for key size. Use a larger key or different digest."
        )
    hash_ = PSA_HASHES.get(algorithm.name)
    if hash_ is None:
        raise _no_rsa_hash(algorithm)
    mgf = PSA_HASHES.get(mgf_hash.name)
    if mgf is None:
        raise UnsupportedAlgorithm(
            f"{mgf_hash.name} is not supported for MGF1", _Reasons.UNSUPPORTED_MGF
        )
    salt_length = _salt_length(scheme, algorithm, key_size)
    return RsaPss(
        hash_,
        None if mgf is hash_ else mgf,
        None if salt_length == hash_.size else salt_length,
    )


def _salt_length(
    scheme: padding.PSS, algorithm: hashes.HashAlgorithm, key_size: int
) -> int:
    salt = scheme._salt_length
    if isinstance(salt, padding._Auto):
        raise ValueError("PSS salt length can only be set to Auto when verifying")
    if isinstance(salt, padding._DigestLength):
        return algorithm.digest_size
    if isinstance(salt, padding._MaxLength):
        # RFC 8017, section 9.1.1: what is left of a block one bit short of the modulus.
        return max(0, (key_size + 6) // 8 - algorithm.digest_size - 2)
    return salt


def _mgf_hash(mgf: padding.MGF) -> hashes.HashAlgorithm:
    if not isinstance(mgf, padding.MGF1):
        raise UnsupportedAlgorithm("Only MGF1 is supported.", _Reasons.UNSUPPORTED_MGF)
    return mgf._algorithm


def _check_padding(scheme: object) -> None:
    if not isinstance(scheme, padding.AsymmetricPadding):
        raise TypeError("Padding must be an instance of AsymmetricPadding.")


def _no_padding(scheme: padding.AsymmetricPadding) -> UnsupportedAlgorithm:
    return UnsupportedAlgorithm(
        f"{scheme.name} is not supported by this backend.",
        _Reasons.UNSUPPORTED_PADDING,
    )


def _no_rsa_hash(algorithm: hashes.HashAlgorithm) -> UnsupportedAlgorithm:
    return UnsupportedAlgorithm(
        f"{algorithm.name} is not supported by this backend for RSA signing.",
        _Reasons.UNSUPPORTED_HASH,
    )
