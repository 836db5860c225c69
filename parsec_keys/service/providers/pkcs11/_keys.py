"""A token's keys: templates, generation, import, export, and how they are found again.

A key of ours is a pair of objects whose CKA_ID is its uid. A key that was there before
is found by the label and id that named it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from parsec_keys.errors import NotSupported, ProviderFailure, StorageFailure
from parsec_keys.psa.attributes import KeyAttributes, RsaKeyPair, UsageFlags
from parsec_keys.service.key_formats import (
    curve_of,
    decode_ecc_private_key,
    decode_rsa_private_key,
    encode_ecc_public_key,
    encode_rsa_private_key,
    encode_rsa_public_key,
    scalar_length,
)
from parsec_keys.service.providers import CreatedKey
from parsec_keys.service.providers.pkcs11._cryptoki import (
    DEFAULT,
    REFUSED_KEY,
    Attribute,
    KeyType,
    Mechanism,
    ObjectClass,
    exceptions,
)
from parsec_keys.service.providers.pkcs11._token import PooledSession

_LABEL: Final = "parsec-keys"
_NAMED: Final = b"pkcs11 key named: "
"""What a key id begins with that is not a CKA_ID of 16 random bytes: it is longer."""
_CURVE_OIDS: Final[dict[str, str]] = {
    "secp192r1": "06082a8648ce3d030101",
    "secp224r1": "06052b81040021",
    "secp256r1": "06082a8648ce3d030107",
    "secp384r1": "06052b81040022",
    "secp521r1": "06052b81040023",
    "secp256k1": "06052b8104000a",
    "brainpoolP256r1": "06092b2403030208010107",
    "brainpoolP384r1": "06092b240303020801010b",
    "brainpoolP512r1": "06092b240303020801010d",
}
"""DER of the curves' object identifiers (RFC 5480, RFC 5639, SEC 2): CKA_EC_PARAMS."""
CURVES_BY_PARAMETERS: Final = {
    bytes.fromhex(der): name for name, der in _CURVE_OIDS.items()
}


_NOTHING_SAID: Final = dict.fromkeys(
    (Attribute.ENCRYPT, Attribute.WRAP, Attribute.DECRYPT, Attribute.UNWRAP), DEFAULT
)
"""What python-pkcs11 says of EC keys by itself: tpm2-pkcs11 makes none that cannot."""


def find(key_id: bytes) -> dict[Any, Any]:
    """The template that finds a key: by CKA_ID, or by what named it before.

    Raises:
        StorageFailure: the key id is damaged.
    """
    if not key_id.startswith(_NAMED):
        return {Attribute.ID: key_id}
    template: dict[Any, Any] = {}
    try:
        names = dict(json.loads(key_id.removeprefix(_NAMED)))
        if "id" in names:
            template[Attribute.ID] = bytes.fromhex(names["id"])
        if "label" in names:
            names["label"].encode()
            template[Attribute.LABEL] = names["label"]
    except (ValueError, TypeError, AttributeError, RecursionError):
        template = {}
    if not template:  # It would find every key.
        raise StorageFailure(
            "the record of a key on a token is damaged: restore the key info from a "
            "backup"
        )
    return template


def key_id_of(names: dict[str, str]) -> bytes:
    """The key id of a key that was there before: its ``id`` in hex, its ``label``."""
    return _NAMED + json.dumps(names, sort_keys=True).encode()


def generate(
    pooled: PooledSession, uid: bytes, attributes: KeyAttributes, exponent: int
) -> CreatedKey:
    """Make a pair on the token (C_GenerateKeyPair).

    Raises:
        NotSupported: the token has no such curve or size.
    """
    _look(pooled, uid)
    public, private = _templates(uid, attributes)
    try:
        if isinstance(attributes.type, RsaKeyPair):
            public[Attribute.PUBLIC_EXPONENT] = _unsigned(exponent)
            made = pooled.session.generate_keypair(
                KeyType.RSA,
                attributes.bits,
                store=True,
                public_template=public,
                private_template=private,
            )
            _check_made(made[0], attributes, exponent)
            return CreatedKey(uid, rsa_public_key(made[0]))
        parameters = {Attribute.EC_PARAMS: _parameters(attributes)}
        domain = pooled.session.create_domain_parameters(
            KeyType.EC, parameters, local=True
        )
        made = domain.generate_keypair(
            mechanism=Mechanism.EC_KEY_PAIR_GEN,
            store=True,
            public_template=_NOTHING_SAID | public,
            private_template=_NOTHING_SAID | private,
        )
        point = bytes(made[0][Attribute.EC_POINT])
        return CreatedKey(uid, point_of(point, attributes.bits))
    except REFUSED_KEY as e:
        raise _refused(attributes, e) from e


def import_key(
    pooled: PooledSession, uid: bytes, attributes: KeyAttributes, data: bytes
) -> CreatedKey:
    """Put a pair onto the token (C_CreateObject).

    Raises:
        NotSupported: the token has no such curve or size, or takes no keys.
    """
    _look(pooled, uid)
    public, private = _templates(uid, attributes)
    if isinstance(attributes.type, RsaKeyPair):
        rsa_numbers = decode_rsa_private_key(data)
        n, e = rsa_numbers.public_numbers.n, rsa_numbers.public_numbers.e
        private.update(_rsa_values(rsa_numbers))
        public.update({Attribute.MODULUS: _unsigned(n)})
        public.update({Attribute.PUBLIC_EXPONENT: _unsigned(e)})
        key_type, public_key = KeyType.RSA, encode_rsa_public_key(n, e)
    else:
        numbers = decode_ecc_private_key(data, curve_of(attributes)).public_numbers
        public_key = encode_ecc_public_key(numbers.x, numbers.y, attributes.bits)
        parameters = {Attribute.EC_PARAMS: _parameters(attributes)}
        private.update({**parameters, Attribute.VALUE: data})
        public.update({**parameters, Attribute.EC_POINT: octet_string(public_key)})
        key_type = KeyType.EC
    both = {Attribute.KEY_TYPE: key_type, Attribute.TOKEN: True}
    classes = (ObjectClass.PUBLIC_KEY, public), (ObjectClass.PRIVATE_KEY, private)
    try:
        for class_, template in classes:
            pooled.session.create_object({Attribute.CLASS: class_, **both, **template})
    except REFUSED_KEY as e:
        raise _refused(attributes, e) from e
    return CreatedKey(uid, public_key)


def destroy(pooled: PooledSession, uid: bytes) -> None:
    """Remove both objects of a pair; what is certainly not there is no error."""
    pair = {Attribute.ID: uid}
    private = pooled.private_keys(pair)
    # The private one last: where only the public one goes, the key still works.
    for found in (*pooled.objects(ObjectClass.PUBLIC_KEY, pair), *private):
        found.destroy()


def _look(pooled: PooledSession, uid: bytes) -> None:
    """Look at the token before something is written to it.

    A SoftHSM that writes without having seen what another process wrote takes the token
    for known, and does not find the other's keys until the next one is written.
    """
    pooled.objects(ObjectClass.PRIVATE_KEY, {Attribute.ID: uid})


def export(key: Any, attributes: KeyAttributes) -> bytes:
    """The private key of an object, in PSA's format.

    Raises:
        ProviderFailure: the token does not give it out.
    """
    try:
        if not isinstance(attributes.type, RsaKeyPair):
            value = int.from_bytes(key[Attribute.VALUE], "big")
            return value.to_bytes(scalar_length(curve_of(attributes)), "big")
        values = [int.from_bytes(key[name], "big") for name in _RSA_PRIVATE]
        p, q, d, dmp1, dmq1, iqmp, n, e = values
    except (exceptions.AttributeSensitive, exceptions.AttributeTypeInvalid) as error:
        raise ProviderFailure(
            "the token keeps the key to itself, although its policy lets it out"
        ) from error
    public = rsa.RSAPublicNumbers(e, n)
    return encode_rsa_private_key(
        rsa.RSAPrivateNumbers(p, q, d, dmp1, dmq1, iqmp, public)
    )


def point_of(value: bytes, bits: int) -> bytes:
    """An uncompressed point, from CKA_EC_POINT with or without its OCTET STRING.

    Raises:
        NotSupported: something else, such as a compressed point.
    """
    length = 1 + 2 * ((bits + 7) // 8)
    point = value[-length:]
    if point[:1] == b"\x04" and value in (point, octet_string(point)):
        return point
    raise NotSupported("the token's public key is not an uncompressed point")


def octet_string(data: bytes) -> bytes:
    """DER of an OCTET STRING shorter than 256 bytes."""
    long_form = b"\x81" if len(data) > 127 else b""
    return b"\x04" + long_form + bytes([len(data)]) + data


_RSA_PRIVATE: Final = (
    Attribute.PRIME_1,
    Attribute.PRIME_2,
    Attribute.PRIVATE_EXPONENT,
    Attribute.EXPONENT_1,
    Attribute.EXPONENT_2,
    Attribute.COEFFICIENT,
    Attribute.MODULUS,
    Attribute.PUBLIC_EXPONENT,
)


def _rsa_values(numbers: rsa.RSAPrivateNumbers) -> dict[Any, bytes]:
    public = numbers.public_numbers
    values = (
        *(numbers.p, numbers.q, numbers.d, numbers.dmp1, numbers.dmq1, numbers.iqmp),
        *(public.n, public.e),
    )
    return {
        name: _unsigned(value) for name, value in zip(_RSA_PRIVATE, values, strict=True)
    }


def rsa_public_key(key: Any) -> bytes:
    """PSA's public key of an RSA object, private or public."""
    return encode_rsa_public_key(*_rsa_public_numbers(key))


def _rsa_public_numbers(key: Any) -> tuple[int, int]:
    modulus = int.from_bytes(key[Attribute.MODULUS], "big")
    return modulus, int.from_bytes(key[Attribute.PUBLIC_EXPONENT], "big")


def _templates(
    uid: bytes, attributes: KeyAttributes
) -> tuple[dict[Any, Any], dict[Any, Any]]:
    usage = attributes.policy.usage
    is_rsa = isinstance(attributes.type, RsaKeyPair)
    exportable = bool(usage & UsageFlags.EXPORT)
    names = {Attribute.ID: uid, Attribute.LABEL: _LABEL}
    # The policy is checked before a token is asked, and decryption and implicit
    # rejection need the bare operation: what PKCS#11 could narrow is left wide.
    private = {
        **names,
        Attribute.PRIVATE: True,
        Attribute.SENSITIVE: not exportable,
        Attribute.EXTRACTABLE: exportable,
        Attribute.SIGN: True,
    }
    public = {**names, Attribute.VERIFY: True}
    if is_rsa:
        private |= {Attribute.DECRYPT: True, Attribute.UNWRAP: False}
        public |= {Attribute.ENCRYPT: True, Attribute.WRAP: False}
    else:
        private |= {Attribute.DERIVE: True}
    return public, private


def _check_made(public: Any, attributes: KeyAttributes, exponent: int) -> None:
    # SoftHSM answers a request for 2049 bits with 2048; an exponent may be a wish too.
    modulus, made_exponent = _rsa_public_numbers(public)
    if (modulus.bit_length(), made_exponent) != (attributes.bits, exponent):
        raise NotSupported(
            f"the token takes no RSA key of {attributes.bits} bits with the public "
            f"exponent {exponent}: it makes one of {modulus.bit_length()} bits with "
            f"{made_exponent}"
        )


def _parameters(attributes: KeyAttributes) -> bytes:
    curve: ec.EllipticCurve = curve_of(attributes)
    return bytes.fromhex(_CURVE_OIDS[curve.name])


def _refused(attributes: KeyAttributes, error: Exception) -> NotSupported:
    return NotSupported(
        f"the token takes no {attributes.type} of {attributes.bits} bits "
        f"({type(error).__name__})"
    )


def _unsigned(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
