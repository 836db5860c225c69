"""A program that signs, has a child that ends, and signs again.

``python -m tests.service.providers.leaving HOW STORE``: the signatures. It waits for a
line before the child and after it, so that somebody can look.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

import parsec_keys

MESSAGE = b"signed"
SCHEME = (padding.PKCS1v15(), hashes.SHA256())
TIMES = 3


def sign(key: Any) -> list[bytes]:
    return [key.sign(MESSAGE, *SCHEME) for _ in range(TIMES)]


def main() -> None:
    how, url = sys.argv[1:]
    store = parsec_keys.open_store(url)
    key = store.load("key")
    signatures = sign(key)
    look("signed")
    child = os.fork()
    if child == 0:
        if how == "a normal end":
            sys.exit(0)
        if how == "a normal end after signing":
            sign(key)
            sys.exit(0)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    look("the child is gone")
    signatures += sign(key)
    store.close()
    print(json.dumps([each.hex() for each in signatures]))


def look(what: str) -> None:
    print(what, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
