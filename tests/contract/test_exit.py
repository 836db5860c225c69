"""A program that ends on an error with a key in its hands says that error alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

PROGRAM = """
import sys
import parsec_keys
from cryptography.hazmat.primitives.asymmetric import ec

store = parsec_keys.open_store(sys.argv[1])
key = store.generate_ec("key", ec.SECP256R1())
error = ValueError("the program's own")
error.holds = key, error
raise error
"""


def test_an_uncaught_error_is_the_last_word(
    provider: str, new_url: Callable[[str], str]
) -> None:
    command = [sys.executable, "-c", PROGRAM, new_url(provider)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ValueError: the program's own"
