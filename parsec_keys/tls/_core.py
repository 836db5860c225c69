"""One libcrypto's side of the bridge: its core functions, and callbacks into Python.

Rule: a callback never lets an exception out. It tells libcrypto's error queue in our
words, keeps the exception for this thread, and answers failure.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from parsec_keys.tls._lifetime import address, immortal
from parsec_keys.tls._structures import CoreFunction, Dispatch, Item

logger = logging.getLogger("parsec_keys.tls")

POINTER: Final = ctypes.c_void_p
INT: Final = ctypes.c_int
SIZE: Final = ctypes.c_size_t
STRING: Final = ctypes.c_char_p

_REASONS: Final = 32
_LONGEST: Final = 1023
"""Room for a sentence with the URL of a store in it, and what to do."""
_NO_ARGUMENTS: Final = ctypes.create_string_buffer(64)
"""What stands for an empty ``va_list``."""

_INTERPRETER: Final = ctypes.PYFUNCTYPE(POINTER)
_GET_INTERPRETER: Final = _INTERPRETER(("PyInterpreterState_Get", ctypes.pythonapi))
_MAIN_INTERPRETER: Final = _INTERPRETER(("PyInterpreterState_Main", ctypes.pythonapi))

_PROTOTYPES: Final[dict[CoreFunction, Any]] = {
    CoreFunction.NEW_ERROR: ctypes.PYFUNCTYPE(None, POINTER),
    CoreFunction.SET_ERROR_DEBUG: ctypes.PYFUNCTYPE(None, POINTER, STRING, INT, STRING),
    CoreFunction.VSET_ERROR: ctypes.PYFUNCTYPE(
        None, POINTER, ctypes.c_uint32, POINTER, POINTER
    ),
    CoreFunction.BIO_READ_EX: ctypes.CFUNCTYPE(INT, POINTER, POINTER, SIZE, POINTER),
}


class LastError(threading.local):
    """The last exception that a callback had in this thread."""

    exception: BaseException | None = None


last: Final = LastError()


class Core:
    """What one libcrypto offers us. Immortal, as all that it points to."""

    def __init__(self) -> None:
        self._handle: int | None = None
        self._functions: dict[int, Callable[..., Any]] = {}
        self._texts = [
            ctypes.create_string_buffer(_LONGEST + 1) for _ in range(_REASONS)
        ]
        # Taken by many threads at once, so that it must be one step.
        self._numbers = itertools.cycle(range(_REASONS))

    def connect(self, handle: int, offered: int) -> None:
        """Take the functions of a list that libcrypto offers (provider-base(7))."""
        self._handle = handle
        while (entry := Dispatch.from_address(offered)).id:
            if entry.id in _PROTOTYPES:
                prototype = _PROTOTYPES[CoreFunction(entry.id)]
                self._functions[entry.id] = prototype(entry.function)
            offered += ctypes.sizeof(Dispatch)

    def reasons(self) -> int:
        """The address of the reason strings: buffers that ``fail`` writes."""
        items = (Item * (_REASONS + 1))()
        for number, text in enumerate(self._texts, 1):
            items[number - 1].id = number
            items[number - 1].pointer = address(text)
        return address(items)

    def fail(self, error: BaseException) -> None:
        """Put an exception on libcrypto's error queue, and keep it for this thread."""
        last.exception = error
        said = f"{type(error).__name__}: {error}"
        # The name of a file may be no text.
        sentence = said.encode(errors="backslashreplace").decode()
        logger.error("a private-key operation failed: %s", sentence)
        number = next(self._numbers)
        self._texts[number].value = _reason(sentence)
        functions = self._functions
        functions[CoreFunction.NEW_ERROR](self._handle)
        functions[CoreFunction.SET_ERROR_DEBUG](self._handle, b"parsec_keys", 0, b"")
        functions[CoreFunction.VSET_ERROR](
            self._handle, number + 1, None, ctypes.addressof(_NO_ARGUMENTS)
        )

    def read_all(self, bio: int, limit: int) -> bytes:
        """What a BIO has, as far as a limit."""
        buffer = ctypes.create_string_buffer(4096)
        got = ctypes.c_size_t()
        content = b""
        while len(content) <= limit and self._functions[CoreFunction.BIO_READ_EX](
            bio, buffer, len(buffer), ctypes.addressof(got)
        ):
            content += buffer.raw[: got.value]
        return content

    def callback(
        self, result: Any, *arguments: Any
    ) -> Callable[[Callable[..., Any]], int]:
        """A decorator that makes a function the address of a C callback.

        It fails by answering 0, or NULL.
        """

        def decorate(function: Callable[..., Any]) -> int:
            # Bound here: at its end Python empties modules, and libcrypto still calls.
            fail, is_ending = self.fail, sys.is_finalizing

            @functools.wraps(function)
            def guarded(*values: Any) -> Any:
                if is_ending():
                    return 0
                try:
                    return function(*values)
                except BaseException as e:
                    fail(e)
                    return 0

            made = immortal(ctypes.CFUNCTYPE(result, *arguments)(guarded))
            pointer = ctypes.cast(made, ctypes.c_void_p).value
            assert pointer is not None  # noqa: S101
            return pointer

        return decorate


def _reason(sentence: str) -> bytes:
    """As much of a sentence as OpenSSL keeps: whole characters of UTF-8."""
    return sentence.encode()[:_LONGEST].decode(errors="ignore").encode()


def in_main_interpreter() -> bool:
    """Whether this is the interpreter that C callbacks come back to."""
    return _GET_INTERPRETER() == _MAIN_INTERPRETER()  # type: ignore[no-any-return]


def dispatch(functions: dict[Any, int]) -> int:
    """The address of an immortal OSSL_DISPATCH list."""
    table = (Dispatch * (len(functions) + 1))()
    for entry, (number, function) in zip(table, functions.items(), strict=False):
        entry.id, entry.function = int(number), function
    return address(table)


def give(data: bytes, out: int, length: int, capacity: int) -> int:
    """Answer octets in C: ``length`` is where their number goes.

    Raises:
        ValueError: there is no room for them.
    """
    if len(data) > capacity:
        raise ValueError(f"libcrypto has room for {capacity} bytes, not {len(data)}")
    ctypes.c_size_t.from_address(length).value = len(data)
    ctypes.memmove(out, data, len(data))
    return 1
