"""What URLs of stores and URIs of keys stand for.

Each object carries its own canonical text: absolute, and without a PIN or passphrase.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from parsec_keys.service.config import ServiceConfig


@dataclass(frozen=True, slots=True)
class EmbeddedStore:
    """A store whose engine runs in this process."""

    url: str
    config: ServiceConfig


@dataclass(frozen=True, slots=True)
class SocketStore:
    """A store behind the socket of a Parsec service."""

    url: str
    socket: Path
    application: str | None = None
    timeout: float = 60.0


StoreUrl = EmbeddedStore | SocketStore


@dataclass(frozen=True, slots=True)
class StoredKeyUri:
    """A key by its name in a store; ``None`` is the default store."""

    name: str
    store: StoreUrl | None


@dataclass(frozen=True, slots=True)
class AdoptedKeyUri:
    """A key that is in a TPM or on a token already, by the provider's own words."""

    uri: str
    engine_url: str
    config: ServiceConfig
    reference: str
