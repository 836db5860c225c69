"""Every example in README and docs runs, in the order in which it stands there."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.emulators import Swtpm
from tests.daemon import answers_ping, wait_until
from tests.service.adoption.old_service import make_database
from tests.tls import handshakes

ROOT = Path(__file__).parent.parent
TLS_PAGE = ROOT / "docs" / "tls.md"
PAGES = [ROOT / "README.md", *sorted({*(ROOT / "docs").glob("*.md")} - {TLS_PAGE})]
_BLOCK = re.compile(r"^```(python|sh|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_HERE = ("pip ", "./dev ", "sudo ", "apt")
"""Set-up that ``.ci/run`` and the fresh-machine check run, not this test."""
_AS_PARSEC = "sudo -u parsec "
"""Before what the daemon's user runs, who is this test's."""
_MACHINE = re.compile(r"/(?:etc|run|var/lib)/parsec\b")
"""The folders of a daemon, which are in the test's own folder here."""
_OLD_KEY_INFO = "/var/lib/parsec/kim-mappings/sqlite/sqlite-key-info-manager.sqlite3"


def examples(page: Path, language: str) -> list[str]:
    return [code for kind, code in _BLOCK.findall(page.read_text()) if kind == language]


def certificate_and_reference(key: handshakes.Key, folder: Path) -> None:
    """What the reader has, under the names in the README."""
    made = handshakes.files(key, folder)
    (made / "cert.pem").rename(folder / "device.pem")
    (made / "key.pem").rename(folder / "device.key")


def here(text: str, folder: Path) -> str:
    """The same with the daemon's folders below a folder."""
    return _MACHINE.sub(lambda found: str(folder / found[0][1:]), text)


@pytest.fixture
def surroundings(
    tmp_path: Path, page: Path, request: pytest.FixtureRequest
) -> dict[str, str]:
    (tmp_path / "message.txt").write_text("a message")
    url = f"software:{tmp_path}/data/parsec-keys/software"
    with parsec_keys.open_store(url) as store:
        certificate_and_reference(store.generate_ec("hidden", ec.SECP256R1()), tmp_path)
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")}
    environment["PATH"] = f"{binaries}{os.pathsep}{environment['PATH']}"
    environment.pop("PARSEC_KEYS_STORE", None)
    if page.name == "daemon.md":
        endpoint = request.getfixturevalue("daemon")
        environment["PARSEC_SERVICE_ENDPOINT"] = f"unix:{endpoint}"
    return environment


@pytest.fixture
def daemon(tmp_path: Path, page: Path) -> Iterator[Path]:
    """The daemon of the page's own configuration, in the place of a Rust service."""
    config = tmp_path / "etc" / "parsec" / "config.toml"
    endpoint = tmp_path / "run" / "parsec" / "parsec.sock"
    for folder in (config.parent, endpoint.parent):
        folder.mkdir(parents=True)
    (written,) = examples(page, "toml")
    core = "[core_settings]\n"
    config.write_text(
        here(written, tmp_path).replace(core, f"{core}allow_root = true\n")
    )
    make_database(Path(here(_OLD_KEY_INFO, tmp_path)))
    process = subprocess.Popen(
        [sys.executable, "-m", "parsec_keys", "serve", "-c", str(config)]
    )
    try:
        wait_until(lambda: process.poll() is not None or answers_ping(endpoint))
        yield endpoint
    finally:
        process.terminate()
        assert process.wait() == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_run(
    page: Path, tmp_path: Path, surroundings: dict[str, str]
) -> None:
    for code in examples(page, "python"):
        command = [sys.executable, "-W", "error", "-c", code]
        succeeds(command, tmp_path, surroundings)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_shell_examples_run(
    page: Path, tmp_path: Path, surroundings: dict[str, str]
) -> None:
    for code in examples(page, "sh"):
        for line in code.splitlines():
            command = line.removeprefix(_AS_PARSEC)
            if not line.strip() or command.startswith(_NOT_HERE):
                continue
            words = shlex.split(here(command, tmp_path), comments=True)
            succeeds(words, tmp_path, surroundings)


@pytest.mark.parametrize("page", [TLS_PAGE], ids=lambda page: page.name)
def test_the_tls_page_works_from_top_to_bottom(
    page: Path, tmp_path: Path, surroundings: dict[str, str], swtpm: Swtpm
) -> None:
    """With an emulator for its TPM, and free ports for those of its servers."""
    text = page.read_text()
    for port in {*re.findall(r"\b8\d{3}\b", text)}:
        text = text.replace(port, str(free_port()))
    text = text.replace("tpm:device:/dev/tpmrm0", f"tpm:{swtpm.tcti}?store={tmp_path}")
    with contextlib.ExitStack() as servers:
        for kind, code in _BLOCK.findall(text):
            if kind == "python":
                # Twisted itself calls what pyOpenSSL and Twisted have deprecated.
                filters = ["-W", "error"]
                filters += ["-W", "ignore::DeprecationWarning"] * ("twisted" in code)
                command = [sys.executable, *filters, "-c", code]
                succeeds(command, tmp_path, surroundings)
                continue
            for line in code.splitlines():
                command = shlex.split(line)
                if command[0] == "export":
                    name, _, surroundings[name] = command[1].partition("=")
                elif command[-1] == "&":
                    started = serving(command[:-1], tmp_path, surroundings)
                    servers.enter_context(started)
                else:
                    succeeds(command, tmp_path, surroundings)


def succeeds(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"


@contextlib.contextmanager
def serving(
    command: list[str], folder: Path, environment: dict[str, str]
) -> Iterator[None]:
    """A server that runs, from when the port in its command is answered at."""
    (port,) = re.findall(r"\b\d{5}\b", shlex.join(command))
    log = folder / f"{port}.log"
    with (
        log.open("w") as said,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=said, stderr=said
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 30
            while not answers(int(port)):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_readme_has_examples_to_run() -> None:
    readme = ROOT / "README.md"

    assert examples(readme, "python")
    assert any("parsec-keys" in code for code in examples(readme, "sh"))
