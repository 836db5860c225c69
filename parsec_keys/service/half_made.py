"""Keys that are half there: a creation that could not be undone, a deletion cut short.

Their hardware was away, or somebody pressed Ctrl-C. Each stays an intent, which the
next start of a store removes, and until then keeps its name and a lock file. A process
that goes on for years removes it earlier, when the next key is made.
"""

from __future__ import annotations

from typing import Final

from parsec_keys.errors import Error, ServiceUnavailable
from parsec_keys.service.key_info import KeyIdentity, KeyInfoManager
from parsec_keys.service.providers import Provider

_MOST: Final = 64
"""How many a provider may have before it makes no more: each has a descriptor."""


class HalfMadeKeys:
    """What this process could not remove yet. Safe to call from any thread."""

    def __init__(self, key_info: KeyInfoManager) -> None:
        self._key_info = key_info
        self._left: dict[bytes, tuple[KeyIdentity, Provider]] = {}

    def remove(
        self, uid: bytes, identity: KeyIdentity, provider: Provider
    ) -> Error | None:
        """Remove what there is of a key and its intent; if not now, why not."""
        self._left[uid] = (identity, provider)
        return self._try_to_remove(uid, provider)

    def make_way(self, identity: KeyIdentity) -> None:
        """Remove what is left in a key's provider, and of its name, before it is made.

        Raises:
            Error: what a provider says that still cannot remove one of this name, or
                too many others.
        """
        failed = 0
        away: dict[str, Error] = {}
        for uid, (half_made, provider) in list(self._left.items()):
            name = provider.info.name
            is_in_the_way = _name(half_made) == _name(identity)
            if name != identity.provider and not is_in_the_way:
                continue  # Who is away keeps the others from nothing.
            error = away.get(name) or self._try_to_remove(uid, provider)
            if isinstance(error, ServiceUnavailable):
                away[name] = error
            if error is not None:
                failed += 1
                if is_in_the_way or failed >= _MOST:
                    raise error

    def _try_to_remove(self, uid: bytes, provider: Provider) -> Error | None:
        try:
            self._key_info.withdraw(uid)  # First: there is no record without a key.
            provider.destroy_key(uid)
            self._key_info.cancel(uid)
        except Error as e:
            return e
        self._left.pop(uid, None)
        return None


def _name(identity: KeyIdentity) -> tuple[object, str]:
    """What is one key's alone, whichever provider it is in."""
    return identity.application, identity.key_name
