"""Who is in a library while somebody forks, or wants to be alone."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from parsec_keys._fork import no_fork
from parsec_keys.service.call_gate import CallGate
from tests.service.providers.waiting import wait_until

CTRL_C = """
import os, signal, threading, time
from parsec_keys.service.call_gate import CallGate

signal.signal(signal.SIGINT, signal.default_int_handler)  # Not so in the background.
gate = CallGate(3)

def press():
    while not gate._is_closed:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)

def fork():
    child = os.fork()
    if child == 0:
        os._exit(0)
    return os.waitpid(child, 0)[1]

gate.enter()
thread = threading.Thread(target=press)
thread.start()
statuses = [fork()]
thread.join()
gate.leave()
places = [gate.enter(0) for _ in range(4)]
for _ in range(3):
    gate.leave()
statuses.append(fork())
print(places, statuses)
"""


def test_ctrl_c_while_a_fork_waits() -> None:
    """The fork goes ahead, and all places and the next fork are there afterwards."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", CTRL_C]

    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=30
    )

    assert done.stdout == "[True, True, True, False] [0, 0]\n"
    # Python lets no exception out of what it does before a fork.
    assert "Exception ignored" in done.stderr
    assert "KeyboardInterrupt" in done.stderr


def test_busy_threads_do_not_keep_a_fork_waiting() -> None:
    """They come again before whoever waits for an empty gate has a turn."""
    gate, is_over, much = CallGate(16), threading.Event(), bytes(1_000_000)

    def call_again_and_again() -> None:
        while not is_over.is_set():
            with gate:
                hashlib.sha256(much).digest()  # Without Python's lock.

    threads = [threading.Thread(target=call_again_and_again) for _ in range(4)]
    for thread in threads:
        thread.start()
    was_empty = []
    for _ in range(5):
        with no_fork():
            was_empty.append(gate.keep_out(time.monotonic() + 5))
            gate.let_in()
    is_over.set()
    for thread in threads:
        thread.join()

    assert was_empty == [True] * 5


def test_who_waits_has_a_turn_before_who_comes_again() -> None:
    gate = CallGate(1)
    gate.enter()
    with ThreadPoolExecutor(1) as other_thread:
        waiting = other_thread.submit(gate.enter, 20)
        wait_until(lambda: len(gate._queue) == 1)

        gate.leave()

        assert not gate.enter(0)
        assert waiting.result()
    gate.leave()
    assert gate.enter(0)


def test_nobody_waits_for_ever_at_a_gate() -> None:
    gate = CallGate(2)
    assert [gate.enter(0), gate.enter(0), gate.enter(0)] == [True, True, False]
    assert not gate.keep_out(time.monotonic())
    gate.leave()
    assert not gate.enter(0)
    gate.let_in()
    assert gate.shrink()
    assert not gate.enter(0)
    assert not gate.shrink()
    gate.grow()
    assert gate.enter(0)
