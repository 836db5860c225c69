"""Waiting for a condition, and no longer than a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 20.0


def wait_until(is_true: Callable[[], bool]) -> None:
    """Poll a condition; fail where it does not come true."""
    deadline = time.monotonic() + SECONDS
    while not is_true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.005)
