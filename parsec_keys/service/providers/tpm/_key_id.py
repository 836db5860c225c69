"""A TPM key's key id: all that is needed to use the key again, in bytes.

Either a wrapped key with its auth value, or the handle of a persistent key. Both say by
name which key or parent they mean: a name is a hash of the public part, so that a
handle that stands for another key by now is never mistaken for the old one.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import ClassVar, Final

from parsec_keys.errors import StorageFailure

_WRAPPED: Final = b"\x01"
_PERSISTENT: Final = b"\x02"
_WRAPPED_BY_RUST: Final = b"\x03"
_HANDLE_LENGTH: Final = 4
LONGEST_AUTH: Final = 64
"""As long as the longest digest (TPM 2.0 part 2, section 10.4.5)."""
PERSISTENT_HANDLES: Final = range(0x81000000, 0x82000000)
"""Any other may be an object of ours in the TPM (TPM 2.0 part 2, section 7.2)."""


class Primary(enum.Enum):
    """A primary key of the owner hierarchy, which the TPM derives from a template."""

    STORAGE = "ours, and that of TSS2 PRIVATE KEY files"
    RUST_PARSEC = "the Rust Parsec service's"


@dataclass(frozen=True, slots=True)
class LoadableKey:
    """A wrapped key and what opens it.

    ``parent`` is the name of the key that wraps it: a primary, or the persistent key
    at ``parent_handle``.
    """

    parent: bytes
    public: bytes
    private: bytes = field(repr=False)
    auth: bytes = field(repr=False)
    parent_handle: int | None = None
    primary: Primary = Primary.STORAGE


@dataclass(frozen=True, slots=True)
class PersistentKey:
    """A key that stays in the TPM, and its name when it was found there."""

    handle: int
    name: bytes
    auth: ClassVar[bytes] = b""


def encode_key_id(key: LoadableKey | PersistentKey) -> bytes:
    """A key id: a version byte, then parts, each after its length in two bytes."""
    if isinstance(key, PersistentKey):
        return _PERSISTENT + _joined(_handle(key.handle), key.name)
    if key.primary is Primary.RUST_PARSEC:
        return _WRAPPED_BY_RUST + _joined(key.parent, key.public, key.private, key.auth)
    parent_handle = b"" if key.parent_handle is None else _handle(key.parent_handle)
    return _WRAPPED + _joined(
        key.parent, key.public, key.private, key.auth, parent_handle
    )


def decode_key_id(key_id: bytes) -> LoadableKey | PersistentKey:
    """What a key id holds.

    Raises:
        StorageFailure: it is damaged, or from a newer version.
    """
    version, parts = key_id[:1], _split(key_id[1:])
    if any(len(auth) > LONGEST_AUTH for auth in parts[3:4]):
        raise _damaged()
    handle = int.from_bytes(parts[0 if version == _PERSISTENT else -1], "big")
    if version == _PERSISTENT and len(parts) == 2 and handle in PERSISTENT_HANDLES:
        return PersistentKey(handle, parts[1])
    if version == _WRAPPED and len(parts) == 5:
        parent, public, private, auth, parent_handle = parts
        if not parent_handle:
            return LoadableKey(parent, public, private, auth)
        if handle in PERSISTENT_HANDLES:
            return LoadableKey(parent, public, private, auth, handle)
    if version == _WRAPPED_BY_RUST and len(parts) == 4:
        parent, public, private, auth = parts
        return LoadableKey(parent, public, private, auth, primary=Primary.RUST_PARSEC)
    raise _damaged()


def _handle(handle: int) -> bytes:
    return handle.to_bytes(_HANDLE_LENGTH, "big")


def _joined(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def _split(joined: bytes) -> list[bytes]:
    parts: list[bytes] = []
    while joined:
        end = 2 + int.from_bytes(joined[:2], "big")
        if end > len(joined):
            raise _damaged()
        parts.append(joined[2:end])
        joined = joined[end:]
    if not parts:
        raise _damaged()
    return parts


def _damaged() -> StorageFailure:
    return StorageFailure(
        "the record of a TPM key is damaged, or from a newer parsec-keys: restore the "
        "key info from a backup"
    )
