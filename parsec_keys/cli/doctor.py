"""The command that says what this machine and this Python have, and what is missing.

Rule: it harms nothing. No PIN is tried but that of the store that it is asked about, no
token is logged in to otherwise, and no store is made that was not there.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click

import parsec_keys
from parsec_keys.cli import tokens
from parsec_keys.cli.output import as_json, rows
from parsec_keys.errors import ConfigurationError, Error, StorageFailure
from parsec_keys.service import user_directory
from parsec_keys.service.config import ServiceConfig, SoftwareConfig
from parsec_keys.service.key_info.sqlite import FILE_NAME
from parsec_keys.stores import STORE_VARIABLE
from parsec_keys.uri import (
    ENDPOINT_VARIABLE,
    EmbeddedStore,
    SocketStore,
    StoreUrl,
    parse_store_url,
)

WORKS: Final = "works"
ABSENT: Final = "absent"
FAILS: Final = "fails"
_DEVICES: Final = (Path("/dev/tpmrm0"), Path("/dev/tpm0"))
_SOCKET_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``found`` says what, or why not and what to do."""

    what: str
    name: str
    state: str
    found: str


@click.command()
@click.option("--json", "json_", is_flag=True, help="Write JSON.")
@click.pass_obj
def doctor(store: str | None, json_: bool) -> None:
    """Say what works here, what is missing, and how to get it.

    Looks at the OpenSSLs of this Python, the providers' libraries, TPMs, PKCS#11
    tokens, a Parsec service, and the store. Exit status 0 if the store works.
    """
    store_findings, error = _store(store)
    findings = [
        *_libcryptos(),
        *_libraries(),
        *_devices(),
        *_tokens(),
        *_service(),
        *store_findings,
    ]
    if json_:
        as_json([asdict(each) for each in findings])
    else:
        titles = ("what", "name", "state", "found")
        rows(titles, [[*asdict(each).values()] for each in findings])
    if error is not None:
        raise error


def _libcryptos() -> Iterator[Finding]:
    from parsec_keys import tls

    try:
        registered = tls.enable()
    except Error as e:
        yield Finding("libcrypto", "all of this process", FAILS, str(e))
        return
    for each in registered:
        found = f"{each.version}: takes key references"
        yield Finding("libcrypto", each.path, WORKS, found)
    if ssl.OPENSSL_VERSION not in {each.version for each in registered}:
        yield Finding(
            "libcrypto",
            "of Python's ssl",
            FAILS,
            f"{ssl.OPENSSL_VERSION} is older than 3.0, or linked into Python itself: "
            "take a Python that uses the system's OpenSSL 3",
        )


def _libraries() -> Iterator[Finding]:
    from parsec_keys.service.providers import registry

    for name, remedy in registry.missing_libraries().items():
        if remedy:
            yield Finding("provider", name, ABSENT, f"needs {remedy}")
        else:
            yield Finding("provider", name, WORKS, "all that it needs is installed")
    for name in registry.shipped_types():
        yield Finding("provider", name, WORKS, "added by another package")


def _devices() -> Iterator[Finding]:
    for path in _DEVICES:
        if not path.exists():
            found = (
                "there is no TPM here: switch it on in the firmware's set-up, or give "
                "the container its device"
            )
            yield Finding("TPM", str(path), ABSENT, found)
        elif os.access(path, os.R_OK | os.W_OK):
            yield Finding(
                "TPM", str(path), WORKS, f"this user may use tpm:device:{path}"
            )
        else:
            found = (
                "this user may not use it: run usermod -aG tss USER with the group "
                "that it has, and log in again"
            )
            yield Finding("TPM", str(path), FAILS, found)


def _tokens() -> Iterator[Finding]:
    from parsec_keys.service.providers import registry

    paths = list(tokens.modules())
    if not paths:
        found = "no module at the usual places: install your token's, or softhsm2"
        yield Finding("PKCS#11", "modules", ABSENT, found)
    for path in paths:
        if remedy := registry.missing_libraries()["pkcs11"]:
            yield Finding("PKCS#11", str(path), ABSENT, f"needs {remedy}")
            continue
        labels = tokens.labels(path)
        if labels is None:
            found = "the module does not answer: see its vendor's set-up"
            yield Finding("PKCS#11", str(path), FAILS, found)
        elif labels:
            found = f"tokens: {', '.join(labels)}"
            yield Finding("PKCS#11", str(path), WORKS, found)
        else:
            yield Finding("PKCS#11", str(path), ABSENT, "no token is initialised")


def _service() -> Iterator[Finding]:
    from parsec_keys._wire import Wire
    from parsec_keys.psa.operations.service import Ping

    try:
        store = parse_store_url("unix:")
        assert isinstance(store, SocketStore)  # noqa: S101
        if not store.socket.exists():
            found = f"no service there; ${ENDPOINT_VARIABLE} names another socket"
            yield Finding("Parsec service", str(store.socket), ABSENT, found)
            return
        major, minor = Wire(store.socket, None, _SOCKET_SECONDS).ask(Ping())
    except Error as e:
        yield Finding("Parsec service", f"${ENDPOINT_VARIABLE}", FAILS, str(e))
    else:
        found = f"answers with version {major}.{minor} of the wire protocol"
        yield Finding("Parsec service", str(store.socket), WORKS, found)


def _store(url: str | None) -> tuple[list[Finding], Error | None]:
    """What there is to say of the store, and why it does not work if so."""
    name = "--store" if url else f"${STORE_VARIABLE}"
    try:
        store = parse_store_url(url or os.environ.get(STORE_VARIABLE))
        name = store.url
        found = _what_is_in(store, url)
    except Error as e:
        return [Finding("store", name, FAILS, str(e))], e
    return [Finding("store", name, WORKS, found)], None


def _what_is_in(store: StoreUrl, url: str | None) -> str:
    """What a store says of itself, if it is there; what it is made of answers.

    Raises:
        Error: it does not work.
    """
    if isinstance(store, EmbeddedStore):
        folder = _key_info_folder(store.config)
        if not (folder / FILE_NAME).exists():
            _check_can_be_made(folder)
            return f"has no keys yet: the first one makes {folder}"
    with parsec_keys.open_store(url) as opened:
        names = ", ".join(each.name for each in opened.providers())
        count = len(opened.keys())
    return f"{count} {'key' if count == 1 else 'keys'}; providers: {names}"


def _key_info_folder(config: ServiceConfig) -> Path:
    """Where a store's key info is, after its providers have answered.

    Raises:
        Error: one does not answer.
    """
    from parsec_keys.service.providers import software
    from parsec_keys.service.providers.registry import open_provider

    names = []
    for each in config.providers:
        if isinstance(each, SoftwareConfig):
            folder = each.directory / software.FOLDER
            if not folder.exists():
                _check_can_be_made(folder)
                names.append(software.SoftwareProvider.store_name)
                continue
        with contextlib.closing(open_provider(each)) as provider:
            names.append(provider.store_name)
    if not names:
        raise ConfigurationError("no provider is configured: name at least one")
    return config.directory or user_directory() / names[0]


def _check_can_be_made(folder: Path) -> None:
    """Pass if a folder is there, or this user can make it.

    Raises:
        StorageFailure: it cannot be made.
    """
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise StorageFailure(
            f"{folder} cannot be made, because {there} is no folder that this user may "
            "write to: choose another one for the store"
        )
