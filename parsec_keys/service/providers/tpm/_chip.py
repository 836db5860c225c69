"""One TPM, open: its ESAPI context, the one lock, and what of ours is loaded in it.

A TPM has as few as three slots for objects. Keys are loaded when they are used, least
recently used ones leave when the TPM is full, and all of it is done again when the TPM
turns out to have forgotten us. What may be ours in the TPM is written down before it is
there, so that an answer that never arrives leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from parsec_keys._fork import ForkSafeLock
from parsec_keys.errors import (
    AuthenticationError,
    KeyNotFound,
    ProviderFailure,
    ServiceUnavailable,
)
from parsec_keys.service.call_gate import CallGate
from parsec_keys.service.config import TpmConfig
from parsec_keys.service.providers.tpm import _marks, _tcti, _tss
from parsec_keys.service.providers.tpm._connection import Connection, Silence
from parsec_keys.service.providers.tpm._key_id import (
    LoadableKey,
    PersistentKey,
    Primary,
)
from parsec_keys.service.providers.tpm._tenancy import SoleTenancy, Tenancy

T = TypeVar("T")
logger = logging.getLogger(__name__)

_PAUSES = tuple(0.005 * 2**attempt for attempt in range(8))
"""How long to wait for other programs to give back a slot: 1.3 seconds in all."""
_PLAIN: Final = _tss.TPMA_SESSION.CONTINUESESSION
_ENCRYPTED: Final = _PLAIN | _tss.TPMA_SESSION.ENCRYPT | _tss.TPMA_SESSION.DECRYPT
_MOST_EVICTIONS: Final = 8
"""How many objects make room for one command, which needs three."""
_MOST_SAVED: Final = 1024
"""How many keys' saved contexts, of about 1.5 kB, are remembered."""

_abandoned: Final[list[object]] = []
"""A parent's contexts: a finaliser in the child would talk over the parent's line."""


class Displaced(Exception):
    """Within a command: the TPM has another program's object where ours was."""


class Chip:
    """Runs commands on one TPM, one at a time. Survives forks and TPM restarts."""

    def __init__(self, config: TpmConfig) -> None:
        """Open the TPM.

        Raises:
            ServiceUnavailable: it does not answer.
            AuthenticationError: its owner hierarchy has another auth value.
        """
        self._config = config
        self._protected = not _tcti.is_private(config.tcti)
        if config.protect_bus is not None:
            self._protected = config.protect_bus
        self._one_command = ForkSafeLock()
        self._line = CallGate(1)
        self._loaded: OrderedDict[bytes, Any] = OrderedDict()
        self._saved: dict[bytes, Any] = {}
        self._closed = False
        self._esapi: Any = None
        self._session: Any = None
        self._tenancy: Tenancy | SoleTenancy = SoleTenancy()
        self._process = 0
        self._primary_name = b""
        self._marks: dict[bytes, bytes] = {}
        self._refused: set[LoadableKey | PersistentKey] = set()
        try:
            self.run(f"opening the TPM '{config.tcti}'", lambda esapi: None)
        except BaseException:
            self.close()
            raise

    @property
    def primary_name(self) -> bytes:
        """The name of the storage primary, which the TPM's seed decides."""
        return self._primary_name

    def run(self, asked: str, command: Callable[[Any], T]) -> T:
        """Run a command that needs no key.

        Raises:
            Error: what the TPM said, in our words.
        """
        return self._guarded(asked, lambda: command(self._esapi))

    def run_under_primary(self, asked: str, command: Callable[[Any, Any, Any], T]) -> T:
        """Run ``command(esapi, primary, session)``, its parameters encrypted."""

        def with_primary() -> T:
            primary = self._primary()
            return command(self._esapi, primary, self._session_for(secret=True))

        return self._guarded(asked, with_primary)

    def run_with_key(
        self,
        asked: str,
        uid: bytes,
        key: LoadableKey | PersistentKey,
        command: Callable[[Any, Any, Any], T],
        *,
        secret: bool,
    ) -> T:
        """Run ``command(esapi, key, session)`` with a key loaded.

        Args:
            key: a wrapped key, or a persistent one.
            secret: whether what the TPM answers is nobody else's business.
        """

        def with_key() -> T:
            if key not in self._refused:
                try:
                    return with_handle()
                except _tss.TSS2_Exception as e:
                    if _tss.code(e) != _tss.TPM2_RC.AUTH_FAIL or key.auth:
                        raise
                    self._refused.add(key)
            raise AuthenticationError(
                f"{asked} failed: it has a password of its own, and such a key is not "
                "used here; each further try would count as a dictionary attack"
            )

        def with_handle() -> T:
            # First, because it needs the primary, and one slot may be all there is.
            session = self._session_for(secret=secret)
            if isinstance(key, LoadableKey):
                return command(
                    self._esapi, self._loaded_handle(asked, uid, key), session
                )
            with self._persistent(asked, key) as handle:
                return command(self._esapi, handle, session)

        return self._guarded(asked, with_key)

    def loaded(self, uid: bytes, make: Callable[[], Any], name: bytes = b"") -> Any:
        """Within a command: an object's handle. ``make`` makes what is not there yet.

        The object stays in the TPM until others need its slot. ``name`` is its name, if
        it is known before.
        """
        handle = self._loaded.get(uid)
        if handle is None:
            if name:
                self._note(uid, _marks.of_object(name))
            handle = self._loaded[uid] = self._from_saved(uid) or make()
            mark = _marks.of_object(self._name_of(handle))
            if mark != self._marks.get(uid):
                self._note(uid, mark)
        self._loaded.move_to_end(uid)
        return handle

    @contextlib.contextmanager
    def policy_session(self) -> Iterator[Any]:
        """Within a command: a policy session, which is gone afterwards."""
        session = self._esapi.start_auth_session(
            tpm_key=_tss.ESYS_TR.NONE,
            bind=_tss.ESYS_TR.NONE,
            session_type=_tss.TPM2_SE.POLICY,
            symmetric=_tss.NO_CIPHER,
            auth_hash=_tss.TPM2_ALG.SHA256,
        )
        try:
            self._note(_POLICY, self._mark_of_session(session))
            yield session
        finally:
            self._flush(_POLICY, session)

    def forget(self, uid: bytes) -> None:
        """Take a key out of the TPM, if it is there."""

        def flush(esapi: Any) -> None:
            handle = self._loaded.pop(uid, None)
            if handle is not None:
                self._flush(uid, handle)

        with self._one_command:
            self._saved.pop(uid, None)
            if uid in self._loaded and not self._closed:
                # A TPM that cannot be reached keeps nobody from deleting a key.
                with contextlib.suppress(ServiceUnavailable):
                    self.run("removing a key", flush)

    def close(self) -> None:
        """Flush all that is ours and let the TPM go. A second call does nothing."""
        with self._one_command:
            if self._closed:
                return
            self._closed = True
            self._config = dataclasses.replace(self._config, owner_hierarchy_auth=None)
            if self._process != os.getpid():
                self._abandon()
            elif self._esapi is not None:
                with (
                    contextlib.suppress(_tss.TSS2_Exception, Silence),
                    self._line,
                    self._tenancy.turn() as left,
                ):
                    self._leave(left)
            self._tenancy.close()

    def _guarded(self, asked: str, command: Callable[[], T]) -> T:
        # A fork waits for the command: its child would hold the line to the TPM.
        with self._one_command, self._line:
            if self._closed:
                raise ServiceUnavailable("this key store is closed: open it again")
            if self._process != os.getpid():
                self._start_in_this_process()
            if self._esapi is not None and self._esapi.lost:
                self._let_go()
            with self._tenancy.turn() as left:
                try:
                    if self._esapi is None:
                        self._connect(left)
                    elif left is not None:
                        self._move_in(left)
                    return self._resumed(asked, command)
                except _tss.TSS2_Exception as e:
                    raise _tss.translated(e, asked) from e
                except Displaced:
                    raise ServiceUnavailable(
                        f"{asked} failed: another program flushes what is not its own "
                        "out of the TPM: use a resource manager, as device:/dev/tpmrm0"
                    ) from None
                except Silence as e:
                    raise ServiceUnavailable(
                        f"{asked} failed: {e}: the TPM hangs, or does something long; "
                        "check it and its resource manager, and try again"
                    ) from None

    def _resumed(self, asked: str, command: Callable[[], T]) -> T:
        """Run a command, once more with everything anew if the TPM had restarted."""
        try:
            return self._patiently(command)
        except _tss.TSS2_Exception as e:
            if not _tss.is_stale(e):
                raise
        except Displaced:
            pass
        logger.info("%s: the TPM may have restarted; loading keys again", asked)
        # It may not have, and then what was loaded is still there.
        self._let_go()
        self._connect(None)
        return self._patiently(command)

    def _patiently(self, command: Callable[[], T]) -> T:
        """Run a command again for as long as all that it lacks is a free slot."""
        evictions, pauses = range(_MOST_EVICTIONS), iter(_PAUSES)
        while True:
            try:
                return command()
            except _tss.TSS2_Exception as e:
                if _tss.code(e) not in _tss.SLOTS_FULL:
                    raise
                if evictions and self._evict():
                    evictions = evictions[1:]
                    continue
                # Another program may give one back.
                pause = next(pauses, None)
                if pause is None:
                    raise
            time.sleep(pause)

    def _start_in_this_process(self) -> None:
        self._abandon()
        self._tenancy.close()
        self._process = os.getpid()
        alone = _tcti.has_manager(self._config.tcti)
        self._tenancy = SoleTenancy() if alone else Tenancy(self._config.tcti)

    def _abandon(self) -> None:
        # A parent's context is never closed here: it would talk over its line.
        _abandoned.append((self._esapi, self._saved))
        self._esapi, self._session = None, None
        self._loaded, self._saved, self._marks = OrderedDict(), {}, {}

    def _connect(self, left: Iterable[bytes] | None) -> None:
        """Open a context, with nothing loaded but the primary.

        ``left`` are the marks of what a former tenant left; ``None`` where that was us.
        """
        self._esapi = Connection(self._config.tcti)
        try:
            self._move_in(left)
            self._greet()
        except BaseException:
            # The next call starts here again, and not with another primary.
            self._leave(None)
            raise

    def _move_in(self, left: Iterable[bytes] | None) -> None:
        """Start with nothing loaded, after flushing what the former tenant left."""
        for handle in self._loaded.values():
            self._esapi.tr_close(handle)
        if self._session is not None:
            self._esapi.tr_close(self._session)
        self._loaded, self._session = OrderedDict(), None
        _marks.flush(self._esapi, self._marks.values() if left is None else left)
        self._marks = {}
        self._tenancy.note(())

    def _leave(self, left: Iterable[bytes] | None) -> None:
        """Flush all that is ours, or what a tenant left, and close the context."""
        try:
            self._move_in(left)
        finally:
            self._let_go()

    def _greet(self) -> None:
        """Authorise with the owner, and see whether this is the TPM of before."""
        if self._config.owner_hierarchy_auth is not None:
            _tss.set_auth(
                self._esapi, _tss.ESYS_TR.OWNER, self._config.owner_hierarchy_auth
            )
        name = self._patiently(lambda: self._name_of(self._primary()))
        if self._primary_name not in (b"", name):
            raise ProviderFailure(
                "the TPM was cleared, or is another one, since this store was opened: "
                "its keys are lost; restore them from where they were imported"
            )
        self._primary_name = name

    def _let_go(self) -> None:
        # A context that is not there stands for one that must be opened first.
        connection = self._esapi
        self._esapi, self._session, self._loaded = None, None, OrderedDict()
        connection.close()

    def _note(self, uid: bytes, mark: bytes) -> None:
        self._marks[uid] = mark
        self._tenancy.note(self._marks.values())

    def _mark_of_session(self, session: Any) -> bytes:
        return _marks.of_session(int(self._esapi.tr_get_tpm_handle(session)))

    def _from_saved(self, uid: bytes) -> Any:
        """An object's handle from its saved context, or ``None`` where that is void."""
        saved = self._saved.get(uid)
        if saved is None:
            return None
        try:
            return self._esapi.context_load(saved)
        except _tss.TSS2_Exception as e:
            if _tss.code(e) in _tss.SLOTS_FULL or not _tss.is_of_the_tpm(e):
                raise
            # Contexts of before a restart are void.
            del self._saved[uid]
            return None

    def _primary(self, primary: Primary = Primary.STORAGE) -> Any:
        name = self._primary_name if primary is Primary.STORAGE else b""
        make = functools.partial(self._create_primary, primary)
        return self.loaded(_PRIMARIES[primary], make, name)

    def _create_primary(self, primary: Primary) -> Any:
        if not self._config.owner_hierarchy_auth:
            return self._create(_tss.ESYS_TR.OWNER, _tss.ESYS_TR.PASSWORD, primary)
        session = self._session_for(secret=False)
        return self._create(_tss.ESYS_TR.OWNER, session, primary)

    def _create(
        self, hierarchy: Any, session: Any, primary: Primary = Primary.STORAGE
    ) -> Any:
        def create(template: Any) -> Any:
            return self._esapi.create_primary(
                None, template, primary_handle=hierarchy, session1=session
            )[0]

        if primary is Primary.RUST_PARSEC:
            return create(_tss.RUST_PRIMARY)
        try:
            return create(_tss.ECC_PRIMARY)
        except _tss.TSS2_Exception as e:
            if _tss.code(e) not in _tss.NO_SUCH_KEY_TYPE:
                raise
            return create(_tss.RSA_PRIMARY)

    def _name_of(self, handle: Any) -> bytes:
        name = self._esapi.tr_get_name(handle)
        return bytes(name)

    def _loaded_handle(self, asked: str, uid: bytes, key: LoadableKey) -> Any:
        handle = self._loaded.get(uid)
        if handle is not None:
            self._loaded.move_to_end(uid)
            return handle
        name = _tss.name_of_public(key.public)
        handle = self.loaded(uid, lambda: self._load(asked, key), name)
        self._esapi.tr_set_auth(handle, key.auth)
        return handle

    def _load(self, asked: str, key: LoadableKey) -> Any:
        public, _ = _tss.TPM2B_PUBLIC.unmarshal(key.public)
        private, _ = _tss.TPM2B_PRIVATE.unmarshal(key.private)
        if key.parent_handle is None:
            primary = self._primary(key.primary)
            if self._name_of(primary) != key.parent:
                raise ProviderFailure(
                    f"{asked} failed: the key was made by another TPM, or this TPM was "
                    "cleared since; use the TPM that made it, or make a new key"
                )
            return self._esapi.load(primary, private, public)
        persistent = PersistentKey(key.parent_handle, key.parent)
        with self._persistent(asked, persistent) as parent:
            return self._esapi.load(parent, private, public)

    @contextlib.contextmanager
    def _persistent(self, asked: str, key: PersistentKey) -> Iterator[Any]:
        """A persistent key, if it is still the one that was found there."""
        try:
            handle = self._esapi.tr_from_tpmpublic(key.handle)
        except _tss.TSS2_Exception as e:
            if _tss.code(e) != _tss.TPM2_RC.HANDLE:
                raise
            raise KeyNotFound(
                f"{asked} failed: the TPM has no key at {key.handle:#010x} any more"
            ) from e
        try:
            if self._name_of(handle) != key.name:
                raise KeyNotFound(
                    f"{asked} failed: at {key.handle:#010x} the TPM has another key by "
                    "now; put the old one back, or load the new one by its handle"
                )
            yield handle
        finally:
            self._esapi.tr_close(handle)

    def _session_for(self, *, secret: bool) -> Any:
        """What authorises a command: on a bus, a salted HMAC session."""
        if not self._protected:
            return _tss.ESYS_TR.PASSWORD
        if self._session is None:
            with self._salt() as salt:
                self._session = self._esapi.start_auth_session(
                    tpm_key=salt,
                    bind=_tss.ESYS_TR.NONE,
                    session_type=_tss.TPM2_SE.HMAC,
                    symmetric=_tss.AES_128_CFB,
                    auth_hash=_tss.TPM2_ALG.SHA256,
                )
            self._note(_SESSION, self._mark_of_session(self._session))
        wanted = _ENCRYPTED if secret else _PLAIN
        self._esapi.trsess_set_attributes(self._session, wanted)
        return self._session

    @contextlib.contextmanager
    def _salt(self) -> Iterator[Any]:
        """The key to which a session's salt is encrypted: it needs no auth value."""
        if not self._config.owner_hierarchy_auth:
            yield self._primary()
            return
        handle = self._create(_tss.ESYS_TR.NULL, _tss.ESYS_TR.PASSWORD)
        try:
            self._note(_SALT, _marks.of_object(self._name_of(handle)))
            yield handle
        finally:
            self._flush(_SALT, handle)

    def _evict(self) -> bool:
        """Make room: take out the object that was used least recently."""
        for uid, handle in self._loaded.items():
            # The key that a command needs was just moved to the end.
            if uid == next(reversed(self._loaded)) and len(self._loaded) > 1:
                continue
            if not self._is_still_there(uid, handle):
                self._esapi.tr_close(handle)
                del self._loaded[uid]
                return True
            if uid not in self._saved:
                self._saved[uid] = self._esapi.context_save(handle)
            if len(self._saved) > _MOST_SAVED:
                keys = (each for each in self._saved if each not in _PRIMARY_UIDS)
                del self._saved[next(keys)]
            del self._loaded[uid]
            self._flush(uid, handle)
            return True
        return False

    def _is_still_there(self, uid: bytes, handle: Any) -> bool:
        """Whether no other program has put its own object where ours was."""
        if isinstance(self._tenancy, SoleTenancy):
            return True
        try:
            _, name, _ = self._esapi.read_public(handle)
        except _tss.TSS2_Exception as e:
            if not _tss.is_of_the_tpm(e):
                raise
            return False
        return _marks.of_object(bytes(name)) == self._marks.get(uid)

    def _flush(self, uid: bytes, handle: Any) -> None:
        try:
            self._esapi.flush_context(handle)
        except _tss.TSS2_Exception as e:
            if not _tss.is_of_the_tpm(e):
                raise
            logger.debug("the TPM had forgotten an object already: %s", e)
        self._marks.pop(uid, None)
        self._tenancy.note(self._marks.values())


_PRIMARIES: Final = {primary: primary.name.encode() for primary in Primary}
"""By what stands for a primary where a key's uid stands for a key."""
_PRIMARY_UIDS: Final = frozenset(_PRIMARIES.values())
_SALT: Final = b"salt"
_SESSION: Final = b"session"
_POLICY: Final = b"policy"
