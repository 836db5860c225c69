"""Operations: one for each opcode, frozen, and silent about secrets."""

from __future__ import annotations

import dataclasses

import pytest

from parsec_keys.psa import operations
from parsec_keys.psa.algorithms import RsaPkcs1v15Crypt
from parsec_keys.psa.attributes import KeyAttributes, KeyPolicy, RsaKeyPair, UsageFlags
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import attestation, service, symmetric
from parsec_keys.psa.status import Status

CLASSES = [
    value
    for module in (operations, attestation, service, symmetric)
    for value in vars(module).values()
    if isinstance(value, type)
    and issubclass(value, operations.Operation)
    and dataclasses.is_dataclass(value)
]


def test_every_opcode_has_an_operation() -> None:
    assert {class_.opcode for class_ in CLASSES} == set(Opcode)


def test_numbers_are_those_of_the_wire() -> None:
    """Parsec 1.4: opcodes 0x01 to 0x20 without 0x1D, statuses of the same release."""
    assert {int(opcode) for opcode in Opcode} == set(range(1, 0x21)) - {0x1D}
    assert {int(status) for status in Status} == {
        *range(23),
        *(set(range(1132, 1154)) - {1144}),
    }


def test_operations_are_frozen() -> None:
    asked = operations.PsaExportPublicKey("name")

    with pytest.raises(dataclasses.FrozenInstanceError):
        asked.key_name = "other"  # type: ignore[misc]


def test_secrets_are_not_shown() -> None:
    attributes = KeyAttributes(RsaKeyPair(), 2048, KeyPolicy(UsageFlags(0)))
    for asked in (
        operations.PsaImportKey("name", attributes, b"secret"),
        operations.PsaAsymmetricEncrypt("name", RsaPkcs1v15Crypt(), b"secret"),
        symmetric.PsaHashCompute(operations.__dict__["Opcode"], b"secret"),
    ):
        assert "secret" not in repr(asked)
