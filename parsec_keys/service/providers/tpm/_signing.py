"""Signatures of a TPM: its own schemes where they are exact, else the bare operation.

RSA: PKCS#1 v1.5 with a hash that the TPM has is its RSASSA. Every other hash, and every
PSS, is padded here, because a TPM chooses the length of a PSS salt by itself.
ECDSA: the TPM wants a digest as long as one of its hashes, so that others are brought
to such a length without changing the number that is signed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from parsec_keys._pyca import HASHES
from parsec_keys.errors import InvalidArgument, NotSupported, ProviderFailure
from parsec_keys.psa.algorithms import (
    AsymmetricSignature,
    DeterministicEcdsa,
    Hash,
    PermittedAlgorithm,
    RsaPkcs1v15Sign,
    RsaPkcs1v15SignRaw,
    RsaPss,
)
from parsec_keys.psa.attributes import EccKeyPair
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers.tpm import _tss
from parsec_keys.service.providers.tpm._capabilities import Capabilities
from parsec_keys.service.providers.tpm._chip import Chip
from parsec_keys.service.providers.tpm._key_id import decode_key_id
from parsec_keys.service.rsa_padding import digest_info, encode_pkcs1v15, encode_pss

T = TypeVar("T")


def check(algorithm: PermittedAlgorithm) -> None:
    """Pass if keys of a TPM can do this algorithm.

    Raises:
        NotSupported: they cannot.
    """
    if isinstance(algorithm, DeterministicEcdsa):
        raise NotSupported("a TPM chooses the nonce of ECDSA by itself: no RFC 6979")
    for attribute in ("hash", "mgf_hash"):
        hash_ = getattr(algorithm, attribute, None)
        if isinstance(hash_, Hash) and hash_ not in HASHES:
            raise NotSupported(f"{hash_} is computed neither by a TPM nor here")


def sign(
    chip: Chip,
    can: Capabilities,
    key: KeyRecord,
    algorithm: AsymmetricSignature,
    hashed: bytes,
) -> bytes:
    """Sign a digest; ECDSA answers ``r`` and ``s``.

    Raises:
        NotSupported: this TPM cannot do exactly this.
        InvalidArgument: the padding does not fit the key.
    """
    check(algorithm)
    if isinstance(key.attributes.type, EccKeyPair):
        return _sign_ecdsa(chip, can, key, algorithm, hashed)
    length = (key.attributes.bits + 7) // 8
    if isinstance(algorithm, RsaPss):
        return bare(chip, key, encode_pss(algorithm, hashed, key.attributes.bits))
    if isinstance(algorithm, RsaPkcs1v15SignRaw):
        return bare(chip, key, encode_pkcs1v15(hashed, length))
    if not isinstance(algorithm, RsaPkcs1v15Sign) or not isinstance(
        algorithm.hash, Hash
    ):
        raise InvalidArgument(f"{key.described} cannot do {algorithm}")
    block = encode_pkcs1v15(digest_info(algorithm.hash, hashed), length)
    if algorithm.hash not in can.hashes:
        return bare(chip, key, block)
    scheme = _scheme(_tss.TPM2_ALG.RSASSA, can.hashes[algorithm.hash])

    def command(esapi: Any, handle: Any, session: Any) -> bytes:
        signature = esapi.sign(handle, hashed, scheme, _NO_TICKET, session1=session)
        return _tss.signature_numbers(signature)[0]

    return run_with_key(chip, key, command, secret=False).rjust(length, b"\x00")


def bare(chip: Chip, key: KeyRecord, block: bytes) -> bytes:
    """The bare RSA private-key operation on a block as long as the modulus.

    Raises:
        NotSupported: somebody made this key without it.
    """

    def command(esapi: Any, handle: Any, session: Any) -> bytes:
        result = esapi.rsa_decrypt(handle, block, _tss.NULL_SCHEME, session1=session)
        return bytes(result.buffer)

    try:
        result = run_with_key(chip, key, command, secret=True)
    except ProviderFailure as e:
        if not _tss.is_because(e, _tss.LACKS_USAGE):
            raise
        raise NotSupported(
            f"{key.described} may only sign in its TPM, which a padding that is made "
            "here needs more for: use PKCS#1 v1.5 with SHA-256, or a key that may "
            "decrypt too"
        ) from e
    return result.rjust(len(block), b"\x00")


def run_with_key(
    chip: Chip, key: KeyRecord, command: Callable[[Any, Any, Any], T], *, secret: bool
) -> T:
    """Run ``command(esapi, handle, session)`` with a recorded key loaded.

    ``secret`` says that what the TPM answers must not cross its bus in clear.
    """
    loadable = decode_key_id(key.key_id)
    asked = f"using {key.described}"
    return chip.run_with_key(asked, key.uid, loadable, command, secret=secret)


def _sign_ecdsa(
    chip: Chip,
    can: Capabilities,
    key: KeyRecord,
    algorithm: AsymmetricSignature,
    hashed: bytes,
) -> bytes:
    length = (key.attributes.bits + 7) // 8
    hash_, fitted = _fit_digest(can, hashed[:length], length)
    try:
        return _ecdsa(chip, key, can.hashes[hash_], fitted)
    except ProviderFailure as e:
        asked = getattr(algorithm, "hash", None)
        if not _tss.is_because(e, _tss.OTHER_SCHEME) or asked not in can.hashes:
            raise
        # Somebody made this key for one hash: with that, the TPM cuts by itself.
        return _ecdsa(chip, key, can.hashes[asked], hashed)


def _ecdsa(chip: Chip, key: KeyRecord, hash_: int, hashed: bytes) -> bytes:
    length = (key.attributes.bits + 7) // 8
    scheme = _scheme(_tss.TPM2_ALG.ECDSA, hash_)

    def command(esapi: Any, handle: Any, session: Any) -> list[bytes]:
        signature = esapi.sign(handle, hashed, scheme, _NO_TICKET, session1=session)
        return _tss.signature_numbers(signature)

    r, s = run_with_key(chip, key, command, secret=False)
    return r.rjust(length, b"\x00") + s.rjust(length, b"\x00")


def _fit_digest(can: Capabilities, cut: bytes, length: int) -> tuple[Hash, bytes]:
    """A hash of the TPM, and the digest in its length, for a scalar of ``length``.

    A TPM reads the leftmost bits of a digest that is longer than the order (FIPS 186-5,
    section 6.4.1) and all of a shorter one. ``cut`` is the digest's leftmost part.
    """
    for hash_ in can.hashes:
        if hash_.size == len(cut):
            return hash_, cut
    for hash_ in can.hashes:
        if len(cut) < hash_.size <= length:
            return hash_, cut.rjust(hash_.size, b"\x00")
    for hash_ in can.hashes:
        if hash_.size > length:
            # Aligned to the order, then filled up with what the TPM will cut off.
            return hash_, cut.rjust(length, b"\x00").ljust(hash_.size, b"\x00")
    raise NotSupported(
        f"this TPM has no hash as long as {len(cut)} bytes to sign: use a shorter one"
    )


@functools.cache
def _scheme(algorithm: int, hash_: int) -> Any:
    scheme = _tss.TPMT_SIG_SCHEME(scheme=algorithm)
    scheme.details.any.hashAlg = hash_
    return scheme


# The ticket of a digest that the TPM did not compute (TPM 2.0 part 2, section 10.7.4).
_NO_TICKET = _tss.TPMT_TK_HASHCHECK(
    tag=_tss.TPM2_ST.HASHCHECK, hierarchy=_tss.TPM2_RH.NULL
)
