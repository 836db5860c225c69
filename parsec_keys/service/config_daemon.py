"""What a daemon is made of, read from a TOML file in the Rust service's own words."""

from __future__ import annotations

import dataclasses
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parsec_keys.service.config import ServiceConfig
from parsec_keys.service.config_toml import read_service
from parsec_keys.service.toml_table import Table, read_toml

DEFAULT_SOCKET: Final = Path("/run/parsec/parsec.sock")
LOG_LEVELS: Final = {
    "off": logging.CRITICAL + 1,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG,
}
"""The Rust service's words and Python's levels."""
_AUTHENTICATORS: Final = ("UnixPeerCredentials", "Direct", "JwtSvid")


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """Where requests come in; ``timeout`` is in seconds, for a frame to come or go."""

    socket_path: Path
    timeout: float


@dataclass(frozen=True, slots=True)
class AuthenticatorConfig:
    """How applications prove who they are, and which of them are administrators."""

    auth_type: str
    admins: frozenset[str]
    workload_endpoint: str | None


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """Limits in bytes, and what is logged."""

    allow_root: bool
    threads: int
    log_level: str
    log_timestamp: bool
    log_error_details: bool
    body_limit: int
    buffer_size: int


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """A whole daemon."""

    service: ServiceConfig
    listener: ListenerConfig
    authenticator: AuthenticatorConfig
    core: CoreSettings


def read_daemon_config(path: Path) -> DaemonConfig:
    """The configuration in a file; relative paths in it start at the file's folder.

    Raises:
        ConfigurationError: it cannot be read or understood, with the line; or it says
            what nothing here can do.
    """
    document = read_toml(path)
    core, allow_deprecated = _core(_needed(document, "core_settings"))
    listener = _listener(_needed(document, "listener"))
    authenticator = _authenticator(_needed(document, "authenticator"))
    service = read_service(document)
    document.finish()
    service = dataclasses.replace(service, allow_deprecated=allow_deprecated)
    _check_types(document, service)
    return DaemonConfig(service, listener, authenticator, core)


def read_auth_type(path: Path) -> str:
    """How the applications of a file prove who they are; that of most without one.

    Raises:
        ConfigurationError: it cannot be read or understood, with the line.
    """
    table = read_toml(path).table("authenticator")
    return _AUTHENTICATORS[0] if table is None else _authenticator(table).auth_type


def _needed(document: Table, name: str) -> Table:
    table = document.table(name)
    if table is None:
        raise document.error(f"[{name}] is missing: a daemon needs it")
    return table


def _core(table: Table) -> tuple[CoreSettings, bool]:
    # Accepting does not poll here, so there is no sleep whose length could be set.
    table.number("idle_listener_sleep_duration")
    level = "error"
    if table.has("log_level"):
        level = table.choice("log_level", tuple(LOG_LEVELS))
    settings = CoreSettings(
        allow_root=table.flag("allow_root") or False,
        threads=table.count("thread_pool_size") or max(4, os.cpu_count() or 1),
        log_level=level,
        log_timestamp=table.flag("log_timestamp") or False,
        log_error_details=table.flag("log_error_details") or False,
        body_limit=table.count("body_len_limit") or 1 << 20,
        buffer_size=table.count("buffer_size_limit") or 1 << 20,
    )
    allow_deprecated = table.flag("allow_deprecated") or False
    table.finish()
    return settings, allow_deprecated


def _listener(table: Table) -> ListenerConfig:
    table.choice("listener_type", ("DomainSocket",))
    timeout = table.count("timeout")
    if timeout is None:
        raise table.error("'timeout' is missing: milliseconds, such as 200")
    socket_path = table.file("socket_path") or DEFAULT_SOCKET
    table.finish()
    return ListenerConfig(socket_path, timeout / 1000)


def _authenticator(table: Table) -> AuthenticatorConfig:
    auth_type = table.choice("auth_type", _AUTHENTICATORS)
    admins = set()
    for admin in table.inline("admins"):
        admins.add(admin.needed("name"))
        admin.finish()
    endpoint = table.text("workload_endpoint")
    if auth_type == "JwtSvid" and endpoint is None:
        raise table.error("'workload_endpoint' is missing: JwtSvid needs it")
    if auth_type != "JwtSvid" and endpoint is not None:
        raise table.error(
            f"'workload_endpoint' is for JwtSvid, not for {auth_type}",
            "workload_endpoint",
        )
    table.finish()
    return AuthenticatorConfig(auth_type, frozenset(admins), endpoint)


def _check_types(document: Table, service: ServiceConfig) -> None:
    """The wire has one number for all providers of a type."""
    types = [type(provider) for provider in service.providers]
    if len(types) != len(set(types)):
        raise document.error(
            "two providers are of one type, and Parsec's clients could reach only one "
            "of them: run a daemon for each"
        )
