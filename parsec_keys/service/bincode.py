"""Rust's bincode 1, as far as the Rust Parsec service writes it. No I/O.

Numbers have a fixed size and are little endian; an enum is the index of its variant in
four bytes; a vector is its length in eight bytes and its elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from parsec_keys.errors import StorageFailure

T = TypeVar("T")

_INDEX: Final = 4
_LENGTH: Final = 8


class Reader:
    """Reads values one after the other; whatever does not fit is refused."""

    def __init__(self, data: bytes, what: str) -> None:
        """``what`` is what a refusal says of the data, never what is in them."""
        self._data = data
        self._what = what
        self._position = 0

    def number(self, size: int) -> int:
        """An unsigned number of ``size`` bytes."""
        return int.from_bytes(self._take(size), "little")

    def length(self) -> int:
        """A ``usize``, which has eight bytes on every machine."""
        return self.number(_LENGTH)

    def flag(self) -> bool:
        """A ``bool``: one byte that is 0 or 1."""
        return self._one_of((False, True), self.number(1))

    def variant(self, variants: Sequence[T]) -> T:
        """The variant of an enum whose variants are these, in Rust's order."""
        return self._one_of(variants, self.number(_INDEX))

    def octets(self) -> bytes:
        """A vector of bytes."""
        return self._take(self.length())

    def zeros(self, size: int) -> None:
        """Bytes that are zero, of something that nobody uses any more."""
        if self._take(size).strip(b"\x00"):
            raise self._damaged("something where nothing is expected")

    def rest(self) -> bytes:
        """All that is left."""
        return self._take(len(self._data) - self._position)

    def finish(self) -> None:
        """Pass if nothing is left."""
        if self._position != len(self._data):
            raise self._damaged("something after its end")

    def _take(self, size: int) -> bytes:
        end = self._position + size
        if end > len(self._data):
            raise self._damaged("an early end")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def _one_of(self, variants: Sequence[T], index: int) -> T:
        if index >= len(variants):
            raise self._damaged("a number that means nothing")
        return variants[index]

    def _damaged(self, reason: str) -> StorageFailure:
        return StorageFailure(f"{self._what} cannot be read: it has {reason}")
