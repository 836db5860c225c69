"""Programs with threads and forks on one store, killed and cut off at random.

Not in the whole suite: ``./dev soak`` runs it for half an hour. What is asked:
no error that was not injected, no growth, and nothing left over in the hardware.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.emulators import PIN, Swtpm
from tests.daemon import Daemon, wait_until
from tests.service.hardware import SOFTHSM_KEEPS, Hardware, recorded
from tests.service.providers.relay import Relay
from tests.service.providers.tokens import SoftHsmToken
from tests.service.providers.tokens import url as url_of
from tests.soak.worker import ECDSA, SHARED, memory_of

SECONDS = float(os.environ.get("PARSEC_KEYS_SOAK_SECONDS", "8"))
PROGRAMS = 3
MEMORY = 8 * 1024
"""KiB that allocators may keep more of, whatever the time."""
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""What glibc keeps free for each thread would look like growth."""
LAST_KILL, WARM = 0.4, 0.6
"""The parts of the time until which a daemon is killed, and then warms up."""
BETWEEN = 10.0
"""Seconds from one time that a token is taken out to the next."""
PATIENCE = 20.0
"""Seconds for what programs have begun when their time is over."""
ROOT = Path(__file__).parents[2]
OBJECTS = """
import sys, pkcs11
token = pkcs11.lib(sys.argv[1]).get_token(token_label=sys.argv[2])
with token.open(user_pin=sys.argv[3]) as session:
    # SoftHSM, when it is killed, leaves objects that have nothing yet, and no label.
    wanted = {
        pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY,
        pkcs11.Attribute.LABEL: "parsec-keys",
    }
    print(sum(1 for _ in session.get_objects(wanted)))
"""


@dataclass
class Fault:
    """When the hardware was away, in monotonic seconds."""

    begun: float
    ended: float

    def explains(self, error: dict[str, Any]) -> bool:
        """Whether an operation that failed ran while it was away."""
        return error["begun"] <= self.ended and self.begun <= error["ended"]


class Program:
    """A worker process, and the lines that it wrote."""

    def __init__(self, url: str, seed: str, seconds: float) -> None:
        self.lines: list[dict[str, Any]] = []
        self.made = 0
        """How many keys it has made."""
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-X", "faulthandler", "-m", "tests.soak.worker"),
                *(url, seed, str(seconds)),
            ],
            cwd=ROOT,
            # Why the TPM's library fails, where it does.
            env={**os.environ, **ONE_ARENA, "TSS2_LOG": "esys+ERROR"},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith("\n"):
                break  # A killed one's last line may be cut off.
            said = json.loads(line)
            if "made" in said:
                self.made += 1
            else:
                self.lines.append(said)

    def end(self) -> int:
        """Wait for its end and its children's; its exit status."""
        try:
            status = self.process.wait(SECONDS + PATIENCE)
        except subprocess.TimeoutExpired:
            self._signal_all(signal.SIGABRT)
            raise
        self.reader.join(PATIENCE)
        if self.reader.is_alive():
            self._signal_all(signal.SIGABRT)
            self.reader.join(PATIENCE)
            raise AssertionError("a child hangs: where, it has written to stderr")
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def kill(self) -> None:
        """End it and its children, if they have not ended."""
        if self.reader.is_alive():
            self._signal_all(signal.SIGKILL)
        self.end()

    def _signal_all(self, number: signal.Signals) -> None:
        """Signal it and its children; at SIGABRT they write where they stand.

        Some of them must hold the pipe, and so the group: its number is no other's.
        """
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if "error" in line]

    @property
    def is_ready(self) -> bool:
        return any("ready" in line for line in self.lines)

    @property
    def has_opened(self) -> bool:
        """Whether it has its store open, or could not open it."""
        return self.is_ready or self.process.poll() is not None


@pytest.fixture
def own_tpm(tmp_path: Path) -> Any:
    """A TPM that may be cut off, which the shared one may not."""
    with Swtpm(tmp_path / "tpm") as emulator:
        yield emulator


def test_software(tmp_path: Path) -> None:
    url = f"software:{tmp_path / 'store'}"

    soak(url)

    assert left_over(url) == {}
    assert len(list((tmp_path / "store" / "software").glob("*.pem"))) == len(SHARED)


def test_tpm(own_tpm: Swtpm) -> None:
    """On lines that stay open, as a device's; the daemon's end with each command."""

    def cut_off(progress: float) -> Fault:
        begun = time.monotonic()
        own_tpm.restart()
        return Fault(begun, time.monotonic())

    with Relay(own_tpm) as relay:
        url = f"tpm:{relay.tcti}?{own_tpm.url.partition('?')[2]}"
        soak(url, cut_off)
        assert left_over(url) == {}
    assert tpm_state(own_tpm) == ([], 0)


def test_pkcs11(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = SoftHsmToken(tmp_path)
    monkeypatch.setenv("SOFTHSM2_CONF", str(token.configuration))
    url = url_of(token, tmp_path / "store")
    next_time = 0.0

    def take_out(progress: float) -> Fault | None:
        nonlocal next_time
        begun = time.monotonic()
        if begun < next_time:
            return None  # It is to be worked with in between.
        next_time = begun + BETWEEN
        token.lose_power()
        time.sleep(0.1)  # So long it is out.
        token.regain_power()
        return Fault(begun, time.monotonic())

    # SoftHSM empties a token's file and writes it again whenever somebody logs in:
    # killed in between, it has lost the token.
    undeleted = soak(url, take_out, spare_logins=True, kept=SOFTHSM_KEEPS)

    # SoftHSM may have removed a key, and then have failed to remove its lock.
    assert left_over(url).keys() <= undeleted
    command = [sys.executable, "-c", OBJECTS, str(token.module), token.label, PIN]
    counted = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(counted.stdout) == len(SHARED)


def test_daemon(hardware: Hardware, tmp_path: Path) -> None:
    memory: list[tuple[int, int]] = []
    descriptors: list[int] = []
    with Daemon(tmp_path, hardware.table, environment=ONE_ARENA) as daemon:

        def kill(progress: float) -> Fault | None:
            begun = time.monotonic()
            if progress > LAST_KILL:
                return None
            daemon.kill()
            daemon.start()
            return Fault(begun, time.monotonic())

        def watch(progress: float, made: int) -> None:
            if progress > WARM:
                pid = daemon.process.pid
                memory.append((memory_of(pid), made))
                descriptors.append(len(os.listdir(f"/proc/{pid}/fd")))

        soak(daemon.url, kill, watch=watch)

        assert left_over(daemon.url) == {}
        assert len(memory) > 1
        (before, at_first), (after, at_last) = memory[0], memory[-1]
        assert after <= before + MEMORY + hardware.kept * (at_last - at_first)
        # Each client has one more for as long as it asks something.
        half = len(descriptors) // 2
        assert min(descriptors[half:]) <= max(descriptors[:half])
    records = recorded(tmp_path)
    assert set(records) == set(SHARED)
    hardware.check(tmp_path, set(records.values()))


def soak(
    url: str,
    inject: Callable[[float], Fault | None] | None = None,
    *,
    spare_logins: bool = False,
    watch: Callable[[float, int], None] = lambda progress, made: None,
    kept: int = 0,
) -> set[str]:
    """Run programs on a store, kill one of them and inject a fault now and then.

    Answers the names of keys of which a program heard that they cannot be deleted.

    Args:
        inject: injects a fault; it hears which part of the time is over.
        spare_logins: kill nobody who opens the store, or opens it again after a fault.
        watch: hears the same, and how many keys were made.
        kept: KiB that the provider's library keeps in each program of each key.
    """
    with parsec_keys.open_store(url) as store:
        for name, algorithm in SHARED.items():
            if name == "ec":
                store.generate_ec(name, ec.SECP256R1())
            else:
                store.generate_rsa(name, algorithm=algorithm)
    seed = os.environ.get("PARSEC_KEYS_SEED") or os.urandom(4).hex()
    chance, faults = random.Random(seed), list[Fault]()
    deadline = time.monotonic() + SECONDS
    made: list[tuple[float, int]] = [(0.0, 0)]
    ended: list[Program] = []

    def everybody() -> tuple[Program, ...]:
        return (steady, *others, *ended)

    def made_so_far() -> int:
        return sum(program.made for program in everybody())

    def progress() -> float:
        return 1 - (deadline - time.monotonic()) / SECONDS

    with contextlib.ExitStack() as running:

        def started(name: str) -> Program:
            left = max(1.0, deadline - time.monotonic())
            program = Program(url, f"{seed}-{name}", left)
            running.callback(program.kill)
            return program

        steady = started("steady")
        others = [started(str(number)) for number in range(PROGRAMS - 1)]
        wait_until(lambda: steady.is_ready)
        while (left := deadline - time.monotonic()) > 0:
            # The one pause here: it is how often something happens, not a wait for it.
            steady.reader.join(min(left, chance.uniform(0.3, 3)))
            fault = None
            if inject is not None and (not faults or chance.random() < 0.5):
                fault = inject(progress())
                faults += [fault] if fault is not None else []
            if not (spare_logins and (fault or not others[0].has_opened)):
                victim = others.pop(0)
                victim.process.kill()
                victim.process.wait()
                ended.append(victim)
                others.append(started(f"{len(ended)}-next"))
            assert steady.process.poll() is None, "the one that nobody kills ended"
            made.append((time.monotonic(), made_so_far()))
            watch(progress(), made_so_far())
        statuses = [program.end() for program in (steady, *others)]
        assert {program.end() for program in ended} <= {-signal.SIGKILL, 0}

    assert statuses == [0] * PROGRAMS, f"seed {seed}"
    assert faults or inject is None
    unexplained = [
        error
        for program in everybody()
        for error in program.errors
        if not any(fault.explains(error) for fault in faults)
    ]
    for error in unexplained:
        last = max((f.ended for f in faults if f.ended < error["begun"]), default=0)
        print(f"{error['begun'] - last:.1f} s after a fault: {error['where']}")
    counted = Counter(
        f"{error['action']}: {error['error']}: {error['text']}" for error in unexplained
    )
    assert counted == {}, f"seed {seed}"
    assert any(program.is_ready for program in ended), "all were killed too early"
    summary = steady.lines[-1]
    assert summary["counted"]["sign"] > 0
    before, after = summary["before"], summary["after"]
    made_before = max(number for at, number in made if at <= before["time"])
    since = made_so_far() - made_before
    assert after["memory"] <= before["memory"] + MEMORY + kept * since
    assert after["descriptors"] <= before["descriptors"]
    assert after["sessions"] <= before["sessions"]
    said = [line for program in everybody() for line in program.lines]
    return {line["undeleted"] for line in said if "undeleted" in line}


def left_over(url: str) -> dict[str, str]:
    """Delete what killed programs made and did not delete; half-made keys by name."""
    broken = {}
    with parsec_keys.open_store(url) as store:
        for info in list(store.keys()):
            if info.name in SHARED:
                continue
            key = store.load(info.name)
            try:
                signature = key.sign(b"left", ECDSA)
                key.public_key().verify(signature, b"left", ECDSA)
            except Exception as e:
                broken[info.name] = str(e)
            store.delete(info.name)
    return broken


def tpm_state(tpm: Swtpm) -> tuple[list[int], int]:
    """Objects and sessions in a TPM, and its dictionary-attack counter."""
    from parsec_keys.service.providers.tpm import _tss
    from tests.service.providers.tpm_keys import handles, lockout_counter

    esapi = _tss.ESAPI(tpm.tcti)
    try:
        return handles(esapi), lockout_counter(esapi)
    finally:
        esapi.close()
