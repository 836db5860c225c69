"""One token: found by its configuration, logged in to, with a pool of sessions.

A session belongs to one thread while it works. Sessions inherit the login; each
remembers the key objects that it has found.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import itertools
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from parsec_keys._fork import fork_safe_lock
from parsec_keys.errors import (
    ConfigurationError,
    Error,
    KeyNotFound,
    ServiceUnavailable,
)
from parsec_keys.service.call_gate import CallGate, nobody_in
from parsec_keys.service.config import Pkcs11Config
from parsec_keys.service.providers.pkcs11 import _module
from parsec_keys.service.providers.pkcs11._capabilities import Capabilities
from parsec_keys.service.providers.pkcs11._cryptoki import (
    LOST,
    SICK,
    Attribute,
    ObjectClass,
    TokenFlag,
    exceptions,
    translated,
)
from parsec_keys.service.providers.pkcs11._function_list import FunctionList
from parsec_keys.service.providers.pkcs11._logins import close
from parsec_keys.service.providers.pkcs11._module import Era
from parsec_keys.service.shared_files import one_process_at_a_time

T = TypeVar("T")

MOST_SESSIONS: Final = 16
WAIT_SECONDS: Final = 30.0
_MOST_KEYS: Final = 256
"""How many key objects a session remembers: each takes about 3 kB."""
RECOVERABLE: Final = (*LOST, *SICK)
_MOST_TRIES: Final = 16
"""How often an operation is begun again, where other threads keep curing things."""
SOFTHSM: Final = "SoftHSM project"
"""The manufacturer of tokens that bear one call of a process at a time.

SoftHSM 2.6 finds a key twice, or crashes, where several threads look at a token that
another process has changed.
"""


class PooledSession:
    """A session and the key objects found in it."""

    __slots__ = ("_deleted", "_functions", "_keys", "_seen", "session")

    def __init__(
        self, session: Any, functions: FunctionList, deleted: _DeletedKeys
    ) -> None:
        self.session = session
        self._functions = functions
        self._keys: dict[bytes, Any] = {}
        self._deleted, self._seen = deleted, deleted.count

    def private_key(self, key_id: bytes, template: dict[Any, Any]) -> Any:
        """The private key of a template, which ``key_id`` stands for.

        Raises:
            KeyNotFound: the token has several.
        """
        self._forget_deleted()
        key = self._keys.get(key_id)
        if key is None:
            found = self.private_keys(template)
            if not found:
                raise exceptions.NoSuchKey
            if len(found) > 1:
                raise KeyNotFound(
                    f"the token has {len(found)} private keys where one was expected: "
                    "remove those that are not it, or delete the key"
                )
            if len(self._keys) >= _MOST_KEYS:
                del self._keys[next(iter(self._keys))]
            key = self._keys[key_id] = found[0]
        return key

    def private_keys(self, template: dict[Any, Any]) -> list[Any]:
        """The private keys that match a template; none only if that is certain."""
        found = self.objects(ObjectClass.PRIVATE_KEY, template)
        if not found:
            self._check_all_is_seen()
        return found

    def objects(self, class_: Any, template: dict[Any, Any]) -> list[Any]:
        """The token's objects of a class that match a template."""
        if not self._functions.is_open(self.session.handle):
            # python-pkcs11 would say so too, and print a traceback besides.
            raise exceptions.SessionHandleInvalid
        wanted = {Attribute.CLASS: class_, **template}
        return list(self.session.get_objects(wanted))

    def _forget_deleted(self) -> None:
        """Forget the objects of deleted keys, whose handles may mean others by now."""
        if self._seen != self._deleted.count:
            self._seen, key_ids = self._deleted.since(self._seen)
            if key_ids is None:
                self._keys.clear()
            for key_id in key_ids or ():
                self._keys.pop(key_id, None)

    def _check_all_is_seen(self) -> None:
        """Pass if a search that found nothing has seen all that the token has."""
        try:
            token = self.session.token.slot.get_token()
        except SICK as e:
            # SoftHSM has no objects any more where its token has gone.
            raise exceptions.TokenNotPresent from e
        # Who is not logged in sees no private ones (PKCS#11 3.0, section 4.4).
        is_wanted = bool(token.flags & TokenFlag.LOGIN_REQUIRED)
        if is_wanted and not self._functions.is_logged_in(self.session.handle):
            raise exceptions.UserNotLoggedIn


class _DeletedKeys:
    """The keys of a token that were deleted lately, for sessions that have them."""

    def __init__(self) -> None:
        self._lock = fork_safe_lock()
        self._key_ids: collections.deque[bytes] = collections.deque(maxlen=_MOST_KEYS)
        self.count = 0

    def add(self, key_id: bytes) -> None:
        with self._lock:
            self._key_ids.append(key_id)
            self.count += 1

    def since(self, count: int) -> tuple[int, list[bytes] | None]:
        """The count now, and what was deleted since a smaller one, if not too many."""
        with self._lock:
            new = self.count - count
            if new > len(self._key_ids):
                return self.count, None
            return self.count, list(self._key_ids)[-new:]


class Token:
    """A token that is open. Safe to use from many threads, and after a fork.

    ``can`` is what it can do, asked when it was opened.
    """

    can: Capabilities

    def __init__(self, config: Pkcs11Config) -> None:
        """Find the token and log in.

        Raises:
            ServiceUnavailable: no module, or no such token.
            ConfigurationError: several tokens match.
            AuthenticationError: the token does not let us in.
        """
        self._config = config
        with one_process_at_a_time("pkcs11", str(config.library_path)):
            self.module = _module.load(config.library_path)
        self._sessions = self.module.new_gate(MOST_SESSIONS)
        self._takes_turns = False
        self._closed = False
        self._read_only = False
        self._idle: list[PooledSession] = []
        self._opened: dict[int, list[Any]] = {}
        """Each session that is open, idle or not, in a list of its own: Ctrl-C may lose
        one that was on its way from here to there."""
        self._deleted = _DeletedKeys()
        self._life = 0
        """How often the token was found; it changes with nobody inside."""
        self._era = self.module.era()
        asked = f"opening the token of '{config.name}'"
        try:
            self._open(asked)
        except exceptions.PKCS11Error as e:
            # Some modules look for tokens when they start, and not later. One that
            # works for other stores does not start again for a wrong name.
            is_absent = isinstance(e, exceptions.NoSuchToken)
            is_of_use = bool(self.module.stores) and self.module.works
            if not self._may_recover(e) or (is_absent and is_of_use):
                raise translated(e, asked) from e
            self.module.restart(self._era, WAIT_SECONDS, at_once=False)
            try:
                self._open(asked)
            except exceptions.PKCS11Error as again:
                raise translated(again, asked) from again
        self.module.stores += 1

    @property
    def serial(self) -> str:
        """What tells this token from others, in words that a file name can have."""
        serial = self._token.serial.decode("latin-1").strip() or self._token.label
        return "".join(c if c.isalnum() else "-" for c in serial)

    def run(self, asked: str, use: Callable[[PooledSession], T]) -> T:
        """Run ``use(session)``, which must bear to be begun several times.

        What is lost is replaced: first the session, then all that the module knows. A
        session that another thread's cure has closed does not count.

        Raises:
            Error: what the token said, in our words.
        """
        cures = iter((self._reconnect, self._restart))
        for _ in range(_MOST_TRIES):
            self._check_open()
            era, life = self.module.era(), self._life
            try:
                if self._era != era:
                    self._reopen(asked)
                    life = self._life
                return self._with_session(asked, use)
            except exceptions.PKCS11Error as e:
                is_gone = isinstance(e, exceptions.SessionHandleInvalid)
                if is_gone and (self.module.era(), self._life) != (era, life):
                    continue  # Another thread has cured something meanwhile.
                cure = next(cures, None)
                if cure is None or not self._may_recover(e):
                    raise translated(e, asked) from e
                # Its session is closed, and the others are good.
                is_cured = isinstance(e, exceptions.OperationActive)
            if not is_cured:
                self._apply(cure, asked, era, life)
        raise ServiceUnavailable(
            f"{asked} failed: other threads lose the token again and again: try again"
        )

    def close(self) -> None:
        """Close the sessions and log out. A second call does nothing.

        Waits for calls of other threads: SoftHSM crashes where a session goes away
        under one.
        """
        if self._closed:
            return
        self._closed = True
        self.module.stores -= 1
        is_logged_in = self._config.pin is not None
        self._config = dataclasses.replace(self._config, pin=None)
        if self._era != self.module.era():
            return
        with nobody_in(self._gates, WAIT_SECONDS) as alone:
            self._drop_sessions(alone)
            if is_logged_in:
                self.module.logins.logout(self._token)

    def forget(self, key_id: bytes) -> None:
        """Have every session forget a key that is removed, when it is used next."""
        self._deleted.add(key_id)

    def _with_session(self, asked: str, use: Callable[[PooledSession], T]) -> T:
        deadline = time.monotonic() + WAIT_SECONDS
        gate = self._gate
        while place := gate.enter(max(0.0, deadline - time.monotonic())):
            try:
                with place:
                    self._check_open()
                    if self._era != self.module.era():
                        raise exceptions.SessionHandleInvalid
                    result = self._in_a_session(use)
                    self.module.works = True
                    return result
            except exceptions.SessionCount:
                # The token has fewer sessions than we would use: wait for one of them.
                if not gate.shrink():
                    raise
        raise ServiceUnavailable(
            f"{asked} failed: the token was busy for {WAIT_SECONDS:.0f} seconds with "
            f"as many calls as it takes at a time ({gate.most}): use it from fewer "
            "threads, or try again"
        )

    @property
    def _gate(self) -> CallGate:
        """Where calls of this token go in."""
        if self.module.is_shared or self._takes_turns:
            return self.module.turns
        return self._sessions

    @property
    def _gates(self) -> list[CallGate]:
        return [self._sessions, self.module.turns]

    def _borrowing(
        self, session: PooledSession, use: Callable[[PooledSession], T]
    ) -> T:
        try:
            result = use(session)
        except Error:
            self._idle.append(session)
            raise
        except BaseException:
            # It may be lost, or in the middle of something.
            self._close(session.session)
            raise
        self._idle.append(session)
        return result

    def _in_a_session(self, use: Callable[[PooledSession], T]) -> T:
        """Use an idle session that is in the middle of nothing, else a new one."""
        while True:
            try:
                session = self._idle.pop()
            except IndexError:
                return self._borrowing(self._new_session(), use)
            try:
                return self._borrowing(session, use)
            except exceptions.OperationActive:
                # Some tokens leave an operation that failed active: it is closed now.
                continue

    def _check_open(self) -> None:
        if self._closed:
            raise ServiceUnavailable("this key store is closed: open it again")

    def _new_session(self) -> PooledSession:
        try:
            session = self._opened_session(rw=not self._read_only)
        except exceptions.TokenWriteProtected:
            self._read_only = True
            session = self._opened_session(rw=False)
        return PooledSession(session, self.module.functions, self._deleted)

    def _opened_session(self, *, rw: bool) -> Any:
        place: list[Any] = []
        self._opened[id(place)] = place
        try:
            # All in C, so that no Ctrl-C comes in between.
            place.extend(
                itertools.starmap(functools.partial(self._token.open, rw=rw), [()])
            )
        except exceptions.PKCS11Error:
            del self._opened[id(place)]
            raise
        return place[0]

    def _close(self, session: Any) -> None:
        close(session)
        for key, place in list(self._opened.items()):
            if place and place[0] is session:
                self._opened.pop(key, None)

    def _open(self, asked: str) -> None:
        """Find the token and log in, in a module that knows nothing of this store."""
        # SoftHSM 2.6 finds no token while another process is starting on it.
        with (
            one_process_at_a_time("pkcs11", str(self._config.library_path)),
            self.module.turns.place(),
        ):
            era = self.module.era()
            _dead.append((self._idle, self._opened))
            self._idle, self._opened = [], {}
            self._found()
            if not hasattr(self, "can"):
                # Not later, when another thread may start the module again.
                self.can = Capabilities(self._token.slot)
            pin = self._config.pin
            if pin is not None:
                self.module.logins.login(self._token, pin, asked)
            self._era = era

    def _reopen(self, asked: str) -> None:
        """Open again, once for all threads, in a child or after a restart."""
        with _reopening:
            if self._era != self.module.era():
                self._open(asked)

    def _apply(
        self, cure: Callable[[str, Era, int], None], asked: str, era: Era, life: int
    ) -> None:
        """Apply a cure; one that itself needs the next one is left to it."""
        try:
            cure(asked, era, life)
        except exceptions.PKCS11Error as e:
            if not self._may_recover(e):
                raise translated(e, asked) from e

    def _reconnect(self, asked: str, era: Era, life: int) -> None:
        """Start over after the token lost objects, sessions or the login."""
        with (
            one_process_at_a_time("pkcs11", str(self._config.library_path)),
            nobody_in(self._gates, WAIT_SECONDS) as alone,
        ):
            # A handle of before may mean another key by then.
            if not alone:
                raise ServiceUnavailable(
                    f"{asked} failed: the token was lost, and keeps other threads "
                    "busy: try again"
                )
            if (self.module.era(), self._life) != (era, life):
                return
            self._drop_sessions(alone)
            self._sessions.grow()
            self._found()
            pin = self._config.pin
            if pin is not None:
                self.module.logins.renew(self._token, pin, asked)

    def _restart(self, asked: str, era: Era, life: int) -> None:
        # Where the token itself is gone, a restart costs nobody who uses another one.
        at_once = self.module.stores == 1 and self._is_gone()
        self.module.restart(era, WAIT_SECONDS, at_once=at_once)

    def _is_gone(self) -> bool:
        with self.module.turns.place():
            try:
                self._token.slot.get_token()
            except exceptions.PKCS11Error:
                return True
        return False

    def _may_recover(self, error: exceptions.PKCS11Error) -> bool:
        return isinstance(error, RECOVERABLE) or not (
            self.module.functions.is_initialized()
        )

    def _found(self) -> None:
        self._token = _find(self._config, self.module.library)
        self._read_only = bool(self._token.flags & TokenFlag.WRITE_PROTECTED)
        self._takes_turns = self._token.manufacturer_id == SOFTHSM
        self._life += 1

    def _drop_sessions(self, alone: bool) -> None:
        """Close the idle ones; where nobody is inside, what Ctrl-C has lost, too."""
        with contextlib.suppress(IndexError):  # Other threads take them too.
            while True:
                self._close(self._idle.pop().session)
        if alone:
            for place in self._opened.values():
                for session in place:
                    close(session)
            self._opened = {}


_reopening: Final = fork_safe_lock()
_dead: Final[list[object]] = []
"""Sessions of a parent or a module's past, which no finaliser may close."""


def _find(config: Pkcs11Config, library: Any) -> Any:
    """The one initialised token that a configuration means.

    Raises:
        ConfigurationError: several match.
        NoSuchToken: none does.
    """
    there, error = [], None
    for slot in library.get_slots(token_present=True):
        if config.slot_number in (None, int(slot.slot_id)):
            try:
                there.append(slot.get_token())
            except exceptions.PKCS11Error as e:
                error = e  # Others may be well.
    there = [token for token in there if token.flags & TokenFlag.TOKEN_INITIALIZED]
    matching = [
        token
        for token in there
        if config.token_label in (None, token.label)
        and config.serial_number in (None, token.serial.decode("latin-1").strip())
    ]
    if len(matching) == 1:
        return matching[0]
    if not matching and error is not None:
        try:
            raise error
        finally:
            del error  # It holds this frame, which would hold it and the PIN.
    names = ", ".join(sorted(f"'{token.label}'" for token in there)) or "none"
    if matching:
        raise ConfigurationError(
            f"several tokens match ({names}): name one with token=, serial= or slot-id="
        )
    raise exceptions.NoSuchToken(
        f"no initialised token matches; {config.library_path} has {names}: insert or "
        "initialise it, or correct token=, serial= or slot-id="
    )
