"""Which providers there are: a row each, and those that other packages ship.

A provider whose library is missing explains itself; another package adds one under the
entry-point group ``parsec_keys.providers``, as a callable from its configuration to a
``Provider``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from parsec_keys.errors import ConfigurationError, NotSupported
from parsec_keys.service.config import (
    OtherConfig,
    Pkcs11Config,
    ProviderConfig,
    SoftwareConfig,
    TpmConfig,
)
from parsec_keys.service.providers import Provider

ENTRY_POINT_GROUP: Final = "parsec_keys.providers"


@dataclass(frozen=True, slots=True)
class _Row:
    module: str
    class_name: str
    library: str
    remedy: str


_ROWS: Final[dict[type, _Row]] = {
    SoftwareConfig: _Row("software", "SoftwareProvider", "", ""),
    TpmConfig: _Row(
        "tpm",
        "TpmProvider",
        "tpm2_pytss",
        "pip install parsec-keys[tpm] and libtss2 (Debian: apt install libtss2-dev "
        "pkg-config gcc python3-dev)",
    ),
    Pkcs11Config: _Row(
        "pkcs11", "Pkcs11Provider", "pkcs11", "pip install parsec-keys[pkcs11]"
    ),
}


def open_provider(config: ProviderConfig) -> Provider:
    """Open the provider that a configuration describes.

    Raises:
        NotSupported: its library is not installed, with what to install.
        ConfigurationError: no package ships a provider of this type.
    """
    if isinstance(config, OtherConfig):
        return _shipped(config.provider_type)(config)
    row = _ROWS[type(config)]
    try:
        module = importlib.import_module(f"{__package__}.{row.module}")
    except ImportError as e:
        if e.name is None or e.name.partition(".")[0] != row.library:
            raise
        raise NotSupported(f"provider '{config.name}' needs {row.remedy}") from e
    return cast(Provider, getattr(module, row.class_name).open(config))


def missing_libraries() -> dict[str, str]:
    """The providers of this package, each with how to get what it lacks, or nothing."""
    return {
        row.module: "" if _is_there(row.library) else row.remedy
        for row in _ROWS.values()
    }


def shipped_types() -> list[str]:
    """The provider types that other packages add."""
    found = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    return sorted(each.name for each in found)


def _is_there(library: str) -> bool:
    try:
        if library:
            importlib.import_module(library)
    except ImportError:  # It may be there, and its own C library not.
        return False
    return True


def _shipped(provider_type: str) -> Callable[[OtherConfig], Provider]:
    found = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=provider_type)
    for entry_point in found:
        return cast(Callable[[OtherConfig], Provider], entry_point.load())
    raise ConfigurationError(
        f"there is no provider type '{provider_type}': known are software, tpm and "
        f"pkcs11, and what packages add under {ENTRY_POINT_GROUP}"
    )
