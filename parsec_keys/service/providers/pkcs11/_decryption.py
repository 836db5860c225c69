"""Decryption and key agreement of a token.

Where the token has the bare operation, both paddings are unpadded here. PKCS#1 v1.5
gets implicit rejection so: a token's error for broken padding is an oracle. OAEP gets
exactly its hashes and its label, and one error for every bad ciphertext: tokens answer
those with codes that also mean a failure of theirs.
"""

from __future__ import annotations

import os
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from parsec_keys._pyca import HASHES
from parsec_keys.errors import DecryptionFailed, NotSupported
from parsec_keys.psa.algorithms import AsymmetricEncryption, RsaOaep
from parsec_keys.service.implicit_rejection import RejectionSecrets
from parsec_keys.service.key_formats import rsa_modulus
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers.pkcs11._capabilities import Capabilities
from parsec_keys.service.providers.pkcs11._cryptoki import (
    KDF,
    PSS_HASHES,
    REFUSED_MECHANISM,
    Attribute,
    KeyType,
    Mechanism,
    exceptions,
)
from parsec_keys.service.providers.pkcs11._keys import octet_string
from parsec_keys.service.rsa_padding import decode_oaep, decode_pkcs1v15

_BAD_CIPHERTEXT: Final = (
    exceptions.EncryptedDataInvalid,
    exceptions.EncryptedDataLenRange,
    exceptions.DataInvalid,
)
_PERHAPS_BAD_CIPHERTEXT: Final = (
    *_BAD_CIPHERTEXT,
    exceptions.FunctionFailed,
    exceptions.GeneralError,
)
"""What tokens say of a bad ciphertext: the last two also when they fail themselves."""
_WITHOUT_BARE_OPERATION: Final = os.urandom(32)
"""The rejection secret of keys that cannot make their own: new in each process."""


class Unclear(Exception):
    """The token refused an OAEP ciphertext; its error, the cause, does not say why.

    Some tokens leave the failed operation active, so that its session is of no use.
    """


def decrypt(
    private_key: Any,
    can: Capabilities,
    secrets: RejectionSecrets,
    key: KeyRecord,
    algorithm: AsymmetricEncryption,
    ciphertext: bytes,
    label: bytes,
) -> bytes:
    """Decrypt; ``ciphertext`` is as long as the modulus.

    Raises:
        DecryptionFailed: a bad ciphertext, and nothing else.
        Unclear: it may be that, or this token cannot do exactly this.
    """
    if int.from_bytes(ciphertext, "big") >= rsa_modulus(key.public_key):
        raise DecryptionFailed
    if Mechanism.RSA_X_509 not in can.mechanisms:
        return _by_the_token(private_key, key, algorithm, ciphertext, label)

    def bare(block: bytes) -> bytes:
        result = private_key.decrypt(block, mechanism=Mechanism.RSA_X_509)
        return bytes(result).rjust(len(block), b"\x00")

    try:
        if isinstance(algorithm, RsaOaep):
            return decode_oaep(algorithm, label, bare(ciphertext))
        return decode_pkcs1v15(bare(ciphertext), ciphertext, secrets.of(key, bare))
    except REFUSED_MECHANISM:
        # Somebody made this key for other mechanisms only (CKA_ALLOWED_MECHANISMS).
        return _by_the_token(private_key, key, algorithm, ciphertext, label)


def _by_the_token(
    private_key: Any,
    key: KeyRecord,
    algorithm: AsymmetricEncryption,
    ciphertext: bytes,
    label: bytes,
) -> bytes:
    if isinstance(algorithm, RsaOaep):
        return _token_oaep(private_key, algorithm, ciphertext, label)
    broken = bytes(len(ciphertext))
    try:
        message = bytes(private_key.decrypt(ciphertext, mechanism=Mechanism.RSA_PKCS))
    except _PERHAPS_BAD_CIPHERTEXT:
        # A failure that cannot be told from broken padding must not be told at all.
        return decode_pkcs1v15(broken, ciphertext, _WITHOUT_BARE_OPERATION)
    # The same work as for broken padding, so that time tells nothing.
    decode_pkcs1v15(broken, ciphertext, _WITHOUT_BARE_OPERATION)
    return message


def check_oaep(
    private_key: Any, key: KeyRecord, algorithm: RsaOaep, label: bytes
) -> None:
    """Pass if the token decrypts a ciphertext that is good.

    Raises:
        NotSupported: it does not.
    """
    public_key = serialization.load_der_public_key(key.public_key)
    assert isinstance(public_key, rsa.RSAPublicKey)  # noqa: S101
    mgf = padding.MGF1(HASHES[algorithm.mgf_hash or algorithm.hash])
    ciphertext = public_key.encrypt(
        b"", padding.OAEP(mgf, HASHES[algorithm.hash], label)
    )
    try:
        _token_oaep(private_key, algorithm, ciphertext, label)
    except (Unclear, DecryptionFailed) as e:
        raise NotSupported(
            f"the token does not take {algorithm} or its label, and has no bare RSA "
            "operation (CKM_RSA_X_509) for this key"
        ) from e


def _token_oaep(
    private_key: Any, algorithm: RsaOaep, ciphertext: bytes, label: bytes
) -> bytes:
    mgf_hash = algorithm.mgf_hash or algorithm.hash
    if {algorithm.hash, mgf_hash} - PSS_HASHES.keys():
        raise NotSupported(f"PKCS#11 cannot say {algorithm}")
    said = (PSS_HASHES[algorithm.hash][0], PSS_HASHES[mgf_hash][1], label or None)
    try:
        return bytes(
            private_key.decrypt(
                ciphertext, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=said
            )
        )
    except _BAD_CIPHERTEXT:
        pass
    except (*REFUSED_MECHANISM, *_PERHAPS_BAD_CIPHERTEXT) as e:
        raise Unclear from e
    raise DecryptionFailed


def agree(private_key: Any, peer_key: bytes) -> bytes:
    """ECDH with an uncompressed point (CKM_ECDH1_DERIVE): the X coordinate.

    Raises:
        NotSupported: the token does not have it.
    """
    length = len(peer_key) // 2
    template = {
        Attribute.TOKEN: False,
        Attribute.SENSITIVE: False,
        Attribute.EXTRACTABLE: True,
    }
    # The standard wants the bare point and lets tokens want it in DER (3.0, 2.3.16).
    last: Exception | None = None
    for point in (peer_key, octet_string(peer_key)):
        try:
            shared = private_key.derive_key(
                KeyType.GENERIC_SECRET,
                8 * length,
                mechanism=Mechanism.ECDH1_DERIVE,
                mechanism_param=(KDF.NULL, None, point),
                template=template,
            )
            break
        except REFUSED_MECHANISM as e:
            last = e
    else:
        raise NotSupported("the token has no ECDH (CKM_ECDH1_DERIVE)") from last
    try:
        return bytes(shared[Attribute.VALUE]).rjust(length, b"\x00")
    finally:
        shared.destroy()
