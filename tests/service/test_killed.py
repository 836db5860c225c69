"""A daemon killed while it makes keys: no key without a record, no record without one.

``PARSEC_KEYS_KILLS=500`` is how often it is killed with each provider, in the midst of
three creations each time.
"""

from __future__ import annotations

import os
import random
import select
import time
from pathlib import Path

import parsec_keys
from parsec_keys.psa.status import Status
from tests.contract.test_lifecycle import signs
from tests.daemon import Daemon, connected, exchange, read_all
from tests.service.hardware import Hardware, recorded
from tests.service.test_front import GENERATE, UID, frame, status_of

KILLS = int(os.environ.get("PARSEC_KEYS_KILLS", "5"))
AT_ONCE = 3
P256 = bytes.fromhex(
    "121f0a045a0208021080021a140a0830013801400148011208320622040a021007"
)
RSA = bytes.fromhex("12170a0252001080101a0e0a024001120832060a040a020a00")


def creation(hardware: Hardware, name: str) -> bytes:
    """A request that makes a key, mostly on a curve: RSA keys take their time."""
    attributes = RSA if random.randrange(8) == 0 else P256
    body = b"\x0a" + bytes([len(name)]) + name.encode() + attributes
    return frame(GENERATE, body, UID, provider=hardware.number, authenticator=3)


def test_kill_at_any_moment(hardware: Hardware, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, hardware.table)
    answered: list[str] = []
    with daemon:
        usual = seconds_of(daemon, creation(hardware, "first"))
    for number in range(KILLS):
        with daemon:
            answered += killed_while_creating(daemon, hardware, number, usual)

    with daemon, parsec_keys.open_store(daemon.url) as store:
        listed = store.keys()
        for key in listed:
            signs(store.load(key.name))
        names = {key.name for key in listed}

    records = recorded(tmp_path)
    assert set(records) == names
    assert {"first", *answered} <= names
    hardware.check(tmp_path, set(records.values()))


def seconds_of(daemon: Daemon, request: bytes) -> float:
    start = time.monotonic()
    assert status_of(exchange(daemon.socket, request)) is Status.SUCCESS
    return time.monotonic() - start


def killed_while_creating(
    daemon: Daemon, hardware: Hardware, number: int, usual: float
) -> list[str]:
    """The names whose creation was answered before the daemon died."""
    clients = {}
    for each in range(AT_ONCE):
        name = f"{number} {each}"
        clients[name] = client = connected(daemon.socket)
        client.sendall(creation(hardware, name))
    select.select([], [], [], random.uniform(0, 1.3 * AT_ONCE * usual))
    daemon.kill()
    answers = {}
    for name, client in clients.items():
        with client:
            answers[name] = read_all(client)
    whole = {name: answer for name, answer in answers.items() if answer}
    statuses = {name: status_of(answer) for name, answer in whole.items()}
    assert set(statuses.values()) <= {Status.SUCCESS}, daemon.words()
    return list(whole)
