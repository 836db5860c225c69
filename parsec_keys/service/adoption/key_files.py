"""The files in which MbedCrypto keeps keys, in plain text, where its service runs.

The format is Mbed TLS's ``psa_its_file`` with a persistent key in it: little endian,
two magic texts, and the key in PSA's export format at the end.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from parsec_keys.errors import KeyNotFound, StorageFailure
from parsec_keys.service.bincode import Reader
from parsec_keys.service.owned_files import unusable

_FILE: Final = struct.Struct("<8sII")
"""Magic, length of what follows, flags."""
_KEY: Final = struct.Struct("<8sIIHHIIII")
"""Magic, version, lifetime, type, bits, usage, two algorithms, length of the data."""
_FILE_MAGIC: Final = b"PSA\x00ITS\x00"
_KEY_MAGIC: Final = b"PSA\x00KEY\x00"
_ID_LENGTH: Final = 4


def read(folder: Path, key_id: bytes) -> bytes:
    """The key material of a key id.

    Raises:
        KeyNotFound: it has no file in the folder.
        StorageFailure: the file cannot be read, or is no such file.
    """
    reader = Reader(key_id, "its key id")
    number = reader.number(_ID_LENGTH)
    reader.finish()
    path = folder / f"{number:016x}.psa_its"
    try:
        return decode(path.read_bytes(), path)
    except FileNotFoundError:
        raise KeyNotFound(
            f"there is no {path}: say in which folder the Rust Parsec service ran"
        ) from None
    except OSError as e:
        raise unusable(path, e) from e


def decode(data: bytes, path: Path) -> bytes:
    """The key material in a file's content.

    Raises:
        StorageFailure: it is no file of a key, or another version of one.
    """
    start = _FILE.size + _KEY.size
    if len(data) >= start:
        magic, size, _ = _FILE.unpack_from(data)
        key_magic, version, *_, length = _KEY.unpack_from(data, _FILE.size)
        material = data[start:]
        if (
            (magic, key_magic, version) == (_FILE_MAGIC, _KEY_MAGIC, 0)
            and size == len(data) - _FILE.size
            and length == len(material)
        ):
            return material
    raise StorageFailure(f"{path} is no key file of MbedCrypto that is understood")
