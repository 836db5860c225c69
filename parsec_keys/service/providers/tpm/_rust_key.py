"""Keys that the Rust Parsec service made in this TPM.

Its key id has no public area, only the public key: the area is made again from what the
service always asks for. A TPM loads nothing whose public area is another than at its
creation, so that a guess that is wrong is refused and never used.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Final

from parsec_keys.errors import NotSupported, ProviderFailure
from parsec_keys.psa.algorithms import (
    AsymmetricEncryption,
    Ecdsa,
    Hash,
    RsaPkcs1v15Sign,
    RsaPss,
)
from parsec_keys.psa.attributes import (
    EccKeyPair,
    EccPublicKey,
    KeyAttributes,
    RsaKeyPair,
    RsaPublicKey,
)
from parsec_keys.service.bincode import Reader
from parsec_keys.service.key_formats import (
    encode_ecc_public_key,
    encode_rsa_public_key,
)
from parsec_keys.service.providers import AdoptedKey, RustKey
from parsec_keys.service.providers.tpm import _tss
from parsec_keys.service.providers.tpm._chip import Chip
from parsec_keys.service.providers.tpm._key_id import (
    LoadableKey,
    Primary,
    encode_key_id,
)
from parsec_keys.service.providers.tpm._keys import DEFAULT_EXPONENT, public_key_data

_OLD_CONTEXT: Final = 24
"""Bytes where earlier versions of the service had a TPM context."""
_SIGNING: Final = (
    _tss.TPMA_OBJECT.FIXEDTPM
    | _tss.TPMA_OBJECT.FIXEDPARENT
    | _tss.TPMA_OBJECT.SENSITIVEDATAORIGIN
    | _tss.TPMA_OBJECT.USERWITHAUTH
    | _tss.TPMA_OBJECT.SIGN_ENCRYPT
)
_DECRYPTING: Final = _SIGNING | _tss.TPMA_OBJECT.DECRYPT
_SCHEMES: Final[dict[type, str]] = {
    RsaPkcs1v15Sign: "rsassa",
    RsaPss: "rsapss",
    Ecdsa: "ecdsa",
}
"""A signing key has its algorithm as the one scheme that it does."""


@dataclass(frozen=True, slots=True)
class _KeyId:
    auth: bytes = field(repr=False)
    modulus: bytes
    point: tuple[bytes, bytes]
    private: bytes = field(repr=False)


def find(chip: Chip, key: RustKey) -> AdoptedKey:
    """Take over a key, after loading it once.

    Raises:
        NotSupported: a key of a kind that is not taken over.
        ProviderFailure: this TPM does not load it.
        StorageFailure: its key id is damaged.
    """
    key_id, attributes = _decode(key.key_id), key.attributes
    if isinstance(attributes.type, (RsaPublicKey, EccPublicKey)):
        return AdoptedKey(b"", _public_key(attributes, key_id), attributes)
    public = _public(attributes, key_id)
    primary = _primary_name(key.root)
    loadable = LoadableKey(
        primary,
        public.marshal(),
        _tss.TPM2B_PRIVATE(key_id.private).marshal(),
        key_id.auth,
        primary=Primary.RUST_PARSEC,
    )
    uid = os.urandom(16)
    asked = "loading a key of the Rust Parsec service"
    chip.run_with_key(asked, uid, loadable, lambda *_: None, secret=False)
    chip.forget(uid)
    return AdoptedKey(encode_key_id(loadable), public_key_data(public), attributes)


def _decode(key_id: bytes) -> _KeyId:
    reader = Reader(key_id, "its key id")
    reader.zeros(_OLD_CONTEXT)
    auth = reader.octets()
    is_rsa = reader.variant((True, False))
    modulus = reader.octets() if is_rsa else b""
    point = (b"", b"") if is_rsa else (reader.octets(), reader.octets())
    private = reader.octets()
    reader.finish()
    return _KeyId(auth, modulus, point, private)


def _public_key(attributes: KeyAttributes, key_id: _KeyId) -> bytes:
    """A public key, which the service loads when it is used and not before."""
    if isinstance(attributes.type, RsaPublicKey):
        modulus = int.from_bytes(key_id.modulus, "big")
        return encode_rsa_public_key(modulus, DEFAULT_EXPONENT)
    x, y = (int.from_bytes(each, "big") for each in key_id.point)
    return encode_ecc_public_key(x, y, attributes.bits)


def _primary_name(root: bytes | None) -> bytes:
    if root is None:
        raise ProviderFailure(
            "the key info does not have the name of the TPM's primary key"
        )
    reader = Reader(root, "the name of the TPM's primary key")
    name = reader.octets()
    reader.finish()
    return name


def _public(attributes: KeyAttributes, key_id: _KeyId) -> Any:
    """The public area that the service asked for."""
    if isinstance(attributes.type, RsaKeyPair) and key_id.modulus:
        public = _template("rsa", attributes)
        public.publicArea.unique.rsa = _tss.TPM2B_PUBLIC_KEY_RSA(key_id.modulus)
        return public
    if isinstance(attributes.type, EccKeyPair) and not key_id.modulus:
        public = _template("ecc", attributes)
        x, y = key_id.point
        public.publicArea.unique.ecc = _tss.TPMS_ECC_POINT(x=x, y=y)
        return public
    raise NotSupported(f"a TPM's {attributes.type} is not taken over")


def _template(kind: str, attributes: KeyAttributes) -> Any:
    algorithm = attributes.policy.algorithm
    words = f"{kind}{attributes.bits}"
    if isinstance(algorithm, AsymmetricEncryption):
        return _tss.TPM2B_PUBLIC.parse(
            f"{words}:null:null", objectAttributes=_DECRYPTING
        )
    scheme, hash_ = _SCHEMES.get(type(algorithm)), getattr(algorithm, "hash", None)
    if scheme is None or not isinstance(hash_, Hash) or hash_ not in _tss.HASHES:
        raise NotSupported(
            f"the Rust Parsec service makes no key of a TPM for {algorithm}"
        )
    public = _tss.TPM2B_PUBLIC.parse(
        f"{words}:{scheme}:null", objectAttributes=_SIGNING
    )
    detail = getattr(public.publicArea.parameters, f"{kind}Detail")
    detail.scheme.details.anySig.hashAlg = _tss.HASHES[hash_]
    return public
