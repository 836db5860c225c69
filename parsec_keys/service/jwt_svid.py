"""Applications are SPIFFE workloads: a JWT-SVID, validated by the Workload API.

The token is checked by the local SPIFFE agent (SPIFFE Workload API, section 5.3), for
the audience ``parsec``; the application's name is its SPIFFE ID.
"""

from __future__ import annotations

from typing import Any, Final

from parsec_keys.errors import AuthenticationError, NotSupported, ProtocolError
from parsec_keys.psa.operations.service import AuthenticatorInfo
from parsec_keys.psa.status import Status
from parsec_keys.service.authenticators import ApplicationIdentity, AuthenticatorType

AUDIENCE: Final = "parsec"


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
            raise AuthenticationError("the JWT-SVID is not valid") from e
        return ApplicationIdentity(self.type, str(svid.spiffe_id))


def fetch_token(workload_endpoint: str | None = None) -> bytes:
    """This workload's own JWT-SVID, to send to a service.

    Args:
        workload_endpoint: without it ``$SPIFFE_ENDPOINT_SOCKET``.

    Raises:
        AuthenticationError: the agent gives none.
        NotSupported: the package ``spiffe`` is missing.
    """
    client = workload_api(workload_endpoint)
    from spiffe.errors import PySpiffeError

    try:
        return bytes(client.fetch_jwt_svid({AUDIENCE}).token.encode())
    except PySpiffeError as e:
        raise AuthenticationError("the SPIFFE agent gave no JWT-SVID") from e
    finally:
        client.close()


def workload_api(endpoint: str | None) -> Any:
    """A client of the Workload API."""
    try:
        from spiffe import WorkloadApiClient
    except ImportError as e:
        raise NotSupported("JWT-SVID needs pip install parsec-keys[spiffe]") from e
    return WorkloadApiClient(endpoint)
