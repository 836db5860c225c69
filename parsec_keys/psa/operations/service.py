"""Requests to the service itself, and questions of what a provider can do."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from parsec_keys.psa.attributes import KeyAttributes
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import Operation


@dataclass(frozen=True, slots=True)
class Ping(Operation[tuple[int, int]]):
    """Answer the wire protocol's highest version, major and minor."""

    opcode = Opcode.PING


@dataclass(frozen=True, slots=True)
class ListOpcodes(Operation[frozenset[Opcode]]):
    """List what the addressed provider implements."""

    opcode = Opcode.LIST_OPCODES


@dataclass(frozen=True, slots=True)
class AuthenticatorInfo:
    """An authenticator as a listing shows it."""

    id: int
    description: str
    version: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ListAuthenticators(Operation[tuple[AuthenticatorInfo, ...]]):
    """List the authenticators, the one to use first."""

    opcode = Opcode.LIST_AUTHENTICATORS


@dataclass(frozen=True, slots=True)
class ListClients(Operation[tuple[str, ...]]):
    """List the applications that have keys. For an administrator."""

    opcode = Opcode.LIST_CLIENTS


@dataclass(frozen=True, slots=True)
class DeleteClient(Operation[None]):
    """Destroy all keys of an application. For an administrator."""

    opcode = Opcode.DELETE_CLIENT
    client: str


class CheckType(enum.Enum):
    """What ``CanDoCrypto`` asks about a key of these attributes."""

    USE = 1
    GENERATE = 2
    IMPORT = 3
    DERIVE = 4


@dataclass(frozen=True, slots=True)
class CanDoCrypto(Operation[None]):
    """Succeed if the addressed provider can, else fail with NOT_SUPPORTED."""

    opcode = Opcode.CAN_DO_CRYPTO
    check_type: CheckType
    attributes: KeyAttributes
