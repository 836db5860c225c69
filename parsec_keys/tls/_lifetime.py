"""What libcrypto holds of ours: memory that outlives Python, and handles to objects.

Rule: libcrypto frees keys and contexts when it likes, after Python's end too, so that
to free is a C function that only marks a slot: ``sem_post``. Python looks for marked
slots later. Nothing that libcrypto points to is ever given back.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final, TypeVar

from parsec_keys._fork import fork_safe_lock

T = TypeVar("T")

_libc: Final = ctypes.CDLL(None)


def address_in_libc(name: str) -> int:
    """The address of a function of the C library."""
    address = ctypes.cast(getattr(_libc, name), ctypes.c_void_p).value
    assert address is not None  # noqa: S101
    return address


FREE: Final = address_in_libc("sem_post")
"""The function by which libcrypto gives a slot back: no Python, no lock."""

_SLOT: Final = 32
"""A slot is a ``sem_t``; the mark is its value, which sem_post counts up from zero."""
_SLOTS: Final = 256


def immortal(thing: T) -> T:
    """The same object, which Python never frees: its reference count never falls."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
    return thing


def address(thing: Any) -> int:
    """Where a ctypes object is, which lives for ever from now on."""
    return ctypes.addressof(immortal(thing))


class Slots(dict[int, T]):
    """Objects by handles, which C code may free at any time, from any thread."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = fork_safe_lock()
        self._free: list[int] = []

    def add(self, thing: T) -> int:
        """A handle for an object: an address, as libcrypto wants it."""
        while True:
            try:
                slot = self._free.pop()  # One step, for all threads: no lock.
            except IndexError:
                self._make_room()
            else:
                self[slot] = thing
                return slot

    def sweep(self) -> None:
        """Let go of the objects whose handles were freed."""
        with self._lock:
            self._sweep()

    def _make_room(self) -> None:
        with self._lock:
            if not self._free:
                self._sweep()
            if not self._free:
                self._grow()

    def _sweep(self) -> None:
        for slot in list(self):
            mark = ctypes.c_uint.from_address(slot)
            if mark.value:
                mark.value = 0
                del self[slot]
                self._free.append(slot)

    def _grow(self) -> None:
        # A sem_t that is all zeros is one of value zero, on glibc and on musl.
        start = address(ctypes.create_string_buffer(_SLOT * _SLOTS))
        self._free += range(start, start + _SLOT * _SLOTS, _SLOT)
