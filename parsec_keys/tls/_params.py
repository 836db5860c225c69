"""OSSL_PARAM lists, read into and written from Python values (OSSL_PARAM(3))."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from typing import Final

from parsec_keys.errors import NotSupported
from parsec_keys.tls._lifetime import address, immortal
from parsec_keys.tls._structures import Param, ParamType

Value = int | str | bytes
_UNMODIFIED: Final = (1 << (8 * ctypes.sizeof(ctypes.c_size_t))) - 1
_POINTERS: Final = frozenset({ParamType.UTF8_POINTER, ParamType.OCTET_POINTER})
_PARAM_SIZE: Final = ctypes.sizeof(Param)
_HARMLESS: Final = frozenset(
    {b"properties", b"mgf1-properties", b"digest-props", b"tls-version"}
)
"""The first three choose whose hash is computed: pyca's is, whatever they say. The
last is what OpenSSL 4 says of the connection; it changes no signature."""
_TYPES: Final[dict[type, ParamType]] = {
    int: ParamType.UNSIGNED_INTEGER,
    str: ParamType.UTF8_STRING,
    bytes: ParamType.OCTET_STRING,
}


def read(pointer: int | None) -> dict[str, Value]:
    """The values of a list, but those without data, and those that change nothing.

    Octets without data are empty ones.
    """
    values: dict[str, Value] = {}
    # Every handshake comes here: what changes nothing is not even looked at.
    while pointer and (key := ctypes.c_char_p.from_address(pointer).value):
        if key not in _HARMLESS:
            param = Param.from_address(pointer)
            if param.data or param.type == ParamType.OCTET_STRING:
                values[key.decode()] = _value(param)
        pointer += _PARAM_SIZE
    return values


def write(pointer: int | None, values: Mapping[bytes, Value]) -> bool:
    """Give a list's parameters their values; False where one does not fit."""
    fits = True
    # Every handshake comes here: the key is read alone, as the first field.
    while pointer and (key := ctypes.c_char_p.from_address(pointer).value):
        value = values.get(key)
        if value is not None:
            fits = _write(Param.from_address(pointer), value) and fits
        pointer += _PARAM_SIZE
    return fits


def refuse_others(values: Mapping[str, Value], known: Mapping[str, ParamType]) -> None:
    """Refuse what would be ignored: OpenSSL sets parameters that nobody offered, too.

    Raises:
        NotSupported: there is a parameter that is not known here.
    """
    for name in values.keys() - known.keys():
        raise NotSupported(f"a key of ours does not understand OpenSSL's '{name}'")


def descriptors(types: Mapping[str, ParamType]) -> int:
    """The address of a list that only says names and types, and lives for ever."""
    params = (Param * (len(types) + 1))()
    for param, (name, type_) in zip(params, types.items(), strict=False):
        param.key, param.type = immortal(name.encode()), type_
    return address(params)


class ParamList:
    """A list with values, for as long as this object lives."""

    def __init__(
        self, values: Mapping[str, Value], signed: tuple[str, ...] = ()
    ) -> None:
        self._params = (Param * (len(values) + 1))()
        self._held: list[object] = []
        for param, (name, value) in zip(self._params, values.items(), strict=False):
            data, type_ = _bytes(value), _TYPES[type(value)]
            type_ = ParamType.INTEGER if name in signed else type_
            buffer = ctypes.create_string_buffer(data, len(data) + 1)
            self._held += [buffer, key := name.encode()]
            param.key, param.type = key, type_
            param.data, param.size = ctypes.addressof(buffer), len(data)
            param.return_size = _UNMODIFIED

    @property
    def pointer(self) -> int:
        """The list's address."""
        return ctypes.addressof(self._params)


def _value(param: Param) -> Value:
    if param.type in (ParamType.INTEGER, ParamType.UNSIGNED_INTEGER):
        data = ctypes.string_at(param.data, param.size)
        signed = param.type == ParamType.INTEGER
        return int.from_bytes(data, sys.byteorder, signed=signed)
    start = param.data
    if param.type in _POINTERS:
        start = ctypes.c_void_p.from_address(start).value
        if not start:
            return ""
    data = ctypes.string_at(start, param.size)
    if param.type in (ParamType.UTF8_STRING, ParamType.UTF8_POINTER):
        return data.rstrip(b"\x00").decode()
    return data


def _write(param: Param, value: Value) -> bool:
    size, out = param.size, param.data
    if isinstance(value, int) and size:
        data = value.to_bytes(size, sys.byteorder)
    else:
        data = _bytes(value)
    length = param.return_size = len(data)
    if not out:
        return True
    if param.type in _POINTERS or length > size:
        return False
    if isinstance(value, str) and length < size:
        data += b"\x00"
    ctypes.memmove(out, data, len(data))
    return True


def _bytes(value: Value) -> bytes:
    if isinstance(value, int):
        # A number in a list of ours is as long as it is: a modulus, or four bytes.
        length = max(4, (value.bit_length() + 7) // 8)
        return value.to_bytes(length, sys.byteorder)
    return value.encode() if isinstance(value, str) else value
