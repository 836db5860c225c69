"""From a whole request to its response: who asks, what, and the answer.

No sockets: the listener reads frames and knows the peer's uid. The checks come in the
order of the Rust service, so that a client sees the same status for the same mistake.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from parsec_keys.errors import Error
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import (
    ListProviders,
    Operation,
    ProviderInfo,
    PsaGenerateRandom,
)
from parsec_keys.psa.operations.service import ListOpcodes
from parsec_keys.psa.status import Status
from parsec_keys.service.authenticators import (
    NOBODY,
    ApplicationIdentity,
    Authenticator,
    AuthenticatorType,
)
from parsec_keys.service.wire.frames import (
    CORE_PROVIDER,
    MAC_OPCODES,
    VERSION,
    Request,
    Response,
    answer,
)
from parsec_keys.service.wire.requests import decode_list_opcodes, decode_request
from parsec_keys.service.wire.results import Numbering, encode_result

logger = logging.getLogger(__name__)
R = TypeVar("R")

CORE_INFO: Final = ProviderInfo(
    "core",
    CORE_PROVIDER,
    "47049873-2a43-4845-9d72-831eab668784",
    "the service itself: no cryptography",
    "",
    (0, 1, 0),
)
_ADMIN: Final = frozenset({Opcode.LIST_CLIENTS, Opcode.DELETE_CLIENT})
_CORE: Final = _ADMIN | {
    Opcode.PING,
    Opcode.LIST_PROVIDERS,
    Opcode.LIST_OPCODES,
    Opcode.LIST_AUTHENTICATORS,
    Opcode.LIST_KEYS,
}
_FOR_ANYBODY: Final = frozenset(
    {
        *(Opcode.PING, Opcode.LIST_PROVIDERS, Opcode.LIST_OPCODES),
        *(Opcode.LIST_AUTHENTICATORS, Opcode.PSA_GENERATE_RANDOM),
        *(Opcode.PSA_HASH_COMPUTE, Opcode.PSA_HASH_COMPARE),
    }
)
_QUICK: Final = frozenset(
    {Opcode.PING, Opcode.LIST_PROVIDERS, Opcode.LIST_AUTHENTICATORS}
)
_HIGHEST_PROVIDER: Final = 5


class Engine(Protocol):
    """The service, as the front end needs it."""

    def execute_for(
        self,
        application: ApplicationIdentity,
        operation: Operation[R],
        *,
        provider: str | None = None,
    ) -> R:
        """Perform an operation for an application."""


class Refused(Exception):
    """The answer is this status and nothing else."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.name)
        self.status = status


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may ask for; ``buffer_size`` in bytes of random octets."""

    buffer_size: int = 1 << 20
    log_error_details: bool = False


class Front:
    """Answers requests. Safe to call from any thread."""

    def __init__(
        self,
        engine: Engine,
        authenticator: Authenticator,
        admins: Collection[str] = (),
        limits: Limits | None = None,
    ) -> None:
        self._engine = engine
        self._authenticator = authenticator
        self._admins = frozenset(admins)
        self._limits = limits or Limits()
        self._providers = engine.execute_for(NOBODY, ListProviders())
        self._numbering = Numbering({info.id: info.name for info in self._providers})

    def is_quick(self, request: Request) -> bool:
        """Whether the answer needs neither hardware nor disk."""
        return request.opcode in _QUICK and request.authenticator == 0

    def respond(self, request: Request, peer_uid: int) -> Response:
        """The answer to a request of a user of this machine."""
        try:
            body = self._perform(request, peer_uid)
        except Refused as e:
            return answer(request, e.status)
        except Error as e:
            self._log(request, e)
            return answer(request, e.status)
        except Exception:
            logger.exception("%s failed for a reason of ours", request.opcode.name)
            return answer(request, Status.PSA_ERROR_GENERIC_ERROR)
        return answer(request, Status.SUCCESS, body)

    def _perform(self, request: Request, peer_uid: int) -> bytes:
        application = self._authenticate(request, peer_uid)
        self._check_target(request)
        if request.opcode in _ADMIN:
            self._check_admin(application)
        if request.opcode is Opcode.LIST_OPCODES:
            opcodes = self._opcodes(decode_list_opcodes(request.body))
            return encode_result(request.opcode, opcodes, self._numbering)
        operation = decode_request(request.opcode, request.body)
        if application is NOBODY and request.opcode not in _FOR_ANYBODY:
            raise Refused(Status.NOT_AUTHENTICATED)
        result = self._result(request, operation, application)
        return encode_result(request.opcode, result, self._numbering)

    def _authenticate(self, request: Request, peer_uid: int) -> ApplicationIdentity:
        if request.authenticator == AuthenticatorType.NO_AUTH:
            return NOBODY
        if request.authenticator != self._authenticator.type:
            raise Refused(Status.AUTHENTICATOR_NOT_REGISTERED)
        return self._authenticator.authenticate(request.auth, peer_uid)

    def _check_target(self, request: Request) -> None:
        is_core = request.provider == CORE_PROVIDER
        if not is_core and request.provider not in self._numbering.names:
            raise Refused(Status.PROVIDER_NOT_REGISTERED)
        if is_core != (request.opcode in _CORE):
            raise Refused(Status.PSA_ERROR_NOT_SUPPORTED)

    def _check_admin(self, application: ApplicationIdentity) -> None:
        if application is NOBODY:
            raise Refused(Status.NOT_AUTHENTICATED)
        if application.name not in self._admins:
            raise Refused(Status.ADMIN_OPERATION)

    def _opcodes(self, provider: int) -> frozenset[Opcode]:
        if provider == CORE_PROVIDER:
            return _CORE
        if provider > _HIGHEST_PROVIDER:
            raise Refused(Status.PROVIDER_DOES_NOT_EXIST)
        if provider not in self._numbering.names:
            raise Refused(Status.PROVIDER_NOT_REGISTERED)
        name = self._numbering.names[provider]
        opcodes = self._engine.execute_for(NOBODY, ListOpcodes(), provider=name)
        return opcodes - MAC_OPCODES - _CORE

    def _result(
        self,
        request: Request,
        operation: Operation[Any],
        application: ApplicationIdentity,
    ) -> Any:
        if request.opcode is Opcode.PING:
            return VERSION
        if request.opcode is Opcode.LIST_PROVIDERS:
            return (*self._providers, CORE_INFO)
        if request.opcode is Opcode.LIST_AUTHENTICATORS:
            return (self._authenticator.info,)
        if (
            isinstance(operation, PsaGenerateRandom)
            and operation.size > self._limits.buffer_size
        ):
            raise Refused(Status.RESPONSE_TOO_LARGE)
        provider = self._numbering.names.get(request.provider)
        return self._engine.execute_for(application, operation, provider=provider)

    def _log(self, request: Request, error: Error) -> None:
        # Which application uses which key is not for every log: only where asked for.
        if self._limits.log_error_details:
            logger.warning("%s: %s", request.opcode.name, error)
        else:
            logger.info("%s: %s", request.opcode.name, error.status.name)
