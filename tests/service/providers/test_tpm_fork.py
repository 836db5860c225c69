"""Forks with a TPM open: parent and children sign, whoever is inside a command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from parsec_keys.emulators import Swtpm
from parsec_keys.service.config import TpmConfig
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers.tpm import TpmProvider
from tests.forks import inside
from tests.service.providers.children import in_a_child, in_the_parent
from tests.service.providers.relay import Command, Harm, OneAtATime, Relay
from tests.service.providers.tpm_keys import (
    all_sign,
    ec_attributes,
    generated,
    handles,
    sign_all,
    verify_all,
)


@pytest.fixture(params=[Relay, OneAtATime], ids=["one line", "a line a command"])
def relay(request: pytest.FixtureRequest, swtpm: Swtpm) -> Iterator[Relay]:
    with request.param(swtpm) as opened:
        yield opened


@pytest.fixture
def config(relay: Relay) -> TpmConfig:
    return TpmConfig(relay.tcti)


@pytest.mark.parametrize(
    "command",
    [Command.SIGN, Command.CREATE, Command.LOAD, Command.CONTEXT_LOAD],
    ids=lambda command: str(command.name),
)
def test_a_fork_waits_for_a_command(
    tpm: TpmProvider,
    keys: list[KeyRecord],
    relay: Relay,
    esapi: Any,
    command: Command,
) -> None:
    """Else the child holds its parent's line, and an emulator serves no other."""
    all_sign(tpm, keys)
    relay.harm(command, Harm.SILENCE)

    def in_the_child() -> None:
        in_the_parent("go_on")
        all_sign(tpm, keys)

    with inside(
        lambda: sign_all(tpm, [*keys, generated(tpm, ec_attributes(256))]),
        lambda: relay.left(command) == 0,
        relay.go_on,
        verify_all,
    ):
        in_a_child(in_the_child, go_on=relay.go_on)
        all_sign(tpm, keys)

    tpm.close()
    assert handles(esapi) == []
