"""TLS with keys of this package, in every OpenSSL of this process.

``key.private_bytes(PEM, PKCS8, NoEncryption())`` is a key reference: a file of it is a
key file to ``ssl`` and pyOpenSSL, once ``enable()`` has registered our OpenSSL
provider. That happens by itself the first time that a reference is made.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from parsec_keys._fork import fork_safe_lock
from parsec_keys.errors import NotSupported, ProviderFailure
from parsec_keys.tls._core import in_main_interpreter, last
from parsec_keys.tls._libcrypto import Libcrypto, libcryptos
from parsec_keys.tls._provider import NAME, build

C = TypeVar("C", bound=ssl.SSLContext)

_registering: Final = fork_safe_lock()
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
        NotSupported: cryptography's own libcrypto cannot be reached, or this is not
            Python's main interpreter.
        ProviderFailure: a libcrypto refuses.
    """
    if not in_main_interpreter():
        # A callback would wait for ever for a lock that this thread has.
        raise NotSupported(
            "OpenSSL can call back into Python's main interpreter only: use key "
            "references and tls.enable() there"
        )
    with _registering:
        for libcrypto in libcryptos():
            if str(libcrypto.path) not in _registered:
                _register(libcrypto)
        return tuple(Registration(*each) for each in _registered.items())


def errors_from(context: C) -> C:
    """Make a context's ``SSLError`` carry our exception as its cause.

    That is of handshakes, and of reading, where a server asks for the certificate then.

    Python's ``ssl`` shows the last line of OpenSSL's error queue and nothing before;
    what went wrong with the key is in one of those. A ``KeyboardInterrupt`` or a
    ``SystemExit`` during a private-key operation comes out as itself.

    Returns:
        The same context.
    """
    context.sslobject_class = _SSLObject
    context.sslsocket_class = _SSLSocket
    return context


def last_error() -> BaseException | None:
    """What went wrong last when OpenSSL used or loaded a key of ours in this thread.

    It is for where ``errors_from`` does not reach: a context that a library makes for
    itself. The log ``parsec_keys.tls`` has the same sentence, of every thread.
    """
    return last.exception


class _SSLObject(ssl.SSLObject):
    def do_handshake(self) -> None:
        with _explained():
            super().do_handshake()

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        # A server may ask for the client's certificate after the handshake.
        with _explained():
            return super().read(len, buffer)


class _SSLSocket(ssl.SSLSocket):
    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        with _explained():
            return super().read(len, buffer)

    def do_handshake(self, block: bool = False) -> None:
        try:
            with _explained():
                super().do_handshake(block)
        except (KeyboardInterrupt, SystemExit):
            # wrap_socket() closes on errors only; this connection is of no use now.
            self.close()
            raise


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Raise an error with what our key said as its cause."""
    before, last.exception = last.exception, None
    try:
        yield
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        raise
    except ssl.SSLError as e:
        if isinstance(last.exception, Exception):
            raise e from last.exception
        raise
    finally:
        # libcrypto may have gone on without what was interrupted.
        if last.exception is not None and not isinstance(last.exception, Exception):
            interrupt, last.exception = last.exception, None
            raise interrupt
        if last.exception is None:
            last.exception = before


def _register(libcrypto: Libcrypto) -> None:
    from parsec_keys.stores import resolve

    if not libcrypto.register(NAME, build(resolve, libcrypto.fetch)):
        raise ProviderFailure(
            f"{libcrypto.version} in {libcrypto.path} refuses an OpenSSL provider"
        )
    _registered[str(libcrypto.path)] = libcrypto.version
