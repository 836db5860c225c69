"""The addresses of functions in a loaded shared object that does not export them.

cryptography's wheel has OpenSSL linked in and its symbol table left in: an ELF64 file
(System V ABI, chapters 4 and 5), read here with nothing but searches for bytes.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_SYMBOL_TABLE: Final = 2
_FUNCTION: Final = 2
_LITTLE_ENDIAN_64: Final = b"\x7fELF\x02\x01"
Content = mmap.mmap | bytes


@dataclass(frozen=True, slots=True)
class _Section:
    type: int
    offset: int
    size: int
    link: int


def function_addresses(path: Path, names: Iterable[bytes]) -> dict[bytes, int]:
    """Where functions are in this process, of a file that is mapped into it.

    Returns:
        The address of each name that the symbol table has. A file that is stripped, or
        no little-endian ELF64, has none.
    """
    base = _base_address(path)
    if base is None:
        return {}
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with content:
            values = function_values(content, names)
    return {name: base + value for name, value in values.items()}


def function_values(content: Content, names: Iterable[bytes]) -> dict[bytes, int]:
    """Where functions are in a file, relative to where it is mapped.

    Returns:
        The value of each name that the symbol table has. What is cut off, or is no
        little-endian ELF64, has none.
    """
    if content[: len(_LITTLE_ENDIAN_64)] != _LITTLE_ENDIAN_64:
        return {}
    try:
        return _values(content, names)
    except (struct.error, OverflowError):
        return {}


def _values(content: Content, names: Iterable[bytes]) -> dict[bytes, int]:
    sections = _sections(content)
    for section in sections:
        if section.type == _SYMBOL_TABLE and section.link < len(sections):
            strings = sections[section.link]
            found = ((n, _value(content, section, strings, n)) for n in names)
            return {name: value for name, value in found if value is not None}
    return {}


def _sections(content: Content) -> list[_Section]:
    header = _HEADER.unpack_from(content)
    offset, size, count = header[6], header[11], header[12]
    sections = []
    for index in range(count):
        fields = _SECTION.unpack_from(content, offset + index * size)
        sections.append(_Section(fields[1], fields[4], fields[5], fields[6]))
    return sections


def _value(
    content: Content, symbols: _Section, strings: _Section, name: bytes
) -> int | None:
    """A function's value: its address relative to where the file was mapped."""
    start = strings.offset
    at = content.find(b"\x00" + name + b"\x00", start, start + strings.size)
    if at < 0:
        return None
    wanted = struct.pack("<I", at + 1 - start)
    end = symbols.offset + symbols.size
    found = content.find(wanted, symbols.offset, end)
    while found >= 0:
        if (found - symbols.offset) % _SYMBOL.size == 0:
            _, info, _, section, value, _ = _SYMBOL.unpack_from(content, found)
            if info & 0xF == _FUNCTION and section != 0:
                return int(value)
        found = content.find(wanted, found + 1, end)
    return None


def _base_address(path: Path) -> int | None:
    for mapping in mappings():
        if mapping.path == str(path) and mapping.offset == 0:
            return mapping.start
    return None


@dataclass(frozen=True, slots=True)
class Mapping:
    """A file's part that is mapped into this process."""

    start: int
    offset: int
    path: str


def mappings() -> list[Mapping]:
    """The files that are mapped into this process (proc(5), ``/proc/pid/maps``)."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].startswith("/"):
            start = int(fields[0].partition("-")[0], 16)
            found.append(Mapping(start, int(fields[2], 16), fields[5]))
    return found
