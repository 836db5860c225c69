"""The fault injector ``faulty_module.c``: compiled, put before a module, commanded."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

from parsec_keys.emulators import PIN
from tests.service.providers.tokens import Token, url

SOURCE = Path(__file__).with_name("faulty_module.c")

FUNCTION_FAILED = 0x06
HOST_MEMORY = 0x02
GENERAL_ERROR = 0x05
DEVICE_ERROR = 0x30
DEVICE_MEMORY = 0x31
DEVICE_REMOVED = 0x32
KEY_HANDLE_INVALID = 0x60
OPERATION_ACTIVE = 0x90
PIN_INCORRECT = 0xA0
PIN_EXPIRED = 0xA3
PIN_LOCKED = 0xA4
SESSION_COUNT = 0xB1
SESSION_HANDLE_INVALID = 0xB3
TOKEN_NOT_PRESENT = 0xE0
TOKEN_WRITE_PROTECTED = 0xE2
USER_NOT_LOGGED_IN = 0x101
VENDOR_DEFINED = 0x80001234
OS_LOCKING_OK = 2
"""CKF_OS_LOCKING_OK (PKCS#11 2.40, section 3.7)."""
CRASH = 0xDEAD
"""Not a CK_RV: the module aborts."""
ALWAYS = 1 << 30


def compiled(directory: Path) -> Path:
    """The injector as a shared object."""
    module = directory / "faulty_module.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", module, SOURCE],
        check=True,
    )
    return module


class Faults:
    """A token's module with the injector before it, in this process, a child."""

    def __init__(self, module: Path, token: Token) -> None:
        token.enter()
        os.environ["FAULTY_MODULE_OF"] = str(token.module)
        self.module, self.behind = module, token.module
        self._token = token
        self._injector = ctypes.CDLL(str(module))

    def url(self, store: Path, pin: str | None = PIN) -> str:
        """The URL of a store on the token behind the injector."""
        return url(self._token, store, pin, self.module)

    def answer(self, name: str, code: int, skip: int = 0, times: int = 1) -> None:
        """Let a function answer a code, ``times`` times after ``skip`` real calls."""
        self._injector.faulty_answer(name.encode(), ctypes.c_ulong(code), skip, times)

    def hide(self, mechanism: int) -> None:
        """Leave a mechanism out of the token's list."""
        self._injector.faulty_hide_mechanism(ctypes.c_ulong(mechanism))

    def show_manufacturer(self) -> None:
        """Say who made the token behind, which is not said else."""
        self._injector.faulty_show_manufacturer()

    def remove(self, name: str) -> None:
        """Put NULL where the list has a function."""
        self._injector.faulty_remove(name.encode())

    def get_function_list(self) -> None:
        """Have the list made, before something is removed from it."""
        assert self._injector.C_GetFunctionList(ctypes.byref(ctypes.c_void_p())) == 0

    def lock(self) -> None:
        """Have a lock of the module's own around each call, as many modules have."""
        self._injector.faulty_lock()

    def hold(self, name: str) -> None:
        """Let calls of a function wait in the module."""
        self._injector.faulty_hold(name.encode(), 1)

    def let_go(self, name: str) -> None:
        """Let the calls that wait go on."""
        self._injector.faulty_hold(name.encode(), 0)

    @property
    def held(self) -> int:
        """How many calls wait, or have waited since."""
        return int(self._injector.faulty_held())

    def calls(self, name: str) -> int:
        """How often a function was called."""
        return int(self._injector.faulty_calls(name.encode()))

    @property
    def flags(self) -> int:
        """The flags with which the module was initialised last."""
        return int(self._injector.faulty_flags())

    @property
    def most_inside(self) -> int:
        """How many calls were in the module at the same time."""
        return int(self._injector.faulty_most_inside())

    @property
    def sessions(self) -> int:
        """How many sessions are open: those opened less those closed."""
        opened = self._injector.faulty_succeeded(b"C_OpenSession")
        return int(opened - self._injector.faulty_succeeded(b"C_CloseSession"))
