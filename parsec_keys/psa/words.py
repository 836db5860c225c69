"""Key attributes as text, in PSA's own names: ``RSA_PSS(SHA_256, salt=20)``.

The same words are what a user types for ``algorithm=`` and ``--usage``, what a listing
shows and what a record on disk holds.
"""

from __future__ import annotations

import re
from typing import Final, TypeVar

from parsec_keys.psa.algorithms import (
    ANY_ALGORITHM,
    ANY_HASH,
    ECDH,
    ECDSA_ANY,
    FFDH,
    RSA_PKCS1V15_CRYPT,
    RSA_PKCS1V15_SIGN_RAW,
    DeterministicEcdsa,
    Ecdsa,
    Hash,
    PermittedAlgorithm,
    RsaOaep,
    RsaPkcs1v15Sign,
    RsaPss,
    SignHashAlgorithm,
)
from parsec_keys.psa.attributes import (
    DhFamily,
    DhKeyPair,
    DhPublicKey,
    EccFamily,
    EccKeyPair,
    EccPublicKey,
    KeyType,
    RsaKeyPair,
    RsaPublicKey,
    UnstructuredKeyType,
    UsageFlags,
)

_T = TypeVar("_T")
_CALL: Final = re.compile(r"(\w+)(?:\((.*)\))?")

_CONSTANTS: Final[dict[str, PermittedAlgorithm]] = {
    "ANY": ANY_ALGORITHM,
    "NONE": None,
    "RSA_PKCS1V15_SIGN_RAW": RSA_PKCS1V15_SIGN_RAW,
    "RSA_PKCS1V15_CRYPT": RSA_PKCS1V15_CRYPT,
    "ECDSA_ANY": ECDSA_ANY,
    "ECDH": ECDH,
    "FFDH": FFDH,
}
_OF_A_HASH: Final[
    dict[str, type[RsaPkcs1v15Sign] | type[Ecdsa] | type[DeterministicEcdsa]]
] = {
    "RSA_PKCS1V15_SIGN": RsaPkcs1v15Sign,
    "ECDSA": Ecdsa,
    "DETERMINISTIC_ECDSA": DeterministicEcdsa,
}
_PLAIN_TYPES: Final[dict[str, KeyType]] = {
    "RSA_KEY_PAIR": RsaKeyPair(),
    "RSA_PUBLIC_KEY": RsaPublicKey(),
    "DH_KEY_PAIR(RFC7919)": DhKeyPair(DhFamily.RFC7919),
    "DH_PUBLIC_KEY(RFC7919)": DhPublicKey(DhFamily.RFC7919),
    **{each.name: each for each in UnstructuredKeyType},
}
_ECC_TYPES: Final[dict[str, type[EccKeyPair] | type[EccPublicKey]]] = {
    "ECC_KEY_PAIR": EccKeyPair,
    "ECC_PUBLIC_KEY": EccPublicKey,
}


def algorithm_to_words(algorithm: PermittedAlgorithm) -> str:
    """An algorithm, as PSA names it without ``PSA_ALG_``."""
    for name, constant in _CONSTANTS.items():
        if algorithm is constant or algorithm == constant:
            return name
    for name, class_ in _OF_A_HASH.items():
        if isinstance(algorithm, class_):
            return f"{name}({_hash_name(algorithm.hash)})"
    if isinstance(algorithm, RsaPss):
        mgf, salt = algorithm.mgf_hash, algorithm.salt_length
        settings = [f"mgf={mgf.name}"] if mgf else []
        settings += [f"salt={salt}"] if salt is not None else []
        return f"RSA_PSS({', '.join([_hash_name(algorithm.hash), *settings])})"
    if isinstance(algorithm, RsaOaep):
        settings = [f"mgf={algorithm.mgf_hash.name}"] if algorithm.mgf_hash else []
        return f"RSA_OAEP({', '.join([algorithm.hash.name, *settings])})"
    if isinstance(algorithm, Hash):
        return algorithm.name
    # Only whoever has symmetric keys needs the words for them.
    from parsec_keys.psa import symmetric_words

    return symmetric_words.to_words(algorithm)


def algorithm_from_words(words: str) -> PermittedAlgorithm:
    """The algorithm that words name.

    Raises:
        ValueError: there is none of this name, with some that there are.
    """
    name, arguments = _parts(words)
    if name in _CONSTANTS and not arguments:
        return _CONSTANTS[name]
    settings = dict(a.split("=", 1) for a in arguments if "=" in a)
    plain = [a for a in arguments if "=" not in a]
    if len(plain) == 1:
        if name in _OF_A_HASH and not settings:
            return _OF_A_HASH[name](_sign_hash(plain[0]))
        if name == "RSA_PSS" and settings.keys() <= {"mgf", "salt"}:
            salt = settings.get("salt")
            return RsaPss(
                _sign_hash(plain[0]),
                _hash(settings["mgf"]) if "mgf" in settings else None,
                None if salt is None else _length(salt),
            )
        if name == "RSA_OAEP" and settings.keys() <= {"mgf"}:
            mgf = _hash(settings["mgf"]) if "mgf" in settings else None
            return RsaOaep(_hash(plain[0]), mgf)
    if name in Hash.__members__ and not arguments:
        return Hash[name]
    from parsec_keys.psa import symmetric_words

    found = symmetric_words.from_words(words)
    if found is not None:
        return found
    raise ValueError(
        f"'{words}' is no algorithm: write one as ECDSA(SHA_256), "
        "RSA_PKCS1V15_SIGN(ANY_HASH), RSA_PSS(SHA_256, mgf=SHA_1, salt=20), "
        "RSA_OAEP(SHA_256), RSA_PKCS1V15_CRYPT, ECDH or ANY"
    )


def key_type_to_words(key_type: KeyType) -> str:
    """A key type, as PSA names it without ``PSA_KEY_TYPE_``."""
    for name, constant in _PLAIN_TYPES.items():
        if key_type == constant:
            return name
    for name, class_ in _ECC_TYPES.items():
        if isinstance(key_type, class_):
            return f"{name}({key_type.curve_family.name})"
    raise ValueError(f"key type {key_type} has no words here")


def key_type_from_words(words: str) -> KeyType:
    """The key type that words name.

    Raises:
        ValueError: there is none of this name.
    """
    if words in _PLAIN_TYPES:
        return _PLAIN_TYPES[words]
    name, arguments = _parts(words)
    if name in _ECC_TYPES and len(arguments) == 1:
        families = {family.name: family for family in EccFamily}
        return _ECC_TYPES[name](_member(families, arguments[0], "curve family"))
    raise ValueError(f"'{words}' is no key type")


def usage_from_words(words: str) -> UsageFlags:
    """Usage flags, in any order: ``sign_hash, decrypt``.

    Raises:
        ValueError: a flag that does not exist, with those that do.
    """
    flags = {(flag.name or "").lower(): flag for flag in UsageFlags}
    usage = UsageFlags(0)
    for word in words.replace(",", " ").split():
        usage |= _member(flags, word, "usage flag")
    return usage


def _parts(words: str) -> tuple[str, list[str]]:
    match = _CALL.fullmatch(words.strip().removeprefix("PSA_ALG_"))
    if match is None:
        return "", []
    arguments = (match[2] or "").split(",")
    return match[1], [a.strip() for a in arguments if a.strip()]


def _hash_name(hash_: SignHashAlgorithm) -> str:
    return "ANY_HASH" if hash_ is ANY_HASH else hash_.name


def _sign_hash(word: str) -> SignHashAlgorithm:
    return ANY_HASH if word == "ANY_HASH" else _hash(word)


def _hash(word: str) -> Hash:
    hashes = {hash_.name: hash_ for hash_ in Hash}
    return _member(hashes, word.removeprefix("PSA_ALG_"), "hash")


def _length(word: str) -> int:
    if not word.isdecimal():
        raise ValueError(f"'{word}' is no length in bytes")
    return int(word)


def _member(members: dict[str, _T], word: str, noun: str) -> _T:
    try:
        return members[word]
    except KeyError:
        known = ", ".join(members)
        raise ValueError(f"'{word}' is no {noun}; there are: {known}") from None
