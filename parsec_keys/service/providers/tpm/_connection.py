"""The line to a TPM, on which everything ends: with an answer, or with an error.

The C library waits for an answer for ever. So a thread of its own talks to the TPM, and
whoever waits for it gives up at a deadline. From then on the context belongs to that
thread alone, because two threads in one context break it.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from parsec_keys.errors import ServiceUnavailable
from parsec_keys.service.providers.tpm import _outside, _tcti, _tss

OPEN_SECONDS = 10.0
"""How long a TPM may take to answer at all."""
ANSWER_SECONDS = 60.0
"""How long a command may take."""
CREATION_SECONDS = 300.0
"""How long a command may take that searches for the primes of an RSA key."""
PATIENCE_SECONDS = 5.0
"""How long a TPM may go on asking for a command to be repeated."""
_FIRST_PAUSE: Final = 0.005
_CREATING: Final = frozenset({"create", "create_primary"})
_WITHOUT_TPM: Final = frozenset(
    {
        *("tr_close", "tr_get_name", "tr_get_tpm_handle", "tr_set_auth"),
        "trsess_set_attributes",
    }
)
"""What the library does by itself."""


_Answer = tuple[Any, BaseException | None]


class Silence(Exception):
    """The TPM has not answered in time; its connection is lost.

    ``interrupt`` is what kept this thread from waiting for the answer, as Ctrl-C does.
    """

    def __init__(self, seconds: float, interrupt: BaseException | None = None) -> None:
        super().__init__(f"no answer in {seconds:.0f} seconds")
        self.seconds = seconds
        self.interrupt = interrupt


class Connection:
    """An ESAPI context: it has the same methods, but they raise ``Silence``.

    ``lost`` says that it is of no use any more: the TPM did not answer, or its line was
    cut, and the context would wait for that answer for ever. ``answered_at`` is when
    the TPM answered last, in monotonic seconds.
    """

    def __init__(self, tcti: str) -> None:
        """Reach a TPM that answers.

        Raises:
            ServiceUnavailable: nothing answers there.
        """
        _tcti.check(tcti)
        self._lost_by: BaseException | None = None
        self.answered_at = time.monotonic()
        self._esapi: Any = None
        self._opened: list[Any] = []
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        threading.Thread(
            target=_serve, args=(self._requests,), name="parsec-keys TPM", daemon=True
        ).start()
        # One that nobody closed is closed with the last reference to it.
        arguments = (self._requests, self._opened)
        weakref.finalize(self, _close_later, *arguments).atexit = False
        try:
            self._ask(lambda: self._start(tcti), OPEN_SECONDS)
        except Exception as e:
            self.close()
            cause = None if isinstance(e, Silence) else e
            raise ServiceUnavailable(
                f"no TPM answers at '{tcti}' ({e}): check the TCTI, that the device or "
                "emulator is there, and that this user may use it (group tss)"
            ) from cause

    @property
    def lost(self) -> bool:
        """Whether nothing can be asked any more."""
        return self._lost_by is not None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._esapi, name)

        def local(*arguments: Any, **named: Any) -> Any:
            if self._lost_by is not None:
                raise self._lost_by
            return method(*arguments, **named)

        def command(*arguments: Any, **named: Any) -> Any:
            seconds = CREATION_SECONDS if name in _CREATING else ANSWER_SECONDS
            return self._ask(lambda: _repeated(method, arguments, named), seconds)

        return local if name in _WITHOUT_TPM else command

    def close(self) -> None:
        """Let the TPM go. A connection that is lost closes when the TPM answers."""
        if not self.lost:
            try:
                self._ask(functools.partial(_finish, self._opened), ANSWER_SECONDS)
            finally:
                if not self.lost:
                    self._lost_by = Silence(ANSWER_SECONDS)
                    self._requests.put(None)

    def _ask(self, job: Callable[[], Any], seconds: float) -> Any:
        if self._lost_by is not None:
            raise self._lost_by
        if sys.is_finalizing():  # The thread is not there any more.
            return job()
        answers: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
        try:
            self._requests.put(_Request(job, answers))
            answer, error = answers.get(timeout=seconds)
        except queue.Empty:
            self._lose(silence := Silence(seconds))
            raise silence from None
        except BaseException as e:  # Ctrl-C.
            self._lose(Silence(seconds, e))
            raise
        self.answered_at = time.monotonic()
        if error is None:
            return answer
        if isinstance(error, _tss.TSS2_Exception) and _tss.is_of_the_line(error):
            self._lose(error)
        try:
            raise error
        finally:
            del error

    def _lose(self, why: BaseException) -> None:
        if self._lost_by is None:
            self._lost_by = why
            _close_later(self._requests, self._opened)

    def _start(self, tcti: str) -> None:
        self._esapi = _tss.ESAPI(_outside.usable(tcti))
        self._opened.append(self._esapi)
        try:
            _repeated(self._esapi.startup, (_tss.TPM2_SU.CLEAR,), {})
        except _tss.TSS2_Exception as e:
            if _tss.code(e) != _tss.ALREADY_STARTED:
                raise


class _Request(NamedTuple):
    """What to do, and where its answer goes: nobody else can take it for theirs."""

    job: Callable[[], Any]
    answers: queue.SimpleQueue[_Answer]


def _finish(opened: list[Any]) -> None:
    """Close a context, if there is one that is open."""
    while opened:
        with contextlib.suppress(_tss.TSS2_Exception):
            opened.pop().close()


def _close_later(
    requests: queue.SimpleQueue[_Request | None], opened: list[Any]
) -> None:
    """Have the thread close the context when the TPM has answered, and end."""
    requests.put(_Request(functools.partial(_finish, opened), queue.SimpleQueue()))
    requests.put(None)


def _serve(requests: queue.SimpleQueue[_Request | None]) -> None:
    while (request := requests.get()) is not None:
        try:
            request.answers.put((request.job(), None))
        except BaseException as e:
            request.answers.put((None, e))
        del request  # It may hold a secret.


def _repeated(
    method: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]
) -> Any:
    """Give a command to the TPM again for as long as it asks for that."""
    pause, deadline = _FIRST_PAUSE, time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return method(*arguments, **named)
        except _tss.TSS2_Exception as e:
            if _tss.code(e) not in _tss.AGAIN or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause *= 2
