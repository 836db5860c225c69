"""Keys that were on a token before, by the words of an RFC 7512 URI."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from parsec_keys._pyca import PSA_CURVES
from parsec_keys.errors import KeyNotFound, NotSupported, StorageFailure
from parsec_keys.psa.attributes import (
    EccKeyPair,
    EccPublicKey,
    KeyAttributes,
    KeyPolicy,
    RsaKeyPair,
    RsaPublicKey,
    UsageFlags,
)
from parsec_keys.psa.attributes import KeyType as PsaKeyType
from parsec_keys.service.bincode import Reader
from parsec_keys.service.providers import AdoptedKey, RustKey
from parsec_keys.service.providers.pkcs11._cryptoki import (
    Attribute,
    KeyType,
    ObjectClass,
    exceptions,
)
from parsec_keys.service.providers.pkcs11._keys import (
    CURVES_BY_PARAMETERS,
    key_id_of,
    point_of,
    rsa_public_key,
)
from parsec_keys.service.providers.pkcs11._keys import find as template_of
from parsec_keys.service.providers.pkcs11._token import PooledSession

_USAGE: Final = {
    Attribute.SIGN: UsageFlags.SIGN_HASH | UsageFlags.SIGN_MESSAGE,
    Attribute.DECRYPT: UsageFlags.DECRYPT,
    Attribute.DERIVE: UsageFlags.DERIVE,
}
_RUST_ID_LENGTH: Final = 4
_PUBLIC_USAGE: Final = UsageFlags.VERIFY_HASH | UsageFlags.VERIFY_MESSAGE


def find(pooled: PooledSession, reference: str) -> AdoptedKey:
    """The key of ``object=LABEL;id=%01``: one private key, with its public half.

    Raises:
        KeyNotFound: none matches, or several do.
        NotSupported: of a kind that no key class of ours is.
    """
    key_id = _key_id(reference)
    keys = pooled.private_keys(template_of(key_id))
    if len(keys) != 1:
        raise KeyNotFound(
            f"{len(keys)} private keys on the token match '{reference}', where one is "
            "wanted: name it by object= and id="
        )
    key = keys[0]
    usage = _PUBLIC_USAGE
    for attribute, flags in _USAGE.items():
        if _read(key, attribute):
            usage |= flags
    key_type, bits, public_key = _public_half(pooled, key, f"'{reference}'")
    attributes = KeyAttributes(key_type, bits, KeyPolicy(usage))
    return AdoptedKey(key_id, public_key, attributes)


def find_rust_key(pooled: PooledSession, rust: RustKey) -> AdoptedKey:
    """A key of the Rust Parsec service: its CKA_ID is a number of four bytes.

    That is its uid here too, so that who destroys the key destroys it on the token.

    Raises:
        KeyNotFound: the token does not have it.
        NotSupported: it is of a kind that no key class of ours is.
        StorageFailure: its key id is damaged, or the token has another key by now.
    """
    reader = Reader(rust.key_id, "its key id")
    uid = reader.number(_RUST_ID_LENGTH).to_bytes(_RUST_ID_LENGTH, "big")
    reader.finish()
    attributes, template = rust.attributes, {Attribute.ID: uid}
    is_public = isinstance(attributes.type, (RsaPublicKey, EccPublicKey))
    if is_public:
        keys = pooled.objects(ObjectClass.PUBLIC_KEY, template)
    else:
        keys = pooled.private_keys(template)
    named = f"the CKA_ID {uid.hex()}"
    if len(keys) != 1:
        raise KeyNotFound(f"the token has {len(keys)} keys with {named}")
    key_type, bits, public_key = _public_half(pooled, keys[0], named)
    attributes = replace(attributes, bits=attributes.bits or bits)
    if (_pair(attributes.type), attributes.bits) != (key_type, bits):
        raise StorageFailure(f"the token has a {key_type} of {bits} bits as {named}")
    if is_public:
        return AdoptedKey(b"", public_key, attributes)
    return AdoptedKey(uid, public_key, attributes, uid)


def _pair(key_type: PsaKeyType) -> PsaKeyType:
    """The type of the pair that a public key is half of; else the type itself."""
    if isinstance(key_type, EccPublicKey):
        return EccKeyPair(key_type.curve_family)
    return RsaKeyPair() if isinstance(key_type, RsaPublicKey) else key_type


def _public_half(
    pooled: PooledSession, key: Any, named: str
) -> tuple[RsaKeyPair | EccKeyPair, int, bytes]:
    """A private key's type and bits, and its public key in PSA's format."""
    key_type = key[Attribute.KEY_TYPE]
    if key_type == KeyType.RSA:
        bits = int.from_bytes(key[Attribute.MODULUS], "big").bit_length()
        return RsaKeyPair(), bits, rsa_public_key(key)
    if key_type != KeyType.EC:
        raise NotSupported(f"the key of {named} is neither RSA nor EC")
    name = CURVES_BY_PARAMETERS.get(bytes(key[Attribute.EC_PARAMS]))
    if name is None:
        raise NotSupported(f"the key of {named} is on a curve pyca has not")
    family, bits = PSA_CURVES[name]
    return EccKeyPair(family), bits, _point(pooled, key, bits, named)


def _key_id(reference: str) -> bytes:
    names: dict[str, str] = {}
    for part in reference.split(";"):
        noun, _, value = part.partition("=")
        if noun == "id":
            names["id"] = unquote_to_bytes(value).hex()
        elif noun == "object":
            names["label"] = unquote_to_bytes(value).decode()
    return key_id_of(names)


def _point(pooled: PooledSession, key: Any, bits: int, named: str) -> bytes:
    """The public point: of the key itself, its public object, or its certificate."""
    point = _read(key, Attribute.EC_POINT)
    if point:
        return point_of(bytes(point), bits)
    by_id = {Attribute.ID: bytes(key[Attribute.ID])}
    for public in pooled.objects(ObjectClass.PUBLIC_KEY, by_id):
        return point_of(bytes(public[Attribute.EC_POINT]), bits)
    for found in pooled.objects(ObjectClass.CERTIFICATE, by_id):
        certificate = x509.load_der_x509_certificate(bytes(found[Attribute.VALUE]))
        public_key = certificate.public_key()
        if isinstance(public_key, ec.EllipticCurvePublicKey):
            return public_key.public_bytes(
                serialization.Encoding.X962,
                serialization.PublicFormat.UncompressedPoint,
            )
    raise KeyNotFound(
        f"the token has no public key and no certificate beside {named}: put "
        "its certificate there, with the same CKA_ID"
    )


def _read(key: Any, attribute: Attribute) -> Any:
    try:
        return key[attribute]
    except (exceptions.AttributeTypeInvalid, exceptions.AttributeSensitive):
        return None
