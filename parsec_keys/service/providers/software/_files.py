"""Where the software provider keeps its keys: one file each, in one folder.

``UID.pem`` is a private key, ``UID.json`` a symmetric one. A key that was used stays in
memory.
"""

from __future__ import annotations

from pathlib import Path

from parsec_keys.errors import KeyNotFound, ServiceUnavailable
from parsec_keys.psa.attributes import UnstructuredKeyType
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.owned_files import (
    check_owner,
    own_directory,
    remove_whole,
    sync_directory,
    unusable,
    write_whole,
)
from parsec_keys.service.providers import CreatedKey
from parsec_keys.service.providers.software._asymmetric import PrivateKey, public_key
from parsec_keys.service.providers.software._file_formats import (
    decode_private_key,
    decode_symmetric_key,
    encode_private_key,
    encode_symmetric_key,
)
from parsec_keys.service.secret import Secret


class KeyFiles:
    """Keys by their uid. Safe to use from any thread."""

    def __init__(self, directory: Path, passphrase: Secret | None) -> None:
        self._directory = directory
        self._passphrase = passphrase
        self._private_keys: dict[bytes, PrivateKey] = {}
        self._symmetric_keys: dict[bytes, bytes] = {}
        self._closed = False

    def open(self) -> None:
        """Use the folder, made where it is not there.

        Raises:
            StorageFailure: it cannot be used, or others can write to it.
        """
        own_directory(self._directory)

    def keep_private_key(self, uid: bytes, key: PrivateKey) -> CreatedKey:
        """Write a private key."""
        self._write(self._pem(uid), encode_private_key(key, self._opened()))
        self._private_keys[uid] = key
        return CreatedKey(uid, public_key(key))

    def keep_symmetric_key(
        self, uid: bytes, key_type: UnstructuredKeyType, octets: bytes
    ) -> CreatedKey:
        """Write a symmetric key, which has no public half."""
        text = encode_symmetric_key(uid, key_type, octets, self._opened())
        self._write(self._json(uid), text)
        self._symmetric_keys[uid] = octets
        return CreatedKey(uid, b"")

    def private_key(self, record: KeyRecord) -> PrivateKey:
        """The private key of a record.

        Raises:
            KeyNotFound: its file is gone.
            AuthenticationError: the passphrase is missing, or not the file's.
            StorageFailure: the file is no key, or another's, or others can write it.
        """
        key = self._private_keys.get(record.uid)
        if key is None:
            passphrase = self._opened()
            pem = self._read(record, self._pem(record.uid))
            key = decode_private_key(record, pem, passphrase)
            self._private_keys[record.uid] = key
        return key

    def symmetric_key(self, record: KeyRecord) -> bytes:
        """The symmetric key of a record; it raises as ``private_key`` does."""
        octets = self._symmetric_keys.get(record.uid)
        if octets is None:
            passphrase = self._opened()
            text = self._read(record, self._json(record.uid))
            octets = decode_symmetric_key(record, text, passphrase)
            self._symmetric_keys[record.uid] = octets
        return octets

    def remove(self, uid: bytes) -> None:
        """Remove a key of either kind; nothing there is no error."""
        self._private_keys.pop(uid, None)
        self._symmetric_keys.pop(uid, None)
        try:
            remove_whole(self._pem(uid))
            remove_whole(self._json(uid))
            sync_directory(self._directory)
        except OSError as e:
            raise unusable(self._directory, e) from e

    def close(self) -> None:
        """Forget every key, and read none any more."""
        self._closed = True
        self._passphrase = None
        self._private_keys.clear()
        self._symmetric_keys.clear()

    def _opened(self) -> Secret | None:
        """The passphrase, if there is one, of a store that is open."""
        # Taken before the look: whoever closes the store forgets it after that.
        passphrase = self._passphrase
        if self._closed:
            raise ServiceUnavailable("this key store is closed: open it again")
        return passphrase

    def _pem(self, uid: bytes) -> Path:
        return self._directory / f"{uid.hex()}.pem"

    def _json(self, uid: bytes) -> Path:
        return self._directory / f"{uid.hex()}.json"

    def _write(self, path: Path, data: bytes) -> None:
        try:
            write_whole(path, data)
        except OSError as e:
            raise unusable(self._directory, e) from e

    def _read(self, record: KeyRecord, path: Path) -> bytes:
        try:
            check_owner(path)
            return path.read_bytes()
        except FileNotFoundError:
            raise KeyNotFound(
                f"the file of {record.described}, {path}, is gone: restore it from a "
                "backup, or delete the key"
            ) from None
        except OSError as e:
            raise unusable(path, e) from e
