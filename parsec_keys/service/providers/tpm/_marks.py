"""Marks: what tells our objects and sessions in a TPM from those of other programs.

An object's mark is made of its name, which is a hash of its public part: a handle that
was ours may be another program's by now. A session has no name; its mark is its handle.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

from parsec_keys.service.providers.tpm import _tss

logger = logging.getLogger(__name__)

LENGTH: Final = 8
_SESSION: Final = bytes(4)


def of_object(name: bytes) -> bytes:
    """The mark of an object with this name."""
    return hashlib.sha256(name).digest()[:LENGTH]


def of_session(tpm_handle: int) -> bytes:
    """The mark of a session."""
    return _SESSION + struct.pack(">I", tpm_handle)


def flush(esapi: Any, marks: Iterable[bytes]) -> None:
    """Flush what has one of these marks; what is gone already is no error."""
    wanted = set(marks)
    for mark in wanted:
        if mark.startswith(_SESSION):
            (tpm_handle,) = struct.unpack(">I", mark[len(_SESSION) :])
            _flush_if(esapi, tpm_handle, lambda resource: True)
    if not wanted:
        return

    def is_ours(resource: Any) -> bool:
        name = esapi.tr_get_name(resource)
        return of_object(bytes(name)) in wanted

    for tpm_handle in _tss.transient_handles(esapi):
        _flush_if(esapi, tpm_handle, is_ours)


def take_out(esapi: Any, resource: Any) -> None:
    """Flush an object or a session; one that is gone already is no error."""
    try:
        esapi.flush_context(resource)
    except _tss.TSS2_Exception as e:
        if not _tss.is_of_the_tpm(e):
            raise
        logger.debug("the TPM had forgotten an object already: %s", e)
        # The context knows it else, and believes no other one to be at its handle.
        esapi.tr_close(resource)


def _flush_if(esapi: Any, tpm_handle: int, is_ours: Callable[[Any], bool]) -> None:
    try:
        resource = esapi.tr_from_tpmpublic(tpm_handle)
    except _tss.TSS2_Exception as e:
        if not _tss.is_of_the_tpm(e):
            raise
        logger.debug("what was left in the TPM is gone already: %s", e)
        return
    if is_ours(resource):
        take_out(esapi, resource)
    else:
        esapi.tr_close(resource)
