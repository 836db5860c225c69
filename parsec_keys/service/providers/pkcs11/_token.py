"""One token: found by its configuration, logged in to, with a pool of sessions.

A session belongs to one thread while it works. Sessions inherit the login; each
remembers the key objects that it has found.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from parsec_keys._fork import ForkSafeLock
from parsec_keys.errors import (
    AuthenticationError,
    ConfigurationError,
    Error,
    KeyNotFound,
    PinLocked,
    ServiceUnavailable,
)
from parsec_keys.service.config import Pkcs11Config
from parsec_keys.service.providers.pkcs11 import _module
from parsec_keys.service.providers.pkcs11._calls import CallGate
from parsec_keys.service.providers.pkcs11._cryptoki import (
    LOST,
    Attribute,
    ObjectClass,
    TokenFlag,
    exceptions,
    translated,
)
from parsec_keys.service.providers.pkcs11._function_list import FunctionList
from parsec_keys.service.shared_files import one_process_at_a_time

T = TypeVar("T")

MOST_SESSIONS: Final = 16
WAIT_SECONDS: Final = 30.0


class PooledSession:
    """A session and the key objects found in it."""

    __slots__ = ("_functions", "_keys", "session")

    def __init__(self, session: Any, functions: FunctionList) -> None:
        self.session = session
        self._functions = functions
        self._keys: dict[bytes, Any] = {}

    def private_key(self, key_id: bytes, template: dict[Any, Any]) -> Any:
        """The private key of a template, which ``key_id`` stands for.

        Raises:
            KeyNotFound: the token has none, or several.
        """
        key = self._keys.get(key_id)
        if key is None:
            found = self.private_keys(template)
            if len(found) != 1:
                raise KeyNotFound(
                    f"the token has {len(found)} private keys where one was expected: "
                    "restore it, or delete the key"
                )
            key = self._keys[key_id] = found[0]
        return key

    def forget(self, key_id: bytes) -> None:
        """Forget a key object, whose handle may come to mean another one."""
        self._keys.pop(key_id, None)

    def private_keys(self, template: dict[Any, Any]) -> list[Any]:
        """The private keys that match a template; none only if that is certain."""
        found = self.objects(ObjectClass.PRIVATE_KEY, template)
        if not found and self._needs_login():
            # Who is not logged in does not see them (PKCS#11 3.0, section 4.4).
            raise exceptions.UserNotLoggedIn
        return found

    def objects(self, class_: Any, template: dict[Any, Any]) -> list[Any]:
        """The token's objects of a class that match a template."""
        if not self._functions.is_open(self.session.handle):
            # python-pkcs11 would say so too, and print a traceback besides.
            raise exceptions.SessionHandleInvalid
        wanted = {Attribute.CLASS: class_, **template}
        return list(self.session.get_objects(wanted))

    def _needs_login(self) -> bool:
        is_wanted = bool(self.session.token.flags & TokenFlag.LOGIN_REQUIRED)
        return is_wanted and not self._functions.is_logged_in(self.session.handle)


class Token:
    """A token that is open. Safe to use from many threads, and after a fork."""

    def __init__(self, config: Pkcs11Config) -> None:
        """Find the token and log in.

        Raises:
            ServiceUnavailable: no module, or no such token.
            ConfigurationError: several tokens match.
            AuthenticationError: the token does not let us in.
        """
        self._config = config
        self._calls = CallGate(MOST_SESSIONS)
        with one_process_at_a_time("pkcs11", str(config.library_path)):
            self.module = _module.load(config.library_path)
        self._closed = False
        self._read_only = False
        self._open()

    @property
    def serial(self) -> str:
        """What tells this token from others, in words that a file name can have."""
        serial = self._token.serial.decode("latin-1").strip() or self._token.label
        return "".join(c if c.isalnum() else "-" for c in serial)

    @property
    def slot(self) -> Any:
        """The slot that the token is in."""
        return self._token.slot

    def run(self, asked: str, use: Callable[[PooledSession], T]) -> T:
        """Run ``use(session)``; a session that is lost is replaced, once.

        Raises:
            Error: what the token said, in our words.
        """
        self._check_open()
        if self._process != os.getpid():
            self._reopen_after_fork()
        try:
            return self._with_session(asked, use)
        except LOST:
            self._reconnect(asked)
        try:
            return self._with_session(asked, use)
        except LOST as e:
            raise translated(e, asked) from e

    def close(self) -> None:
        """Close the sessions and log out. A second call does nothing.

        Waits for calls of other threads: SoftHSM crashes where a session goes away
        under one.
        """
        if self._closed:
            return
        self._closed = True
        if self._process != os.getpid():
            return
        taken = self._calls.fill(time.monotonic() + WAIT_SECONDS)
        try:
            with _starting, self.module.serialised:
                self._drop_idle()
                if self._config.pin is not None:
                    self.module.logout(self._token)
        finally:
            self._calls.leave(taken)

    def forget(self, key_id: bytes) -> None:
        """Forget a key that was removed."""
        for session in self._idle.copy():
            session.forget(key_id)

    def _with_session(self, asked: str, use: Callable[[PooledSession], T]) -> T:
        if not self._calls.enter(WAIT_SECONDS):
            raise ServiceUnavailable(
                f"{asked} failed: all {MOST_SESSIONS} sessions with the token were "
                f"busy for {WAIT_SECONDS:.0f} seconds"
            )
        try:
            self._check_open()
            with self.module.serialised:
                return self._borrowing(self._idle, use)
        except LOST:
            raise
        except exceptions.PKCS11Error as e:
            raise translated(e, asked) from e
        finally:
            self._calls.leave()

    def _borrowing(
        self, idle: list[PooledSession], use: Callable[[PooledSession], T]
    ) -> T:
        try:
            session = idle.pop()
        except IndexError:
            session = self._new_session()
        try:
            result = use(session)
        except Error:
            idle.append(session)
            raise
        except BaseException:
            # It may be lost, or in the middle of something.
            _close(session)
            raise
        idle.append(session)
        return result

    def _check_open(self) -> None:
        if self._closed:
            raise ServiceUnavailable("this key store is closed: open it again")

    def _new_session(self) -> PooledSession:
        functions = self.module.functions
        try:
            return PooledSession(self._token.open(rw=not self._read_only), functions)
        except exceptions.TokenWriteProtected:
            self._read_only = True
            return PooledSession(self._token.open(), functions)

    def _open(self) -> None:
        # SoftHSM 2.6 finds no token while another process is starting on it.
        with (
            one_process_at_a_time("pkcs11", str(self._config.library_path)),
            _starting,
        ):
            process = self.module.in_this_process()
            with self.module.serialised:
                self._open_alone()
            # Last: until now a child's other threads wait for this one.
            self._process = process

    def _open_alone(self) -> None:
        self._idle: list[PooledSession] = []
        asked = f"opening the token of '{self._config.name}'"
        try:
            self._token = _find(self._config, self.module.library)
            self._read_only = bool(self._token.flags & TokenFlag.WRITE_PROTECTED)
            self._login(asked)
        except exceptions.PKCS11Error as e:
            raise translated(e, asked) from e

    def _login(self, asked: str) -> None:
        pin = self._config.pin
        if pin is None:
            return
        flags = self._token.flags
        if flags & TokenFlag.USER_PIN_LOCKED:
            raise PinLocked(
                f"{asked} failed: its PIN is locked: have its security officer unlock "
                "it"
            )
        if flags & TokenFlag.USER_PIN_FINAL_TRY:
            raise AuthenticationError(
                f"{asked} was not tried: one more wrong PIN locks it; log in once with "
                "the vendor's tool, then open the store again"
            )
        self.module.login(self._token, pin, asked)

    def _reconnect(self, asked: str) -> None:
        """Start over after the token lost objects, sessions or the login."""
        with _starting, self.module.serialised:
            self._drop_idle()
            try:
                self._token = _find(self._config, self.module.library)
                if self._config.pin is not None:
                    self.module.renew_login(self._token, self._config.pin, asked)
            except exceptions.PKCS11Error as e:
                raise translated(e, asked) from e

    def _reopen_after_fork(self) -> None:
        with _reopening:
            if self._process != os.getpid():
                _inherited.append(self._idle)
                self._open()

    def _drop_idle(self) -> None:
        with contextlib.suppress(IndexError):  # Other threads take them too.
            while True:
                _close(self._idle.pop())


_reopening: Final = ForkSafeLock()
_starting: Final = CallGate(1)
"""Who opens, reconnects or closes a token; a fork waits for these calls too."""
_inherited: Final[list[object]] = []
"""A parent's sessions, which a finaliser in the child must not close."""


def _close(session: PooledSession) -> None:
    # What was lost cannot be closed.
    with contextlib.suppress(exceptions.PKCS11Error):
        session.session.close()


def _find(config: Pkcs11Config, library: Any) -> Any:
    """The one initialised token that a configuration means."""
    there = [
        slot.get_token()
        for slot in library.get_slots(token_present=True)
        if config.slot_number in (None, int(slot.slot_id))
    ]
    there = [token for token in there if token.flags & TokenFlag.TOKEN_INITIALIZED]
    matching = [
        token
        for token in there
        if config.token_label in (None, token.label)
        and config.serial_number in (None, token.serial.decode("latin-1").strip())
    ]
    if len(matching) == 1:
        return matching[0]
    names = ", ".join(sorted(f"'{token.label}'" for token in there)) or "none"
    if matching:
        raise ConfigurationError(
            f"several tokens match ({names}): name one with token=, serial= or slot-id="
        )
    raise ServiceUnavailable(
        f"no initialised token matches; {config.library_path} has {names}: insert or "
        "initialise it, or correct token=, serial= or slot-id="
    )
