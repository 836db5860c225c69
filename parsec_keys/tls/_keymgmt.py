"""Keys for libcrypto: loaded from a reference, public to the last parameter.

No key is made, changed or imported here, and the private half is never exported: were
it, libcrypto would take the public half for the whole and sign with it elsewhere.
Nor are two keys compared: libcrypto would first try to import the other one, and leave
an error behind. So it exports the public half and compares where both are.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final

from parsec_keys.tls._bridged import EC_PUBLIC, PARAMETERS, RSA_PUBLIC, BridgedKey
from parsec_keys.tls._core import INT, POINTER, SIZE, Core, dispatch
from parsec_keys.tls._decoder import Pending
from parsec_keys.tls._lifetime import FREE, Slots, address
from parsec_keys.tls._params import ParamList, descriptors, write
from parsec_keys.tls._structures import (
    SELECT_PRIVATE_KEY,
    KeymgmtFunction,
    Operation,
)

OPERATION_NAMES: Final = {True: b"PARSEC-KEYS-RSA", False: b"PARSEC-KEYS-ECDSA"}
"""Names of signatures and of decryption that no other provider has: libcrypto finds
ours at once, and does not first try to give the key to the provider that it finds under
RSA or ECDSA."""
_NAMED: Final = (Operation.SIGNATURE, Operation.ASYM_CIPHER)
_EXPORT: Final = ctypes.CFUNCTYPE(INT, POINTER, POINTER)


def table(
    core: Core,
    keys: Slots[BridgedKey],
    contexts: tuple[Slots[Any], ...],
    pending: Pending,
    fetch: Callable[[bytes], None],
    is_rsa: bool,
) -> int:
    """The address of the functions for RSA or for EC keys (provider-keymgmt(7)).

    ``contexts`` are those that hold keys: a key can go when they have gone.
    """
    public = RSA_PUBLIC if is_rsa else EC_PUBLIC
    gettable = descriptors({**PARAMETERS, **public})
    exportable = descriptors(public)
    key_type = b"RSA" if is_rsa else b"EC"
    name = address(ctypes.create_string_buffer(OPERATION_NAMES[is_rsa]))

    @core.callback(POINTER, POINTER, SIZE)
    def load(reference: int, size: int) -> int:
        # Keys come seldom: a good time to let those go that were freed.
        for freed in (keys, *contexts):
            freed.sweep()
        return keys.add(pending.take(ctypes.string_at(reference, size)))

    @core.callback(INT, POINTER, POINTER)
    def get_params(slot: int, params: int) -> int:
        return int(write(params, keys[slot].parameters))

    @core.callback(POINTER, POINTER)
    def gettable_params(context: int) -> int:
        return gettable

    @core.callback(POINTER, INT)
    def query_operation_name(operation: int) -> int:
        # libcrypto asks before it fetches our key type by its provider.
        fetch(key_type)
        return name if operation in _NAMED else 0

    @core.callback(INT, POINTER, INT)
    def has(slot: int, selection: int) -> int:
        return 1

    @core.callback(INT, POINTER, INT, POINTER, POINTER)
    def export(slot: int, selection: int, callback: int, argument: int) -> int:
        if selection & SELECT_PRIVATE_KEY:
            return 0
        params = ParamList(keys[slot].public)
        return int(_EXPORT(callback)(params.pointer, argument))

    @core.callback(POINTER, INT)
    def export_types(selection: int) -> int:
        return 0 if selection & SELECT_PRIVATE_KEY else exportable

    return dispatch(
        {
            KeymgmtFunction.LOAD: load,
            KeymgmtFunction.FREE: FREE,
            KeymgmtFunction.GET_PARAMS: get_params,
            KeymgmtFunction.GETTABLE_PARAMS: gettable_params,
            KeymgmtFunction.QUERY_OPERATION_NAME: query_operation_name,
            KeymgmtFunction.HAS: has,
            KeymgmtFunction.EXPORT: export,
            KeymgmtFunction.EXPORT_TYPES: export_types,
        }
    )
