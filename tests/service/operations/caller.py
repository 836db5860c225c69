"""An application that asks one provider of a service, as a front end asks for it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, TypeVar

from parsec_keys.errors import Error
from parsec_keys.psa.algorithms import PermittedAlgorithm
from parsec_keys.psa.attributes import KeyAttributes, KeyPolicy, KeyType, UsageFlags
from parsec_keys.psa.operations import (
    GetKeyAttributes,
    Operation,
    PsaGenerateKey,
    PsaImportKey,
)
from parsec_keys.psa.status import Status
from parsec_keys.service import Service
from parsec_keys.service.authenticators import ApplicationIdentity, AuthenticatorType

R = TypeVar("R")
EVERYTHING = UsageFlags(1023)
NO_EXPORT = EVERYTHING & ~UsageFlags.EXPORT


@dataclass
class Caller:
    service: Service
    application: str
    provider: str | None = None
    names: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def identity(self) -> ApplicationIdentity:
        return ApplicationIdentity(AuthenticatorType.DIRECT, self.application)

    def do(self, operation: Operation[R]) -> R:
        return self.service.execute_for(
            self.identity, operation, provider=self.provider
        )

    def status(self, operation: Operation[Any]) -> Status:
        try:
            self.do(operation)
        except Error as e:
            return e.status
        return Status.SUCCESS

    def generate(
        self,
        key_type: KeyType,
        bits: int,
        algorithm: PermittedAlgorithm,
        usage: UsageFlags = NO_EXPORT,
    ) -> str:
        name = f"key {next(self.names)}"
        self.do(PsaGenerateKey(name, attributes(key_type, bits, algorithm, usage)))
        return name

    def take(
        self,
        key_type: KeyType,
        data: bytes,
        algorithm: PermittedAlgorithm,
        usage: UsageFlags = NO_EXPORT,
        bits: int = 0,
    ) -> str:
        name = f"key {next(self.names)}"
        asked = attributes(key_type, bits, algorithm, usage)
        self.do(PsaImportKey(name, asked, data))
        return name

    def attributes(self, key_name: str) -> KeyAttributes:
        return self.do(GetKeyAttributes(key_name)).attributes


def attributes(
    key_type: KeyType,
    bits: int,
    algorithm: PermittedAlgorithm,
    usage: UsageFlags = NO_EXPORT,
) -> KeyAttributes:
    return KeyAttributes(key_type, bits, KeyPolicy(usage, algorithm))
