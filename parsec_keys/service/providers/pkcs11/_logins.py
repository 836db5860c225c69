"""Who is logged in to the tokens of a module, for all of this process's stores.

Rule: PKCS#11 knows one login a process and token. A PIN that a token refused is not
tried again, and nobody is logged out here: a login ends by itself when the last session
with its token ends, which may be somebody else's in this process.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import Any, Final

from parsec_keys._fork import fork_safe_lock
from parsec_keys.errors import AuthenticationError, PinIncorrect, PinLocked
from parsec_keys.service.providers.pkcs11._cryptoki import (
    ALREADY_LOGGED_IN,
    LOST,
    SICK,
    TokenFlag,
    exceptions,
    login_error,
    translated,
)
from parsec_keys.service.providers.pkcs11._function_list import OK, FunctionList
from parsec_keys.service.secret import Secret

_Which = tuple[int, bytes]
"""A slot and its token's serial number."""


@dataclass(slots=True)
class _Login:
    session: Any
    """Kept open, and used for nothing else: with it, the login stays."""
    digest: bytes
    stores: int


class Logins:
    """The logins of one module."""

    def __init__(self, functions: FunctionList) -> None:
        self._functions = functions
        self._lock = fork_safe_lock()
        self._logins: dict[_Which, _Login] = {}
        self._refused: set[tuple[_Which, bytes]] = set()
        """SHA-256 of PINs that tokens refused: nobody tries them again."""

    def login(self, token: Any, pin: Secret, asked: str) -> None:
        """Log in to a token, once a process for all of its stores.

        Raises:
            PinIncorrect, PinLocked, AuthenticationError: the token does not let us in.
        """
        which, digest = _which(token), hashlib.sha256(pin.octets).digest()
        with self._lock:
            known = self._logins.get(which)
            if (which, digest) in self._refused:
                raise PinIncorrect(
                    f"{asked} failed: this is not the PIN of the token, which said so "
                    "before and is not asked again: open the store with the right one"
                )
            if known is None:
                session = self._open(token, pin, digest, asked)
                known = self._logins[which] = _Login(session, digest, 0)
            elif known.digest != digest:
                raise AuthenticationError(
                    f"{asked} was not tried: this process has the token open with "
                    "another PIN, and a token checks none while it is: close that "
                    "store first"
                )
            known.stores += 1

    def logout(self, token: Any) -> None:
        """Take back one ``login``; the last one ends its session."""
        with self._lock:
            known = self._logins.get(_which(token))
            if known is None:
                return
            known.stores -= 1
            if known.stores == 0:
                del self._logins[_which(token)]
                close(known.session)

    def renew(self, token: Any, pin: Secret, asked: str) -> None:
        """Log in again, for all stores of a token, if the login is lost."""
        which = _which(token)
        with self._lock:
            known = self._logins.get(which)
            if known is None:
                self.login(token, pin, asked)
            elif not self._functions.is_logged_in(known.session.handle):
                del self._logins[which]
                close(known.session)
                self.login(token, pin, asked)
                self._logins[which].stores = known.stores

    def forget_all(self, functions: FunctionList) -> None:
        """Forget the logins of a module that was started again, or of a parent."""
        with self._lock:
            self._functions = functions
            _dead.extend(login.session for login in self._logins.values())
            self._logins = {}

    def _open(self, token: Any, pin: Secret, digest: bytes, asked: str) -> Any:
        """A session that is logged in."""
        _check_pin_is_safe(token.flags, asked)
        session = token.open()
        result = self._functions.login(session.handle, pin)
        if result in (OK, ALREADY_LOGGED_IN):
            return session
        close(session)
        raise self._refusal(_which(token), digest, login_error(result), asked)

    def _refusal(
        self, which: _Which, digest: bytes, error: exceptions.PKCS11Error, asked: str
    ) -> Exception:
        """What to raise where the token lets nobody in, made where no PIN is."""
        if isinstance(error, (*LOST, *SICK)):
            return error
        refusal = translated(error, asked)
        refusal.__cause__ = error
        if isinstance(refusal, PinIncorrect):
            self._refused.add((which, digest))
        return refusal


_dead: Final[list[object]] = []
"""Sessions of a parent or a module's past, which no finaliser may close."""


def close(session: Any) -> None:
    """Close a session; what was lost cannot be closed."""
    with contextlib.suppress(exceptions.PKCS11Error):
        session.close()


def _which(token: Any) -> _Which:
    return int(token.slot.slot_id), bytes(token.serial)


def _check_pin_is_safe(flags: Any, asked: str) -> None:
    if flags & TokenFlag.USER_PIN_LOCKED:
        raise PinLocked(
            f"{asked} failed: its PIN is locked: have its security officer unlock it"
        )
    if flags & TokenFlag.USER_PIN_FINAL_TRY:
        raise AuthenticationError(
            f"{asked} was not tried: one more wrong PIN locks it; log in once with "
            "the vendor's tool, then open the store again"
        )
