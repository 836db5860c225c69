"""Programs that make, load, use and delete keys of one store at the same time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.errors import KeyExists, KeyNotFound
from tests.contract.test_lifecycle import names, signs
from tests.daemon import Daemon
from tests.service.hardware import Hardware, recorded
from tests.service.steps import Process

P256 = ec.SECP256R1()
PROGRAMS, ROUNDS = 4, 5
Work = Callable[[parsec_keys.KeyStore, int], object]


def at_once(url: str, work: Work) -> None:
    """Have several programs with an open store begin at the same time."""

    def prepare(number: int) -> Callable[[], object]:
        store = parsec_keys.open_store(url)

        def work_and_close() -> None:
            with store:
                work(store, number)

        return work_and_close

    programs = [Process(lambda n=n: prepare(n)) for n in range(PROGRAMS)]  # type: ignore[misc]
    for program in programs:
        program.go_on()
    assert [program.ended() for program in programs] == [0] * PROGRAMS


def test_one_of_many_gets_a_name_and_one_deletes_it(
    hardware: Hardware, tmp_path: Path
) -> None:
    url = str(Daemon(tmp_path, hardware.table).file)
    won = tmp_path / "won"
    won.mkdir()

    def make(store: parsec_keys.KeyStore, number: int) -> None:
        for turn in range(ROUNDS):
            try:
                key = store.generate_ec(f"key {turn}", P256)
            except KeyExists:
                continue
            signs(key)
            (won / f"{turn} made by {number}").touch()

    def delete(store: parsec_keys.KeyStore, number: int) -> None:
        for turn in range(1, ROUNDS):
            try:
                store.delete(f"key {turn}")
            except KeyNotFound:
                continue
            (won / f"{turn} deleted by {number}").touch()

    at_once(url, make)
    made = recorded(tmp_path)
    hardware.check(tmp_path, set(made.values()))
    at_once(url, delete)

    done = sorted(path.name[:6] for path in won.iterdir())
    expected = [f"{turn} made" for turn in range(ROUNDS)]
    assert [name for name in done if name.endswith("made")] == expected
    assert len(done) == len(expected) + ROUNDS - 1
    assert set(made) == {f"key {turn}" for turn in range(ROUNDS)}
    left = recorded(tmp_path)
    assert left == {"key 0": made["key 0"]}
    hardware.check(tmp_path, set(left.values()))


def test_keys_come_and_go(hardware: Hardware, tmp_path: Path) -> None:
    url = str(Daemon(tmp_path, hardware.table).file)

    def use(store: parsec_keys.KeyStore, number: int) -> None:
        for turn in range(ROUNDS):
            signs(store.generate_ec(f"{number} {turn}", P256))
            for name in names(store):
                try:
                    key = store.load(name)
                    signs(key)
                except KeyNotFound:
                    # Another program deleted it meanwhile.
                    assert not name.startswith(f"{number} ")
            if turn > 0:
                store.delete(f"{number} {turn - 1}")

    at_once(url, use)

    records = recorded(tmp_path)
    assert set(records) == {f"{number} {ROUNDS - 1}" for number in range(PROGRAMS)}
    hardware.check(tmp_path, set(records.values()))
