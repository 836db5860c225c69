"""Key references: any bytes are a reference of ours, or refused in one way."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["parsec_keys.tls._reference"]):
    from parsec_keys.tls import _reference

SEEDS = (
    _reference.encode(_reference.RSA_OID, "parsec:key?store=software:/tmp/x"),
    _reference.encode(_reference.EC_OID, "x" * 300),
)


def one_input(data: bytes) -> None:
    """Parse, and encode again what was understood."""
    try:
        oid, uri = _reference.parse(data)
    except _reference.NoReferenceError:
        return
    # DER has one form for each value: what is parsed is that form.
    assert _reference.encode(oid, uri) == data


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """A valid reference with changes, or arbitrary bytes."""
    if seed % 3 == 0:
        data = SEEDS[seed % len(SEEDS)]
    return bytes(atheris.Mutate(data, max_size))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input, custom_mutator=lambda *a: mutated(*a))
    atheris.Fuzz()
