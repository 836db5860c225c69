"""One TPM, open: its ESAPI context, the one lock, and what of ours is loaded in it.

A TPM has as few as three slots for objects. Keys are loaded when they are used, least
recently used ones leave when the TPM is full, and all of it is done again when the TPM
turns out to have forgotten us.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from parsec_keys._fork import ForkSafeLock
from parsec_keys.errors import KeyNotFound, ProviderFailure, ServiceUnavailable
from parsec_keys.service.config import TpmConfig
from parsec_keys.service.providers.tpm import _tcti, _tss
from parsec_keys.service.providers.tpm._connection import connect
from parsec_keys.service.providers.tpm._key_id import LoadableKey, PersistentKey
from parsec_keys.service.providers.tpm._tenancy import SoleTenancy, Tenancy

T = TypeVar("T")
logger = logging.getLogger(__name__)

_RETRIES: Final = 8
_PLAIN: Final = _tss.TPMA_SESSION.CONTINUESESSION
_ENCRYPTED: Final = _PLAIN | _tss.TPMA_SESSION.ENCRYPT | _tss.TPMA_SESSION.DECRYPT
_MOST_SAVED: Final = 1024
"""How many keys' saved contexts, of about 1.5 kB, are remembered."""

_abandoned: Final[list[object]] = []
"""A parent's contexts: a finaliser in the child would talk over the parent's line."""


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
        self._loaded: OrderedDict[bytes, Any] = OrderedDict()
        self._saved: dict[bytes, Any] = {}
        self._closed = False
        self._esapi: Any = None
        self._session: Any = None
        self._policy: Any = None
        self._tenancy: Tenancy | SoleTenancy = SoleTenancy()
        self._process = 0
        self._primary_name = b""
        self._ours: list[int] = []
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
            if isinstance(key, LoadableKey):
                handle = self._loaded_handle(asked, uid, key)
                return command(self._esapi, handle, self._session_for(secret=secret))
            with self._persistent(asked, key) as handle:
                return command(self._esapi, handle, self._session_for(secret=secret))

        return self._guarded(asked, with_key)

    def loaded(self, uid: bytes, make: Callable[[], Any]) -> Any:
        """Within a command: an object's handle. ``make`` makes what is not there yet.

        The object stays in the TPM until others need its slot.
        """
        handle = self._loaded.get(uid)
        if handle is None:
            saved = self._saved.get(uid)
            handle = make() if saved is None else self._esapi.context_load(saved)
            self._loaded[uid] = handle
            self._note()
        self._loaded.move_to_end(uid)
        return handle

    @contextlib.contextmanager
    def policy_session(self) -> Iterator[Any]:
        """Within a command: a policy session, which is gone afterwards."""
        self._policy = self._esapi.start_auth_session(
            tpm_key=_tss.ESYS_TR.NONE,
            bind=_tss.ESYS_TR.NONE,
            session_type=_tss.TPM2_SE.POLICY,
            symmetric=_tss.NO_CIPHER,
            auth_hash=_tss.TPM2_ALG.SHA256,
        )
        try:
            self._note()
            yield self._policy
        finally:
            self._flush(self._policy)
            self._policy = None
            self._note()

    def forget(self, uid: bytes) -> None:
        """Take a key out of the TPM, if it is there."""

        def flush(esapi: Any) -> None:
            handle = self._loaded.pop(uid, None)
            if handle is not None:
                self._flush(handle)
                self._note()

        with self._one_command:
            self._saved.pop(uid, None)
            # A TPM that cannot be reached keeps nobody from deleting a key.
            if uid in self._loaded and not self._closed:
                self.run("removing a key", flush)

    def close(self) -> None:
        """Flush all that is ours and let the TPM go. A second call does nothing."""
        with self._one_command:
            if self._closed:
                return
            self._closed = True
            if self._process != os.getpid():
                self._abandon()
            elif self._esapi is not None:
                with (
                    contextlib.suppress(_tss.TSS2_Exception),
                    self._tenancy.turn() as left,
                ):
                    self._leave(left)
            self._tenancy.close()

    def _guarded(self, asked: str, command: Callable[[], T]) -> T:
        with self._one_command:
            if self._closed:
                raise ServiceUnavailable("this key store is closed: open it again")
            if self._process != os.getpid():
                self._start_in_this_process()
            with self._tenancy.turn() as left:
                try:
                    if self._esapi is None:
                        self._connect(left or ())
                    elif left is not None:
                        self._move_in(left)
                    return self._resumed(asked, command)
                except _tss.TSS2_Exception as e:
                    raise _tss.translated(e, asked) from e

    def _resumed(self, asked: str, command: Callable[[], T]) -> T:
        """Run a command, once more with everything anew if the TPM had restarted."""
        try:
            return self._patiently(command)
        except _tss.TSS2_Exception as e:
            if not _tss.is_stale(e):
                raise
        logger.info("%s: the TPM may have restarted; loading keys again", asked)
        # It may not have, and then what was loaded is still there.
        left = self._ours
        self._let_go()
        self._connect(left)
        return self._patiently(command)

    def _patiently(self, command: Callable[[], T]) -> T:
        """Run a command again while the TPM asks for that, or for a free slot."""
        for attempt in range(_RETRIES):
            try:
                return command()
            except _tss.TSS2_Exception as e:
                number = _tss.code(e)
                if number in _tss.SLOTS_FULL and self._evict():
                    continue
                if number not in _tss.AGAIN:
                    raise
            time.sleep(0.005 * 2**attempt)
        return command()

    def _start_in_this_process(self) -> None:
        self._abandon()
        self._tenancy.close()
        self._process = os.getpid()
        alone = _tcti.has_manager(self._config.tcti)
        self._tenancy = SoleTenancy() if alone else Tenancy(self._config.tcti)

    def _abandon(self) -> None:
        # A parent's context is never closed here: it would talk over its line.
        _abandoned.append((self._esapi, self._saved))
        self._esapi, self._session, self._policy = None, None, None
        self._loaded, self._saved, self._ours = OrderedDict(), {}, []

    def _connect(self, left: Iterable[int]) -> None:
        """Open a context, with nothing loaded but the primary.

        ``left`` are the TPM handles to flush.
        """
        self._esapi = connect(self._config.tcti)
        try:
            self._move_in(left)
            self._greet()
        except BaseException:
            # The next call starts here again, and not with another primary.
            self._leave(None)
            raise

    def _move_in(self, left: Iterable[int]) -> None:
        """Start with nothing loaded, after flushing what a former tenant left."""
        for handle in self._loaded.values():
            self._esapi.tr_close(handle)
        if self._session is not None:
            self._esapi.tr_close(self._session)
        self._loaded, self._session, self._ours = OrderedDict(), None, []
        for tpm_handle in left:
            _tss.flush_raw(self._esapi, tpm_handle)

    def _leave(self, left: Iterable[int] | None) -> None:
        """Flush all that is ours, or what a tenant left, and close the context."""
        try:
            if left is not None:
                self._move_in(left)
            for handle in (*self._loaded.values(), self._session):
                self._flush(handle)
            self._tenancy.note(())
        finally:
            self._let_go()

    def _greet(self) -> None:
        """Authorise with the owner, and see whether this is the TPM of before."""
        self._saved = {}
        self._esapi.tr_set_auth(_tss.ESYS_TR.OWNER, self._config.owner_hierarchy_auth)
        name = self._patiently(lambda: self._name_of(self._primary()))
        if self._primary_name not in (b"", name):
            raise ProviderFailure(
                "the TPM was cleared, or is another one, since this store was opened: "
                "its keys are lost; restore them from where they were imported"
            )
        self._primary_name = name

    def _let_go(self) -> None:
        # A context that is not there stands for one that must be opened first.
        self._esapi.close()
        self._esapi, self._session = None, None
        self._loaded, self._ours = OrderedDict(), []

    def _note(self) -> None:
        handles = (*self._loaded.values(), self._session, self._policy)
        self._ours = [
            int(self._esapi.tr_get_tpm_handle(each))
            for each in handles
            if each is not None
        ]
        self._tenancy.note(self._ours)

    def _primary(self) -> Any:
        return self.loaded(_PRIMARY, self._create_primary)

    def _create_primary(self) -> Any:
        try:
            created = self._esapi.create_primary(None, _tss.ECC_PRIMARY)
        except _tss.TSS2_Exception as e:
            if _tss.code(e) not in _tss.NO_SUCH_KEY_TYPE:
                raise
            created = self._esapi.create_primary(None, _tss.RSA_PRIMARY)
        return created[0]

    def _name_of(self, handle: Any) -> bytes:
        name = self._esapi.tr_get_name(handle)
        return bytes(name)

    def _loaded_handle(self, asked: str, uid: bytes, key: LoadableKey) -> Any:
        handle = self._loaded.get(uid)
        if handle is not None:
            self._loaded.move_to_end(uid)
            return handle
        if key.parent_handle is None and key.parent != self._primary_name:
            raise ProviderFailure(
                f"{asked} failed: the key was made by another TPM, or this TPM was "
                "cleared since; use the TPM that made it, or make a new key"
            )
        handle = self.loaded(uid, lambda: self._load(asked, key))
        self._esapi.tr_set_auth(handle, key.auth)
        return handle

    def _load(self, asked: str, key: LoadableKey) -> Any:
        public, _ = _tss.TPM2B_PUBLIC.unmarshal(key.public)
        private, _ = _tss.TPM2B_PRIVATE.unmarshal(key.private)
        if key.parent_handle is None:
            return self._esapi.load(self._primary(), private, public)
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
            self._session = self._esapi.start_auth_session(
                tpm_key=self._primary(),
                bind=_tss.ESYS_TR.NONE,
                session_type=_tss.TPM2_SE.HMAC,
                symmetric=_tss.AES_128_CFB,
                auth_hash=_tss.TPM2_ALG.SHA256,
            )
            self._note()
        wanted = _ENCRYPTED if secret else _PLAIN
        self._esapi.trsess_set_attributes(self._session, wanted)
        return self._session

    def _evict(self) -> bool:
        """Make room: take out the object that was used least recently."""
        for uid, handle in self._loaded.items():
            # The key that a command needs was just moved to the end.
            if uid == next(reversed(self._loaded)) and len(self._loaded) > 1:
                continue
            if uid not in self._saved:
                self._saved[uid] = self._esapi.context_save(handle)
            if len(self._saved) > _MOST_SAVED:
                del self._saved[next(each for each in self._saved if each != _PRIMARY)]
            del self._loaded[uid]
            self._flush(handle)
            return True
        return False

    def _flush(self, handle: Any) -> None:
        if handle is None:
            return
        try:
            self._esapi.flush_context(handle)
        except _tss.TSS2_Exception as e:
            logger.debug("the TPM had forgotten an object already: %s", e)


_PRIMARY: Final = b"primary"
