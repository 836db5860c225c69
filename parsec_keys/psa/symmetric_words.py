"""Symmetric algorithms as text, in PSA's own names: ``TRUNCATED_MAC(CMAC, 8)``.

The other half of ``words``, for keys that only a daemon's clients have.
"""

from __future__ import annotations

import re
from typing import Final

from parsec_keys.psa.algorithms import Algorithm, Hash, KeyAgreement
from parsec_keys.psa.symmetric import (
    Aead,
    AeadWithShortenedTag,
    BlockCipherMac,
    Cipher,
    Hmac,
    KeyAgreementWithDerivation,
    KeyDerivation,
    KeyDerivationFunction,
    TruncatedMac,
)

_NAMED: Final = (Cipher, Aead, BlockCipherMac)
_CONSTANTS: Final[dict[str, Cipher | Aead | BlockCipherMac]] = {
    each.name: each for class_ in _NAMED for each in class_
}
_CALL: Final = re.compile(r"(\w+)\((.*)\)")


def to_words(algorithm: object) -> str:
    """A symmetric algorithm or a key derivation, as PSA names it.

    Raises:
        ValueError: it is neither.
    """
    match algorithm:
        case Cipher() | Aead() | BlockCipherMac():
            return algorithm.name
        case AeadWithShortenedTag(aead, length):
            return f"AEAD_WITH_SHORTENED_TAG({to_words(aead)}, {length})"
        case Hmac(hash_):
            return f"HMAC({hash_.name})"
        case TruncatedMac(mac, length):
            return f"TRUNCATED_MAC({to_words(mac)}, {length})"
        case KeyDerivation(function, hash_):
            return f"{function.name}({hash_.name})"
        case KeyAgreementWithDerivation(agreement, derivation):
            return f"KEY_AGREEMENT({agreement.name}, {to_words(derivation)})"
    raise ValueError(f"{algorithm} has no words here")


def from_words(words: str) -> Algorithm | None:
    """The symmetric algorithm or key derivation that words name, if any."""
    if words in _CONSTANTS:
        return _CONSTANTS[words]
    call = _CALL.fullmatch(words)
    if call is None:
        return None
    name, arguments = call.groups()
    if name == "HMAC" and arguments in Hash.__members__:
        return Hmac(Hash[arguments])
    if name in KeyDerivationFunction.__members__ and arguments in Hash.__members__:
        return KeyDerivation(KeyDerivationFunction[name], Hash[arguments])
    first, _, last = arguments.rpartition(", ")
    if name == "KEY_AGREEMENT":
        first, _, last = arguments.partition(", ")
        derivation = from_words(last)
        if first in KeyAgreement.__members__ and isinstance(derivation, KeyDerivation):
            return KeyAgreementWithDerivation(KeyAgreement[first], derivation)
    if not last.isdecimal():
        return None
    inner = from_words(first)
    if name == "AEAD_WITH_SHORTENED_TAG" and isinstance(inner, Aead):
        return AeadWithShortenedTag(inner, int(last))
    if name == "TRUNCATED_MAC" and isinstance(inner, (Hmac, BlockCipherMac)):
        return TruncatedMac(inner, int(last))
    return None
