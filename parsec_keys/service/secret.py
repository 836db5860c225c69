"""A PIN, a passphrase or an auth value: octets that nobody shall see, in one place.

Rule: whoever keeps a secret keeps this object, and takes the octets from it where they
are used. When nobody keeps it any more, the octets are overwritten.
"""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Final, NoReturn

from parsec_keys.errors import ConfigurationError

_LONGEST: Final = 1 << 16


class Secret:
    """Octets that no ``repr`` shows, and that no pickle and no copy takes along."""

    __slots__ = ("octets",)

    def __init__(self, octets: bytes | bytearray | memoryview) -> None:
        self.octets = bytearray()
        self.octets += octets

    def __len__(self) -> int:
        return len(self.octets)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.octets, other.octets)

    def __repr__(self) -> str:
        return "<secret>"

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: name the file that it is in")

    def __del__(self) -> None:
        # With nothing of this module: it may be gone where Python ends.
        self.octets[:] = bytes(len(self.octets))


def read_secret(path: Path) -> Secret:
    """The first line of a file, whatever its octets are, without the line's end.

    Raises:
        ConfigurationError: it cannot be read, or its first line does not end.
    """
    read, size = bytearray(_LONGEST), 0
    try:
        # Unbuffered: a buffer would be another place.
        with path.open("rb", buffering=0) as file, memoryview(read) as view:
            while read.find(b"\n") < 0 and (more := file.readinto(view[size:])):
                size += more
            if size == _LONGEST and read.find(b"\n") < 0:
                raise ConfigurationError(
                    f"{path} holds no secret: its first line is longer than any"
                )
            end = read.find(b"\n") if b"\n" in read else size
            while read[end - 1 : end] == b"\r":
                end -= 1
            return Secret(view[:end])
    except OSError as e:
        raise ConfigurationError(f"{path} cannot be read: {e.strerror}") from e
    finally:
        read[:] = bytes(_LONGEST)
