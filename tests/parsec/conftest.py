"""Our daemon and the Rust service, each with a TPM and a token of its own."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import parsec_keys
from interop._parsec import (
    Hardware,
    Served,
    hardware,
    own_daemon,
    parsec_tool,
    rust_service,
)
from parsec_keys.errors import ServiceUnavailable
from tests.want import missing

Tool = Callable[..., str]
Start = Callable[[Path, Hardware], contextlib.AbstractContextManager[Served]]


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with _served(own_daemon, tmp_path_factory.mktemp("own")) as served:
        yield served


@pytest.fixture(scope="session")
def rust(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with _served(rust_service, tmp_path_factory.mktemp("rust")) as served:
        yield served


@contextlib.contextmanager
def _served(start: Start, folder: Path) -> Iterator[Served]:
    with contextlib.ExitStack() as running:
        try:
            emulators = running.enter_context(hardware(folder))
            served = running.enter_context(start(folder / "service", emulators))
        except ServiceUnavailable as e:
            missing("rust", str(e))
        yield served


@pytest.fixture
def rust_store(rust: Served) -> Iterator[parsec_keys.KeyStore]:
    """Our client on the Rust service, whose keys are gone after the test."""
    with parsec_keys.open_store(rust.url) as store:
        yield store
        for key in store.keys():  # noqa: SIM118
            store.delete(key.name)


@pytest.fixture
def tool(own: Served, provider: str) -> Iterator[Tool]:
    """parsec-tool on a provider of our daemon: what it writes where all is well.

    The keys that a test makes are gone after it.
    """

    def run(*arguments: str) -> str:
        done = parsec_tool(own.socket, *arguments, provider=provider)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    try:
        run("ping")
    except ServiceUnavailable as e:
        missing("rust", str(e))
    yield run
    for name in listed(run):
        run("delete-key", "-k", name)


def listed(tool: Tool) -> dict[str, str]:
    """What ``list-keys`` says of each key."""
    lines = re.findall(r"^\* (\S+) \((.*)\)$", tool("list-keys"), re.MULTILINE)
    return dict(lines)
