"""Applications are SPIFFE workloads: a JWT-SVID, validated by the Workload API.

The token is checked by the local SPIFFE agent (SPIFFE Workload API, section 5.3), for
the audience ``parsec``; the application's name is its SPIFFE ID.
"""

from __future__ import annotations

import time
from typing import Any, Final

from parsec_keys.errors import (
    AuthenticationError,
    ConfigurationError,
    NotSupported,
    ProtocolError,
)
from parsec_keys.psa.operations.service import AuthenticatorInfo
from parsec_keys.psa.status import Status
from parsec_keys.service.authenticators import ApplicationIdentity, AuthenticatorType

AUDIENCE: Final = "parsec"
_AGENT_SECONDS: Final = 5.0
"""How long the agent may take: a request holds a worker meanwhile."""
_SECONDS_LEFT: Final = 10.0
"""How long a token has to be valid yet, to be sent."""
_SILENT: Final = ("UNAVAILABLE", "DEADLINE_EXCEEDED")


class JwtSvid:
    """Asks the Workload API at an endpoint such as ``unix:///run/spire/agent.sock``."""

    type = AuthenticatorType.JWT_SVID
    info = AuthenticatorInfo(
        int(type), "Validates a JWT SPIFFE Verifiable Identity Document.", (0, 1, 0)
    )

    def __init__(self, workload_endpoint: str) -> None:
        self._client = workload_api(workload_endpoint)

    def authenticate(self, auth: bytes, peer_uid: int) -> ApplicationIdentity:
        from spiffe.errors import PySpiffeError

        try:
            token = auth.decode()
        except UnicodeDecodeError:
            error = ProtocolError("the JWT-SVID is not UTF-8")
            error.status = Status.INVALID_ENCODING
            raise error from None
        try:
            svid = self._client.validate_jwt_svid(token, AUDIENCE)
        except PySpiffeError as e:
            refused = AuthenticationError(_why_refused(e))
        else:
            return ApplicationIdentity(self.type, str(svid.spiffe_id))
        raise refused  # Not in the handler: the agent may have quoted the token.


class OwnToken:
    """This workload's own JWT-SVID, to send to a service.

    The agent is the one of ``$SPIFFE_ENDPOINT_SOCKET``. It is asked again before the
    token expires, and by a connection of its own each time, so that a fork is no harm.
    """

    def __init__(self) -> None:
        self._token = b""
        self._expiry = 0.0

    def fetch(self) -> bytes:
        """A token that is valid for a while yet.

        Raises:
            AuthenticationError: the agent gives none.
            NotSupported: the package ``spiffe`` is missing.
        """
        if time.time() > self._expiry - _SECONDS_LEFT:
            self._token, self._expiry = _fetch()
        return self._token


def _fetch() -> tuple[bytes, float]:
    client = workload_api(None)
    from spiffe.errors import PySpiffeError

    try:
        svid = client.fetch_jwt_svid({AUDIENCE})
    except PySpiffeError as e:
        raise AuthenticationError(
            "the SPIFFE agent of $SPIFFE_ENDPOINT_SOCKET gave no JWT-SVID for the "
            f"audience '{AUDIENCE}': is this workload registered there?"
        ) from e
    finally:
        client.close()
    return svid.token.encode(), float(svid.expiry)


def workload_api(endpoint: str | None) -> Any:
    """A client of the Workload API; without an endpoint ``$SPIFFE_ENDPOINT_SOCKET``.

    Raises:
        ConfigurationError: the endpoint is no address of an agent.
        NotSupported: the package ``spiffe`` is missing.
    """
    try:
        from spiffe import WorkloadApiClient
        from spiffe.errors import PySpiffeError
    except ImportError as e:
        raise NotSupported("JWT-SVID needs pip install parsec-keys[spiffe]") from e
    try:
        return WorkloadApiClient(endpoint, _AGENT_SECONDS)
    except PySpiffeError as e:
        raise ConfigurationError(
            f"'{endpoint or '$SPIFFE_ENDPOINT_SOCKET'}' is no SPIFFE Workload API ({e})"
            ": it is a URL such as unix:///run/spire/agent.sock"
        ) from e


def _why_refused(error: Exception) -> str:
    """In words that have nothing of the token."""
    code = getattr(error.__cause__, "code", None)
    if callable(code) and code().name in _SILENT:
        return "the SPIFFE agent does not answer, so that no JWT-SVID is valid"
    return "the JWT-SVID is not valid"
