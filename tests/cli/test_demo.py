"""The demo where something is missing, fails or is interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_DEMO = (sys.executable, "-m", "parsec_keys", "demo")
_SECONDS = 20.0


def demo(
    *arguments: str, path: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the demo with the programs of one folder only."""
    return subprocess.run(
        [*_DEMO, *arguments],
        capture_output=True,
        text=True,
        env={**_clean(), "PATH": str(path), **(environment or {})},
        check=False,
    )


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with openssl and no emulator."""
    folder = tmp_path / "bin"
    folder.mkdir()
    openssl = shutil.which("openssl")
    assert openssl is not None
    (folder / "openssl").symlink_to(openssl)
    return folder


def test_what_is_not_installed_is_left_out(programs: Path) -> None:
    done = demo(path=programs)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("✓") == 14
    assert done.stdout.count("left out") == 2
    assert "apt install swtpm" in done.stderr
    assert "apt install softhsm2" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (("--require", "software,tpm"), {}),
        (("--only", "tpm"), {}),
        ((), {"PARSEC_KEYS_WANT": "tpm"}),
    ],
)
def test_what_is_required_and_not_installed_fails(
    programs: Path, arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    done = demo(*arguments, path=programs, environment=environment)

    assert done.returncode == 1
    assert "apt install swtpm" in done.stderr
    assert "Next" not in done.stderr


def test_a_verifier_that_refuses_fails_the_demo(programs: Path) -> None:
    (programs / "openssl").unlink()
    (programs / "openssl").write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    (programs / "openssl").chmod(0o755)

    done = demo("--only", "software", path=programs)

    assert done.returncode == 1
    assert done.stdout.count("✗") == 2
    assert "software: RSA-2048, CSR: openssl refuses it: no" in done.stderr
    assert "software: P-256, CSR: openssl refuses it: no" in done.stderr


def test_only_providers_can_be_required(programs: Path) -> None:
    done = demo("--require", "software,hsm", path=programs)

    assert (done.returncode, done.stdout) == (2, "")
    assert "hsm" in done.stderr


def _hear_sigint() -> None:
    """Whatever a shell that put us in the background made of it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [*_DEMO, "--only", "tpm"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**_clean(), "TMPDIR": str(tmp_path)},
        preexec_fn=_hear_sigint,
    ) as process:
        _wait_for_file(tmp_path, process)
        process.send_signal(number)
        _, err = process.communicate(timeout=_SECONDS)

    # A fast machine may be through already.
    # Before its handlers are there, or after, the signal itself ends it.
    assert process.returncode in (0, 128 + number, -number)
    assert b"Traceback" not in err
    assert list(tmp_path.glob("parsec-keys-demo-*")) == []
    deadline = time.monotonic() + _SECONDS
    while (left := _commands_that_name(tmp_path)) and time.monotonic() < deadline:
        pass  # The kernel ends what was only starting.
    assert left == []


def test_without_pyjwt_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: name != 'jwt' and find(name) or None\n"
        "from parsec_keys.cli import main\nsys.exit(main(['demo']))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=_clean(),
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("run pip install parsec-keys[demo]\n")


def _clean() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("PARSEC_KEYS_")}


def _wait_for_file(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a program keeps something below a folder, which its TPM does."""
    deadline = time.monotonic() + _SECONDS
    while not any(folder.glob("*/*")):
        assert process.poll() is None
        assert time.monotonic() < deadline


def _commands_that_name(folder: Path) -> list[bytes]:
    """The command lines of all processes that have a folder's path in them."""
    commands = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = file.read_bytes()
        except OSError:  # It ended while we looked.
            continue
        if os.fsencode(folder) in command:
            commands.append(command)
    return commands
