"""A TOML file that describes a service, read into typed configuration.

Rule: a key that nothing reads is an error. Whoever wrote it believed that it does
something.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from parsec_keys.errors import ConfigurationError
from parsec_keys.service.config import (
    OtherConfig,
    Pkcs11Config,
    ProviderConfig,
    ServiceConfig,
    SoftwareConfig,
    TpmConfig,
)
from parsec_keys.service.owned_files import first_line


def read_config(path: Path) -> ServiceConfig:
    """The configuration in a file; relative paths in it start at the file's folder.

    Raises:
        ConfigurationError: it cannot be read or understood, with the place.
    """
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as e:
        raise ConfigurationError(f"{path} cannot be read: {e.strerror}") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigurationError(f"{path} is not TOML: {e}") from e
    return _service(_Table(path, "", document))


class _Table:
    """A table of the file, which knows what was asked of it."""

    def __init__(self, path: Path, title: str, values: Mapping[str, Any]) -> None:
        self._path = path
        self._title = title
        self._values = dict(values)

    def error(self, words: str) -> ConfigurationError:
        return ConfigurationError(f"{self._path}{self._title}: {words}")

    def text(self, key: str) -> str | None:
        value = self._values.pop(key, None)
        if value is not None and not isinstance(value, str):
            raise self.error(f"'{key}' is a string, not {value!r}")
        return value

    def number(self, key: str) -> int | None:
        value = self._values.pop(key, None)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int)
        ):
            raise self.error(f"'{key}' is a number, not {value!r}")
        return value

    def flag(self, key: str) -> bool | None:
        value = self._values.pop(key, None)
        if value is not None and not isinstance(value, bool):
            raise self.error(f"'{key}' is true or false, not {value!r}")
        return value

    def file(self, key: str) -> Path | None:
        text = self.text(key)
        return None if text is None else self._path.parent / Path(text).expanduser()

    def needed(self, key: str) -> str:
        text = self.text(key)
        if text is None:
            raise self.error(f"'{key}' is missing")
        return text

    def secret(self, key: str) -> str | None:
        """``key``, or the first line of the file that ``key_file`` names."""
        value, file = self._values.pop(key, None), self.file(f"{key}_file")
        if value is not None and file is not None:
            raise self.error(f"give '{key}' or '{key}_file', not both")
        if file is not None:
            return first_line(file)
        if value is not None and not isinstance(value, str):
            raise self.error(f"'{key}' is a string")  # Its value is nobody's business.
        return value

    def tables(self, key: str) -> list[_Table]:
        values = self._values.pop(key, [])
        if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
            raise self.error(f"write each {key} as a table of its own: [[{key}]]")
        return [
            _Table(self._path, f", {key} {number}", value)
            for number, value in enumerate(values, 1)
        ]

    def rest(self) -> dict[str, Any]:
        values, self._values = self._values, {}
        return values

    def finish(self) -> None:
        for key in self._values:
            raise self.error(f"nothing here reads '{key}': mend its name or remove it")


def _service(table: _Table) -> ServiceConfig:
    directory = table.file("store")
    tables = table.tables("provider")
    table.finish()
    providers = tuple(_provider(each, directory) for each in tables)
    if not providers:
        raise table.error("no provider is configured: add a [[provider]] table")
    return ServiceConfig(providers, directory)


def _provider(table: _Table, store: Path | None) -> ProviderConfig:
    provider_type = table.needed("provider_type")
    name = table.text("name") or provider_type.lower()
    read = _READERS.get(provider_type)
    if read is None:
        return OtherConfig(provider_type, name, table.rest())
    config = read(table, name, store)
    table.finish()
    return config


def _software(table: _Table, name: str, store: Path | None) -> ProviderConfig:
    directory = table.file("directory") or store
    if directory is None:
        raise table.error("say where keys are kept: add 'store' at the top of the file")
    passphrase = table.secret("passphrase")
    encoded = None if passphrase is None else passphrase.encode()
    return SoftwareConfig(directory, encoded, name)


def _tpm(table: _Table, name: str, store: Path | None) -> ProviderConfig:
    auth = table.secret("owner_hierarchy_auth") or ""
    protect_bus = table.flag("protect_bus")
    return TpmConfig(table.needed("tcti"), auth.encode(), name, protect_bus)


def _pkcs11(table: _Table, name: str, store: Path | None) -> ProviderConfig:
    library = table.file("library_path")
    if library is None:
        raise table.error("'library_path' is missing: the PKCS#11 module's file")
    return Pkcs11Config(
        library,
        table.text("token_label"),
        table.text("serial_number"),
        table.number("slot_number"),
        table.secret("user_pin"),
        name,
    )


_READERS: Final[dict[str, Callable[[_Table, str, Path | None], ProviderConfig]]] = {
    "Software": _software,
    "Tpm": _tpm,
    "Pkcs11": _pkcs11,
}
