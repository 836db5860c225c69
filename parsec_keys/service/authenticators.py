"""Who asks: the application identity that every key belongs to."""

from __future__ import annotations

import enum
import os
from typing import NamedTuple


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


def own_identity() -> ApplicationIdentity:
    """This process's user, as a daemon's Unix peer credentials would see it."""
    return ApplicationIdentity(
        AuthenticatorType.UNIX_PEER_CREDENTIALS, str(os.geteuid())
    )
