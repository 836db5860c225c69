"""The few functions of a PKCS#11 module that python-pkcs11 does not reach.

A module need not export more than C_GetFunctionList (PKCS#11 3.0, section 5.4.4), and
some do not: everything else is taken from the list that it answers.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any, Final

from parsec_keys.errors import ServiceUnavailable
from parsec_keys.service.secret import Secret

OK: Final = 0
NOT_INITIALIZED: Final = 0x190
ALREADY_INITIALIZED: Final = 0x191
_FUNCTIONS: Final = 68
"""How many a list has, from version 2.01 on."""
_OS_LOCKING: Final = 2
_USER: Final = 1
_USER_STATES: Final = (1, 3)
"""CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS (section 3.3)."""

_RV: Final = ctypes.c_ulong
_POINTER: Final = ctypes.c_void_p
_LOGIN: Final = (ctypes.c_ulong, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong)


class _InitializeArguments(ctypes.Structure):  # CK_C_INITIALIZE_ARGS, section 3.7.
    _fields_ = [
        ("create_mutex", _POINTER),
        ("destroy_mutex", _POINTER),
        ("lock_mutex", _POINTER),
        ("unlock_mutex", _POINTER),
        ("flags", ctypes.c_ulong),
        ("reserved", _POINTER),
    ]


class _SessionInfo(ctypes.Structure):  # CK_SESSION_INFO, section 3.3.
    _fields_ = [
        ("slot", ctypes.c_ulong),
        ("state", ctypes.c_ulong),
        ("flags", ctypes.c_ulong),
        ("device_error", ctypes.c_ulong),
    ]


class _List(ctypes.Structure):  # CK_FUNCTION_LIST, section 3.6.
    _fields_ = [
        ("version", ctypes.c_ubyte * 2),
        ("initialize", ctypes.CFUNCTYPE(_RV, _POINTER)),
        ("finalize", ctypes.CFUNCTYPE(_RV, _POINTER)),
        ("info", ctypes.CFUNCTYPE(_RV, _POINTER)),
        ("others", _POINTER * 12),  # C_GetFunctionList to C_CloseAllSessions.
        ("session_info", ctypes.CFUNCTYPE(_RV, ctypes.c_ulong, _POINTER)),
        ("operation_state", _POINTER * 2),
        ("login", ctypes.CFUNCTYPE(_RV, *_LOGIN)),
        ("rest", _POINTER * (_FUNCTIONS - 19)),
    ]


class FunctionList:
    """A module's functions; the module stays loaded as long as the process."""

    def __init__(self, path: Path) -> None:
        """Load a module.

        Raises:
            ServiceUnavailable: there is no such file, or it is no PKCS#11 module.
        """
        if not os.path.exists(path):  # False of a name too long, too.
            raise ServiceUnavailable(
                f"there is no PKCS#11 module {path}: install the token's software, or "
                "correct module-path"
            )
        found = ctypes.POINTER(_List)()
        try:
            ask = ctypes.CDLL(str(path)).C_GetFunctionList
            ask.restype = _RV
            result = ask(ctypes.byref(found))
        except (OSError, AttributeError) as e:
            raise ServiceUnavailable(f"{path} is no PKCS#11 module: {e}") from e
        if result != OK:
            raise ServiceUnavailable(
                f"{path} is no PKCS#11 module: C_GetFunctionList says {result:#x}"
            )
        try:
            self._functions: Any = found.contents
        except ValueError as e:
            raise ServiceUnavailable(f"{path} is no PKCS#11 module: {e}") from e
        address = ctypes.addressof(found.contents) + _List.initialize.offset
        # python-pkcs11 calls what is not there, and that is the end of the process.
        if not all((_POINTER * _FUNCTIONS).from_address(address)):
            raise ServiceUnavailable(
                f"{path} is no whole PKCS#11 module: its list lacks functions; ask its "
                "vendor for a newer one"
            )

    def initialize(self) -> int:
        """C_Initialize with CKF_OS_LOCKING_OK; its CK_RV."""
        arguments = _InitializeArguments(flags=_OS_LOCKING)
        return int(self._functions.initialize(ctypes.addressof(arguments)))

    def finalize(self) -> None:
        """C_Finalize, whatever it says."""
        self._functions.finalize(None)

    def login(self, session: int, pin: Secret) -> int:
        """C_Login as the token's user; its CK_RV."""
        octets = (ctypes.c_char * len(pin)).from_buffer(pin.octets)
        return int(self._functions.login(session, _USER, octets, len(pin)))

    def is_initialized(self) -> bool:
        """Whether the module still is; somebody else may have finalised it."""
        info = ctypes.create_string_buffer(256)
        return int(self._functions.info(ctypes.addressof(info))) != NOT_INITIALIZED

    def is_open(self, session: int) -> bool:
        """Whether the token still knows a session's handle."""
        return self._state(session) is not None

    def is_logged_in(self, session: int) -> bool:
        """Whether a session is there and the token's user is logged in to it."""
        return self._state(session) in _USER_STATES

    def _state(self, session: int) -> int | None:
        info = _SessionInfo()
        result = self._functions.session_info(session, ctypes.addressof(info))
        return int(info.state) if result == OK else None
