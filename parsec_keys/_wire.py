"""Requests to a Parsec service's socket: connect, send, read, and what it answered."""

from __future__ import annotations

import socket
import time
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from parsec_keys._fork import Stage, at_fork
from parsec_keys.errors import (
    AuthenticationError,
    DecryptionFailed,
    Error,
    KeyNotFound,
    NotPermitted,
    NotSupported,
    ProtocolError,
    ServiceUnavailable,
)
from parsec_keys.psa.operations import (
    ListKeys,
    ListProviders,
    Operation,
    PsaAsymmetricDecrypt,
    PsaGenerateKey,
    PsaImportKey,
)
from parsec_keys.psa.operations.service import (
    AuthenticatorInfo,
    DeleteClient,
    ListAuthenticators,
    ListClients,
    ListOpcodes,
    Ping,
)
from parsec_keys.psa.status import Status
from parsec_keys.service.authenticators import AuthenticatorType, own_credentials
from parsec_keys.service.wire.frames import (
    CORE_PROVIDER,
    HEADER_LENGTH,
    Request,
    response_header,
)
from parsec_keys.service.wire.requests import encode_list_opcodes, encode_request
from parsec_keys.service.wire.results import Numbering, decode_result

if TYPE_CHECKING:
    from parsec_keys.service.jwt_svid import OwnToken

CORE_OPERATIONS: Final = (
    *(Ping, ListProviders, ListAuthenticators, ListKeys, ListClients, DeleteClient),
)
NUMBERING: Final = Numbering(
    {1: "software", 2: "pkcs11", 3: "tpm", 4: "trusted-service", 5: "cryptoauthlib"}
)
"""What this client calls Parsec's types of provider; the wire has no names."""

_CLASSES: Final[dict[Status, type[Error]]] = {
    Status.PROVIDER_NOT_REGISTERED: NotSupported,
    Status.PROVIDER_DOES_NOT_EXIST: NotSupported,
    Status.OPCODE_DOES_NOT_EXIST: NotSupported,
    Status.BODY_SIZE_EXCEEDS_LIMIT: NotSupported,
    Status.RESPONSE_TOO_LARGE: NotSupported,
    Status.ADMIN_OPERATION: NotPermitted,
    Status.NOT_AUTHENTICATED: AuthenticationError,
    Status.AUTHENTICATOR_DOES_NOT_EXIST: AuthenticationError,
    Status.AUTHENTICATOR_NOT_REGISTERED: AuthenticationError,
    Status.CONNECTION_ERROR: ServiceUnavailable,
    Status.CONTENT_TYPE_NOT_SUPPORTED: ProtocolError,
    Status.ACCEPT_TYPE_NOT_SUPPORTED: ProtocolError,
    Status.WIRE_PROTOCOL_VERSION_NOT_SUPPORTED: ProtocolError,
    Status.INVALID_ENCODING: ProtocolError,
    Status.INVALID_HEADER: ProtocolError,
    Status.PSA_ERROR_INVALID_HANDLE: KeyNotFound,
}
"""The classes of the wire's own statuses, and of one that PSA had before it had
DOES_NOT_EXIST for keys; the others of PSA have theirs in ``errors``."""
_BAD_CIPHERTEXT: Final = frozenset(
    {Status.PSA_ERROR_INVALID_PADDING, Status.PSA_ERROR_INVALID_ARGUMENT}
)
"""What a service answers where an RSA decryption has nothing wrong but its input."""
_ANONYMOUS: Final = (Ping, ListProviders, ListAuthenticators, ListOpcodes)
_LONGEST_BODY: Final = 1 << 28
_WHAT_TO_DO: Final = {
    Status.PSA_ERROR_NOT_PERMITTED: "the policy that it has or asks for forbids it",
    Status.PSA_ERROR_NOT_SUPPORTED: "the provider cannot do it",
    Status.PSA_ERROR_ALREADY_EXISTS: (
        "a key of this name exists already; choose another, load it, or delete it first"
    ),
    Status.PSA_ERROR_DOES_NOT_EXIST: "no key of yours has this name there",
    Status.PSA_ERROR_INVALID_HANDLE: "the key was deleted meanwhile",
    Status.PSA_ERROR_INVALID_ARGUMENT: "it takes an argument of the request for wrong",
    Status.DEPRECATED_PRIMITIVE: "it makes no keys for algorithms that are unsafe",
    Status.ADMIN_OPERATION: "only an administrator of the service may do that",
    Status.BODY_SIZE_EXCEEDS_LIMIT: "the request is longer than it allows",
    Status.RESPONSE_TOO_LARGE: "the answer would be longer than it allows",
}


class Wire:
    """Asks a service. Every request is a connection; nothing is kept between two."""

    def __init__(self, path: Path, application: str | None, timeout: float) -> None:
        self._path = path
        self._application = application
        self._timeout = timeout
        self._authenticator = AuthenticatorType.NO_AUTH
        self._own_token: OwnToken | None = None

    @property
    def described(self) -> str:
        """How a message names the service."""
        return f"the Parsec service at {self._path}"

    def authenticate_as(self, offered: Iterable[AuthenticatorInfo]) -> None:
        """Use the first way to say who asks that both sides have.

        Raises:
            AuthenticationError: there is none.
        """
        known = {AuthenticatorType.UNIX_PEER_CREDENTIALS, AuthenticatorType.JWT_SVID}
        if self._application is not None:
            known.add(AuthenticatorType.DIRECT)
        for each in offered:
            if each.id in known:
                self._authenticator = AuthenticatorType(each.id)
                return
        raise AuthenticationError(
            f"{self.described} wants to know who asks in a way that this client cannot "
            "say: for its Direct authenticator add ?application=NAME to the store's URL"
        )

    def ask(self, operation: Operation[Any], provider: int = CORE_PROVIDER) -> Any:
        """Send one request and wait for its answer.

        Raises:
            Error: of the class that belongs to the status of the answer.
        """
        body = self._exchange(operation, self._request(operation, provider))
        return decode_result(operation.opcode, body, NUMBERING)

    def _request(self, operation: Operation[Any], provider: int) -> Request:
        if isinstance(operation, ListOpcodes):
            return Request(operation.opcode, encode_list_opcodes(provider))
        body = encode_request(operation)
        if isinstance(operation, _ANONYMOUS):
            return Request(operation.opcode, body, provider)
        return Request(
            operation.opcode, body, provider, self._authenticator, self._credentials()
        )

    def _credentials(self) -> bytes:
        if self._authenticator is AuthenticatorType.JWT_SVID:
            return self._token()
        if self._authenticator is AuthenticatorType.DIRECT:
            return (self._application or "").encode()
        return own_credentials()

    def _token(self) -> bytes:
        from parsec_keys.service.jwt_svid import OwnToken

        if self._own_token is None:
            self._own_token = OwnToken()
        return self._own_token.fetch()

    def _exchange(self, operation: Operation[Any], request: Request) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self._timeout)
            _connections.add(connection)
            deadline = time.monotonic() + self._timeout
            try:
                connection.connect(str(self._path))
                _send(connection, request.encode())
                header = response_header(_receive(connection, HEADER_LENGTH, deadline))
                if header.body_length > _LONGEST_BODY:
                    raise ProtocolError(
                        f"{self.described} announces {header.body_length} bytes"
                    )
                body = _receive(connection, header.body_length, deadline)
            except TimeoutError as e:
                raise ServiceUnavailable(
                    f"{self.described} did not answer within {self._timeout:g} seconds"
                ) from e
            except OSError as e:
                raise ServiceUnavailable(
                    f"{self.described} does not answer: {e.strerror or e}; is it "
                    "running, and may you enter the socket's folder?"
                ) from e
        if header.status in _BAD_CIPHERTEXT and isinstance(
            operation, PsaAsymmetricDecrypt
        ):
            raise DecryptionFailed  # Always the same words.
        if header.status is not Status.SUCCESS:
            raise self._refusal(operation, header.status)
        return body

    def _refusal(self, operation: Operation[Any], status: Status) -> Error:
        words = f"{self.described} refused {_described(operation)}: "
        remedy = _WHAT_TO_DO.get(status)
        words += f"{remedy} ({status.name})" if remedy else f"{status.name} ({status})"
        if status in _CLASSES:
            error = _CLASSES[status](words)
            error.status = status
            return error
        return Error.of(status, words)


_connections: Final[weakref.WeakSet[socket.socket]] = weakref.WeakSet()


def _close_parents_connections() -> None:
    for connection in list(_connections):
        connection.close()


at_fork(Stage.FILES, in_child=_close_parents_connections)


def _described(operation: Operation[Any]) -> str:
    """An operation in a message: ``PsaGenerateKey of 'name', an …``."""
    words = type(operation).__name__
    key_name = getattr(operation, "key_name", None)
    if key_name is not None:
        words += f" of '{key_name}'"
    if isinstance(operation, (PsaGenerateKey, PsaImportKey)):
        attributes = operation.attributes
        words += f", {attributes.type} of {attributes.bits} bits"
    return words


def _send(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        # A service that refuses a request may answer before all of it was sent.
        return


def _receive(connection: socket.socket, length: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < length:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        received = connection.recv(min(length - len(data), 1 << 20))
        if not received:
            raise ConnectionResetError("it closed the connection")
        data += received
    return bytes(data)
