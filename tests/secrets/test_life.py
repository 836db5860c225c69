"""Nothing that a store says, writes or leaves has a secret in it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from parsec_keys.service.key_info.sqlite import FILE_NAME
from parsec_keys.service.providers.tpm._key_id import decode_key_id
from tests.daemon import Daemon
from tests.secrets.facilities import Facility, unit_environment
from tests.secrets.forms import (
    Forms,
    forms_of_octets,
    found_in,
    found_in_files,
    found_in_memory,
)


class Life:
    """A process that lives a store's life, and all that it said."""

    def __init__(self, *arguments: str, environment: dict[str, str]) -> None:
        self.said = b""
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.secrets.life", *arguments],
            cwd=Path(__file__).parents[2],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def wait_for(self, mark: str) -> None:
        """Wait until it says a mark, if it has not said it already."""
        assert self.process.stdout is not None
        while not self.said.endswith(f"\n{mark}\n".encode()):
            line = self.process.stdout.readline()
            assert line, self.said.decode()[-5000:]
            self.said += line

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.said += self.process.communicate()[0]
        assert self.process.returncode == 0, self.said.decode()[-5000:]

    def __enter__(self) -> Life:
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.kill()
        self.process.communicate()


def seen_by_others(process: int) -> bytes:
    """The command lines and environments of a process and those that it started."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    seen = b""
    for each in (process, *children):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(PermissionError):  # Nor do others see it.
                seen += Path(f"/proc/{each}/{name}").read_bytes()
    return seen


def live(facility: Facility, life: Life, forms: Forms) -> None:
    """Live a store's life, and look for secrets wherever others see it."""
    life.wait_for("open")
    assert found_in(seen_by_others(life.process.pid), forms) == set()
    assert found_in_files(facility.folder / "store", forms) == {}
    forms = forms | auth_values(facility)
    life.go_on()
    life.wait_for("lost")
    facility.lose()
    life.go_on()
    life.wait_for("found")
    facility.find()
    life.go_on()
    life.wait_for("closed")
    assert found_in(life.said, forms) == set()
    for words in (b"DEBUG:root:here is what it logs", b"KeyNotFound", b"PsaImportKey"):
        assert words in life.said


def auth_values(facility: Facility) -> Forms:
    """The auth values of the keys of a TPM, which their records have."""
    forms: Forms = {}
    for file in facility.folder.rglob(FILE_NAME):
        with contextlib.closing(sqlite3.connect(file)) as database:
            rows = database.execute(
                "SELECT key_name, key_id FROM key_record WHERE provider = 'tpm'"
            ).fetchall()
        for name, key_id in rows:
            key = decode_key_id(key_id)
            forms |= {f"{name}, {n}": f for n, f in forms_of_octets(key.auth).items()}
    return forms


def test_an_embedded_store(facility: Facility, keys: tuple[list[str], Forms]) -> None:
    files, forms = keys
    arguments = (facility.url, facility.wrong, *files)
    with Life(*arguments, environment=facility.environment) as life:
        live(facility, life, facility.secret | forms)
        life.go_on()
        life.end()


def test_the_memory_of_an_embedded_store(
    facility: Facility, keys: tuple[list[str], Forms]
) -> None:
    """Nobody keeps a secret of a closed store, and it takes no collection of garbage.

    With freed memory overwritten: copies that libraries have freed are there for a
    while.
    """
    secret = facility.secret
    environment = {**facility.environment, **unit_environment(), "FRUGAL": "1"}
    arguments = (facility.url, facility.wrong, *keys[0])
    with Life(*arguments, environment=environment) as life:
        life.wait_for("open")
        assert "right, octets" in found_in_memory(life.process.pid, secret)

        live(facility, life, secret)

        assert found_in_memory(life.process.pid, secret) == set()
        life.go_on()
        life.end()


def test_a_daemon_and_its_client(
    facility: Facility, keys: tuple[list[str], Forms], tmp_path: Path
) -> None:
    files, forms = keys
    forms = facility.secret | forms
    core = "log_level = 'trace'\nlog_error_details = true"
    folder = tmp_path / "store"
    folder.mkdir()
    daemon = Daemon(folder, facility.table, core=core, environment=facility.environment)
    with (
        daemon,
        Life(daemon.url, f"unix:{folder}/none", *files, environment={}) as life,
    ):
        live(facility, life, forms)
        life.go_on()
        life.end()

        assert found_in(seen_by_others(daemon.process.pid), forms) == set()
    assert found_in_files(folder, forms) == {}
    assert "PSA_GENERATE_KEY: a key named 'ec' exists already" in daemon.words()
