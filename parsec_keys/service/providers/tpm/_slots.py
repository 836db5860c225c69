"""What of ours is in the TPM: loaded keys, their saved contexts, sessions.

A TPM has as few as three slots for objects. Keys are loaded when they are used, and
the least recently used ones leave when the TPM is full. What may be ours in the TPM is
written down before it is there, so that an answer that never arrives leaves nothing
behind.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from parsec_keys.errors import Error
from parsec_keys.service.providers.tpm import _marks, _tss
from parsec_keys.service.providers.tpm._connection import Connection
from parsec_keys.service.providers.tpm._key_id import Primary
from parsec_keys.service.providers.tpm._tenancy import SoleTenancy, Tenancy

T = TypeVar("T")

PRIMARIES: Final = {primary: primary.name.encode() for primary in Primary}
"""By what stands for a primary where a key's uid stands for a key."""
SESSION: Final = b"session"
_PAUSES = tuple(0.005 * 2**attempt for attempt in range(8))
"""How long to wait for other programs to give back a slot: 1.3 seconds in all."""
_MOST_EVICTIONS: Final = 8
"""How many objects make room for one command, which needs three."""
_MOST_SAVED: Final = 1024
"""How many keys' saved contexts, of about 1.5 kB, are remembered."""
_UNDISTURBED_SECONDS = 0.01
"""How long a chip needs at least to put an object of others where ours was: to flush
one and to load another."""
_PRIMARY_UIDS: Final = frozenset(PRIMARIES.values())
_abandoned: Final[list[object]] = []
"""A parent's contexts: a finaliser in the child would talk over the parent's line."""


class Displaced(Exception):
    """Within a command: the TPM has another program's object where ours was."""


class Slots:
    """One store's objects and sessions in a TPM, over one connection.

    ``esapi`` is that connection, or ``None`` while there is none. ``session`` is the
    one that authorises commands, or ``None`` until one does.
    """

    def __init__(self) -> None:
        self.tenancy: Tenancy | SoleTenancy = SoleTenancy()
        self.esapi: Any = None
        self.session: Any = None
        self._loaded: OrderedDict[bytes, Any] = OrderedDict()
        self._saved: dict[bytes, Any] = {}
        self._marks: dict[bytes, bytes] = {}
        self._unseen: set[bytes] = set()

    def __contains__(self, uid: bytes) -> bool:
        """Whether an object is loaded."""
        return uid in self._loaded

    def open(self, tcti: str) -> None:
        """Open a connection.

        Raises:
            ServiceUnavailable: nothing answers there.
        """
        self.esapi = Connection(tcti)

    def move_in(self, left: Iterable[bytes] | None) -> None:
        """Start with nothing loaded, after flushing what the former tenant left.

        ``left`` are the marks of that; ``None`` where the former tenant was us.
        """
        for handle in self._loaded.values():
            self.esapi.tr_close(handle)
        if self.session is not None:
            self.esapi.tr_close(self.session)
        self._loaded, self.session = OrderedDict(), None
        _marks.flush(self.esapi, self._marks.values() if left is None else left)
        self._marks = {}
        self.tenancy.note(())

    def come_back(self) -> None:
        """Go on where nobody of ours was in between; others may have been.

        What was loaded is looked at before it is used. An auth value that is given to
        an object of theirs would count as a dictionary attack.
        """
        if isinstance(self.tenancy, SoleTenancy):
            return
        if time.monotonic() - self.esapi.answered_at > _UNDISTURBED_SECONDS:
            self._unseen = set(self._loaded)

    def leave(self, left: Iterable[bytes] | None) -> None:
        """Flush all that is ours, or what a tenant left, and close the connection."""
        try:
            self.move_in(left)
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Close the connection. What is in the TPM stays written down."""
        # One that is not there stands for one that must be opened first.
        connection = self.esapi
        self.esapi, self.session, self._loaded = None, None, OrderedDict()
        connection.close()

    def abandon(self) -> None:
        """Forget all of it, in a child: it is the parent's, as is the connection."""
        # Never closed here: that would talk over the parent's line.
        _abandoned.append((self.esapi, self._saved))
        self.esapi, self.session = None, None
        self._loaded, self._saved, self._marks = OrderedDict(), {}, {}

    def patiently(self, command: Callable[[], T]) -> T:
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
            self.come_back()

    def found(self, uid: bytes) -> Any:
        """Within a command: the handle of an object that is loaded, or ``None``.

        Raises:
            Displaced: it is not there any more.
        """
        handle = self._loaded.get(uid)
        if handle is not None:
            if uid in self._unseen:
                if not self.is_still_there(uid):
                    raise Displaced
                self._unseen.remove(uid)
            self._loaded.move_to_end(uid)
        return handle

    def is_still_there(self, uid: bytes) -> bool:
        """Whether no other program has put its own object where a loaded one was."""
        if isinstance(self.tenancy, SoleTenancy):
            return True
        try:
            _, name, _ = self.esapi.read_public(self._loaded[uid])
        except _tss.TSS2_Exception as e:
            if not _tss.is_of_the_tpm(e):
                raise
            return False
        return _marks.of_object(bytes(name)) == self._marks.get(uid)

    def loaded(
        self, uid: bytes, make: Callable[[], Any], name: bytes = b"", auth: bytes = b""
    ) -> Any:
        """Within a command: an object's handle. ``make`` makes what is not there yet.

        The object stays in the TPM until others need its slot. ``name`` is its name, if
        it is known before, and ``auth`` its auth value.
        """
        handle = self.found(uid)
        if handle is None:
            if name:
                self.note(uid, _marks.of_object(name))
            try:
                handle = self._from_saved(uid) or make()
            except (_tss.TSS2_Exception, Error) as e:
                # It is not there: either the TPM says so itself, or it was not asked.
                if isinstance(e, Error) or _tss.is_of_the_tpm(e):
                    self._marks.pop(uid, None)
                raise
            if auth:  # First: it is never used without.
                self.esapi.tr_set_auth(handle, auth)
            self._loaded[uid] = handle
            self._unseen.discard(uid)
            mark = _marks.of_object(self.name_of(handle))
            if mark != self._marks.get(uid):
                self.note(uid, mark)
        return handle

    def name_of(self, handle: Any) -> bytes:
        """The name of an object, which is a hash of its public part."""
        name = self.esapi.tr_get_name(handle)
        return bytes(name)

    def note(self, uid: bytes, mark: bytes) -> None:
        """Write down what is ours, or may be in a moment."""
        self._marks[uid] = mark
        self.tenancy.note(self._marks.values())

    def note_session(self, uid: bytes, session: Any) -> None:
        """Write down that a session is ours."""
        self.note(uid, _marks.of_session(int(self.esapi.tr_get_tpm_handle(session))))

    def flush(self, uid: bytes, handle: Any) -> None:
        """Take an object or a session out of the TPM."""
        _marks.take_out(self.esapi, handle)
        self._marks.pop(uid, None)
        self.tenancy.note(self._marks.values())

    def unload(self, uid: bytes) -> None:
        """Within a command: take an object out of the TPM, if it is there."""
        if uid not in self._loaded:
            return
        is_there = self.is_still_there(uid)
        handle = self._loaded.pop(uid)
        if is_there:
            self.flush(uid, handle)
        else:
            self.esapi.tr_close(handle)

    def forget_saved(self, uid: bytes) -> None:
        """Forget an object's saved context."""
        self._saved.pop(uid, None)

    def _from_saved(self, uid: bytes) -> Any:
        """An object's handle from its saved context, or ``None`` where that is void."""
        saved = self._saved.get(uid)
        if saved is None:
            return None
        try:
            return self.esapi.context_load(saved)
        except _tss.TSS2_Exception as e:
            if _tss.code(e) in _tss.SLOTS_FULL or not _tss.is_of_the_tpm(e):
                raise
            # Contexts of before a restart are void.
            del self._saved[uid]
            return None

    def _evict(self) -> bool:
        """Make room: take out the object that was used least recently."""
        for uid, handle in self._loaded.items():
            # The key that a command needs was just moved to the end.
            if uid == next(reversed(self._loaded)) and len(self._loaded) > 1:
                continue
            if not self.is_still_there(uid):
                self.esapi.tr_close(handle)
                del self._loaded[uid]
                return True
            if uid not in self._saved:
                self._saved[uid] = self.esapi.context_save(handle)
            if len(self._saved) > _MOST_SAVED:
                keys = (each for each in self._saved if each not in _PRIMARY_UIDS)
                del self._saved[next(keys)]
            del self._loaded[uid]
            self.flush(uid, handle)
            return True
        return False
