"""The secret of a key's implicit rejection, made by the key itself.

OpenSSL derives it from the private exponent, which hardware does not give out. Here it
is the bare RSA operation's result on a block that depends on the public key alone: only
who holds the key can compute it, it is the same at all times and on all machines, and
no signature or decryption that an application can ask for gives it away, because no
padding starts with 00 03.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from parsec_keys.service.key_info import KeyRecord

_LABEL: Final = b"parsec-keys implicit rejection"


class RejectionSecrets:
    """Remembers the secrets of keys, so that each is computed once a process."""

    def __init__(self) -> None:
        self._secrets: dict[bytes, bytes] = {}

    def of(self, key: KeyRecord, bare: Callable[[bytes], bytes]) -> bytes:
        """A key's secret of 32 bytes; ``bare`` is its bare RSA operation."""
        secret = self._secrets.get(key.uid)
        if secret is None:
            length = (key.attributes.bits + 7) // 8
            filler = hashlib.shake_256(_LABEL + key.public_key).digest(length - 2)
            result = bare(b"\x00\x03" + filler)
            secret = hashlib.sha256(_LABEL + result).digest()
            self._secrets[key.uid] = secret
        return secret

    def forget(self, uid: bytes) -> None:
        """Forget a key's secret."""
        self._secrets.pop(uid, None)
