"""``parsec-keys doctor``: what it says of what is there, and that it harms nothing."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives.asymmetric import ec

from parsec_keys.emulators import PIN, SoftHsm
from parsec_keys.service.key_info.sqlite import FILE_NAME
from tests.conftest import TOKENS, open_or_miss

SERVICE = """
[core_settings]
allow_root = true
[listener]
listener_type = "DomainSocket"
timeout = 1000
socket_path = "{folder}/parsec.sock"
[authenticator]
auth_type = "UnixPeerCredentials"
[[key_manager]]
name = "manager"
manager_type = "SQLite"
sqlite_db_path = "{folder}/info.sqlite3"
[[provider]]
provider_type = "Software"
key_info_manager = "manager"
"""


def doctor(
    *arguments: str, status: int = 0, variables: Mapping[str, str] = {}
) -> tuple[list[dict[str, str]], str]:
    """What ``doctor --json`` finds, and what it says on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "parsec_keys", *arguments, "doctor", "--json"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert PIN not in done.stdout + done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found, done.stderr


def rows(found: list[dict[str, str]], what: str) -> list[dict[str, str]]:
    return [each for each in found if each["what"] == what]


def files_of(folder: Path) -> dict[Path, bytes]:
    """Everything in a folder, with what is in each file."""
    return {p: p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


def test_a_new_store_answers_and_is_not_made(
    provider: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    url = new_url(provider)
    folder = Path(url.rpartition("store=" if provider != "software" else ":")[2])
    token = {"XDG_DATA_HOME": str(tmp_path)}

    found, said = doctor("--store", url, variables=token)

    (store,) = rows(found, "store")
    assert (store["state"], said) == ("works", "")
    assert "has no keys yet" in store["found"]
    assert files_of(folder) == files_of(tmp_path) == {}


def test_a_store_with_a_key(provider: str, new_url: Callable[[str], str]) -> None:
    url = new_url(provider)
    with open_or_miss(provider, url) as opened:
        opened.generate_ec("key", ec.SECP256R1())
        canonical = opened.url

    (store,) = rows(doctor("--store", url)[0], "store")

    assert store == {
        "what": "store",
        "name": canonical,
        "state": "works",
        "found": f"1 key; providers: {provider}",
    }


def test_the_default_store_is_made_at_first_use(tmp_path: Path) -> None:
    variables = {"PARSEC_KEYS_STORE": "", "XDG_DATA_HOME": str(tmp_path / "data")}

    (store,) = rows(doctor(variables=variables)[0], "store")

    assert store["name"] == f"software:{tmp_path}/data/parsec-keys/software"
    assert not (tmp_path / "data").exists()


def test_libcryptos_and_libraries(tmp_path: Path) -> None:
    found, _ = doctor("--store", f"software:{tmp_path}")

    libcryptos = rows(found, "libcrypto")
    assert {each["state"] for each in libcryptos} == {"works"}
    versions = {each["found"].partition(":")[0] for each in libcryptos}
    assert versions == {ssl.OPENSSL_VERSION, backend.openssl_version_text()}
    providers = {each["name"]: each["state"] for each in rows(found, "provider")}
    assert {name: providers[name] for name in ("software", "tpm", "pkcs11")} == (
        dict.fromkeys(("software", "tpm", "pkcs11"), "works")
    )


def test_a_missing_library_and_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "tpm2_pytss.py").write_text("raise ImportError('libtss2-esys.so.0')")

    found, _ = doctor(
        "--store", f"software:{tmp_path}", variables={"PYTHONPATH": str(tmp_path)}
    )

    (tpm,) = [each for each in rows(found, "provider") if each["name"] == "tpm"]
    assert tpm["state"] == "absent"
    assert "pip install parsec-keys[tpm]" in tpm["found"]


def test_tokens_are_listed_without_a_pin(softhsm: SoftHsm, tmp_path: Path) -> None:
    tokens = softhsm.configuration.parent / "tokens"
    before = files_of(tokens)

    found, _ = doctor("--store", f"software:{tmp_path}")

    (module,) = [
        each for each in rows(found, "PKCS#11") if each["name"] == str(softhsm.module)
    ]
    assert module["state"] == "works"
    listed = module["found"].removeprefix("tokens: ").split(", ")
    assert set(TOKENS) <= set(listed)
    assert files_of(tokens) == before


def test_devices_are_looked_at(tmp_path: Path) -> None:
    devices = rows(doctor("--store", f"software:{tmp_path}")[0], "TPM")

    assert [each["name"] for each in devices] == ["/dev/tpmrm0", "/dev/tpm0"]
    for each in devices:
        there = Path(each["name"]).exists()
        assert (each["state"] == "absent") == (not there)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Path]:
    """The socket of a Parsec service."""
    (tmp_path / "config.toml").write_text(SERVICE.format(folder=tmp_path))
    command = [sys.executable, "-m", "parsec_keys", "serve", "-c", "config.toml"]
    with subprocess.Popen(command, cwd=tmp_path) as process:
        socket, deadline = tmp_path / "parsec.sock", time.monotonic() + 20
        try:
            while not socket.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield socket
        finally:
            process.terminate()


def test_a_parsec_service_answers(service: Path, tmp_path: Path) -> None:
    endpoint = {"PARSEC_SERVICE_ENDPOINT": f"unix:{service}"}

    found, _ = doctor("--store", f"unix:{service}", variables=endpoint)

    assert rows(found, "Parsec service") == [
        {
            "what": "Parsec service",
            "name": str(service),
            "state": "works",
            "found": "answers with version 1.0 of the wire protocol",
        }
    ]
    assert rows(found, "store")[0]["found"].startswith("0 keys; providers: software")


@pytest.mark.parametrize(
    ("endpoint", "state"),
    [("unix:/absent/parsec.sock", "absent"), ("http://x", "fails")],
)
def test_no_parsec_service(tmp_path: Path, endpoint: str, state: str) -> None:
    found, _ = doctor(
        "--store",
        f"software:{tmp_path}",
        variables={"PARSEC_SERVICE_ENDPOINT": endpoint},
    )

    assert rows(found, "Parsec service")[0]["state"] == state


def broken(kind: str, tmp_path: Path, softhsm: SoftHsm) -> str:
    """The URL of a store that does not work."""
    if kind == "PIN":
        return softhsm.url("without", tmp_path, pin="97531")
    if kind == "key info":
        (tmp_path / FILE_NAME).write_text("this is no database" * 100)
        return f"software:{tmp_path}"
    (tmp_path / "file").touch()
    return {
        "URL": "nonsense:",
        "TPM": f"tpm:swtpm:port=1?store={tmp_path}",
        "module": f"pkcs11:token=x?module-path={tmp_path}/absent.so",
        "folder": f"software:{tmp_path}/file/store",
        "socket": f"unix:{tmp_path}/absent",
    }[kind]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("URL", "'nonsense:' is no store"),
        ("TPM", "swtpm"),
        ("module", "absent.so"),
        ("PIN", "PIN"),
        ("folder", "cannot be made"),
        ("key info", FILE_NAME),
        ("socket", "absent"),
    ],
)
def test_a_store_that_does_not_work(
    tmp_path: Path, softhsm: SoftHsm, kind: str, words: str
) -> None:
    found, said = doctor("--store", broken(kind, tmp_path, softhsm), status=1)

    (store,) = rows(found, "store")
    assert store["state"] == "fails"
    assert words in store["found"]
    assert said == f"parsec-keys: {store['found']}\n"
    assert "97531" not in said


def test_the_table_has_a_line_for_each(tmp_path: Path) -> None:
    url = f"software:{tmp_path}"
    found: list[dict[str, Any]] = doctor("--store", url)[0]

    done = subprocess.run(
        [sys.executable, "-m", "parsec_keys", "--store", url, "doctor"],
        capture_output=True,
        text=True,
        check=True,
    )

    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert lines == [[*each.values()] for each in found]
