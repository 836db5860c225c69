"""A TPM behind tpm2-abrmd, which gives every connection a TPM of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from parsec_keys.emulators import Swtpm
from parsec_keys.errors import ServiceUnavailable
from parsec_keys.service.config import TpmConfig
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers.tpm import TpmProvider, _outside
from tests.forks import inside
from tests.service.providers.abrmd import Abrmd, Bus, missing_programs
from tests.service.providers.children import in_a_child, in_the_parent
from tests.service.providers.relay import Command, Harm, Relay
from tests.service.providers.tpm_keys import (
    ec_attributes,
    generated,
    handles,
    rsa_attributes,
    sign_all,
    signs,
    verify_all,
)
from tests.want import missing


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    absent = missing_programs()
    if absent:
        missing("tpm", f"run apt install tpm2-abrmd dbus: there is no {absent}")
    with Bus(tmp_path_factory.mktemp("bus")) as opened:
        yield opened


@pytest.fixture
def abrmd(swtpm: Swtpm, bus: Bus) -> Iterator[Abrmd]:
    with Abrmd(swtpm, bus) as opened:
        yield opened


@pytest.fixture
def tpm(abrmd: Abrmd) -> Iterator[TpmProvider]:
    opened = TpmProvider.open(TpmConfig(abrmd.tcti))
    yield opened
    opened.close()


@pytest.fixture
def keys(tpm: TpmProvider) -> list[KeyRecord]:
    """More keys than the TPM has slots."""
    keys = [generated(tpm, ec_attributes(256)) for _ in range(6)]
    return [*keys, generated(tpm, rsa_attributes(2048))]


def test_many_keys(tpm: TpmProvider, keys: list[KeyRecord]) -> None:
    for key in keys * 3:
        signs(tpm, key)


def test_a_resource_manager_that_restarts(
    tpm: TpmProvider, keys: list[KeyRecord], abrmd: Abrmd, esapi: Any
) -> None:
    for key in keys:
        signs(tpm, key)

    abrmd.stop()
    with pytest.raises(ServiceUnavailable, match="check"):
        signs(tpm, keys[0])
    abrmd.start()

    for key in keys:
        signs(tpm, key)
    tpm.close()
    abrmd.stop()
    assert handles(esapi) == []


def test_a_tpm_that_restarts_with_its_manager(
    tpm: TpmProvider, keys: list[KeyRecord], abrmd: Abrmd, swtpm: Swtpm
) -> None:
    for key in keys:
        signs(tpm, key)

    abrmd.stop()
    swtpm.restart()
    abrmd.start()

    for key in keys:
        signs(tpm, key)


def test_children_and_their_parent(
    tpm: TpmProvider, keys: list[KeyRecord], abrmd: Abrmd
) -> None:
    """GLib, which talks to the manager, is of no use in a child."""
    for key in keys:
        signs(tpm, key)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for key in keys:
                signs(tpm, key)
            grandchild = os.fork()
            signs(tpm, keys[0])
            # A store that is opened here is no other matter.
            other = TpmProvider.open(TpmConfig(abrmd.tcti))
            signs(other, generated(other, ec_attributes(256)))
            other.close()
            tpm.close()
            status = 0
            if grandchild:
                status = os.waitpid(grandchild, 0)[1]
        finally:
            os._exit(status)
    for key in keys:
        signs(tpm, key)

    assert os.waitpid(child, 0)[1] == 0
    signs(tpm, keys[0])


def test_a_fork_waits_for_a_command(swtpm: Swtpm, bus: Bus) -> None:
    with Relay(swtpm) as relay, Abrmd(relay, bus) as abrmd:
        tpm = TpmProvider.open(TpmConfig(abrmd.tcti))
        keys = [generated(tpm, ec_attributes(256)) for _ in range(4)]

        def all_sign() -> None:
            for key in keys:
                signs(tpm, key)

        def in_the_child() -> None:
            in_the_parent("go_on")
            all_sign()

        relay.harm(Command.SIGN, Harm.SILENCE)
        with inside(
            lambda: sign_all(tpm, keys),
            lambda: relay.left(Command.SIGN) == 0,
            relay.go_on,
            verify_all,
        ):
            in_a_child(in_the_child, go_on=relay.go_on)
            all_sign()
        tpm.close()


def test_the_program_outside_ends_with_its_user(abrmd: Abrmd) -> None:
    program = subprocess.Popen(
        [sys.executable, _outside.__file__, abrmd.tcti],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    get_random = bytes.fromhex("8001 0000000c 0000017b 0008")
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(get_random)
    program.stdin.flush()
    assert program.stdout.read(12)[6:10] == bytes(4)
    program.stdout.read(8)

    rest = program.communicate()

    assert (program.returncode, *rest) == (0, b"", b"")
