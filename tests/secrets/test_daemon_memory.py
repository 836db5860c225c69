"""The daemon's memory: what is in it, and who can read it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import parsec_keys
from parsec_keys.emulators import SoftHsm, Swtpm
from tests.daemon import SOFTWARE, Daemon, pkcs11_table, tpm_table, wait_until
from tests.secrets.facilities import unit_environment
from tests.secrets.forms import PrivateKey, forms_of_key, found_in_memory

CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")
READ = """
import sys
with open(f"/proc/{sys.argv[1]}/maps") as maps:
    start = int(maps.readline().partition("-")[0], 16)
with open(f"/proc/{sys.argv[1]}/mem", "rb", buffering=0) as memory:
    memory.seek(start)
    memory.read(16)
"""


@pytest.fixture(scope="module")
def key() -> Callable[[str], PrivateKey]:
    """A function that makes a key to import."""

    def make(kind: str) -> PrivateKey:
        if kind == "RSA":
            return rsa.generate_private_key(65537, 2048)
        return ec.generate_private_key(ec.SECP256R1())

    return make


@pytest.fixture(scope="module")
def daemon(
    provider: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Daemon]:
    """A daemon as the unit runs it, with one provider."""
    if os.geteuid() != 0:
        pytest.skip("only root can read the daemon's memory")
    table = SOFTWARE
    if provider == "tpm":
        swtpm: Swtpm = request.getfixturevalue("swtpm")
        table = tpm_table(swtpm.tcti)
    elif provider == "pkcs11":
        softhsm: SoftHsm = request.getfixturevalue("softhsm")
        table = pkcs11_table("shared", softhsm.module)
    folder = tmp_path_factory.mktemp("daemon")
    with Daemon(folder, table, environment=unit_environment()) as running:
        yield running


@pytest.mark.parametrize("kind", ["RSA", "EC"])
def test_a_key_that_comes_in_leaves_nothing_in_memory(
    provider: str, daemon: Daemon, key: Callable[[str], PrivateKey], kind: str
) -> None:
    """But in the software provider, which has its keys there: that shows the search."""
    imported = key(kind)
    forms = forms_of_key(imported)

    def found() -> set[str]:
        return found_in_memory(daemon.process.pid, forms)

    with parsec_keys.open_store(daemon.url) as store:
        store.import_key(kind, imported)
        if provider == "software":
            assert "d, reversed" in found()
        else:
            wait_until(lambda: not found())  # A worker may be about to let it go.

        store.delete(kind)
        wait_until(lambda: not found())


def as_another_process() -> tuple[str, ...]:
    """A prefix that takes from root what only root may: other users have nothing."""
    if os.geteuid() != 0:
        return ()
    return ("setpriv", "--bounding-set", "-sys_ptrace")


def reads_memory(process: int) -> bool:
    """Whether another process of the same user can read a process's memory."""
    done = subprocess.run(
        [*as_another_process(), sys.executable, "-c", READ, str(process)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or "PermissionError" in done.stderr, done.stderr
    return done.returncode == 0


def test_nobody_of_the_same_user_reads_it(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    with contextlib.ExitStack() as running:
        ordinary = subprocess.Popen([*as_another_process(), "sleep", "inf"])
        running.enter_context(ordinary)
        running.callback(ordinary.kill)
        daemon.start(*as_another_process())
        running.push(daemon.__exit__)

        assert reads_memory(ordinary.pid)
        assert not reads_memory(daemon.process.pid)


def ended_by(process: subprocess.Popen[bytes], number: signal.Signals) -> bool:
    """Whether a process left a core dump when a signal ended it."""
    process.send_signal(number)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == -number
    return os.WCOREDUMP(status)


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
def test_it_leaves_no_core_dump(tmp_path: Path, number: signal.Signals) -> None:
    unlimited = ("sh", "-c", 'ulimit -c unlimited && cd "$0" && exec "$@"')
    if not CORE_PATTERN.read_text().startswith("|"):
        ordinary = subprocess.Popen([*unlimited, str(tmp_path), "sleep", "inf"])
        wait_until(lambda: name_of(ordinary.pid) == b"sleep")
        assert ended_by(ordinary, number)
    daemon = Daemon(tmp_path)
    before = set(tmp_path.iterdir())
    daemon.start(*unlimited, str(tmp_path))
    with contextlib.suppress(PermissionError):  # It is not the limit alone.
        unbound = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_CORE, unbound)

    assert not ended_by(daemon.process, number)

    assert not [path for path in set(tmp_path.iterdir()) - before if is_core(path)]


def is_core(path: Path) -> bool:
    return path.name.startswith("core")


def name_of(process: int) -> bytes:
    return Path(f"/proc/{process}/comm").read_bytes().rstrip()
