"""Who asks: the application identity that every key belongs to, and its proof."""

from __future__ import annotations

import enum
import os
import struct
from typing import Final, NamedTuple, Protocol

from parsec_keys.errors import AuthenticationError
from parsec_keys.psa.operations.service import AuthenticatorInfo

_UID: Final = struct.Struct("<I")


class AuthenticatorType(enum.IntEnum):
    """How an application proved who it is, with the numbers of the wire."""

    NO_AUTH = 0
    DIRECT = 1
    JWT = 2
    UNIX_PEER_CREDENTIALS = 3
    JWT_SVID = 4


class ApplicationIdentity(NamedTuple):
    """An application: how it was authenticated, and its name there."""

    authenticator: AuthenticatorType
    name: str


NOBODY: Final = ApplicationIdentity(AuthenticatorType.NO_AUTH, "")
"""Who did not say. Owns nothing; may ask what belongs to nobody."""


def own_identity() -> ApplicationIdentity:
    """This process's user, as a daemon's Unix peer credentials would see it."""
    return ApplicationIdentity(
        AuthenticatorType.UNIX_PEER_CREDENTIALS, str(os.geteuid())
    )


def own_credentials() -> bytes:
    """What this process sends to be authenticated by Unix peer credentials."""
    return _UID.pack(os.geteuid())


class Authenticator(Protocol):
    """Tells applications apart. Safe to call from any thread."""

    type: AuthenticatorType
    info: AuthenticatorInfo

    def authenticate(self, auth: bytes, peer_uid: int) -> ApplicationIdentity:
        """Who sent a request.

        Args:
            auth: the request's authentication field.
            peer_uid: the user at the other end of the socket, as the kernel says.

        Raises:
            AuthenticationError: this proves nobody.
        """


class UnixPeerCredentials:
    """Applications are users: the kernel names the user, and the request must agree."""

    type = AuthenticatorType.UNIX_PEER_CREDENTIALS
    info = AuthenticatorInfo(
        int(type),
        "Uses the Unix peer credentials of the socket; the request names the same uid.",
        (0, 1, 0),
    )

    def authenticate(self, auth: bytes, peer_uid: int) -> ApplicationIdentity:
        if len(auth) != _UID.size:
            raise AuthenticationError(
                f"a uid is {_UID.size} bytes long, not {len(auth)}"
            )
        (claimed,) = _UID.unpack(auth)
        if claimed != peer_uid:
            raise AuthenticationError(f"uid {peer_uid} claims to be uid {claimed}")
        return ApplicationIdentity(self.type, str(peer_uid))


class Direct:
    """Applications say who they are and are believed: for mutually trusting ones."""

    type = AuthenticatorType.DIRECT
    info = AuthenticatorInfo(
        int(type), "Takes the application's name as the request has it.", (0, 1, 0)
    )

    def authenticate(self, auth: bytes, peer_uid: int) -> ApplicationIdentity:
        try:
            name = auth.decode()
        except UnicodeDecodeError:
            raise AuthenticationError("the application's name is not UTF-8") from None
        if not name:
            raise AuthenticationError("the application's name is empty")
        return ApplicationIdentity(self.type, name)
