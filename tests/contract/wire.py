"""What Parsec's messages can say of pyca's calls: all differences between the engines.

A key of a Parsec service has one permitted algorithm, and its messages have one PSS for
a hash and one OAEP: what else pyca can ask is refused where it is asked.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from parsec_keys._pyca import PSA_HASHES
from parsec_keys.errors import Error, NotPermitted, NotSupported
from parsec_keys.psa.algorithms import (
    ANY_HASH,
    ECDH,
    ECDSA_ANY,
    RSA_PKCS1V15_CRYPT,
    RSA_PKCS1V15_SIGN_RAW,
    DeterministicEcdsa,
    Ecdsa,
    PermittedAlgorithm,
    RsaOaep,
    RsaPkcs1v15Sign,
    RsaPss,
)

DEFAULTS: dict[type, PermittedAlgorithm] = {
    rsa.RSAPrivateKey: RsaPkcs1v15Sign(ANY_HASH),
    ec.EllipticCurvePrivateKey: Ecdsa(ANY_HASH),
}

OAEP = frozenset({"sha1", "sha224", "sha256", "sha384", "sha512"})


def policy(engine: str, algorithm: PermittedAlgorithm) -> dict[str, Any]:
    """What makes a key do an algorithm, where keys do not do all of their type."""
    return {} if engine == "embedded" else {"algorithm": algorithm}


def words(engine: str, why: str) -> str:
    """What a refusal says: a service sends its status and not its reason."""
    return why if engine == "embedded" else "Parsec"


def forbidden(engine: str, *arguments: Any) -> type[Error]:
    """How what a key's policy forbids is refused."""
    can_ask = engine == "embedded" or says(arguments)
    return NotPermitted if can_ask else NotSupported


def salt_length(engine: str, wanted: int) -> int | padding._DigestLength:
    """A PSS salt's length, where one can choose."""
    return wanted if engine == "embedded" else padding.PSS.DIGEST_LENGTH


def exponent(engine: str, wanted: int) -> int:
    """A public exponent of a key to make, where one can choose."""
    return wanted if engine == "embedded" else 65537


def permitting(native: object, arguments: tuple[Any, ...]) -> PermittedAlgorithm:
    """The algorithm of a key that does a call; the default where the call is wrong."""
    for argument in arguments:
        if isinstance(argument, padding.PSS):
            return RsaPss(ANY_HASH)
        if isinstance(argument, padding.OAEP):
            name = argument.algorithm.name  # pyca has OAEP with these hashes alone.
            return RsaOaep(PSA_HASHES[name]) if name in OAEP else default(native)
        if isinstance(argument, utils.NoDigestInfo):
            return RSA_PKCS1V15_SIGN_RAW
        if isinstance(argument, ec.ECDSA):
            return _ecdsa(argument)
        if isinstance(argument, ec.ECDH):
            return ECDH
    if len(arguments) == 2 and isinstance(arguments[1], padding.PKCS1v15):
        return RSA_PKCS1V15_CRYPT
    return default(native)


def default(native: object) -> PermittedAlgorithm:
    """What a key permits for which nobody chose."""
    kinds = (kind for kind in DEFAULTS if isinstance(native, kind))
    return DEFAULTS[next(kinds)]


def says(arguments: tuple[Any, ...]) -> bool:
    """Whether a message says exactly what a call asks, which pyca itself can do."""
    hash_ = _hash(getattr(arguments[-1], "algorithm", arguments[-1]))
    if isinstance(hash_, hashes.SM3):
        return False
    for argument in arguments:
        if isinstance(argument, padding.PSS):
            if not isinstance(hash_, hashes.HashAlgorithm):
                return True  # Which is wrong, and not for the wire to say.
            return _mgf(argument) == hash_.name and _salt(argument, hash_)
        if isinstance(argument, padding.OAEP):
            return _mgf(argument) == argument.algorithm.name
    return True


def _ecdsa(algorithm: ec.ECDSA) -> PermittedAlgorithm:
    if getattr(_hash(algorithm.algorithm), "name", None) not in PSA_HASHES:
        return ECDSA_ANY
    if algorithm.deterministic_signing:
        return DeterministicEcdsa(ANY_HASH)
    return Ecdsa(ANY_HASH)


def _hash(argument: Any) -> Any:
    return argument._algorithm if isinstance(argument, utils.Prehashed) else argument


def _mgf(scheme: padding.PSS | padding.OAEP) -> str:
    mgf = scheme.mgf
    return mgf._algorithm.name if isinstance(mgf, padding.MGF1) else ""


def _salt(scheme: padding.PSS, hash_: hashes.HashAlgorithm) -> bool:
    """Whether the salt is as long as the digest; keys here have 2048 bits."""
    lengths = {
        padding.PSS.DIGEST_LENGTH: hash_.digest_size,
        padding.PSS.MAX_LENGTH: 256 - hash_.digest_size - 2,
    }
    salt = scheme._salt_length
    return lengths.get(salt, salt) == hash_.digest_size
