"""Deprecated primitives: what new keys should not be made for.

Parsec's list: hashes with known collisions or worse, DES and ARC4. Its curves that are
too short or have no good reason are not here, because no provider of ours has them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

from parsec_keys.psa.algorithms import Hash
from parsec_keys.psa.attributes import KeyAttributes, UnstructuredKeyType

HASHES: Final = frozenset({Hash.MD2, Hash.MD4, Hash.MD5, Hash.SHA_1})
KEY_TYPES: Final = frozenset({UnstructuredKeyType.DES, UnstructuredKeyType.ARC4})


def deprecated_in(attributes: KeyAttributes) -> str | None:
    """The first deprecated primitive of a key's attributes, in words."""
    if attributes.type in KEY_TYPES:
        return str(attributes.type)
    for hash_ in _hashes(attributes.policy.algorithm):
        if hash_ in HASHES:
            return str(hash_)
    return None


def _hashes(algorithm: object) -> Iterator[Hash]:
    """The hashes that an algorithm is or has, at any depth."""
    if isinstance(algorithm, Hash):
        yield algorithm
    elif dataclasses.is_dataclass(algorithm):
        for field in dataclasses.fields(algorithm):
            yield from _hashes(getattr(algorithm, field.name))
