"""A PKCS#11 module by ctypes alone: what somebody else in the process does with it.

Also what initialises tokens that have no tool of their own.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OK = 0
OS_LOCKING = 2
SECURITY_OFFICER, USER = 0, 1
SERIAL, READ_WRITE = 4, 2
INITIALIZED = 0x400
"""CKF_TOKEN_INITIALIZED."""
PUBLIC = 2
"""CKS_RW_PUBLIC_SESSION, of who can write and is nobody."""
SERIAL_AT, FLAGS_AT, SESSIONS_AT = 80, 96, 112
"""Offsets in CK_TOKEN_INFO (PKCS#11 3.0, section 3.2)."""


@dataclass(frozen=True)
class TokenState:
    """What a token says of itself."""

    flags: int
    sessions: int


class RawModule:
    """A module's exported functions; each answers its CK_RV or fails the test."""

    def __init__(self, path: Path) -> None:
        self._module = ctypes.CDLL(str(path))

    def call(self, name: str, *arguments: Any) -> int:
        """Call a function; integers are CK_ULONG."""
        function = getattr(self._module, name)
        function.restype = ctypes.c_ulong
        return int(
            function(
                *(ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments)
            )
        )

    def initialize(self, flags: int = OS_LOCKING) -> int:
        arguments = (ctypes.c_ulong * 6)(0, 0, 0, 0, flags, 0)
        return self.call("C_Initialize", arguments)

    def finalize(self) -> int:
        return self.call("C_Finalize", None)

    def slots(self) -> list[int]:
        found, count = (ctypes.c_ulong * 32)(), ctypes.c_ulong(32)
        self._check("C_GetSlotList", 1, found, ctypes.byref(count))
        return list(found[: count.value])

    def slot_of(self, label: str) -> int:
        return next(s for s in self.slots() if self._info(s)[:32] == _padded(label))

    def serials(self, label: str) -> list[str]:
        infos = (self._info(slot) for slot in self.slots())
        return [
            info[SERIAL_AT : SERIAL_AT + 16].decode().strip()
            for info in infos
            if info[:32] == _padded(label)
        ]

    def state(self, slot: int) -> TokenState:
        info = self._info(slot)
        numbers = (info[at : at + 8] for at in (FLAGS_AT, SESSIONS_AT))
        return TokenState(*(int.from_bytes(number, "little") for number in numbers))

    def open_session(self, slot: int) -> int:
        handle = ctypes.c_ulong()
        flags = SERIAL | READ_WRITE
        self._check("C_OpenSession", slot, flags, None, None, ctypes.byref(handle))
        return handle.value

    def close_session(self, session: int) -> int:
        return self.call("C_CloseSession", session)

    def login(self, session: int, pin: bytes, user: int = USER) -> int:
        return self.call("C_Login", session, user, pin, len(pin))

    def logout(self, session: int) -> int:
        return self.call("C_Logout", session)

    def is_logged_in(self, session: int) -> bool:
        info = (ctypes.c_ulong * 4)()
        self._check("C_GetSessionInfo", session, info)
        return info[1] != PUBLIC

    def set_pin(self, session: int, old: bytes, new: bytes) -> int:
        return self.call("C_SetPIN", session, old, len(old), new, len(new))

    def count_objects(self, session: int) -> int:
        found, count = (ctypes.c_ulong * 4096)(), ctypes.c_ulong()
        self._check("C_FindObjectsInit", session, None, 0)
        self._check("C_FindObjects", session, found, 4096, ctypes.byref(count))
        self._check("C_FindObjectsFinal", session)
        return count.value

    def init_token(self, slot: int, label: str, so_pin: bytes, pin: bytes) -> None:
        self._check("C_InitToken", slot, so_pin, len(so_pin), _padded(label))
        session = self.open_session(self.slot_of(label))
        self._check("C_Login", session, SECURITY_OFFICER, so_pin, len(so_pin))
        self._check("C_InitPIN", session, pin, len(pin))
        self._check("C_CloseSession", session)

    def _info(self, slot: int) -> bytes:
        info = ctypes.create_string_buffer(256)
        self._check("C_GetTokenInfo", slot, info)
        return info.raw

    def _check(self, name: str, *arguments: Any) -> None:
        result = self.call(name, *arguments)
        assert result == OK, f"{name} says {result:#x}"


def objects_on(module: Path, label: str) -> int:
    """How many objects are on a token, for another session of this process."""
    raw = RawModule(module)
    session = raw.open_session(raw.slot_of(label))
    assert raw.is_logged_in(session)  # It does not see all else.
    count = raw.count_objects(session)
    raw.close_session(session)
    return count


def _padded(label: str) -> bytes:
    return label.encode().ljust(32)
