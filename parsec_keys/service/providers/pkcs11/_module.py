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
from parsec_keys.service.providers.pkcs11._function_list import (
    ALREADY_INITIALIZED,
    OK,
    FunctionList,
)


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
        self.functions = FunctionList(path)
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
                    # module that notices a fork finalises nothing here. One that is
                    # not ours may have been initialised again by its owner.
                    if not self.is_shared:
                        self.functions.finalize()
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
        """Log in again, for all stores of a token, if the login is lost."""
        slot = int(token.slot.slot_id)
        with self._logins:
            known = self._login_sessions.get(slot)
            if known is not None and self.functions.is_logged_in(known[0].handle):
                return
            self._login_sessions.pop(slot, None)
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
        result = self.functions.initialize()
        if result not in (OK, ALREADY_INITIALIZED):
            raise ServiceUnavailable(
                f"the PKCS#11 module {self.path} does not start (C_Initialize says "
                f"{result:#x}): see its vendor's set-up"
            )
        self.is_shared = result == ALREADY_INITIALIZED
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
