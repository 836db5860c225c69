"""libcrypto's own words for a key: EVP_DigestSign(3), EVP_PKEY_decrypt(3).

Both libcryptos of the process are asked: the one behind ``ssl``, and cryptography's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.bindings import _rust

from parsec_keys import tls
from parsec_keys.tls import _elf
from parsec_keys.tls._params import ParamList
from tests.tls.handshakes import PEM, PKCS8, PLAIN

P, S, INT, SIZE = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
_PROTOTYPES: dict[bytes, Any] = {
    b"BIO_new_mem_buf": (P, S, INT),
    b"BIO_free": (INT, P),
    b"ERR_clear_error": (None,),
    b"ERR_get_error": (ctypes.c_ulong,),
    b"ERR_reason_error_string": (S, ctypes.c_ulong),
    b"EVP_DigestSign": (INT, P, P, P, P, SIZE),
    b"EVP_DigestSignFinal": (INT, P, P, P),
    b"EVP_DigestSignInit_ex": (INT, P, P, S, P, S, P, P),
    b"EVP_DigestUpdate": (INT, P, P, SIZE),
    b"EVP_MD_CTX_free": (None, P),
    b"EVP_MD_CTX_new": (P,),
    b"EVP_PKEY_CTX_ctrl_str": (INT, P, S, S),
    b"EVP_PKEY_CTX_free": (None, P),
    b"EVP_PKEY_CTX_new_from_pkey": (P, P, P, S),
    b"EVP_PKEY_CTX_set_params": (INT, P, P),
    b"EVP_PKEY_decrypt": (INT, P, P, P, P, SIZE),
    b"EVP_PKEY_decrypt_init": (INT, P),
    b"EVP_PKEY_free": (None, P),
    b"EVP_PKEY_sign": (INT, P, P, P, P, SIZE),
    b"EVP_PKEY_sign_init": (INT, P),
    b"EVP_PKEY_CTX_set_signature_md": (INT, P, P),
    b"EVP_get_digestbyname": (P, S),
    b"PEM_read_bio_PrivateKey": (P, P, P, P, P),
}
LIBRARIES = ("shared", "linked-in")


class RefusedError(Exception):
    """What libcrypto says why it did not do what was asked."""


class Evp:
    """One libcrypto's functions, by name; any that answers 0 or NULL has failed."""

    def __init__(self, library: str) -> None:
        tls.enable()
        names = list(_PROTOTYPES)
        if library == "shared":
            shared = ctypes.CDLL("libcrypto.so.3")
            found = {
                name: ctypes.cast(getattr(shared, name.decode()), P).value
                for name in names
            }
        else:
            path = Path(_rust.__file__ or "").resolve()
            found = dict(_elf.function_addresses(path, names))
        self._functions = {
            name.decode(): ctypes.CFUNCTYPE(*_PROTOTYPES[name])(address)
            for name, address in found.items()
        }

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = self._functions[name]

        def checked(*arguments: Any) -> Any:
            self._functions["ERR_clear_error"]()
            result = function(*arguments)
            if function.restype is not None and (
                not result or (function.restype is INT and result <= 0)
            ):
                raise RefusedError(self._reasons())
            return result

        return checked

    def _reasons(self) -> str:
        said = []
        while number := self._functions["ERR_get_error"]():
            said.append(self._functions["ERR_reason_error_string"](number) or b"")
        return "; ".join(reason.decode() for reason in said)

    @contextmanager
    def key(self, ours: Any) -> Iterator[int]:
        """A key of ours as an EVP_PKEY."""
        pem = ours.private_bytes(PEM, PKCS8, PLAIN)
        bio = self.BIO_new_mem_buf(pem, len(pem))
        key = self.PEM_read_bio_PrivateKey(bio, None, None, None)
        self.BIO_free(bio)
        try:
            yield key
        finally:
            self.EVP_PKEY_free(key)

    def set(self, context: Any, controls: dict[str, str]) -> None:
        """What ``-pkeyopt`` of openssl's programs does."""
        for name, value in controls.items():
            self.EVP_PKEY_CTX_ctrl_str(context, name.encode(), value.encode())

    def sign(
        self, ours: Any, data: bytes, digest: str, parts: int = 1, **controls: str
    ) -> bytes:
        """A signature of data, which is given at once or in parts."""
        with self.key(ours) as key:
            context, inner = self.EVP_MD_CTX_new(), P()
            try:
                init = self.EVP_DigestSignInit_ex
                init(
                    context, ctypes.byref(inner), digest.encode(), None, None, key, None
                )
                self.set(inner, controls)
                if parts == 1:
                    return self._twice(
                        lambda out, size: self.EVP_DigestSign(
                            context, out, size, data, len(data)
                        )
                    )
                for start in range(0, len(data), step := len(data) // parts):
                    part = data[start : start + step]
                    self.EVP_DigestUpdate(context, part, len(part))
                return self._twice(
                    lambda out, size: self.EVP_DigestSignFinal(context, out, size)
                )
            finally:
                self.EVP_MD_CTX_free(context)

    def sign_digest(self, ours: Any, octets: bytes, digest: str | None) -> bytes:
        """A signature of what is a digest already."""
        with self._context(ours) as context:
            self.EVP_PKEY_sign_init(context)
            if digest is not None:
                md = self.EVP_get_digestbyname(digest.encode())
                self.EVP_PKEY_CTX_set_signature_md(context, md)
            return self._twice(
                lambda out, size: self.EVP_PKEY_sign(
                    context, out, size, octets, len(octets)
                )
            )

    def decrypt(self, ours: Any, ciphertext: bytes, **controls: str) -> bytes:
        """The message."""
        with self._context(ours) as context:
            self.EVP_PKEY_decrypt_init(context)
            self.set(context, controls)
            return self._twice(
                lambda out, size: self.EVP_PKEY_decrypt(
                    context, out, size, ciphertext, len(ciphertext)
                )
            )

    def set_parameter(self, ours: Any, operation: str, name: str, value: Any) -> None:
        """Set one parameter that has no control."""
        with self._context(ours) as context:
            getattr(self, f"EVP_PKEY_{operation}_init")(context)
            params = ParamList({name: value})
            self.EVP_PKEY_CTX_set_params(context, params.pointer)

    @contextmanager
    def _context(self, ours: Any) -> Iterator[Any]:
        with self.key(ours) as key:
            context = self.EVP_PKEY_CTX_new_from_pkey(None, key, None)
            try:
                yield context
            finally:
                self.EVP_PKEY_CTX_free(context)

    def _twice(self, call: Callable[[Any, Any], Any]) -> bytes:
        """The size first, as every program does, and then the octets."""
        size = ctypes.c_size_t()
        call(None, ctypes.byref(size))
        out = ctypes.create_string_buffer(size.value)
        call(out, ctypes.byref(size))
        return out.raw[: size.value]
