"""TLS with keys of this package, in every OpenSSL of this process.

``key.private_bytes(PEM, PKCS8, NoEncryption())`` is a key reference: a file of it is a
key file to ``ssl`` and pyOpenSSL, once ``enable()`` has registered our OpenSSL
provider. That happens by itself the first time that a reference is made.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Final, TypeVar

from parsec_keys._fork import ForkSafeLock
from parsec_keys.errors import ProviderFailure
from parsec_keys.tls._core import last_error
from parsec_keys.tls._libcrypto import Libcrypto, libcryptos
from parsec_keys.tls._provider import NAME, build

C = TypeVar("C", bound=ssl.SSLContext)

_registering: Final = ForkSafeLock()
_registered: Final[dict[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Registration:
    """A libcrypto that has our provider: its file and its version."""

    path: str
    version: str


def enable() -> tuple[Registration, ...]:
    """Register our OpenSSL provider in every libcrypto of this process.

    A second call registers in those that were mapped since. There is no way back: a
    provider stays as long as the process.

    Returns:
        The libcryptos that have it.

    Raises:
        NotSupported: cryptography's own libcrypto cannot be reached.
        ProviderFailure: a libcrypto refuses.
    """
    with _registering:
        for libcrypto in libcryptos():
            if str(libcrypto.path) not in _registered:
                _register(libcrypto)
        return tuple(Registration(*each) for each in _registered.items())


def errors_from(context: C) -> C:
    """Make a context's ``SSLError`` carry our exception as its cause.

    Python's ``ssl`` shows the last line of OpenSSL's error queue and nothing before;
    what went wrong with the key is in one of those. A ``KeyboardInterrupt`` during a
    private-key operation comes out as itself.

    Returns:
        The same context.
    """
    context.sslobject_class = _SSLObject
    context.sslsocket_class = _SSLSocket
    return context


class _SSLObject(ssl.SSLObject):
    def do_handshake(self) -> None:
        last_error.exception = None
        try:
            super().do_handshake()
        except ssl.SSLError as e:
            _explain(e)


class _SSLSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        last_error.exception = None
        try:
            super().do_handshake(block)
        except ssl.SSLError as e:
            _explain(e)


def _explain(error: ssl.SSLError) -> None:
    """Raise an error again, with what our key said as its cause."""
    cause, last_error.exception = last_error.exception, None
    if isinstance(error, (ssl.SSLWantReadError, ssl.SSLWantWriteError)):
        raise error
    if cause is not None and not isinstance(cause, Exception):
        raise cause
    if cause is None:
        raise error
    raise error from cause


def _register(libcrypto: Libcrypto) -> None:
    from parsec_keys.stores import resolve

    if not libcrypto.register(NAME, build(resolve)):
        raise ProviderFailure(
            f"{libcrypto.version} in {libcrypto.path} refuses an OpenSSL provider"
        )
    _registered[str(libcrypto.path)] = libcrypto.version
