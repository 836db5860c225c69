"""The comparison: the same call on our key and on pyca's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from parsec_keys.errors import NotSupported

K = TypeVar("K")


@dataclass(frozen=True)
class Outcome:
    """What a call gave: a value, or the exception it raised."""

    value: Any = None
    error: Exception | None = None


def outcome(call: Callable[[], Any]) -> Outcome:
    try:
        return Outcome(value=call())
    except Exception as e:
        return Outcome(error=e)


def assert_alike(
    call: Callable[[K], Any],
    ours: K,
    native: K,
    same: Callable[[Any, Any], None],
    can_ask: bool = True,
) -> None:
    """The same exception class and words, or values that ``same`` accepts.

    ``same(ours, native)`` raises where they differ: a signature is verified rather than
    compared. What ours cannot ask of its engine it refuses instead.
    """
    expected, actual = outcome(lambda: call(native)), outcome(lambda: call(ours))
    if not can_ask and isinstance(actual.error, NotSupported):
        return
    assert can_ask or expected.error is not None, f"ours gives {actual.value!r}"
    if expected.error is None:
        if actual.error is not None:
            raise AssertionError(f"pyca gives a value: {actual.error!r}") from (
                actual.error
            )
        same(actual.value, expected.value)
        return
    assert actual.error is not None, f"pyca raises {expected.error!r}"
    assert isinstance(actual.error, type(expected.error)), (
        f"pyca raises {expected.error!r}, ours {actual.error!r}"
    )
    assert _words(expected.error) == _words(actual.error)


def _words(error: Exception) -> str:
    """The message, without what an argument parser puts around it."""
    text = str(error)
    if isinstance(error, (BufferError, TypeError)):
        return text if "Expected instance" in text or "must be" in text else ""
    return text
