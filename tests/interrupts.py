"""Ctrl-C at a chosen moment of an operation.

A signal handler of Python's runs where a function begins, and where one that is
written in C has returned. A profiler hears of both, and may raise there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

_SILENT: Final = frozenset({"__del__", "_remove", "deconstructor"})
"""Finalisers, tpm2-pytss's too, and a WeakSet's: Python lets nothing out of them."""


class Interrupt:
    """Ctrl-C at the n-th moment of what is called, in this thread alone."""

    def __init__(self, moment: int) -> None:
        self.left = moment
        self.where: list[str] = []

    def during(self, operation: Callable[[], object]) -> bool:
        """Whether the operation had so many moments, and let the interrupt through."""
        try:
            sys.setprofile(self._look)
            try:
                operation()
            finally:
                sys.setprofile(None)
        except KeyboardInterrupt:
            return True
        assert self.left > 0, f"Ctrl-C was swallowed at {self.where}"
        return False

    def _look(self, frame: FrameType, event: str, function: object) -> None:
        if event not in ("call", "c_return") or function is sys.setprofile:
            return
        if any(each.f_code.co_name in _SILENT for each in _stack(frame)):
            return
        self.left -= 1
        if self.left == 0:
            self.where = [each.f_code.co_qualname for each in _stack(frame)]
            raise KeyboardInterrupt


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
