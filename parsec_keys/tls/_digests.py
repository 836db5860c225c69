"""Hashes by OpenSSL's names, and the AlgorithmIdentifiers of signatures."""

from __future__ import annotations

import functools
from typing import Final

from cryptography.hazmat.primitives import hashes

from parsec_keys._pyca import HASHES
from parsec_keys.errors import NotSupported

DIGESTS: Final[dict[str, hashes.HashAlgorithm]] = {
    algorithm.name.upper().replace("-", ""): algorithm for algorithm in HASHES.values()
}
"""By OpenSSL's names in capitals, without signs and the 2 of SHA-2."""

# RFC 4055, section 5; RFC 5758, section 3.2; RFC 8017, appendix A.2.4.
_RSA_OIDS: Final = {"sha1": 5, "sha224": 14, "sha256": 11, "sha384": 12, "sha512": 13}
_ECDSA_OIDS: Final = {
    "sha1": "2a8648ce3d0401",
    "sha224": "2a8648ce3d040301",
    "sha256": "2a8648ce3d040302",
    "sha384": "2a8648ce3d040303",
    "sha512": "2a8648ce3d040304",
}
_HASH_OIDS: Final = {
    "sha1": "2b0e03021a",
    "sha224": "608648016503040204",
    "sha256": "608648016503040201",
    "sha384": "608648016503040202",
    "sha512": "608648016503040203",
}
_RSA: Final = "2a864886f70d0101"
_PSS: Final = _RSA + "0a"
_MGF1: Final = _RSA + "08"
_NULL: Final = b"\x05\x00"


@functools.cache
def digest(name: str) -> hashes.HashAlgorithm:
    """The hash of a name of OpenSSL's: ``SHA2-256``, ``SHA-256`` or ``SHA256``.

    Raises:
        NotSupported: there is none.
    """
    known = name.upper().replace("SHA2-", "SHA").replace("-", "").replace("/", "")
    try:
        return DIGESTS[known]
    except KeyError:
        raise NotSupported(f"no key of ours signs with the digest {name}") from None


def ecdsa_identifier(algorithm: hashes.HashAlgorithm) -> bytes | None:
    """The AlgorithmIdentifier of ECDSA with a hash; None where there is none."""
    oid = _ECDSA_OIDS.get(algorithm.name)
    return None if oid is None else _sequence(_oid(oid))


def pkcs1_identifier(algorithm: hashes.HashAlgorithm) -> bytes | None:
    """The AlgorithmIdentifier of PKCS#1 v1.5 with a hash; None where there is none."""
    last = _RSA_OIDS.get(algorithm.name)
    return None if last is None else _sequence(_oid(f"{_RSA}{last:02x}"), _NULL)


def pss_identifier(
    algorithm: hashes.HashAlgorithm, mgf: hashes.HashAlgorithm, salt: int
) -> bytes | None:
    """The AlgorithmIdentifier of PSS with all parameters; None where there is none."""
    names = _HASH_OIDS.get(algorithm.name), _HASH_OIDS.get(mgf.name)
    if names[0] is None or names[1] is None:
        return None
    hash_id, mgf_hash_id = (_sequence(_oid(name), _NULL) for name in names if name)
    number = salt.to_bytes(salt.bit_length() // 8 + 1, "big")
    parameters = _sequence(
        _explicit(0, hash_id),
        _explicit(1, _sequence(_oid(_MGF1), mgf_hash_id)),
        _explicit(2, b"\x02" + bytes([len(number)]) + number),
    )
    return _sequence(_oid(_PSS), parameters)


def _oid(octets: str) -> bytes:
    content = bytes.fromhex(octets)
    return b"\x06" + bytes([len(content)]) + content


def _sequence(*parts: bytes) -> bytes:
    content = b"".join(parts)
    return b"\x30" + bytes([len(content)]) + content  # Shorter than 128 bytes.


def _explicit(number: int, content: bytes) -> bytes:
    return bytes([0xA0 | number, len(content)]) + content
