"""TPMs of one's own, for tests that restart them, clear them or look into them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parsec_keys.emulators import Swtpm
from parsec_keys.errors import Error
from parsec_keys.service.config import TpmConfig
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers.tpm import TpmProvider, _tss
from tests.service.providers import tokens
from tests.service.providers.faults import compiled
from tests.service.providers.tokens import Token
from tests.service.providers.tpm_keys import ec_attributes, generated
from tests.want import missing


@pytest.fixture(scope="session")
def new_swtpm(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[], Swtpm]]:
    """A function that starts another swtpm; all are stopped in the end."""
    with contextlib.ExitStack() as started:

        def start() -> Swtpm:
            try:
                emulator = Swtpm(tmp_path_factory.mktemp("swtpm"))
            except Error as e:
                missing("tpm", str(e))
            return started.enter_context(emulator)

        yield start


@pytest.fixture
def swtpm(new_swtpm: Callable[[], Swtpm]) -> Swtpm:
    """A TPM that no other test has touched."""
    return new_swtpm()


@pytest.fixture(params=[False, True], ids=["plain", "protected"])
def config(request: pytest.FixtureRequest, swtpm: Swtpm) -> TpmConfig:
    return TpmConfig(swtpm.tcti, protect_bus=request.param)


@pytest.fixture
def tpm(config: TpmConfig) -> Iterator[TpmProvider]:
    opened = TpmProvider.open(config)
    yield opened
    opened.close()


@pytest.fixture
def keys(tpm: TpmProvider) -> list[KeyRecord]:
    """More keys than there are slots."""
    return [generated(tpm, ec_attributes(256)) for _ in range(4)]


@pytest.fixture
def esapi(swtpm: Swtpm) -> Iterator[Any]:
    """Another program that uses the same TPM."""
    opened = _tss.ESAPI(swtpm.tcti)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def new_token(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Token]]:
    """A function that makes a token of a kind, which no other test has touched."""
    with contextlib.ExitStack() as started:

        def make(kind: str) -> Token:
            try:
                token = tokens.started(kind, tmp_path_factory.mktemp(kind))
                return started.enter_context(token)
            except Error as e:
                missing("pkcs11", str(e))

        yield make


@pytest.fixture(scope="session", params=tokens.KINDS)
def any_token(
    request: pytest.FixtureRequest, new_token: Callable[[str], Token]
) -> tuple[str, Token]:
    """A token of each kind, for tests that leave it as it was."""
    return request.param, new_token(request.param)


@pytest.fixture(scope="session")
def softhsm_token(new_token: Callable[[str], Token]) -> Token:
    """A SoftHSM token for tests that leave it as it was."""
    return new_token("softhsm")


@pytest.fixture(scope="session")
def injector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fault injector, compiled."""
    return compiled(tmp_path_factory.mktemp("injector"))
