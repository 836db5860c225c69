"""Nothing that a store says, writes or leaves has a secret in it."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from parsec_keys.emulators import SoftHsm, Swtpm
from parsec_keys.service.key_info_sqlite import FILE_NAME
from parsec_keys.service.providers.tpm import _tss
from parsec_keys.service.providers.tpm._key_id import decode_key_id
from tests.daemon import Daemon
from tests.secrets.forms import (
    forms_of_key,
    forms_of_octets,
    found_in,
    found_in_files,
    found_in_memory,
)

Forms = dict[str, bytes]


def _nothing() -> None:
    pass


@dataclass
class Facility:
    """What a provider needs to open, and what it does not like."""

    url: str
    """With the file of the secret, not the secret."""
    wrong: str
    table: str
    """The daemon's."""
    folder: Path
    secret: Forms
    lose: Callable[[], object] = _nothing
    find: Callable[[], object] = _nothing
    environment: dict[str, str] = field(default_factory=dict)


def _secret(folder: Path, name: str) -> tuple[Path, Forms]:
    """A file with an unmistakable secret, which a daemon's file names too."""
    octets = secrets.token_hex(16).encode()
    (folder / name).write_bytes(octets + b"\n")
    forms = forms_of_octets(octets)
    return folder / name, {f"{name}, {form}": text for form, text in forms.items()}


def _software(folder: Path) -> Iterator[Facility]:
    right, forms = _secret(folder, "right")
    store = f"software:{folder / 'store'}"
    table = f'[[provider]]\nprovider_type = "Software"\npassphrase_file = "{right}"\n'
    yield Facility(
        f"{store}?passphrase-file={right}",
        f"{store}?passphrase-file={folder / 'absent'}",
        *(table, folder, forms),
    )


def _tpm(folder: Path) -> Iterator[Facility]:
    right, forms = _secret(folder, "right")
    wrong, wrong_forms = _secret(folder, "wrong")
    with Swtpm(folder / "swtpm") as swtpm:
        esapi = _tss.ESAPI(swtpm.tcti)
        auth = right.read_bytes().rstrip()
        esapi.hierarchy_change_auth(_tss.ESYS_TR.OWNER, auth)
        esapi.close()
        store = f"tpm:{swtpm.tcti}?store={folder / 'store'}&owner-auth-file="
        table = (
            f'[[provider]]\nprovider_type = "Tpm"\ntcti = "{swtpm.tcti}"\n'
            f'owner_hierarchy_auth_file = "{right}"\n'
        )
        yield Facility(
            f"{store}{right}",
            f"{store}{wrong}",
            *(table, folder, forms | wrong_forms),
            swtpm.stop,
            swtpm.start,
        )


def _pkcs11(folder: Path) -> Iterator[Facility]:
    right, forms = _secret(folder, "right")
    wrong, wrong_forms = _secret(folder, "wrong")
    softhsm = SoftHsm(folder / "softhsm", for_this_process=False)
    softhsm.add_token("token", right.read_text().rstrip())
    tokens = folder / "softhsm" / "tokens"
    drawer = folder / "drawer"
    module = f"module-path={softhsm.module}&store={folder / 'store'}"
    table = (
        '[[provider]]\nprovider_type = "Pkcs11"\ntoken_label = "token"\n'
        f"library_path = '{softhsm.module}'\nuser_pin_file = \"{right}\"\n"
    )

    def lose() -> None:
        tokens.rename(drawer)
        tokens.mkdir()

    def find() -> None:
        tokens.rmdir()
        drawer.rename(tokens)

    yield Facility(
        f"pkcs11:token=token?{module}&pin-source={right}",
        f"pkcs11:token=token?{module}&pin-source={wrong}",
        *(table, folder, forms | wrong_forms),
        *(lose, find, softhsm.environment),
    )


FACILITIES = {"software": _software, "tpm": _tpm, "pkcs11": _pkcs11}
EMULATORS = {"tpm": "swtpm", "pkcs11": "softhsm"}


@pytest.fixture
def facility(
    provider: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Facility]:
    if provider in EMULATORS:
        request.getfixturevalue(EMULATORS[provider])  # Or say that it is missing.
    yield from FACILITIES[provider](tmp_path)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Forms]:
    """The files of keys to import, and the forms of them."""
    folder = tmp_path_factory.mktemp("keys")
    forms: Forms = {}
    for name, key in {
        "imported-rsa": rsa.generate_private_key(65537, 2048),
        "imported-ec": ec.generate_private_key(ec.SECP256R1()),
    }.items():
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (folder / f"{name}.pem").write_bytes(pem)
        forms |= {f"{name}: {form}": text for form, text in forms_of_key(key).items()}
    return [str(each) for each in folder.iterdir()], forms


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
    secret = facility.secret
    arguments = (facility.url, facility.wrong, *files)
    with Life(*arguments, environment=facility.environment) as life:
        life.wait_for("open")
        assert "right, octets" in found_in_memory(life.process.pid, secret)

        live(facility, life, secret | forms)

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
