"""Decryption for libcrypto: OAEP and PKCS#1 v1.5, not TLS's RSA key exchange.

That one wants 48 bytes in constant time whatever comes out, which Python does not
promise; every TLS of today agrees on keys by Diffie-Hellman.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field, replace
from typing import Final, cast

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from parsec_keys.errors import NotSupported
from parsec_keys.tls._bridged import BridgedKey
from parsec_keys.tls._core import INT, POINTER, SIZE, Core, dispatch, give
from parsec_keys.tls._digests import digest
from parsec_keys.tls._lifetime import FREE, Slots
from parsec_keys.tls._params import Value, descriptors, read, refuse_others
from parsec_keys.tls._structures import (
    RSA_PKCS1_OAEP_PADDING,
    RSA_PKCS1_PADDING,
    AsymCipherFunction,
    ParamType,
)

_SETTABLE: Final = {
    # By this type libcrypto reads what a program is told in words, as "oaep" is.
    "pad-mode": ParamType.UTF8_STRING,
    "digest": ParamType.UTF8_STRING,
    "mgf1-digest": ParamType.UTF8_STRING,
    "oaep-label": ParamType.OCTET_STRING,
    "implicit-rejection": ParamType.UNSIGNED_INTEGER,
}
_PADDINGS: Final[dict[Value, int]] = {
    "pkcs1": RSA_PKCS1_PADDING,
    "oaep": RSA_PKCS1_OAEP_PADDING,
    RSA_PKCS1_PADDING: RSA_PKCS1_PADDING,
    RSA_PKCS1_OAEP_PADDING: RSA_PKCS1_OAEP_PADDING,
}


@dataclass
class Decrypting:
    """What one context was told so far."""

    key: BridgedKey | None = None
    padding_mode: int = RSA_PKCS1_PADDING
    # EVP_PKEY_CTX_set_rsa_oaep_md(3): SHA-1 where nobody says another.
    algorithm: hashes.HashAlgorithm = field(default_factory=lambda: digest("SHA1"))
    mgf_hash: hashes.HashAlgorithm | None = None
    label: bytes | None = None

    def set(self, values: dict[str, Value]) -> None:
        """Take parameters.

        Raises:
            NotSupported: what a key of ours cannot do.
        """
        refuse_others(values, _SETTABLE)
        if "pad-mode" in values:
            mode = values["pad-mode"]
            if mode not in _PADDINGS:
                raise NotSupported(f"no key of ours decrypts with RSA padding {mode!r}")
            self.padding_mode = _PADDINGS[mode]
        if not values.get("implicit-rejection", 1):
            raise NotSupported("a key of ours tells nobody that a padding is wrong")
        if "digest" in values:
            self.algorithm = digest(str(values["digest"]))
        if "mgf1-digest" in values:
            self.mgf_hash = digest(str(values["mgf1-digest"]))
        if "oaep-label" in values:
            self.label = cast(bytes, values["oaep-label"])

    def decrypt(self, ciphertext: bytes) -> bytes:
        """The message."""
        assert self.key is not None  # noqa: S101
        scheme: padding.AsymmetricPadding = padding.PKCS1v15()
        if self.padding_mode == RSA_PKCS1_OAEP_PADDING:
            mgf = padding.MGF1(self.mgf_hash or self.algorithm)
            scheme = padding.OAEP(mgf, self.algorithm, self.label)
        return cast(rsa.RSAPrivateKey, self.key.key).decrypt(ciphertext, scheme)


def table(core: Core, keys: Slots[BridgedKey], contexts: Slots[Decrypting]) -> int:
    """The address of the functions (provider-asym_cipher(7))."""
    settable = descriptors(_SETTABLE)

    @core.callback(POINTER, POINTER)
    def newctx(provider: int) -> int:
        return contexts.add(Decrypting())

    @core.callback(POINTER, POINTER)
    def dupctx(slot: int) -> int:
        return contexts.add(replace(contexts[slot]))

    @core.callback(INT, POINTER, POINTER, POINTER)
    def decrypt_init(slot: int, key: int | None, params: int) -> int:
        context = contexts[slot]
        context.key = keys[key] if key else context.key
        context.set(read(params))
        return 1

    @core.callback(INT, POINTER, POINTER, POINTER, SIZE, POINTER, SIZE)
    def decrypt(
        slot: int, out: int | None, length: int, capacity: int, data: int, size: int
    ) -> int:
        context = contexts[slot]
        assert context.key is not None  # noqa: S101
        if not out:
            ctypes.c_size_t.from_address(length).value = context.key.max_size
            return 1
        message = context.decrypt(ctypes.string_at(data, size))
        return give(message, out, length, capacity)

    @core.callback(INT, POINTER, POINTER)
    def set_ctx_params(slot: int, params: int) -> int:
        contexts[slot].set(read(params))
        return 1

    @core.callback(POINTER, POINTER, POINTER)
    def settable_ctx_params(slot: int, provider: int) -> int:
        return settable

    return dispatch(
        {
            AsymCipherFunction.NEWCTX: newctx,
            AsymCipherFunction.DECRYPT_INIT: decrypt_init,
            AsymCipherFunction.DECRYPT: decrypt,
            AsymCipherFunction.FREECTX: FREE,
            AsymCipherFunction.DUPCTX: dupctx,
            AsymCipherFunction.SET_CTX_PARAMS: set_ctx_params,
            AsymCipherFunction.SETTABLE_CTX_PARAMS: settable_ctx_params,
        }
    )
