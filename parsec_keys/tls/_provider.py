"""Our OpenSSL provider, put together for one libcrypto (provider(7)).

Its name comes after "default" and "fips" in the alphabet: libcrypto keeps providers in
that order, and fetches an algorithm that is named without properties from the first.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

from parsec_keys.tls import _asym_cipher, _decoder, _keymgmt, _reference, _signature
from parsec_keys.tls._asym_cipher import Decrypting
from parsec_keys.tls._bridged import BridgedKey, PrivateKey
from parsec_keys.tls._core import INT, POINTER, Core, dispatch
from parsec_keys.tls._decoder import CONTEXT, Pending
from parsec_keys.tls._lifetime import Slots, address, immortal
from parsec_keys.tls._signature import Signing
from parsec_keys.tls._structures import Algorithm, Operation, ProviderFunction

NAME: Final = b"parsec-keys"
_RSA: Final = "RSA:rsaEncryption:1.2.840.113549.1.1.1"
_EC: Final = "EC:id-ecPublicKey:1.2.840.10045.2.1"
_PROPERTIES: Final = b"provider=" + NAME
_DER: Final = _PROPERTIES + b",input=der,structure=PrivateKeyInfo"


def build(resolve: Callable[[str], PrivateKey], fetch: Callable[[bytes], None]) -> int:
    """The address of an OSSL_provider_init function, for one libcrypto.

    ``resolve`` answers the key of a reference's URI; ``fetch`` makes a key type the
    default provider's.
    """
    core = immortal(Core())
    keys: Slots[BridgedKey] = immortal(Slots())
    pending = immortal(Pending())
    operations = _operations(core, keys, pending, resolve, fetch)
    reasons = core.reasons()

    @core.callback(POINTER, POINTER, INT, POINTER)
    def query_operation(context: int, operation: int, no_cache: int) -> int:
        if no_cache:
            ctypes.c_int.from_address(no_cache).value = 0
        return operations.get(operation, 0)

    @core.callback(POINTER, POINTER)
    def get_reason_strings(context: int) -> int:
        return reasons

    functions = dispatch(
        {
            ProviderFunction.QUERY_OPERATION: query_operation,
            ProviderFunction.GET_REASON_STRINGS: get_reason_strings,
        }
    )

    @core.callback(INT, POINTER, POINTER, POINTER, POINTER)
    def init(handle: int, offered: int, out: int, context: int) -> int:
        core.connect(handle, offered)
        ctypes.c_void_p.from_address(out).value = functions
        ctypes.c_void_p.from_address(context).value = CONTEXT
        return 1

    return init


def _operations(
    core: Core,
    keys: Slots[BridgedKey],
    pending: Pending,
    resolve: Callable[[str], PrivateKey],
    fetch: Callable[[bytes], None],
) -> dict[int, int]:
    """The algorithms of each operation. A reference's identifier is a key type too."""
    signing: Slots[Signing] = immortal(Slots())
    decrypting: Slots[Decrypting] = immortal(Slots())
    signatures = _signature.table(core, keys, signing)
    ciphers = _asym_cipher.table(core, keys, decrypting)
    contexts = signing, decrypting
    rsa, ec = f"{_RSA}:{_reference.RSA_OID}", f"{_EC}:{_reference.EC_OID}"
    return {
        Operation.KEYMGMT: _algorithms(
            (
                rsa,
                _PROPERTIES,
                _keymgmt.table(core, keys, contexts, pending, fetch, True),
            ),
            (
                ec,
                _PROPERTIES,
                _keymgmt.table(core, keys, contexts, pending, fetch, False),
            ),
        ),
        Operation.SIGNATURE: _algorithms(
            *(
                (name.decode(), _PROPERTIES, signatures)
                for name in _keymgmt.OPERATION_NAMES.values()
            ),
        ),
        Operation.ASYM_CIPHER: _algorithms(
            (_keymgmt.OPERATION_NAMES[True].decode(), _PROPERTIES, ciphers),
        ),
        Operation.DECODER: _algorithms(
            (rsa, _DER, _decoder.table(core, pending, resolve, True)),
            (ec, _DER, _decoder.table(core, pending, resolve, False)),
        ),
    }


def _algorithms(*rows: tuple[str, bytes, int]) -> int:
    table = (Algorithm * (len(rows) + 1))()
    for entry, (names, properties, functions) in zip(table, rows, strict=False):
        entry.names = immortal(names.encode())
        entry.properties, entry.dispatch = immortal(properties), functions
    return address(table)
