"""Which providers must be there: a missing one is a failure, not a skip."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

VARIABLE = "PARSEC_KEYS_WANT"


def missing(provider: str, why: str) -> NoReturn:
    """Skip for lack of a provider, or fail where ``$PARSEC_KEYS_WANT`` names it."""
    if provider in os.environ.get(VARIABLE, "").split(","):
        pytest.fail(f"provider '{provider}' is wanted: {why}", pytrace=False)
    pytest.skip(why)
