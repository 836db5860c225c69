"""kill -9 before each step of an operation: a key is wholly there, or it is not there.

A step is a system call (``steps``), of this project, of SQLite, of SoftHSM or to a TPM,
so that none has to be named here. ``PARSEC_KEYS_STEPS=all`` takes every step of every
thread; without it, operations of many steps are killed at some of them, by chance.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
import parsec_keys.service.providers.pkcs11
import parsec_keys.service.providers.tpm  # Else each child loads them.
from parsec_keys.service.config_daemon import read_daemon_config
from parsec_keys.service.daemon import Daemon as ServedDaemon
from parsec_keys.service.key_info.sqlite import SqliteKeyInfoManager
from tests.contract.test_lifecycle import names, signs
from tests.daemon import Daemon, answers_ping, wait_until
from tests.service.hardware import Hardware, recorded
from tests.service.steps import Process, Traced

P256 = ec.SECP256R1()
NATIVE = ec.generate_private_key(P256)
SEED = os.environ.get("PARSEC_KEYS_SEED") or os.urandom(4).hex()
ALL = os.environ.get("PARSEC_KEYS_STEPS") == "all"
MOST, MOST_OF_A_DAEMON = 24, 6
"""How many steps of a thread are tried without ``PARSEC_KEYS_STEPS``."""
Work = Callable[[parsec_keys.KeyStore], object]
OPERATIONS: dict[str, Work] = {
    "generate": lambda store: store.generate_ec("key", P256),
    "import": lambda store: store.import_key("key", NATIVE),
    "delete": lambda store: store.delete("key"),
}


class Killing:
    """An operation on a store that is killed, and what is left of it."""

    def __init__(self, folder: Path, hardware: Hardware, operation: str) -> None:
        self.daemon = Daemon(folder, hardware.table)
        self.log = folder / "strace"
        self._url = str(self.daemon.file)
        self._hardware = hardware
        self._operation = operation
        self.work = OPERATIONS[operation]
        in_a_process(self._first)

    def prepare(self) -> None:
        """Bring the store to where the operation begins, whatever was left of it."""
        with self.open() as store:
            if "key" not in names(store):
                signs(store.generate_ec("key", P256))
            if self._operation != "delete":
                store.delete("key")

    def open(self) -> parsec_keys.KeyStore:
        return parsec_keys.open_store(self._url)

    def is_done(self) -> bool:
        """Start anew, and see whether it was done, after seeing that it is whole."""
        in_a_process(self._look)
        records = recorded(self.daemon.folder)
        self._hardware.check(self.daemon.folder, set(records.values()))
        assert {"first"} <= set(records) <= {"first", "key"}
        return ("key" in records) != (self._operation == "delete")

    def _first(self) -> None:
        with self.open() as store:
            store.generate_ec("first", P256)

    def _look(self) -> None:
        with self.open() as store:
            for name in names(store):
                key = store.load(name)
                signs(key)
                if name == "key" and self._operation == "import":
                    assert NATIVE.public_key() == key.public_key()


def in_a_process(work: Callable[[], object]) -> None:
    assert Process(lambda: work).work() == 0


def some(count: int, most: int, what: str) -> Iterable[int]:
    """The steps before which to kill: all of so many and more, or some of them."""
    if ALL or count <= most:
        return itertools.count(1)
    between = random.Random(f"{SEED} {what}").sample(range(2, count), most - 2)
    return [1, *sorted(between), count]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_program(hardware: Hardware, tmp_path: Path, operation: str) -> None:
    killing = Killing(tmp_path, hardware, operation)

    def started() -> Process:
        in_a_process(killing.prepare)

        def opened() -> Callable[[], object]:
            store = killing.open()
            return lambda: killing.work(store)

        return Process(opened)

    killed_in_each_thread(killing, started, Process.work, MOST)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_daemon(hardware: Hardware, tmp_path: Path, operation: str) -> None:
    killing = Killing(tmp_path, hardware, operation)

    def started() -> Process:
        in_a_process(killing.prepare)
        process = Process(lambda: lambda: serve(killing.daemon.file))
        process.go_on()
        wait_until(lambda: answers_ping(killing.daemon.socket))
        in_a_process(lambda: ask(names))  # So that it has a worker.
        return process

    def asked(process: Process) -> int:
        client = Process(lambda: lambda: ask(killing.work))
        client.go_on()
        if client.ended() == 0:
            os.kill(process.pid, signal.SIGTERM)
        return process.ended()

    def ask(work: Work) -> None:
        with parsec_keys.open_store(killing.daemon.url) as store:
            work(store)

    killed_in_each_thread(killing, started, asked, MOST_OF_A_DAEMON)


def serve(file: Path) -> None:
    asyncio.run(ServedDaemon(file, read_daemon_config(file)).serve())


def killed_in_each_thread(
    killing: Killing,
    started: Callable[[], Process],
    work: Callable[[Process], int],
    most: int,
) -> None:
    """Kill a process in its n-th step of a thread, for each thread and n.

    Args:
        started: answers a process that is about to do it.
        work: has it done, and answers how the process ended.
    """
    tried = started()
    count = len(tried.threads)
    tried.kill()
    for thread in range(count):
        process = started()
        with Traced(process.threads[thread], killing.log) as whole:
            assert work(process) == 0
        assert killing.is_done()
        was_done = []
        for step in some(len(whole.steps), most, f"{killing.log} {thread}"):
            process = started()
            with Traced(process.threads[thread], killing.log, step) as traced:
                status = work(process)
            try:
                was_done.append(killing.is_done())
            except BaseException as e:
                before = (traced.steps or ["nothing"])[-1]
                e.add_note(f"seed {SEED}: killed before step {step}: {before}")
                raise
            if status == 0:
                break
            assert status == -signal.SIGKILL
        if thread == 0:
            assert was_done[0] is False
            assert was_done[-1] is True


def test_a_start_that_cleans_up(hardware: Hardware, tmp_path: Path) -> None:
    killing = Killing(tmp_path, hardware, "generate")

    def half_made() -> None:
        with killing.open() as store:
            SqliteKeyInfoManager.commit = die  # type: ignore[method-assign]
            store.generate_ec("key", P256)

    def started() -> Process:
        assert Process(lambda: half_made).work() == -signal.SIGKILL
        return Process(lambda: lambda: killing.open().close())

    process = started()
    with Traced(process.threads[0], killing.log) as whole:
        assert process.work() == 0
    assert not killing.is_done()
    for step in some(len(whole.steps), MOST, str(killing.log)):
        process = started()
        with Traced(process.threads[0], killing.log, step):
            status = process.work()
        assert not killing.is_done()
        if status == 0:
            break


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
