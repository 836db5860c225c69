"""Whose objects are in a TPM that has no resource manager.

A resource manager gives every process a TPM of its own. Without one, the processes and
stores of a user share three slots, and an idle one would starve the others. So one of
them at a time is the *tenant*: whoever comes next flushes what the tenant left, and the
tenant finds out by reading here that its objects are gone. A killed process leaves
nothing for longer than that.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterable, Iterator
from typing import Final

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
    def turn(self) -> Iterator[tuple[int, ...] | None]:
        """Use the TPM while nobody else does.

        Gives ``None`` to the tenant, and to anybody else the TPM handles to flush,
        which makes it the tenant.
        """
        self._file.lock()
        try:
            content = os.pread(self._file.descriptor, _MOST_BYTES, 0)
            if content[:_ID_LENGTH] == self._id:
                yield None
            else:
                handles = content[_ID_LENGTH:]
                count = len(handles) // 4
                left = struct.unpack(f">{count}I", handles[: 4 * count])
                self.note(())
                yield left
        finally:
            self._file.unlock()

    def note(self, handles: Iterable[int]) -> None:
        """Write down the TPM handles of all that is ours in the TPM."""
        listed = list(handles)
        content = self._id + struct.pack(f">{len(listed)}I", *listed)
        os.pwrite(self._file.descriptor, content, 0)
        os.ftruncate(self._file.descriptor, len(content))

    def close(self) -> None:
        """Take no part any more."""
        self._file.close()


class SoleTenancy:
    """The place of a store whose TPM has a resource manager: always its own."""

    def turn(self) -> contextlib.AbstractContextManager[tuple[int, ...] | None]:
        """Use the TPM."""
        return contextlib.nullcontext()

    def note(self, handles: Iterable[int]) -> None:
        """Nobody asks."""

    def close(self) -> None:
        """Nothing was opened."""
