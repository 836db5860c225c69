"""Key attributes of PSA Crypto <-> Parsec's messages."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from parsec_keys.errors import NotSupported
from parsec_keys.psa.algorithms import (
    ANY_ALGORITHM,
    ANY_HASH,
    Ecdsa,
    PermittedAlgorithm,
    RsaPkcs1v15Sign,
)
from parsec_keys.psa.attributes import (
    DhFamily,
    DhKeyPair,
    DhPublicKey,
    EccFamily,
    EccKeyPair,
    EccPublicKey,
    KeyAttributes,
    KeyPolicy,
    KeyType,
    RsaKeyPair,
    RsaPublicKey,
    UnstructuredKeyType,
    UsageFlags,
)
from parsec_keys.service.wire.algorithms import (
    invalid,
    number_to,
    read_algorithm,
    to_number,
    variant,
    write_algorithm,
)
from parsec_keys.service.wire.proto import key_attributes_pb2 as pb

_PLAIN: Final[dict[str, KeyType]] = {
    **{each.name.lower(): each for each in UnstructuredKeyType},
    "rsa_public_key": RsaPublicKey(),
    "rsa_key_pair": RsaKeyPair(),
}
_ON_CURVE: Final[dict[str, type[EccKeyPair] | type[EccPublicKey]]] = {
    "ecc_key_pair": EccKeyPair,
    "ecc_public_key": EccPublicKey,
}
_IN_GROUP: Final[dict[str, type[DhKeyPair] | type[DhPublicKey]]] = {
    "dh_key_pair": DhKeyPair,
    "dh_public_key": DhPublicKey,
}
_FLAGS: Final = {(flag.name or "").lower(): flag for flag in UsageFlags}


def read_attributes(message: pb.KeyAttributes) -> KeyAttributes:
    """Attributes from their message.

    Raises:
        ProtocolError: something that must be there is not.
    """
    for part in ("key_type", "key_policy"):
        if not message.HasField(part):
            raise invalid(part)
    policy = message.key_policy
    for part in ("key_usage_flags", "key_algorithm"):
        if not policy.HasField(part):
            raise invalid(part)
    usage = UsageFlags(0)
    for name, flag in _FLAGS.items():
        if getattr(policy.key_usage_flags, name):
            usage |= flag
    return KeyAttributes(
        _read_type(message.key_type),
        message.key_bits,
        KeyPolicy(usage, read_algorithm(policy.key_algorithm)),
    )


def write_attributes(message: pb.KeyAttributes, attributes: KeyAttributes) -> None:
    """Attributes into their message.

    Raises:
        NotSupported: the message cannot say exactly this.
    """
    _write_type(message.key_type, attributes.type)
    message.key_bits = attributes.bits
    policy = message.key_policy
    policy.key_usage_flags.SetInParent()
    for name, flag in _FLAGS.items():
        if flag & attributes.policy.usage:
            setattr(policy.key_usage_flags, name, True)
    write_algorithm(policy.key_algorithm, attributes.policy.algorithm)


def write_listed(message: pb.KeyAttributes, attributes: KeyAttributes) -> None:
    """Attributes of a key that may have been made without a wire.

    What such a key permits a message may be unable to say: then it says what a client
    may count on, which is the default where all is permitted, and nothing otherwise.
    """
    try:
        write_attributes(message, attributes)
    except NotSupported:
        policy = attributes.policy
        is_any = policy.algorithm is ANY_ALGORITHM
        said = default_algorithm(attributes.type) if is_any else None
        narrowed = replace(attributes, policy=KeyPolicy(policy.usage, said))
        message.Clear()
        write_attributes(message, narrowed)


def default_algorithm(key_type: KeyType) -> PermittedAlgorithm:
    """What a key on a wire permits where nobody chose: to sign, with any hash."""
    if isinstance(key_type, RsaKeyPair):
        return RsaPkcs1v15Sign(ANY_HASH)
    if isinstance(key_type, EccKeyPair):
        return Ecdsa(ANY_HASH)
    return None


def _read_type(message: pb.KeyType) -> KeyType:
    name = variant(message)
    if name in _PLAIN:
        return _PLAIN[name]
    inner = getattr(message, name)
    if name in _ON_CURVE:
        family = number_to(pb.EccFamily, EccFamily, inner.curve_family)
        return _ON_CURVE[name](family)
    return _IN_GROUP[name](number_to(pb.DhFamily, DhFamily, inner.group_family))


def _write_type(message: pb.KeyType, key_type: KeyType) -> None:
    for name, plain in _PLAIN.items():
        if plain == key_type:
            getattr(message, name).SetInParent()
    for name, class_ in _ON_CURVE.items():
        if isinstance(key_type, class_):
            inner = getattr(message, name)
            inner.curve_family = to_number(pb.EccFamily, key_type.curve_family)
    for name, group_class in _IN_GROUP.items():
        if isinstance(key_type, group_class):
            getattr(message, name).SetInParent()
