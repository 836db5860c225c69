"""The software provider's two kinds of file: a private key's and a symmetric key's.

A private key is PKCS#8 in PEM, encrypted under the store's passphrase if it has one.

A symmetric key is JSON that says what it is: ``{"format": "parsec-keys symmetric key
1", "uid": …, "type": "AES", "key": …}``, the key in Base64. Under a passphrase it is
encrypted with AES-256-GCM and a key from scrypt (RFC 7914), whose salt and nonce stand
beside it; the other members are authenticated with it.
"""

from __future__ import annotations

import base64
import json
import os
from typing import Any, Final, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from parsec_keys.errors import AuthenticationError, StorageFailure
from parsec_keys.psa.attributes import UnstructuredKeyType
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers.software._asymmetric import (
    PRIVATE_KEYS,
    PrivateKey,
    public_key,
)
from parsec_keys.service.secret import Secret

_FORMAT: Final = "parsec-keys symmetric key 1"
# RFC 7914, section 2: N = 2^15 and r = 8 take 32 MiB and about a tenth of a second.
_N, _R, _P = 1 << 15, 8, 1


def encode_private_key(key: PrivateKey, passphrase: Secret | None) -> bytes:
    """The file of a private key."""
    encryption: serialization.KeySerializationEncryption
    encryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(bytes(passphrase.octets))
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def decode_private_key(
    record: KeyRecord, pem: bytes, passphrase: Secret | None
) -> PrivateKey:
    """The private key in a file, which must be the record's.

    Raises:
        AuthenticationError: the passphrase is missing, or not the file's.
        StorageFailure: the file is no key, or another's.
    """
    encrypted, password = b"BEGIN ENCRYPTED" in pem, None
    if encrypted:
        if passphrase is None:
            raise _passphrase_missing(record)
        password = cast(bytes, passphrase.octets)  # pyca takes what is bytes-like.
    try:
        key = serialization.load_pem_private_key(pem, password)
    except ValueError:
        # The parser's message may quote the file, which is secret.
        if encrypted:
            raise _passphrase_wrong(record) from None
        raise _no_key(record) from None
    if not isinstance(key, PRIVATE_KEYS):
        raise StorageFailure(f"the file of {record.described} holds another type")
    if public_key(key) != record.public_key:
        raise _another_key(record)
    return key


def encode_symmetric_key(
    uid: bytes, key_type: UnstructuredKeyType, octets: bytes, passphrase: Secret | None
) -> bytes:
    """The file of a symmetric key."""
    document = {"format": _FORMAT, "uid": uid.hex(), "type": key_type.name}
    if passphrase is None:
        return _dump({**document, "key": _to_text(octets)})
    salt, nonce = os.urandom(16), os.urandom(12)
    sealed = AESGCM(_derive(passphrase, salt)).encrypt(nonce, octets, _dump(document))
    parts = {"salt": salt, "nonce": nonce, "encrypted key": sealed}
    return _dump(document | {name: _to_text(part) for name, part in parts.items()})


def decode_symmetric_key(
    record: KeyRecord, text: bytes, passphrase: Secret | None
) -> bytes:
    """The symmetric key in a file; it raises as ``decode_private_key`` does."""
    try:
        document = json.loads(text)
        said = (document["format"], document["uid"], document["type"])
        if said[0] != _FORMAT:
            raise ValueError(_FORMAT)
        octets = _octets(record, document, passphrase)
    except (ValueError, KeyError, TypeError, RecursionError):
        octets = None
    if octets is None:  # Not in the handler: the parser's error holds the file.
        raise _no_key(record)
    key_type = record.attributes.type
    assert isinstance(key_type, UnstructuredKeyType)  # noqa: S101
    found = (*said, 8 * len(octets))
    if found != (_FORMAT, record.uid.hex(), key_type.name, record.attributes.bits):
        raise _another_key(record)
    return octets


def _octets(
    record: KeyRecord, document: dict[str, Any], passphrase: Secret | None
) -> bytes:
    if "key" in document:
        return _from_text(document["key"])
    if passphrase is None:
        raise _passphrase_missing(record)
    names = ("salt", "nonce", "encrypted key")
    salt, nonce, sealed = (_from_text(document.pop(name)) for name in names)
    cipher = AESGCM(_derive(passphrase, salt))
    try:
        return cipher.decrypt(nonce, sealed, _dump(document))
    except InvalidTag:
        raise _passphrase_wrong(record) from None


def _derive(passphrase: Secret, salt: bytes) -> bytes:
    return Scrypt(salt, length=32, n=_N, r=_R, p=_P).derive(passphrase.octets)


def _dump(document: dict[str, str]) -> bytes:
    return json.dumps(document, indent=1).encode() + b"\n"


def _to_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _from_text(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _passphrase_missing(record: KeyRecord) -> AuthenticationError:
    return AuthenticationError(
        f"{record.described} is encrypted: give the store its passphrase"
    )


def _passphrase_wrong(record: KeyRecord) -> AuthenticationError:
    return AuthenticationError(
        f"the store's passphrase does not open {record.described}"
    )


def _no_key(record: KeyRecord) -> StorageFailure:
    return StorageFailure(
        f"the file of {record.described} is no key any more: restore it from a "
        "backup, or delete the key"
    )


def _another_key(record: KeyRecord) -> StorageFailure:
    return StorageFailure(
        f"the file of {record.described} holds another key: restore it from a backup, "
        "or delete the key"
    )
