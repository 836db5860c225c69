"""The reader of a wheel's symbol table, against OpenSSL, its linker and nonsense."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.bindings import _rust
from hypothesis import given, settings
from hypothesis import strategies as st

from parsec_keys.tls import _elf
from parsec_keys.tls._libcrypto import _NAMES

WHEEL = Path(_rust.__file__ or "").resolve()
CONTENT = WHEEL.read_bytes()
# Header, one symbol table, its strings: what the reader looks at, and no more.
NAMES = b"\x00other\x00wanted\x00"
SYMBOLS = _elf._SYMBOL.pack(1, 2, 0, 1, 0x1111, 0) + _elf._SYMBOL.pack(
    7, 2, 0, 1, 0x2222, 0
)


def small(symbols: bytes = SYMBOLS, names: bytes = NAMES) -> bytes:
    """An ELF file that has these symbols."""
    start = _elf._HEADER.size
    sections = start + len(symbols) + len(names)
    header = _elf._HEADER.pack(
        b"\x7fELF\x02\x01\x01".ljust(16, b"\x00"),
        *(3, 62, 1, 0, 0, sections, 0, 64, 0, 0, 64, 2, 0),
    )
    table = _elf._SECTION.pack(0, 2, 0, 0, start, len(symbols), 1, 0, 8, 24)
    at = start + len(symbols)
    strings = _elf._SECTION.pack(0, 3, 0, 0, at, len(names), 0, 0, 1, 0)
    return header + symbols + names + table + strings


def test_the_wheels_functions_are_what_they_are_called() -> None:
    """Its OpenSSL says itself what pyca says of it."""
    found = _elf.function_addresses(WHEEL, _NAMES)

    assert found.keys() == set(_NAMES)
    version = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_int)
    number = ctypes.CFUNCTYPE(ctypes.c_ulong)
    available = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)
    said = version(found[b"OpenSSL_version"])(0).decode()
    assert said == backend.openssl_version_text()
    assert number(found[b"OpenSSL_version_num"])() == backend.openssl_version_number()
    is_available = available(found[b"OSSL_PROVIDER_available"])
    assert (is_available(None, b"default"), is_available(None, b"none")) == (1, 0)


def test_an_exported_function_is_where_the_linker_says() -> None:
    name = b"PyInit__rust"
    library = ctypes.CDLL(str(WHEEL))
    expected = ctypes.cast(getattr(library, name.decode()), ctypes.c_void_p).value

    assert _elf.function_addresses(WHEEL, [name, b"no such"]) == {name: expected}


def test_a_small_file() -> None:
    expected = {b"wanted": 0x2222, b"other": 0x1111}

    assert _elf.function_values(small(), [b"wanted", b"other", b"ted"]) == expected


@pytest.mark.parametrize(
    "symbol",
    [
        _elf._SYMBOL.pack(7, 1, 0, 1, 0x2222, 0),  # Data.
        _elf._SYMBOL.pack(7, 2, 0, 0, 0x2222, 0),  # Undefined: another file has it.
        _elf._SYMBOL.pack(0, 2, 0, 1, 7, 0),  # The number is not a name's.
    ],
)
def test_what_is_no_function_here(symbol: bytes) -> None:
    assert _elf.function_values(small(symbol), [b"wanted"]) == {}


def test_a_file_that_is_cut_off() -> None:
    whole = small()

    for end in range(len(whole)):
        assert _elf.function_values(whole[:end], [b"wanted"]) == {}


@pytest.mark.parametrize("end", [0, 4, 63, 64, 1000, len(CONTENT) // 2])
def test_a_wheel_that_is_cut_off(end: int) -> None:
    assert _elf.function_values(CONTENT[:end], _NAMES) == {}


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_garbage_has_no_function_or_a_number(data: st.DataObject) -> None:
    content = bytearray(small())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(6, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    tail = data.draw(st.binary(max_size=64))

    for garbage in (bytes(content), bytes(content[:6]) + tail, tail):
        found = _elf.function_values(garbage, [b"wanted"])
        assert all(0 <= value < 1 << 64 for value in found.values())


def test_a_file_that_is_not_mapped(tmp_path: Path) -> None:
    copy = tmp_path / "copy.so"
    copy.write_bytes(small())

    assert _elf.function_addresses(copy, [b"wanted"]) == {}
