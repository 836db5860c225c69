"""Keys that are half there: a creation that could not be undone, a deletion cut short.

Their hardware was away, or somebody pressed Ctrl-C. Each stays an intent, which the
next start of a store removes, and until then keeps its name and a lock file. A process
that goes on for years removes it earlier, when the next key is made.
"""

from __future__ import annotations

import contextlib
from typing import Final

from parsec_keys.errors import Error
from parsec_keys.service.key_info import KeyIdentity, KeyInfoManager
from parsec_keys.service.providers import Provider

_MOST: Final = 64
"""How many there may be before no more keys are made: each has a descriptor."""


class HalfMadeKeys:
    """What this process could not remove yet. Safe to call from any thread."""

    def __init__(self, key_info: KeyInfoManager) -> None:
        self._key_info = key_info
        self._left: dict[bytes, tuple[KeyIdentity, Provider]] = {}

    def remove(self, uid: bytes, identity: KeyIdentity, provider: Provider) -> None:
        """Remove what there is of a key and its intent, now or later."""
        self._left[uid] = (identity, provider)
        with contextlib.suppress(Error):
            self._remove(uid, provider)

    def make_way(self, identity: KeyIdentity) -> None:
        """Remove what is left, before a key of this name is made.

        Raises:
            Error: what a provider says that still cannot remove one of this name, or
                too many others.
        """
        failed: dict[str, Error] = {}
        for uid, (_, provider) in list(self._left.items()):
            if provider.info.name not in failed:
                try:
                    self._remove(uid, provider)
                except Error as e:
                    failed[provider.info.name] = e
        left = list(self._left.values())
        for half_made, provider in left:
            error = failed.get(provider.info.name)
            is_in_the_way = _name(half_made) == _name(identity) or len(left) >= _MOST
            if error is not None and is_in_the_way:
                raise error

    def _remove(self, uid: bytes, provider: Provider) -> None:
        provider.destroy_key(uid)
        self._key_info.cancel(uid)
        self._left.pop(uid, None)


def _name(identity: KeyIdentity) -> tuple[object, str]:
    """What is one key's alone, whichever provider it is in."""
    return identity.application, identity.key_name
