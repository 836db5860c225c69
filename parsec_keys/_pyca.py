"""Hashes and curves: PSA's names and pyca's, in one table each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from parsec_keys.psa.algorithms import Hash
from parsec_keys.psa.attributes import EccFamily

HASHES: Final[dict[Hash, hashes.HashAlgorithm]] = {
    Hash.MD5: hashes.MD5(),
    Hash.SHA_1: hashes.SHA1(),
    Hash.SHA_224: hashes.SHA224(),
    Hash.SHA_256: hashes.SHA256(),
    Hash.SHA_384: hashes.SHA384(),
    Hash.SHA_512: hashes.SHA512(),
    Hash.SHA_512_224: hashes.SHA512_224(),
    Hash.SHA_512_256: hashes.SHA512_256(),
    Hash.SHA3_224: hashes.SHA3_224(),
    Hash.SHA3_256: hashes.SHA3_256(),
    Hash.SHA3_384: hashes.SHA3_384(),
    Hash.SHA3_512: hashes.SHA3_512(),
    Hash.SM3: hashes.SM3(),
}
"""The hashes that pyca has; RIPEMD-160, MD2 and MD4 are not among them."""
PSA_HASHES: Final[dict[str, Hash]] = {
    algorithm.name: hash_ for hash_, algorithm in HASHES.items()
}
"""PSA's hash by pyca's name of it: ``sha256``."""

CURVES: Final[dict[tuple[EccFamily, int], Callable[[], ec.EllipticCurve]]] = {
    (EccFamily.SECP_R1, 192): ec.SECP192R1,
    (EccFamily.SECP_R1, 224): ec.SECP224R1,
    (EccFamily.SECP_R1, 256): ec.SECP256R1,
    (EccFamily.SECP_R1, 384): ec.SECP384R1,
    (EccFamily.SECP_R1, 521): ec.SECP521R1,
    (EccFamily.SECP_K1, 256): ec.SECP256K1,
    (EccFamily.BRAINPOOL_P_R1, 256): ec.BrainpoolP256R1,
    (EccFamily.BRAINPOOL_P_R1, 384): ec.BrainpoolP384R1,
    (EccFamily.BRAINPOOL_P_R1, 512): ec.BrainpoolP512R1,
}
"""Every curve that pyca has, by PSA's family and bits."""
PSA_CURVES: Final[dict[str, tuple[EccFamily, int]]] = {
    curve().name: family_and_bits for family_and_bits, curve in CURVES.items()
}
"""PSA's family and bits by pyca's name of the curve: ``secp256r1``."""

TOO_LONG: Final = (
    "Digest or salt length too long for key size. Use a larger key or shorter salt "
    "length if you are specifying a PSS salt"
)
"""pyca's words for what does not fit into a modulus."""


def digest(algorithm: hashes.HashAlgorithm, *parts: bytes) -> bytes:
    """The digest of parts laid end to end."""
    context = hashes.Hash(algorithm)
    for part in parts:
        context.update(part)
    return context.finalize()
