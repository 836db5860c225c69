"""From a PKCS#8 reference to a key (provider-decoder(7)).

What is not a reference of ours is passed over without a word, as any decoder does with
what is not its own. Whether it wants to look at all is answered in C.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import Final

from parsec_keys.tls import _reference
from parsec_keys.tls._bridged import BridgedKey, PrivateKey
from parsec_keys.tls._core import INT, POINTER, Core, dispatch
from parsec_keys.tls._lifetime import address, address_in_libc
from parsec_keys.tls._params import ParamList
from parsec_keys.tls._structures import OBJECT_PKEY, DecoderFunction

_CONSTRUCT: Final = ctypes.CFUNCTYPE(INT, POINTER, POINTER)
_LIMIT: Final = 64 * 1024
_TOKEN: Final = 8

# strchr(context, selection) is not NULL for 0, the end of the string, and for all odd
# bytes, which are in it: it is does_selection, for everything and for private keys.
CONTEXT: Final = address(ctypes.create_string_buffer(bytes(range(1, 256, 2))))
"""The provider's context: a string that C functions can work with."""


class Pending:
    """Keys that are decoded and not yet loaded, by a token, in each thread."""

    def __init__(self) -> None:
        self._local = threading.local()

    def put(self, key: BridgedKey) -> bytes:
        """A token for a key, good for one ``take`` in this thread."""
        token = os.urandom(_TOKEN)
        self._local.key = (token, key)
        return token

    def take(self, token: bytes) -> BridgedKey:
        """The key of a token.

        Raises:
            LookupError: there is none.
        """
        kept, key = self._local.__dict__.pop("key", (b"", None))
        if key is None or kept != token:
            raise LookupError("libcrypto asks for a key that was not decoded here")
        result: BridgedKey = key
        return result


def table(
    core: Core, pending: Pending, resolve: Callable[[str], PrivateKey], is_rsa: bool
) -> int:
    """The address of the functions for RSA or for EC references."""
    wanted = _reference.RSA_OID if is_rsa else _reference.EC_OID
    name = "RSA" if is_rsa else "EC"

    @core.callback(INT, POINTER, POINTER, INT, POINTER, POINTER, POINTER, POINTER)
    def decode(
        context: int,
        bio: int,
        selection: int,
        construct: int,
        argument: int,
        passphrase: int,
        passphrase_argument: int,
    ) -> int:
        try:
            oid, uri = _reference.parse(core.read_all(bio, _LIMIT))
        except _reference.NoReferenceError:
            return 1  # Empty-handed: the next decoder may know it.
        if oid != wanted:
            return 1
        key = BridgedKey(resolve(uri))
        if key.is_rsa is not is_rsa:
            raise ValueError(f"the reference is of another type than its key, {uri}")
        assert key.parameters  # noqa: S101  # A curve that TLS has not is refused now.
        params = ParamList(
            {
                "type": OBJECT_PKEY,
                "data-type": name,
                "reference": pending.put(key),
            },
            signed=("type",),
        )
        return int(_CONSTRUCT(construct)(params.pointer, argument))

    return dispatch(
        {
            DecoderFunction.NEWCTX: address_in_libc("strdup"),
            DecoderFunction.FREECTX: address_in_libc("free"),
            DecoderFunction.DOES_SELECTION: address_in_libc("strchr"),
            DecoderFunction.DECODE: decode,
        }
    )
