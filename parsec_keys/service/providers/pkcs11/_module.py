"""A PKCS#11 module in this process: initialised once, with OS locking, for all stores.

Rule: C_Initialize and C_Finalize belong to the whole process. A module that somebody
else initialised is used as it is, one call at a time, and never finalised here.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import threading
from pathlib import Path
from typing import Any, Final

from pkcs11 import _pkcs11

from parsec_keys._fork import ForkSafeLock
from parsec_keys.errors import PinIncorrect, ServiceUnavailable
from parsec_keys.service.providers.pkcs11._cryptoki import exceptions, translated

# CK_RV and CK_C_INITIALIZE_ARGS (PKCS#11 3.0, sections 3.6 and 5.4).
_OK: Final = 0
_ALREADY_INITIALIZED: Final = 0x191
_OS_LOCKING: Final = 2


class _InitializeArguments(ctypes.Structure):
    _fields_ = [
        ("create_mutex", ctypes.c_void_p),
        ("destroy_mutex", ctypes.c_void_p),
        ("lock_mutex", ctypes.c_void_p),
        ("unlock_mutex", ctypes.c_void_p),
        ("flags", ctypes.c_ulong),
        ("reserved", ctypes.c_void_p),
    ]


class _OsLockedLibrary(_pkcs11.lib):
    """python-pkcs11's library, which does not initialise the module by itself.

    Its own C_Initialize has no flag, and a module so initialised may be used by one
    thread only, while python-pkcs11 calls it from many.
    """

    def initialize(self) -> None:
        pass


class Module:
    """A module that is loaded and initialised. Get one from ``load``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.serialised: contextlib.AbstractContextManager[Any]
        self._functions = _open_library(path)
        self._process = os.getpid()
        self._logins = ForkSafeLock()
        self._login_sessions: dict[int, tuple[Any, int, bytes]] = {}
        self._refused_pins: set[tuple[int, bytes]] = set()
        """Slots and SHA-256 of PINs that tokens refused: nobody tries them again."""
        self._initialize()
        self.library: Any = _OsLockedLibrary(str(path))
        # Never freed: when Python ends, freeing it would look for methods of a class
        # that is gone by then, and print so.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.library))

    def in_this_process(self) -> int:
        """This process's id, after initialising the module again in a child."""
        process = os.getpid()
        if self._process != process:
            with _loading:
                if self._process != process:
                    # A child must initialise for itself (PKCS#11 3.0, section 5.4); a
                    # module that notices a fork finalises nothing here.
                    self._functions.C_Finalize(None)
                    _inherited.append(self._login_sessions)
                    self._login_sessions = {}
                    self._initialize()
                    self._process = process
        return process

    def login(self, token: Any, pin: str, asked: str) -> None:
        """Log in to a token, once a process for all of its stores.

        Raises:
            PinIncorrect, PinLocked, AuthenticationError: the token does not let us in.
        """
        slot = int(token.slot.slot_id)
        digest = hashlib.sha256(pin.encode()).digest()
        with self._logins:
            known = self._login_sessions.get(slot)
            if known is not None and known[2] == digest:
                self._login_sessions[slot] = (known[0], known[1] + 1, digest)
                return
            if known is not None or (slot, digest) in self._refused_pins:
                raise PinIncorrect(
                    f"{asked} failed: this is not the PIN of the token, which was "
                    "told so before and is not asked again"
                )
            session = self._open_session(token, pin, slot, digest, asked)
            self._login_sessions[slot] = (session, 1, digest)

    def logout(self, token: Any) -> None:
        """Take back one ``login``; the last one ends it for the whole process."""
        slot = int(token.slot.slot_id)
        with self._logins:
            known = self._login_sessions.pop(slot, None)
            if known is None or self._process != os.getpid():
                return
            session, count, digest = known
            if count > 1:
                self._login_sessions[slot] = (session, count - 1, digest)
                return
            with contextlib.suppress(exceptions.PKCS11Error):
                session.close()

    def renew_login(self, token: Any, pin: str, asked: str) -> None:
        """Log in again, for all stores of a token that may have lost the login."""
        slot = int(token.slot.slot_id)
        with self._logins:
            known = self._login_sessions.pop(slot, None)
            self.login(token, pin, asked)
            if known is not None:
                session, _, digest = self._login_sessions[slot]
                self._login_sessions[slot] = (session, known[1], digest)

    def _open_session(
        self, token: Any, pin: str, slot: int, digest: bytes, asked: str
    ) -> Any:
        try:
            return token.open(user_pin=pin)
        except exceptions.UserAlreadyLoggedIn:
            return token.open()
        except exceptions.PKCS11Error as e:
            error = translated(e, asked)
            if isinstance(error, PinIncorrect):
                self._refused_pins.add((slot, digest))
            raise error from e

    def _initialize(self) -> None:
        arguments = _InitializeArguments(flags=_OS_LOCKING)
        result = self._functions.C_Initialize(ctypes.byref(arguments))
        if result not in (_OK, _ALREADY_INITIALIZED):
            raise ServiceUnavailable(
                f"the PKCS#11 module {self.path} does not start (C_Initialize says "
                f"{result:#x}): see its vendor's set-up"
            )
        self.is_shared = result == _ALREADY_INITIALIZED
        self.serialised = threading.RLock() if self.is_shared else _no_lock


_no_lock: Final = contextlib.nullcontext()
_loading: Final = ForkSafeLock()
_modules: Final[dict[Path, Module]] = {}
_inherited: Final[list[object]] = []
"""A parent's sessions, which a finaliser in the child must not close."""


def load(path: Path) -> Module:
    """The module of a path, loaded on first use and kept as long as the process.

    Raises:
        ServiceUnavailable: there is no such file, or it is no PKCS#11 module.
    """
    path = path.absolute()
    with _loading:
        module = _modules.get(path)
        if module is None:
            module = _modules[path] = Module(path)
        return module


def _open_library(path: Path) -> ctypes.CDLL:
    if not path.exists():
        raise ServiceUnavailable(
            f"there is no PKCS#11 module {path}: install the token's software, or "
            "correct module-path"
        )
    try:
        library = ctypes.CDLL(str(path))
        library.C_Initialize.restype = ctypes.c_ulong
        library.C_Finalize.restype = ctypes.c_ulong
        library.C_GetFunctionList.restype = ctypes.c_ulong
    except (OSError, AttributeError) as e:
        raise ServiceUnavailable(f"{path} is no PKCS#11 module: {e}") from e
    return library
