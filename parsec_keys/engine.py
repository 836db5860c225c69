"""The one seam between the keys and whatever performs their operations."""

from __future__ import annotations

from typing import Protocol, TypeVar

from parsec_keys.psa.algorithms import PermittedAlgorithm
from parsec_keys.psa.attributes import KeyType
from parsec_keys.psa.operations import Operation

R = TypeVar("R")


class Engine(Protocol):
    """Executes operations. Safe to call from any thread, and after a fork.

    The embedded service is one, a client of a Parsec service's socket another; the
    keys do not know which they use.
    """

    def execute(self, operation: Operation[R], *, provider: str | None = None) -> R:
        """Perform an operation and answer its result.

        Args:
            operation: what to do.
            provider: the provider's name. ``None`` is the provider that has the key,
                or the first one where the operation is not about an existing key.

        Raises:
            Error: of the class that belongs to what went wrong.
        """

    def default_algorithms(
        self, key_type: KeyType, bits: int
    ) -> tuple[PermittedAlgorithm, ...]:
        """What a key permits where nobody chose: the first that its provider takes."""

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""

    def close(self) -> None:
        """Release what the engine holds; further operations raise ``Error``."""
