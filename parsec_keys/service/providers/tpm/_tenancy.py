"""Whose objects are in a TPM that has no resource manager.

A resource manager gives every process a TPM of its own. Without one, the processes and
stores of a user share three slots, and an idle one would starve the others. So one of
them at a time is the *tenant*: whoever comes next flushes what the tenant left, and the
tenant finds out by reading here that its objects are gone. A killed process leaves
nothing for longer than that. What is whose is written down in *marks*: an object's says
its name, so that nobody flushes what another program has loaded meanwhile. Marks are of
the machine's start at which they were written: no TPM remembers more.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from parsec_keys.service.owned_files import unusable
from parsec_keys.service.providers.tpm import _marks
from parsec_keys.service.shared_files import open_shared

_ID_LENGTH: Final = 8
_START: Final = Path("/proc/sys/kernel/random/boot_id")
_HEADER: Final = 2 * _ID_LENGTH
_MOST_BYTES: Final = 1024


class Tenancy:
    """One store's place among those that share a TPM. Made anew after a fork."""

    def __init__(self, tcti: str) -> None:
        """Take part in sharing the TPM of a TCTI.

        Raises:
            ServiceUnavailable: the file by which it is shared cannot be used.
        """
        self._file = open_shared("tpm", tcti)
        self._id = os.urandom(_ID_LENGTH)
        self._start = _of_this_start()

    @contextlib.contextmanager
    def turn(self) -> Iterator[tuple[bytes, ...] | None]:
        """Use the TPM while nobody else does.

        Gives ``None`` to the tenant, and to anybody else the marks of what to flush,
        which makes it the tenant when it notes its own.

        Raises:
            ServiceUnavailable: another process has its turn for too long.
            StorageFailure: the file by which the TPM is shared cannot be used.
        """
        try:
            self._lock()
            content = os.pread(self._file.descriptor, _MOST_BYTES, 0)
            tenant, start = content[:_ID_LENGTH], content[_ID_LENGTH:_HEADER]
            if (tenant, start) == (self._id, self._start):
                yield None
            elif start != self._start:
                yield ()
            else:
                end = len(content) - _marks.LENGTH + 1
                starts = range(_HEADER, end, _marks.LENGTH)
                yield tuple(content[start : start + _marks.LENGTH] for start in starts)
        finally:
            self._file.unlock()

    def _lock(self) -> None:
        try:
            self._file.lock()
        except OSError as e:
            raise unusable(self._file.path, e) from e

    def note(self, marks: Iterable[bytes]) -> None:
        """Write down the marks of all that may be ours in the TPM.

        Raises:
            StorageFailure: the disk is full.
        """
        content = self._id + self._start + b"".join(marks)
        try:
            os.pwrite(self._file.descriptor, content, 0)
            os.ftruncate(self._file.descriptor, len(content))
        except OSError as e:
            raise unusable(self._file.path, e) from e

    def close(self) -> None:
        """Take no part any more."""
        self._file.close()


def _of_this_start() -> bytes:
    """What tells this start of the machine from others."""
    try:
        start = _START.read_bytes()
    except OSError:  # No /proc.
        start = b""
    return hashlib.sha256(start).digest()[:_ID_LENGTH]


class SoleTenancy:
    """The place of a store whose TPM has a resource manager: always its own."""

    def turn(self) -> contextlib.AbstractContextManager[tuple[bytes, ...] | None]:
        """Use the TPM."""
        return contextlib.nullcontext()

    def note(self, marks: Iterable[bytes]) -> None:
        """Nobody asks."""

    def close(self) -> None:
        """Nothing was opened."""
