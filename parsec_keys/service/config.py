"""What the service is made of: typed configuration, wherever it was written down.

A URL (``uri``) and a TOML file (``config_toml``) both become these objects; nothing
below them parses text again. Secrets never show in a ``repr``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parsec_keys.service.secret import Secret


@dataclass(frozen=True, slots=True)
class SoftwareConfig:
    """The software provider; ``directory`` holds the key material."""

    directory: Path
    passphrase: Secret | None = field(default=None, repr=False)
    name: str = "software"


@dataclass(frozen=True, slots=True)
class TpmConfig:
    """The TPM provider; ``tcti`` is a TCTI's name and settings: ``swtpm:port=2321``.

    ``protect_bus`` says whether auth values and decrypted data cross the TPM's bus in
    salted, encrypted sessions only; ``None`` does so for all but emulators.
    ``endorsement_hierarchy_auth`` is what key attestation needs; ``None`` where nobody
    gave it.
    """

    tcti: str
    owner_hierarchy_auth: Secret | None = field(default=None, repr=False)
    name: str = "tpm"
    protect_bus: bool | None = None
    endorsement_hierarchy_auth: Secret | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Pkcs11Config:
    """The PKCS#11 provider: a module, and what tells one of its tokens from others.

    ``pin`` ``None`` means that nobody logs in.
    ``allow_export`` says whether keys are made that give their secret away.
    """

    library_path: Path
    token_label: str | None = None
    serial_number: str | None = None
    slot_number: int | None = None
    pin: Secret | None = field(default=None, repr=False)
    name: str = "pkcs11"
    allow_export: bool = True


@dataclass(frozen=True, slots=True)
class OtherConfig:
    """A provider that another package ships: its settings are its own business."""

    provider_type: str
    name: str
    settings: Mapping[str, Any] = field(repr=False)


ProviderConfig = SoftwareConfig | TpmConfig | Pkcs11Config | OtherConfig


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """Providers, the default one first, and where their key info is kept.

    ``directory`` ``None`` keeps it in the user's data directory, in a folder of the
    provider's own; ``persistent`` false keeps it in memory. ``allow_deprecated`` says
    whether keys are made for algorithms that are no longer safe (MD5, SHA-1, DES …).
    """

    providers: tuple[ProviderConfig, ...]
    directory: Path | None = None
    persistent: bool = True
    allow_deprecated: bool = True
