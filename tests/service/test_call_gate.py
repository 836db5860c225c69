"""Who is in a library while somebody forks, or wants to be alone."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from parsec_keys._fork import no_fork
from parsec_keys.service.call_gate import FORK_SECONDS, CallGate, Place, nobody_in
from parsec_keys.service.running_operations import running
from tests.service.providers.children import in_a_child
from tests.service.providers.waiting import wait_until

CTRL_C = """
import os, signal, threading, time
from concurrent.futures import ThreadPoolExecutor
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

with ThreadPoolExecutor(1) as other:
    place = other.submit(gate.place).result()
    thread = threading.Thread(target=press)
    thread.start()
    statuses = [fork()]
    thread.join()
place.leave()
others = [ThreadPoolExecutor(1) for _ in range(4)]
places = [each.submit(gate.enter, 0).result() for each in others]
entered = [each is not None for each in places]
places.clear()
statuses.append(fork())
print(entered, statuses)
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
            with gate.place():
                hashlib.sha256(much).digest()  # Without Python's lock.

    threads = [threading.Thread(target=call_again_and_again) for _ in range(4)]
    for thread in threads:
        thread.start()
    was_empty = []
    for _ in range(5):
        with no_fork:
            was_empty.append(gate.keep_out(time.monotonic() + 5))
            gate.let_in()
    is_over.set()
    for thread in threads:
        thread.join()

    assert was_empty == [True] * 5


@pytest.fixture
def threads() -> Iterator[list[ThreadPoolExecutor]]:
    """Three threads: each has a place once at most."""
    with contextlib.ExitStack() as running_threads:
        yield [running_threads.enter_context(ThreadPoolExecutor(1)) for _ in range(3)]


def test_who_waits_has_a_turn_before_who_comes_again(
    threads: list[ThreadPoolExecutor],
) -> None:
    gate, (other, third, _) = CallGate(1), threads
    place = gate.place()
    waiting = other.submit(gate.enter, 20)
    wait_until(lambda: len(gate._queue) == 1)

    place.leave()

    assert third.submit(gate.enter, 0).result() is None
    other_place = waiting.result()
    assert other_place is not None
    other_place.leave()
    assert gate.enter(0) is not None


def test_nobody_waits_for_ever_at_a_gate(threads: list[ThreadPoolExecutor]) -> None:
    gate = CallGate(2)

    def enter(number: int) -> Place | None:
        return threads[number].submit(gate.enter, 0).result()

    places = [enter(0), enter(1), enter(2)]
    assert [place is not None for place in places] == [True, True, False]
    with no_fork:
        assert not gate.keep_out(time.monotonic())
    del places[1:]
    assert enter(1) is None
    gate.let_in()
    assert gate.shrink()
    assert enter(1) is None
    assert not gate.shrink()
    gate.grow()
    assert enter(1) is not None


def test_a_place_that_nobody_has_is_free(threads: list[ThreadPoolExecutor]) -> None:
    """As where Ctrl-C came before the first line of what gives it back."""
    gate = CallGate(1)
    place = gate.enter(0)
    assert threads[0].submit(gate.enter, 0).result() is None

    del place

    assert threads[0].submit(gate.enter, 0).result() is not None


def test_a_thread_that_was_kept_from_leaving_comes_in_again(
    threads: list[ThreadPoolExecutor],
) -> None:
    """Though a traceback has its place."""
    gate = CallGate(1)
    kept = gate.place()

    place = gate.enter(0)

    assert place is not None
    kept.leave()
    assert threads[0].submit(gate.enter, 0).result() is None
    place.leave()
    assert threads[0].submit(gate.enter, 0).result() is not None


def test_a_signal_handler_may_fork_inside_a_call() -> None:
    """Neither does it wait for itself, nor does its child fail when it leaves."""
    gate = CallGate(1)

    def leave() -> None:
        place.leave()
        running.__exit__(None, None, None)
        with gate.place(), running:
            pass

    with running:
        place = gate.place()
        begun = time.monotonic()
        in_a_child(leave)
        assert time.monotonic() - begun < FORK_SECONDS
    place.leave()
    assert gate.enter(0) is not None
    assert len(running) == 0


def test_a_fork_lets_an_operation_end_that_wants_no_fork() -> None:
    """As a cure of a token does."""
    gate, has_begun, forks = CallGate(1), threading.Event(), threading.Event()

    def operation() -> bool:
        with running:
            has_begun.set()
            forks.wait()
            with nobody_in([gate], 5) as alone:
                return alone

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as other_thread:
        end = running.end

        def ended() -> None:
            forks.set()
            end()

        patch.setattr(running, "end", ended)
        done = other_thread.submit(operation)
        has_begun.wait()
        begun = time.monotonic()

        in_a_child(lambda: None)

        assert time.monotonic() - begun < FORK_SECONDS
        assert done.result()
