"""What a key that is about to be made or imported must be like.

``fitted`` finds the size that the data has; ``checked`` asks whether a provider can
keep such a key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from parsec_keys.errors import InvalidArgument, NotPermitted, NotSupported
from parsec_keys.psa.algorithms import ANY_ALGORITHM, RsaOaep
from parsec_keys.psa.attributes import (
    DhKeyPair,
    EccFamily,
    EccKeyPair,
    EccPublicKey,
    KeyAttributes,
    KeyPolicy,
    RsaKeyPair,
    RsaPublicKey,
    UnstructuredKeyType,
    UsageFlags,
)
from parsec_keys.psa.policy import PUBLIC_KEYS, fits
from parsec_keys.service.key_formats import (
    MONTGOMERY_BITS,
    bits_of,
    curve_of,
    decode_rsa_private_key,
)
from parsec_keys.service.providers import KeyExporter, Provider
from parsec_keys.service.public_operations import (
    check_encryption,
    check_hashes,
    load_public_key,
)


def checked_to_generate(attributes: KeyAttributes, provider: Provider) -> KeyAttributes:
    """As ``checked``, of a key that the provider shall make.

    Raises:
        InvalidArgument: a public key, or one without a size.
    """
    if isinstance(attributes.type, PUBLIC_KEYS):
        raise InvalidArgument(f"a {attributes.type} is imported, not generated")
    if attributes.bits == 0:
        raise InvalidArgument("a key of zero bits is not generated: say how many")
    return checked(attributes, provider)


def checked(attributes: KeyAttributes, provider: Provider) -> KeyAttributes:
    """The attributes as they will be recorded, if the provider can keep such a key.

    Raises:
        InvalidArgument: no key has these attributes.
        NotPermitted: the flag export, of a key that the provider never gives away.
        NotSupported: the provider has no such keys.
    """
    policy, is_public = attributes.policy, isinstance(attributes.type, PUBLIC_KEYS)
    usage = policy.usage.implied()
    may_leave = is_public or isinstance(provider, KeyExporter)
    if usage & UsageFlags.EXPORT and not may_leave:
        raise NotPermitted(
            f"provider '{provider.info.name}' never gives a private key away: leave "
            "out the usage flag export"
        )
    algorithm = policy.algorithm
    if algorithm not in (None, ANY_ALGORITHM) and not fits(attributes.type, algorithm):
        raise InvalidArgument(f"a key of type {attributes.type} cannot do {algorithm}")
    attributes = KeyAttributes(
        attributes.type,
        attributes.bits,
        KeyPolicy(usage, algorithm),
        attributes.lifetime,
    )
    if is_public:
        _check_public_size(attributes)
        check_hashes(algorithm)
        if isinstance(algorithm, RsaOaep):
            check_encryption(algorithm)
    else:
        provider.check_key(attributes)
        provider.check_algorithm(attributes, algorithm)
    return attributes


def fitted(attributes: KeyAttributes, data: bytes) -> KeyAttributes:
    """The attributes with the size that the data has; zero bits ask for just that.

    Raises:
        InvalidArgument: the data has another size, or is no such key.
        NotSupported: keys of this type are not imported.
    """
    measure = _MEASURES.get(type(attributes.type))
    if measure is None:
        raise NotSupported(f"a {attributes.type} is not imported here")
    bits = measure(attributes, data)
    if attributes.bits not in (0, bits):
        raise InvalidArgument(
            f"the key has {bits} bits, not the {attributes.bits} that were asked for"
        )
    return KeyAttributes(attributes.type, bits, attributes.policy, attributes.lifetime)


def check_public_key(attributes: KeyAttributes, data: bytes) -> None:
    """Pass if the data is a public key of these attributes, which fit its size.

    Raises:
        InvalidArgument: it is not.
    """
    if not _is_montgomery(attributes):
        load_public_key(attributes, data)


def _is_montgomery(attributes: KeyAttributes) -> bool:
    # Every string of the right length is a public key there (RFC 7748, section 5).
    return getattr(attributes.type, "curve_family", None) is EccFamily.MONTGOMERY


def _check_public_size(attributes: KeyAttributes) -> None:
    if isinstance(attributes.type, RsaPublicKey):
        return
    if not _is_montgomery(attributes):
        curve_of(attributes)
    elif attributes.bits not in MONTGOMERY_BITS:
        raise NotSupported(f"no Montgomery curve has {attributes.bits} bits")


def _rsa_private_bits(attributes: KeyAttributes, data: bytes) -> int:
    return decode_rsa_private_key(data).public_numbers.n.bit_length()


def _rsa_public_bits(attributes: KeyAttributes, data: bytes) -> int:
    return load_public_key(attributes, data).key_size


def _ecc_private_bits(attributes: KeyAttributes, data: bytes) -> int:
    assert isinstance(attributes.type, EccKeyPair)  # noqa: S101
    return bits_of(attributes.type.curve_family, len(data))


def _ecc_public_bits(attributes: KeyAttributes, data: bytes) -> int:
    assert isinstance(attributes.type, EccPublicKey)  # noqa: S101
    length = len(data)
    if not _is_montgomery(attributes):
        length = (length - 1) // 2  # An uncompressed point: 04 X Y.
    return bits_of(attributes.type.curve_family, length)


def _octets_bits(attributes: KeyAttributes, data: bytes) -> int:
    if not data:
        raise InvalidArgument(f"a key of type {attributes.type} is never empty")
    return 8 * len(data)


_MEASURES: Final[dict[type, Callable[[KeyAttributes, bytes], int]]] = {
    RsaKeyPair: _rsa_private_bits,
    RsaPublicKey: _rsa_public_bits,
    EccKeyPair: _ecc_private_bits,
    EccPublicKey: _ecc_public_bits,
    DhKeyPair: _octets_bits,
    UnstructuredKeyType: _octets_bits,
}
"""How many bits the data of a key has, for each type of key."""
