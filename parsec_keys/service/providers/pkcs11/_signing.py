"""Signatures of a token: local digests and the portable mechanisms.

CKM_ECDSA, CKM_RSA_PKCS over a DigestInfo, CKM_RSA_PKCS_PSS where the token takes the
parameters; else a padding made here over CKM_RSA_X_509. A PSS signature that the token
padded is verified before it is given out: tokens are known that ignore the salt length.
"""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from parsec_keys._pyca import HASHES
from parsec_keys.errors import InvalidArgument, NotSupported
from parsec_keys.psa.algorithms import (
    AsymmetricSignature,
    Hash,
    RsaPkcs1v15Sign,
    RsaPkcs1v15SignRaw,
    RsaPss,
)
from parsec_keys.psa.attributes import EccKeyPair
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers.pkcs11._capabilities import Capabilities
from parsec_keys.service.providers.pkcs11._cryptoki import (
    PSS_HASHES,
    REFUSED_MECHANISM,
    Mechanism,
    exceptions,
)
from parsec_keys.service.rsa_padding import (
    digest_info,
    encode_pkcs1v15,
    encode_pss,
    pss_parameters,
)


def sign(
    private_key: Any,
    can: Capabilities,
    key: KeyRecord,
    algorithm: AsymmetricSignature,
    hashed: bytes,
) -> bytes:
    """Sign a digest; ECDSA answers ``r`` and ``s``.

    Raises:
        NotSupported: this token cannot do exactly this.
        InvalidArgument: the padding does not fit the key.
    """
    bits = key.attributes.bits
    length = (bits + 7) // 8
    if isinstance(key.attributes.type, EccKeyPair):
        # Of a longer digest, ECDSA signs the leftmost part (FIPS 186-5, 6.4.1).
        return bytes(private_key.sign(hashed[:length], mechanism=Mechanism.ECDSA))
    if isinstance(algorithm, RsaPss):
        return _sign_pss(private_key, can, key, algorithm, hashed)
    if isinstance(algorithm, RsaPkcs1v15SignRaw):
        octets = hashed
    elif isinstance(algorithm, RsaPkcs1v15Sign) and isinstance(algorithm.hash, Hash):
        octets = digest_info(algorithm.hash, hashed)
    else:
        raise InvalidArgument(f"{key.described} cannot do {algorithm}")
    block = encode_pkcs1v15(octets, length)
    if Mechanism.RSA_PKCS in can.mechanisms:
        return bytes(private_key.sign(octets, mechanism=Mechanism.RSA_PKCS))
    return bare_sign(private_key, can, block)


def bare_sign(private_key: Any, can: Capabilities, block: bytes) -> bytes:
    """The bare RSA operation on a block as long as the modulus (CKM_RSA_X_509).

    Raises:
        NotSupported: the token or the key does not have it.
    """
    try:
        if Mechanism.RSA_X_509 in can.mechanisms:
            signed = private_key.sign(block, mechanism=Mechanism.RSA_X_509)
            return bytes(signed).rjust(len(block), b"\x00")
    except (*REFUSED_MECHANISM, exceptions.KeyTypeInconsistent) as e:
        raise _no_bare_operation() from e
    raise _no_bare_operation()


def _sign_pss(
    private_key: Any,
    can: Capabilities,
    key: KeyRecord,
    algorithm: RsaPss,
    hashed: bytes,
) -> bytes:
    block = encode_pss(algorithm, hashed, key.attributes.bits)
    parameters = pss_parameters(algorithm)
    if can.may_have_pss(parameters):
        signature = _token_pss(private_key, can, parameters, hashed)
        if signature is not None and _is_exact(key, parameters, hashed, signature):
            return signature
        can.lacks_pss(parameters)
    return bare_sign(private_key, can, block)


def _token_pss(
    private_key: Any,
    can: Capabilities,
    parameters: tuple[Hash, Hash, int],
    hashed: bytes,
) -> bytes | None:
    hash_, mgf_hash, salt_length = parameters
    said = (PSS_HASHES[hash_][0], PSS_HASHES[mgf_hash][1], salt_length)
    try:
        return bytes(
            private_key.sign(
                hashed, mechanism=Mechanism.RSA_PKCS_PSS, mechanism_param=said
            )
        )
    except (*REFUSED_MECHANISM, exceptions.DataLenRange):
        return None
    except exceptions.GeneralError:
        # Some say so of parameters. Others are sick, where nothing else would do it.
        if Mechanism.RSA_X_509 not in can.mechanisms:
            raise
        return None


def _is_exact(
    key: KeyRecord, parameters: tuple[Hash, Hash, int], hashed: bytes, signature: bytes
) -> bool:
    hash_, mgf_hash, salt_length = parameters
    public_key = serialization.load_der_public_key(key.public_key)
    assert isinstance(public_key, rsa.RSAPublicKey)  # noqa: S101
    scheme = padding.PSS(padding.MGF1(HASHES[mgf_hash]), salt_length)
    try:
        public_key.verify(signature, hashed, scheme, utils.Prehashed(HASHES[hash_]))
    except InvalidSignature:
        return False
    return True


def _no_bare_operation() -> NotSupported:
    return NotSupported(
        "the token can neither pad this by itself nor do the bare RSA operation "
        "(CKM_RSA_X_509): use PKCS#1 v1.5, or PSS with MGF1 of the same hash"
    )
