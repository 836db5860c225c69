"""Who is in a library while somebody forks, or wants to be alone."""

from __future__ import annotations

import subprocess
import sys

CTRL_C = """
import os, signal, threading, time
from parsec_keys.service.call_gate import CallGate

gate = CallGate(3)

def press():
    while gate._permits._value:
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
gate.leave(3)
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
