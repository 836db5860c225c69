"""A child process for what a test does to a PKCS#11 module.

A module's state belongs to its process: who initialised it, who is logged in, which
configuration it read. Each test has a fresh one in a child, whatever the others did.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import pytest

SECONDS = 60
_STUCK = object()


def in_a_child(work: Callable[[], object], **offered: Callable[[], object]) -> Any:
    """What ``work`` answers in a child; a failure there is one here.

    The child may have what is ``offered`` done here, by ``in_the_parent``.
    """
    ours, childs = Pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Threads of pytest-xdist.
        child = os.fork()
    if child == 0:
        ours.close()
        _answer(childs, work)
    childs.close()
    failure, value = _served(ours, offered)
    if value is _STUCK:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if failure is not None:
        pytest.fail(f"{failure}\nThe child ended with {status}.", pytrace=False)
    assert status == 0
    return value


def in_the_parent(name: str) -> None:
    """Have the parent do what it offered under a name."""
    assert _Child.parent is not None
    _Child.parent.send(name)
    assert _Child.parent.recv() == name


class _Child:
    parent: Connection | None = None


def _served(
    child: Connection, offered: dict[str, Callable[[], object]]
) -> tuple[str | None, Any]:
    try:
        while child.poll(SECONDS + 5):  # It says itself where it is stuck, if it can.
            asked = child.recv()
            if not isinstance(asked, str):
                return asked
            offered[asked]()
            child.send(asked)
    except EOFError:
        return "The child said nothing.", None
    finally:
        child.close()
    return "The child is stuck.", _STUCK


def _answer(parent: Connection, work: Callable[[], object]) -> None:
    """End a child with its answer, without pytest noticing that it ever was."""
    status = 1
    _Child.parent = parent
    try:
        # No watchdog thread: who has one cannot enter a namespace.
        faulthandler.register(signal.SIGALRM, chain=True, file=sys.__stderr__)
        signal.alarm(SECONDS)
        try:
            answer = (None, work())
            status = 0
        except BaseException:
            answer = (traceback.format_exc(), None)
        parent.send(answer)
    finally:
        os._exit(status)
