"""Signatures for libcrypto, each by one call of a key's own ``sign``.

A context collects what is asked, down to the salt length, and asks the key for exactly
that. The question how long a signature may be is answered without the key.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from parsec_keys.errors import InvalidArgument, NotSupported
from parsec_keys.tls._bridged import BridgedKey
from parsec_keys.tls._core import INT, POINTER, SIZE, STRING, Core, dispatch, give
from parsec_keys.tls._digests import (
    DIGESTS,
    digest,
    ecdsa_identifier,
    pkcs1_identifier,
    pss_identifier,
)
from parsec_keys.tls._lifetime import FREE, Slots
from parsec_keys.tls._params import Value, descriptors, read, refuse_others, write
from parsec_keys.tls._structures import (
    RSA_PKCS1_PADDING,
    RSA_PKCS1_PSS_PADDING,
    ParamType,
    SignatureFunction,
)

_DEFAULT: Final = "SHA256"
_ECDSA: Final = (
    {each.name: ec.ECDSA(each) for each in DIGESTS.values()},
    {each.name: ec.ECDSA(utils.Prehashed(each)) for each in DIGESTS.values()},
)
"""For messages, and for digests: handshakes come here, and making these takes time."""
_OF_ECDSA: Final = {"digest": ParamType.UTF8_STRING}
_SETTABLE: Final = {
    **_OF_ECDSA,
    "pad-mode": ParamType.UTF8_STRING,
    "saltlen": ParamType.UTF8_STRING,
    "mgf1-digest": ParamType.UTF8_STRING,
}
_PADDINGS: Final[dict[Value, int]] = {
    "pkcs1": RSA_PKCS1_PADDING,
    "pss": RSA_PKCS1_PSS_PADDING,
    RSA_PKCS1_PADDING: RSA_PKCS1_PADDING,
    RSA_PKCS1_PSS_PADDING: RSA_PKCS1_PSS_PADDING,
}
# EVP_PKEY_CTX_set_rsa_pss_saltlen(3): signing, "auto" is as long as fits.
_SALTS: Final[dict[Value, Any]] = {
    "digest": padding.PSS.DIGEST_LENGTH,
    -1: padding.PSS.DIGEST_LENGTH,
    "max": padding.PSS.MAX_LENGTH,
    -3: padding.PSS.MAX_LENGTH,
    "auto": padding.PSS.MAX_LENGTH,
    -2: padding.PSS.MAX_LENGTH,
}
_AUTO_DIGEST_MAX: Final = ("auto-digestmax", -4)
"""As long as the digest, or as fits if that is less (FIPS 186-4, section 5.5)."""


@dataclass
class Signing:
    """What one context was told so far."""

    key: BridgedKey | None = None
    algorithm: hashes.HashAlgorithm | None = None
    mgf_hash: hashes.HashAlgorithm | None = None
    padding_mode: int = RSA_PKCS1_PADDING
    salt: Any = padding.PSS.MAX_LENGTH
    hashed: hashes.Hash | None = None

    def begin(self, key: BridgedKey | None, name: str | None, params: int) -> None:
        """Start over with a key and a digest; without a key, with the one before."""
        self.key = key or self.key
        if name is not None:
            self.algorithm = digest(name)
        self.hashed = None
        values = read(params)
        if values:
            self.set(values)

    def set(self, values: dict[str, Value]) -> None:
        """Take parameters.

        Raises:
            NotSupported: what a key of ours cannot do.
            InvalidArgument: what nobody understands.
        """
        is_ec = self.key is not None and not self.key.is_rsa
        refuse_others(values, _OF_ECDSA if is_ec else _SETTABLE)
        if "digest" in values:
            self.algorithm = digest(str(values["digest"]))
        if "mgf1-digest" in values:
            self.mgf_hash = digest(str(values["mgf1-digest"]))
        if "pad-mode" in values:
            mode = values["pad-mode"]
            if mode not in _PADDINGS:
                raise NotSupported(f"no key of ours signs with RSA padding {mode!r}")
            self.padding_mode = _PADDINGS[mode]
        if "saltlen" in values:
            self.salt = self._salt_of(values["saltlen"])

    def sign(self, data: bytes, prehashed: bool) -> bytes:
        """A signature of a message, or of its digest."""
        assert self.key is not None  # noqa: S101
        algorithm = self.algorithm
        if algorithm is None:
            return self._sign_octets(data)
        if not self.key.is_rsa:
            key = cast(ec.EllipticCurvePrivateKey, self.key.key)
            return key.sign(data, _ECDSA[prehashed][algorithm.name])
        asked = utils.Prehashed(algorithm) if prehashed else algorithm
        return cast(rsa.RSAPrivateKey, self.key.key).sign(data, self._scheme(), asked)

    def _sign_octets(self, octets: bytes) -> bytes:
        """What EVP_PKEY_sign(3) does when nobody named a digest."""
        assert self.key is not None  # noqa: S101
        if isinstance(self.key.key, ec.EllipticCurvePrivateKey):
            # Of octets that are a digest already, ECDSA asks nothing but their length.
            any_hash = utils.Prehashed(hashes.SHAKE256(len(octets)))
            return self.key.key.sign(octets, ec.ECDSA(any_hash))
        if self.padding_mode != RSA_PKCS1_PADDING:
            raise NotSupported("a PSS signature needs a digest to be named")
        return self.key.key.sign(octets, padding.PKCS1v15(), utils.NoDigestInfo())

    def identifier(self) -> bytes | None:
        """DER of the AlgorithmIdentifier for X.509; None where there is none."""
        assert self.key is not None  # noqa: S101
        algorithm = self.algorithm or digest(_DEFAULT)
        if not self.key.is_rsa:
            return ecdsa_identifier(algorithm)
        if self.padding_mode == RSA_PKCS1_PADDING:
            return pkcs1_identifier(algorithm)
        salt = self.salt
        if salt is padding.PSS.DIGEST_LENGTH:
            salt = algorithm.digest_size
        elif salt is padding.PSS.MAX_LENGTH:
            key_size = self.key.key.key_size
            salt = (key_size + 6) // 8 - algorithm.digest_size - 2
        return pss_identifier(algorithm, self.mgf_hash or algorithm, salt)

    def _scheme(self) -> padding.AsymmetricPadding:
        if self.padding_mode == RSA_PKCS1_PADDING:
            return padding.PKCS1v15()
        algorithm = self.algorithm or digest(_DEFAULT)
        return padding.PSS(padding.MGF1(self.mgf_hash or algorithm), self.salt)

    def _salt_of(self, value: Value) -> Any:
        if value in _SALTS:
            return _SALTS[value]
        if value in _AUTO_DIGEST_MAX:
            return padding.PSS.DIGEST_LENGTH
        if isinstance(value, int) and value >= 0:
            return value
        if isinstance(value, str) and value.isdecimal():
            return int(value)
        raise InvalidArgument(f"the PSS salt length {value!r} is not understood")


def table(core: Core, keys: Slots[BridgedKey], contexts: Slots[Signing]) -> int:
    """The address of the functions, for RSA and ECDSA (provider-signature(7))."""
    gettable = descriptors({"algorithm-id": ParamType.OCTET_STRING})
    settable = descriptors(_SETTABLE)

    @core.callback(POINTER, POINTER, STRING)
    def newctx(provider: int, properties: bytes | None) -> int:
        return contexts.add(Signing())

    @core.callback(POINTER, POINTER)
    def dupctx(slot: int) -> int:
        context = contexts[slot]
        hashed = None if context.hashed is None else context.hashed.copy()
        return contexts.add(replace(context, hashed=hashed))

    @core.callback(INT, POINTER, POINTER, POINTER)
    def sign_init(slot: int, key: int | None, params: int) -> int:
        contexts[slot].begin(keys[key] if key else None, None, params)
        return 1

    @core.callback(INT, POINTER, STRING, POINTER, POINTER)
    def digest_sign_init(
        slot: int, name: bytes | None, key: int | None, params: int
    ) -> int:
        digest_name = name.decode() if name else _DEFAULT
        contexts[slot].begin(keys[key] if key else None, digest_name, params)
        return 1

    def longest(slot: int, length: int) -> int:
        # Only the size is wanted, and for that no key is asked.
        key = contexts[slot].key
        assert key is not None  # noqa: S101
        ctypes.c_size_t.from_address(length).value = key.max_size
        return 1

    @core.callback(INT, POINTER, POINTER, POINTER, SIZE, POINTER, SIZE)
    def sign(
        slot: int, out: int | None, length: int, capacity: int, data: int, size: int
    ) -> int:
        if not out:
            return longest(slot, length)
        signature = contexts[slot].sign(ctypes.string_at(data, size), True)
        return give(signature, out, length, capacity)

    @core.callback(INT, POINTER, POINTER, POINTER, SIZE, POINTER, SIZE)
    def digest_sign(
        slot: int, out: int | None, length: int, capacity: int, data: int, size: int
    ) -> int:
        if not out:
            return longest(slot, length)
        signature = contexts[slot].sign(ctypes.string_at(data, size), False)
        return give(signature, out, length, capacity)

    @core.callback(INT, POINTER, POINTER, SIZE)
    def digest_sign_update(slot: int, data: int, size: int) -> int:
        context = contexts[slot]
        if context.hashed is None:
            context.hashed = hashes.Hash(context.algorithm or digest(_DEFAULT))
        context.hashed.update(ctypes.string_at(data, size))
        return 1

    @core.callback(INT, POINTER, POINTER, POINTER, SIZE)
    def digest_sign_final(
        slot: int, out: int | None, length: int, capacity: int
    ) -> int:
        if not out:
            return longest(slot, length)
        context = contexts[slot]
        hashed = context.hashed or hashes.Hash(context.algorithm or digest(_DEFAULT))
        context.hashed = None
        signature = context.sign(hashed.finalize(), True)
        return give(signature, out, length, capacity)

    @core.callback(INT, POINTER, POINTER)
    def get_ctx_params(slot: int, params: int) -> int:
        identifier = contexts[slot].identifier()
        return int(write(params, {b"algorithm-id": identifier} if identifier else {}))

    @core.callback(POINTER, POINTER, POINTER)
    def gettable_ctx_params(slot: int, provider: int) -> int:
        return gettable

    @core.callback(INT, POINTER, POINTER)
    def set_ctx_params(slot: int, params: int) -> int:
        contexts[slot].set(read(params))
        return 1

    @core.callback(POINTER, POINTER, POINTER)
    def settable_ctx_params(slot: int, provider: int) -> int:
        return settable

    return dispatch(
        {
            SignatureFunction.NEWCTX: newctx,
            SignatureFunction.SIGN_INIT: sign_init,
            SignatureFunction.SIGN: sign,
            SignatureFunction.DIGEST_SIGN_INIT: digest_sign_init,
            SignatureFunction.DIGEST_SIGN_UPDATE: digest_sign_update,
            SignatureFunction.DIGEST_SIGN_FINAL: digest_sign_final,
            SignatureFunction.DIGEST_SIGN: digest_sign,
            SignatureFunction.FREECTX: FREE,
            SignatureFunction.DUPCTX: dupctx,
            SignatureFunction.GET_CTX_PARAMS: get_ctx_params,
            SignatureFunction.GETTABLE_CTX_PARAMS: gettable_ctx_params,
            SignatureFunction.SET_CTX_PARAMS: set_ctx_params,
            SignatureFunction.SETTABLE_CTX_PARAMS: settable_ctx_params,
        }
    )
