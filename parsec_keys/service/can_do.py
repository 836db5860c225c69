"""CanDoCrypto: whether a provider can make, take in or use a key of some attributes.

Rule: the answer is what the operation itself would say. It is found by the same checks,
never by a list of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final

from parsec_keys._pyca import CURVES
from parsec_keys.errors import (
    DeprecatedPrimitive,
    InvalidArgument,
    NotPermitted,
    NotSupported,
)
from parsec_keys.psa import algorithms as a
from parsec_keys.psa import symmetric as s
from parsec_keys.psa.attributes import (
    KeyAttributes,
    RsaKeyPair,
    RsaPublicKey,
)
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations.service import CanDoCrypto, CheckType
from parsec_keys.psa.policy import PRIVATE_OPCODES, PUBLIC_KEYS, USAGE
from parsec_keys.service.key_formats import MONTGOMERY_BITS
from parsec_keys.service.new_keys import checked, checked_to_generate
from parsec_keys.service.providers import Provider
from parsec_keys.service.public_operations import has_encryption
from parsec_keys.service.rsa_padding import check_room

_SIGNATURES: Final = (
    *(Opcode.PSA_SIGN_HASH, Opcode.PSA_VERIFY_HASH),
    *(Opcode.PSA_SIGN_MESSAGE, Opcode.PSA_VERIFY_MESSAGE),
)
_DIGESTS: Final = (Opcode.PSA_SIGN_HASH, Opcode.PSA_VERIFY_HASH)
_ENCRYPTION: Final = (Opcode.PSA_ASYMMETRIC_ENCRYPT, Opcode.PSA_ASYMMETRIC_DECRYPT)
_AEADS: Final = (Opcode.PSA_AEAD_ENCRYPT, Opcode.PSA_AEAD_DECRYPT)
_MACS: Final = (Opcode.PSA_MAC_COMPUTE, Opcode.PSA_MAC_VERIFY)
_OPCODES: Final[dict[type, Collection[Opcode]]] = {
    a.AnyAlgorithm: USAGE.keys() - {Opcode.PSA_EXPORT_KEY},
    **dict.fromkeys((a.RsaPkcs1v15Sign, a.RsaPss), _SIGNATURES),
    **dict.fromkeys((a.Ecdsa, a.DeterministicEcdsa), _SIGNATURES),
    **dict.fromkeys((a.RsaPkcs1v15SignRaw, a.EcdsaAny), _DIGESTS),
    **dict.fromkeys((a.RsaPkcs1v15Crypt, a.RsaOaep), _ENCRYPTION),
    a.KeyAgreement: (Opcode.PSA_RAW_KEY_AGREEMENT,),
    s.Cipher: (Opcode.PSA_CIPHER_ENCRYPT, Opcode.PSA_CIPHER_DECRYPT),
    **dict.fromkeys((s.Aead, s.AeadWithShortenedTag), _AEADS),
    **dict.fromkeys((s.Hmac, s.BlockCipherMac, s.TruncatedMac), _MACS),
}
"""The operations that do an algorithm."""


def check_can_do(
    asked: CanDoCrypto,
    provider: Provider,
    opcodes: Collection[Opcode],
    check_deprecated: Callable[[KeyAttributes], None],
) -> None:
    """Pass if a provider that implements these opcodes can do what is asked.

    Raises:
        NotSupported: it cannot.
    """
    attributes = asked.attributes
    if asked.check_type is CheckType.DERIVE:
        raise NotSupported("no provider derives keys")
    if asked.check_type is CheckType.USE:
        _check_use(attributes, opcodes)
    try:
        if asked.check_type is CheckType.GENERATE:
            check_deprecated(attributes)
            checked_to_generate(attributes, provider)
        else:
            _check_any_size(attributes, provider)
    except (InvalidArgument, NotPermitted, DeprecatedPrimitive) as e:
        raise NotSupported(str(e)) from e


def _check_use(attributes: KeyAttributes, opcodes: Collection[Opcode]) -> None:
    """Pass if one operation does the key's algorithm and has its flag."""
    policy = attributes.policy
    usage = policy.usage.implied()
    if attributes.bits:
        check_room(policy.algorithm, attributes.bits)
    is_public = isinstance(attributes.type, PUBLIC_KEYS)
    for opcode in _OPCODES.get(type(policy.algorithm), ()):
        if is_public and opcode in PRIVATE_OPCODES:
            continue
        if opcode is Opcode.PSA_ASYMMETRIC_ENCRYPT and not _encrypts(policy.algorithm):
            continue
        if opcode in opcodes and USAGE[opcode] & usage:
            return
    raise NotSupported(
        f"no operation does {policy.algorithm or 'a key without an algorithm'} with "
        f"the usage {usage.words or 'of no flag'} here"
    )


def _encrypts(algorithm: a.PermittedAlgorithm) -> bool:
    # Hardware decrypts with paddings that nobody here encrypts with.
    return not isinstance(algorithm, a.RsaOaep) or has_encryption(algorithm)


def _check_any_size(attributes: KeyAttributes, provider: Provider) -> None:
    """Pass if the provider keeps such keys; of any size, where the bits are zero."""
    if attributes.bits:
        checked(attributes, provider)
        return
    refused: NotSupported | None = None
    for bits in _sizes(attributes):
        sized = KeyAttributes(attributes.type, bits, attributes.policy)
        try:
            checked(sized, provider)
        except NotSupported as e:
            refused = refused or e
        else:
            return
    raise refused or NotSupported(f"no provider keeps a {attributes.type}")


def _sizes(attributes: KeyAttributes) -> Iterator[int]:
    """Sizes that keys of a type have, the usual ones first."""
    if isinstance(attributes.type, (RsaKeyPair, RsaPublicKey)):
        yield from (2048, 3072, 4096, 1024)
    elif hasattr(attributes.type, "curve_family"):
        family = attributes.type.curve_family
        yield from (bits for each, bits in CURVES if each is family)
        yield from MONTGOMERY_BITS
    else:
        yield from (256, 128, 192, 512, 64)
