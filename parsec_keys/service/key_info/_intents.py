"""The intents that this process has, each by an advisory lock on a file of its own.

Held for as long as the process lives, so that another one on the same store can tell a
creation that is going on from one that was killed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from parsec_keys.service.owned_files import own_directory, unusable
from parsec_keys.service.shared_files import LockFile

_NAME: Final = re.compile(r"(?:[0-9a-f]{2}){1,16}")


class HeldIntents:
    """Locks on files ``UID`` in a folder, of those intents that are ours."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: dict[bytes, LockFile] = {}

    def __contains__(self, uid: bytes) -> bool:
        return uid in self._held

    def make_directory(self) -> None:
        """Make the folder, or check that it is the user's own.

        Raises:
            StorageFailure: it is not.
        """
        own_directory(self._directory)

    def hold(self, uid: bytes) -> bool:
        """Lock an intent's file for this process, unless another holds it.

        Raises:
            StorageFailure: there is no room for it, or it is not the user's own.
        """
        path = self._directory / uid.hex()
        try:
            file = LockFile(path)
        except OSError as e:
            raise unusable(path, e) from e
        if not file.try_lock():
            file.close()
            return False
        self._held[uid] = file
        return True

    def let_go(self, uid: bytes) -> None:
        """Remove an intent's file, if it is ours."""
        file = self._held.pop(uid, None)
        if file is not None:
            (self._directory / uid.hex()).unlink(missing_ok=True)
            file.close()

    def of_anybody(self) -> Iterator[bytes]:
        """The uids that have a file, whoever holds it."""
        for path in self._directory.iterdir():
            if _NAME.fullmatch(path.name):
                yield bytes.fromhex(path.name)

    def close(self) -> None:
        """Unlock all, and leave their files to whoever opens the store next."""
        for file in self._held.values():
            file.close()
        self._held.clear()
