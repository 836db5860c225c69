"""Decryption and key agreement of a token.

Where the token has the bare operation, PKCS#1 v1.5 is unpadded here with implicit
rejection: a token's error for broken padding is an oracle. OAEP is the token's own
where it takes the parameters.
"""

from __future__ import annotations

import os
from typing import Any, Final

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
_WITHOUT_BARE_OPERATION: Final = os.urandom(32)
"""The rejection secret of keys that cannot make their own: new in each process."""


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
        NotSupported: this token cannot do exactly this.
    """
    if int.from_bytes(ciphertext, "big") >= rsa_modulus(key.public_key):
        raise DecryptionFailed
    if Mechanism.RSA_X_509 not in can.mechanisms:
        return _by_the_token(private_key, algorithm, ciphertext, label)

    def bare(block: bytes) -> bytes:
        result = private_key.decrypt(block, mechanism=Mechanism.RSA_X_509)
        return bytes(result).rjust(len(block), b"\x00")

    if isinstance(algorithm, RsaOaep):
        return decode_oaep(algorithm, label, bare(ciphertext))
    return decode_pkcs1v15(bare(ciphertext), ciphertext, secrets.of(key, bare))


def _by_the_token(
    private_key: Any, algorithm: AsymmetricEncryption, ciphertext: bytes, label: bytes
) -> bytes:
    if isinstance(algorithm, RsaOaep):
        return _token_oaep(private_key, algorithm, ciphertext, label)
    broken = bytes(len(ciphertext))
    try:
        message = bytes(private_key.decrypt(ciphertext, mechanism=Mechanism.RSA_PKCS))
    except (*_BAD_CIPHERTEXT, exceptions.FunctionFailed):
        return decode_pkcs1v15(broken, ciphertext, _WITHOUT_BARE_OPERATION)
    # The same work as for broken padding, so that time tells nothing.
    decode_pkcs1v15(broken, ciphertext, _WITHOUT_BARE_OPERATION)
    return message


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
        raise DecryptionFailed from None
    except REFUSED_MECHANISM as e:
        raise NotSupported(
            f"the token can neither do {algorithm} nor the bare RSA operation"
        ) from e


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
