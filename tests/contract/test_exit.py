"""A program that ends on an error with a key in its hands says that error alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

# What Python still frees at its end depends on what was imported: with this import it
# came to the PKCS#11 library, after its class.
PROGRAM = """
import sys
import parsec_keys
from cryptography.hazmat.primitives.asymmetric import ec
from parsec_keys.emulators import SoftHsm

store = parsec_keys.open_store(sys.argv[1])
key = store.generate_ec("key", ec.SECP256R1())
try:
    raise ValueError("the program's own")
except ValueError as e:
    error = e
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
