"""One TPM, open: one command at a time, whatever becomes of the TPM or this process.

What was loaded is loaded again when the TPM turns out to have forgotten us, and every
process has a connection of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from parsec_keys._fork import fork_safe_lock
from parsec_keys.errors import Error, ProviderFailure, ServiceUnavailable
from parsec_keys.service.call_gate import CallGate
from parsec_keys.service.config import TpmConfig
from parsec_keys.service.providers.tpm import _tcti, _tss
from parsec_keys.service.providers.tpm._connection import Silence
from parsec_keys.service.providers.tpm._hierarchy import Hierarchy
from parsec_keys.service.providers.tpm._key_id import LoadableKey, PersistentKey
from parsec_keys.service.providers.tpm._loading import Loader
from parsec_keys.service.providers.tpm._slots import Displaced, Slots
from parsec_keys.service.providers.tpm._tenancy import SoleTenancy, Tenancy

T = TypeVar("T")
logger = logging.getLogger(__name__)

_LEAVING_SECONDS: Final = 1.0
"""How long a program that ends waits for the command of another thread."""


class Chip:
    """Runs commands on one TPM, one at a time. Survives forks and TPM restarts."""

    def __init__(self, config: TpmConfig) -> None:
        """Open the TPM.

        Raises:
            ServiceUnavailable: it does not answer.
            AuthenticationError: its owner hierarchy has another auth value.
        """
        self._tcti = config.tcti
        self._one_command = fork_safe_lock()
        self._line = CallGate(1)
        self._closed = False
        self._process = 0
        self._slots = Slots()
        self._hierarchy = Hierarchy(config, self._slots)
        self._loader = Loader(self._slots, self._hierarchy)
        _open.add(self)
        try:
            self.run(f"opening the TPM '{config.tcti}'", lambda esapi: None)
        except BaseException:
            self.close()
            raise

    @property
    def primary_name(self) -> bytes:
        """The name of the storage primary, which the TPM's seed decides."""
        return self._hierarchy.primary_name

    def run(self, asked: str, command: Callable[[Any], T]) -> T:
        """Run a command that needs no key.

        Raises:
            Error: what the TPM said, in our words.
        """
        return self._guarded(asked, lambda: command(self._slots.esapi))

    def run_under_primary(self, asked: str, command: Callable[[Any, Any, Any], T]) -> T:
        """Run ``command(esapi, primary, session)``, its parameters encrypted."""

        def with_primary() -> T:
            primary = self._hierarchy.primary()
            session = self._hierarchy.session(secret=True)
            return command(self._slots.esapi, primary, session)

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
            return self._loader.run(asked, uid, key, command, secret=secret)

        return self._guarded(asked, with_key)

    def loaded(self, uid: bytes, make: Callable[[], Any]) -> Any:
        """Within a command: an object's handle. ``make`` makes what is not there yet.

        The object stays in the TPM until others need its slot.
        """
        return self._slots.loaded(uid, make)

    def policy_session(self) -> contextlib.AbstractContextManager[Any]:
        """Within a command: a policy session, which is gone afterwards."""
        return self._hierarchy.policy_session()

    def forget(self, uid: bytes) -> None:
        """Take a key out of the TPM, if it is there."""
        with self._one_command:
            self._slots.forget_saved(uid)
            self._loader.forget(uid)
            if uid in self._slots and not self._closed:
                # A TPM that cannot be reached keeps nobody from deleting a key.
                with contextlib.suppress(ServiceUnavailable):
                    self.run("removing a key", lambda esapi: self._slots.unload(uid))

    def close(self) -> None:
        """Flush all that is ours and let the TPM go. A second call does nothing."""
        with self._one_command:
            if self._closed:
                return
            self._closed = True
            self._hierarchy.forget_auth()
            try:
                if self._process != os.getpid():
                    self._slots.abandon()
                elif self._slots.esapi is not None:
                    with (
                        contextlib.suppress(_tss.TSS2_Exception, Silence),
                        self._line.place(),
                        self._slots.tenancy.turn() as left,
                    ):
                        self._slots.leave(left)
            finally:
                self._slots.tenancy.close()

    def clear_slots(self) -> None:
        """Flush what is ours where others lack its slots; it is loaded when used."""
        slots = self._slots
        if self._closed or self._process != os.getpid() or slots.esapi is None:
            return
        if not isinstance(slots.tenancy, Tenancy):
            return
        place = self._line.enter(_LEAVING_SECONDS)
        if place is not None:
            with (
                place,
                contextlib.suppress(_tss.TSS2_Exception, Silence, Error),
                slots.tenancy.turn() as left,
            ):
                if left is None:
                    slots.move_in(None)

    def _guarded(self, asked: str, command: Callable[[], T]) -> T:
        # A fork waits for the command: its child would hold the line to the TPM.
        with self._one_command, self._line.place():
            if self._closed:
                raise ServiceUnavailable("this key store is closed: open it again")
            if self._process != os.getpid():
                self._start_in_this_process()
            if self._slots.esapi is not None and self._slots.esapi.lost:
                self._slots.let_go()
            with self._slots.tenancy.turn() as left:
                try:
                    if self._slots.esapi is None:
                        self._connect(left)
                    elif left is not None:
                        self._slots.move_in(left)
                    else:
                        self._slots.come_back()
                    return self._resumed(asked, command)
                except _tss.TSS2_Exception as e:
                    raise _tss.translated(e, asked) from e
                except Displaced:
                    raise ServiceUnavailable(
                        f"{asked} failed: another program flushes what is not its own "
                        "out of the TPM: use a resource manager, as device:/dev/tpmrm0"
                    ) from None
                except Silence as e:
                    interrupt, e.interrupt = e.interrupt, None
                    if interrupt is not None:  # What was undone after it hid it.
                        raise interrupt from None
                    raise ServiceUnavailable(
                        f"{asked} failed: {e}: the TPM hangs, or does something long; "
                        "check it and its resource manager, and try again"
                    ) from None
                except Exception:
                    raise
                except BaseException:
                    # Ctrl-C may have lost what is in the TPM: the next command flushes
                    # all that is ours.
                    if self._slots.esapi is not None:
                        self._slots.let_go()
                    raise

    def _resumed(self, asked: str, command: Callable[[], T]) -> T:
        """Run a command, once more with everything anew if the TPM had restarted."""
        try:
            return self._slots.patiently(command)
        except _tss.TSS2_Exception as e:
            if not _tss.is_stale(e):
                raise
        except Displaced:
            pass
        logger.info("%s: the TPM may have restarted; loading keys again", asked)
        # It may not have, and then what was loaded is still there.
        self._slots.let_go()
        self._connect(None)
        return self._slots.patiently(command)

    def _start_in_this_process(self) -> None:
        self._slots.abandon()
        self._slots.tenancy.close()
        alone = _tcti.has_manager(self._tcti)
        self._slots.tenancy = SoleTenancy() if alone else Tenancy(self._tcti)
        self._process = os.getpid()  # Last: else a failure would be for ever.

    def _connect(self, left: Iterable[bytes] | None) -> None:
        """Open a connection, with nothing loaded but the primary.

        ``left`` are the marks of what a former tenant left; ``None`` where that was us.
        """
        self._slots.open(self._tcti)
        try:
            self._slots.move_in(left)
            self._greet()
        except BaseException:
            # The next call starts here again, and not with another primary.
            self._slots.leave(None)
            raise

    def _greet(self) -> None:
        """Authorise with the owner, and see whether this is the TPM of before."""
        self._hierarchy.authorise()
        name = self._slots.patiently(self._name_of_primary)
        if self.primary_name not in (b"", name):
            raise ProviderFailure(
                "the TPM was cleared, or is another one, since this store was opened: "
                "its keys are lost; restore them from where they were imported"
            )
        self._hierarchy.primary_name = name

    def _name_of_primary(self) -> bytes:
        return self._slots.name_of(self._hierarchy.primary())


_open: Final[weakref.WeakSet[Chip]] = weakref.WeakSet()


@atexit.register
def _leave_no_objects() -> None:
    # A program may end without closing its stores, as one with a key for ever does.
    for chip in list(_open):
        chip.clear_slots()
