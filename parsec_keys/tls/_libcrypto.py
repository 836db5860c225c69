"""Every libcrypto of this process, and the prototypes of what is called in it.

The shared one behind ``_ssl``, any other copy that a package brought, and the one that
is linked into cryptography's wheel. No other module sets an ``argtypes``.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from parsec_keys.errors import NotSupported
from parsec_keys.tls import _elf

_SHARED: Final = re.compile(r"/libcrypto[^/]*\.so[^/]*$")
_NAMES: Final = (
    b"EVP_KEYMGMT_fetch",
    b"EVP_KEYMGMT_free",
    b"OpenSSL_version",
    b"OpenSSL_version_num",
    b"OSSL_PROVIDER_available",
    b"OSSL_PROVIDER_add_builtin",
    b"OSSL_PROVIDER_try_load",
)
_OLDEST: Final = 0x30000000
_DELETED: Final = " (deleted)"
"""What proc(5) says of a file that was removed after it was mapped."""

# Every callback of ours keeps the GIL while OpenSSL runs, so that registration is one
# step for the other threads: PYFUNCTYPE.
_PROTOTYPES: Final[dict[bytes, Any]] = {
    # These are called from callbacks, where another thread may hold libcrypto's locks
    # and wait for the GIL.
    b"EVP_KEYMGMT_fetch": ctypes.CFUNCTYPE(
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p
    ),
    b"EVP_KEYMGMT_free": ctypes.CFUNCTYPE(None, ctypes.c_void_p),
    b"OpenSSL_version": ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.c_int),
    b"OpenSSL_version_num": ctypes.PYFUNCTYPE(ctypes.c_ulong),
    b"OSSL_PROVIDER_available": ctypes.PYFUNCTYPE(
        ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p
    ),
    b"OSSL_PROVIDER_add_builtin": ctypes.PYFUNCTYPE(
        ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
    ),
    b"OSSL_PROVIDER_try_load": ctypes.PYFUNCTYPE(
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    ),
}


@dataclass(frozen=True, slots=True)
class Libcrypto:
    """One libcrypto: where it is, its version, and how to register a provider."""

    path: Path
    version: str
    _functions: dict[bytes, Callable[..., Any]]

    def register(self, name: bytes, init: int) -> bool:
        """Add a provider to the default library context (OSSL_PROVIDER(3)).

        The default provider is activated first: a name that comes before it in the
        alphabet would take over RSA and EC otherwise, and this one must not either.
        """
        functions = self._functions
        functions[b"OSSL_PROVIDER_available"](None, b"default")
        if functions[b"OSSL_PROVIDER_available"](None, name):
            return True
        if not functions[b"OSSL_PROVIDER_add_builtin"](None, name, init):
            return False
        # Fallbacks stay: other code relies on the default provider being loaded.
        return bool(functions[b"OSSL_PROVIDER_try_load"](None, name, 1))

    def fetch(self, key_type: bytes) -> None:
        """Let the first provider that has a key type be everybody's for it.

        OpenSSL remembers whose was fetched first since it last forgot all, and 4.0
        forgets when a provider is loaded. A key of ours must not be that first one.
        """
        functions = self._functions
        functions[b"EVP_KEYMGMT_free"](
            functions[b"EVP_KEYMGMT_fetch"](None, key_type, None)
        )


def libcryptos() -> Iterator[Libcrypto]:
    """The libcryptos that are mapped into this process now.

    Raises:
        NotSupported: cryptography's own can not be reached.
    """
    import _ssl  # noqa: F401  # It maps the one that it uses.

    mapped = (m.path.removesuffix(_DELETED) for m in _elf.mappings())
    for path in sorted({path for path in mapped if _SHARED.search(path)}):
        library = _mapped(path)
        addresses = {
            name: ctypes.cast(getattr(library, name.decode()), ctypes.c_void_p).value
            for name in _NAMES
            if hasattr(library, name.decode())
        }
        found = _at(Path(path), addresses)
        if found is not None:
            yield found
    linked_in = _linked_into_cryptography()
    if linked_in is not None:
        yield linked_in


def _mapped(path: str) -> ctypes.CDLL:
    """A library that is mapped already."""
    try:
        return ctypes.CDLL(path, os.RTLD_NOLOAD | os.RTLD_LAZY)
    except OSError:
        # An update has put another file there since: this one's name still finds it.
        return ctypes.CDLL(Path(path).name, os.RTLD_NOLOAD | os.RTLD_LAZY)


def _linked_into_cryptography() -> Libcrypto | None:
    """cryptography's own libcrypto; None where it uses the shared one."""
    from cryptography.hazmat.bindings import _rust

    # As /proc has it: without symbolic links.
    path = Path(_rust.__file__ or "").resolve()
    found = _at(path, dict(_elf.function_addresses(path, _NAMES)))
    if found is None and b"\x00libcrypto.so" not in path.read_bytes():
        # It needs no shared one, so that its own is in there without symbols.
        raise NotSupported(
            f"{path} has its OpenSSL linked in without symbols, so that no provider "
            "can be registered there: install cryptography from its own wheel, or "
            "build it against a shared libcrypto"
        )
    return found


def _at(path: Path, addresses: dict[bytes, int | None]) -> Libcrypto | None:
    functions = {
        name: _PROTOTYPES[name](address)
        for name, address in addresses.items()
        if address
    }
    if functions.keys() != set(_NAMES):
        return None
    if functions[b"OpenSSL_version_num"]() < _OLDEST:
        return None
    version = functions[b"OpenSSL_version"](0).decode()
    return Libcrypto(path, version, functions)
