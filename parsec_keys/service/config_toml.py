"""A TOML file that describes a service, read into typed configuration.

The Rust Parsec service's own words are understood: its file opens the same providers
here. ``MbedCrypto`` is its name for a software provider.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parsec_keys.service.config import (
    OtherConfig,
    Pkcs11Config,
    ProviderConfig,
    ServiceConfig,
    SoftwareConfig,
    TpmConfig,
)
from parsec_keys.service.secret import Secret
from parsec_keys.service.toml_table import Table, read_toml

_RUST_SQLITE: Final = Path(
    "/var/lib/parsec/kim-mappings/sqlite/sqlite-key-info-manager.sqlite3"
)
_RUST_ON_DISK: Final = Path("/var/lib/parsec/mappings")


@dataclass(frozen=True, slots=True)
class RustKeyInfo:
    """A key info manager of the Rust service: an SQLite file, or a folder of files."""

    is_sqlite: bool
    path: Path

    @property
    def folder(self) -> Path:
        """Where our own key info is kept instead.

        Ours is a file of another name: the Rust service's own is never written.
        """
        return self.path.parent if self.is_sqlite else self.path


def read_config(path: Path) -> ServiceConfig:
    """The configuration in a file; relative paths in it start at the file's folder.

    The tables that only a daemon needs are left to ``config_daemon``.

    Raises:
        ConfigurationError: it cannot be read or understood, with the place.
    """
    document = read_toml(path)
    if document.has("listener"):
        # It describes a daemon: whoever opens it here uses its keys without it.
        from parsec_keys.service.config_daemon import read_daemon_config

        return read_daemon_config(path).service
    config = read_service(document)
    document.finish()
    return config


def read_rust_key_info(path: Path) -> RustKeyInfo | None:
    """The Rust service's key info that a file's providers use, if they do.

    Raises:
        ConfigurationError: it cannot be read or understood, with the place.
    """
    document = read_toml(path)
    managers = dict(map(_manager, document.tables("key_manager")))
    used = {each.text("key_info_manager") for each in document.tables("provider")}
    return next((managers[name] for name in used if name in managers), None)


def read_service(document: Table) -> ServiceConfig:
    """The providers and where their key info is kept.

    Raises:
        ConfigurationError: a table says something that nothing here can do.
    """
    directory = document.file("store")
    managers = dict(map(_manager, document.tables("key_manager")))
    tables = document.tables("provider")
    if not tables:
        raise document.error("no provider is configured: add a [[provider]] table")
    directories = {_directory(table, directory, managers) for table in tables}
    if len(directories) > 1:
        raise document.error(
            "the providers name different key info managers: one store keeps all its "
            "key info in one place, so let all name the same one"
        )
    directory = directories.pop()
    read = (_provider(each, directory) for each in tables)
    providers = tuple(provider for provider in read if provider is not None)
    if not providers:
        raise document.error("no provider is left: none of the TPMs is there")
    return ServiceConfig(providers, directory)


def _manager(table: Table) -> tuple[str, RustKeyInfo]:
    name = table.needed("name")
    if table.choice("manager_type", ("SQLite", "OnDisk")) == "SQLite":
        table.file("store_path")  # The Rust service ignores it too.
        found = RustKeyInfo(True, table.file("sqlite_db_path") or _RUST_SQLITE)
    else:
        found = RustKeyInfo(False, table.file("store_path") or _RUST_ON_DISK)
    table.finish()
    return name, found


def _directory(
    table: Table, store: Path | None, managers: Mapping[str, RustKeyInfo]
) -> Path | None:
    name = table.text("key_info_manager")
    if name is None:
        return store
    if name not in managers:
        known = ", ".join(managers) or "none"
        raise table.error(
            f"there is no key manager '{name}'; there is: {known}", "key_info_manager"
        )
    return managers[name].folder


def _provider(table: Table, store: Path | None) -> ProviderConfig | None:
    provider_type = table.needed("provider_type")
    if provider_type in _NOT_HERE:
        raise table.error(
            f"there is no {provider_type} provider here: {_NOT_HERE[provider_type]}",
            "provider_type",
        )
    read = _READERS.get(provider_type)
    if read is None:
        name = table.text("name") or provider_type.lower()
        return OtherConfig(provider_type, name, table.rest())
    reader, name = read
    config = reader(table, table.text("name") or name, store)
    table.finish()
    return config


def _software(table: Table, name: str, store: Path | None) -> ProviderConfig:
    directory = table.file("directory") or store
    if directory is None:
        raise table.error("say where keys are kept: add 'store' at the top of the file")
    return SoftwareConfig(directory, table.secret("passphrase"), name)


def _tpm(table: Table, name: str, store: Path | None) -> ProviderConfig | None:
    owner = _octets(table, "owner_hierarchy_auth")
    endorsement = _octets(table, "endorsement_hierarchy_auth")
    protect_bus = table.flag("protect_bus")
    tcti = table.needed("tcti")
    if table.flag("skip_if_no_tpm") and _is_missing(tcti):
        return None
    return TpmConfig(tcti, owner, name, protect_bus, endorsement)


def _is_missing(tcti: str) -> bool:
    """Whether a TCTI names a device that is not there."""
    kind, _, device = tcti.partition(":")
    return kind == "device" and not Path(device or "/dev/tpm0").exists()


def _pkcs11(table: Table, name: str, store: Path | None) -> ProviderConfig:
    library = table.file("library_path")
    if library is None:
        raise table.error("'library_path' is missing: the PKCS#11 module's file")
    # Public-key operations are always done in software here.
    table.flag("software_public_operations")
    pin = _octets(table, "user_pin")
    serial, slot = table.text("serial_number"), table.number("slot_number")
    return Pkcs11Config(
        library,
        table.text("token_label"),
        None if serial is None else serial.strip(),
        # A token that comes and goes is in another slot, under the same serial number.
        slot if serial is None else None,
        pin,
        name,
        table.flag("allow_export") is not False,
    )


def _octets(table: Table, key: str) -> Secret | None:
    """A secret as the Rust service writes it: plain, ``str:…`` or ``hex:…``."""
    value = table.secret(key)
    if value is None:
        return None
    if value.octets.startswith(b"hex:"):
        with contextlib.suppress(ValueError):  # It holds a secret that is no text.
            return Secret(bytes.fromhex(value.octets[4:].decode()))
        raise table.error(f"'{key}' has no valid hex digits", key)
    return Secret(value.octets.removeprefix(b"str:"))


_Reader = Callable[[Table, str, Path | None], ProviderConfig | None]
_READERS: Final[dict[str, tuple[_Reader, str]]] = {
    "Software": (_software, "software"),
    "MbedCrypto": (_software, "software"),
    "Tpm": (_tpm, "tpm"),
    "Pkcs11": (_pkcs11, "pkcs11"),
}
"""By type: what reads its table, and the name of one that gives none."""
_NOT_HERE: Final = {
    "CryptoAuthLib": "use the chip through a PKCS#11 module",
    "TrustedService": "use Software, Tpm or Pkcs11",
}
