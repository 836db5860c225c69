"""Reaching a TPM for the first time: an answer, or one sentence why there is none."""

from __future__ import annotations

import threading
from typing import Any, Final

from parsec_keys.errors import ServiceUnavailable
from parsec_keys.service.providers.tpm import _tcti, _tss

OPEN_SECONDS: Final = 10.0
"""How long a TPM may take to answer at all."""


def connect(tcti: str) -> Any:
    """An ESAPI context of a TPM that answers.

    The C library waits for ever for an answer, so that a thread of its own asks.

    Raises:
        ServiceUnavailable: nothing answers there.
    """
    _tcti.check(tcti)
    answers: list[Any] = []
    failures: list[Exception] = []

    def ask() -> None:
        try:
            answers.append(_start(tcti))
        except Exception as e:
            failures.append(e)

    thread = threading.Thread(target=ask, name="parsec-keys TPM", daemon=True)
    thread.start()
    thread.join(OPEN_SECONDS)
    if answers:
        return answers[0]
    cause = failures[0] if failures else None
    why = str(cause) if cause else f"no answer in {OPEN_SECONDS:.0f} seconds"
    raise ServiceUnavailable(
        f"no TPM answers at '{tcti}' ({why}): check the TCTI, that the device or "
        "emulator is there, and that this user may use it (group tss)"
    ) from cause


def _start(tcti: str) -> Any:
    esapi = _tss.ESAPI(tcti)
    try:
        esapi.startup(_tss.TPM2_SU.CLEAR)
    except _tss.TSS2_Exception as e:
        if _tss.code(e) != _tss.ALREADY_STARTED:
            esapi.close()
            raise
    return esapi
