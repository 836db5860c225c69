"""Whose objects are in a TPM that has no resource manager.

A resource manager gives every process a TPM of its own. Without one, the processes and
stores of a user share three slots, and an idle one would starve the others. So one of
them at a time is the *tenant*: whoever comes next flushes what the tenant left, and the
tenant finds out by reading here that its objects are gone. A killed process leaves
nothing for longer than that. What is whose is written down in *marks*: an object's says
its name, so that nobody flushes what another program has loaded meanwhile.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Final

from parsec_keys.service.providers.tpm import _marks
from parsec_keys.service.shared_files import open_shared

_ID_LENGTH: Final = 8
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

    @contextlib.contextmanager
    def turn(self) -> Iterator[tuple[bytes, ...] | None]:
        """Use the TPM while nobody else does.

        Gives ``None`` to the tenant, and to anybody else the marks of what to flush,
        which makes it the tenant when it notes its own.
        """
        self._file.lock()
        try:
            content = os.pread(self._file.descriptor, _MOST_BYTES, 0)
            if content[:_ID_LENGTH] == self._id:
                yield None
            else:
                end = len(content) - _marks.LENGTH + 1
                starts = range(_ID_LENGTH, end, _marks.LENGTH)
                yield tuple(content[start : start + _marks.LENGTH] for start in starts)
        finally:
            self._file.unlock()

    def note(self, marks: Iterable[bytes]) -> None:
        """Write down the marks of all that may be ours in the TPM."""
        content = self._id + b"".join(marks)
        os.pwrite(self._file.descriptor, content, 0)
        os.ftruncate(self._file.descriptor, len(content))

    def close(self) -> None:
        """Take no part any more."""
        self._file.close()


class SoleTenancy:
    """The place of a store whose TPM has a resource manager: always its own."""

    def turn(self) -> contextlib.AbstractContextManager[tuple[bytes, ...] | None]:
        """Use the TPM."""
        return contextlib.nullcontext()

    def note(self, marks: Iterable[bytes]) -> None:
        """Nobody asks."""

    def close(self) -> None:
        """Nothing was opened."""
