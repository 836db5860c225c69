"""What one TPM can do, asked once when it is opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from parsec_keys.psa.algorithms import Hash
from parsec_keys.psa.attributes import EccFamily
from parsec_keys.service.providers.tpm import _tss

_RSA_SIZES: Final = (1024, 2048, 3072, 4096)
_PAGE: Final = 64


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The hashes, curves and RSA sizes in bits that a TPM implements.

    ``hashes`` has the TPM's numbers, the shortest hash first.
    """

    hashes: dict[Hash, int]
    curves: frozenset[tuple[EccFamily, int]]
    rsa_sizes: tuple[int, ...]


def ask(esapi: Any) -> Capabilities:
    """Ask a TPM (TPM2_GetCapability, TPM2_TestParms)."""
    algorithms = set(_listed(esapi, _tss.TPM2_CAP.ALGS))
    curves = set(_listed(esapi, _tss.TPM2_CAP.ECC_CURVES))
    hashes = [hash_ for hash_, number in _tss.HASHES.items() if number in algorithms]
    hashes.sort(key=lambda hash_: hash_.size)
    return Capabilities(
        {hash_: _tss.HASHES[hash_] for hash_ in hashes},
        frozenset(name for name, number in _tss.CURVES.items() if number in curves),
        tuple(bits for bits in _RSA_SIZES if _has_rsa(esapi, bits)),
    )


def _listed(esapi: Any, capability: Any) -> Iterator[int]:
    first = 0
    while True:
        more, data = esapi.get_capability(capability, first, _PAGE)
        numbers = _numbers(capability, data)
        yield from numbers
        if not more or not numbers:
            return
        first = numbers[-1] + 1


def _numbers(capability: Any, data: Any) -> list[int]:
    if capability == _tss.TPM2_CAP.ALGS:
        listed = data.data.algorithms
        return [int(listed[index].alg) for index in range(len(listed))]
    return [int(curve) for curve in data.data.eccCurves]


def _has_rsa(esapi: Any, bits: int) -> bool:
    parameters = _tss.TPMT_PUBLIC_PARMS(
        type=_tss.TPM2_ALG.RSA,
        parameters=_tss.TPMU_PUBLIC_PARMS(
            rsaDetail=_tss.TPMS_RSA_PARMS(
                symmetric=_tss.TPMT_SYM_DEF_OBJECT(algorithm=_tss.TPM2_ALG.NULL),
                scheme=_tss.TPMT_RSA_SCHEME(scheme=_tss.TPM2_ALG.NULL),
                keyBits=bits,
                exponent=0,
            )
        ),
    )
    try:
        esapi.test_parms(parameters)
    except _tss.TSS2_Exception as e:
        if not _tss.is_of_the_tpm(e):
            raise
        return False
    return True
