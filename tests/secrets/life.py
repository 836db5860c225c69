"""The life of a store, told in full: all that it logs, shows and raises, on stdout.

A program (``python -m tests.secrets.life URL WRONG PEM…``), because its output, its
memory, its system calls and its files are searched for secrets. At each mark it waits
for a line, so that its parent can look at it, or do something to the hardware.
"""

from __future__ import annotations

import copy
import gc
import json
import logging
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

import parsec_keys
from parsec_keys.service.secret import Secret
from tests.secrets.errors import all_said_by

SHA256 = hashes.SHA256()
P256 = ec.SECP256R1()
ECDSA = ec.ECDSA(SHA256)
PKCS1 = padding.PKCS1v15()
PASSWORD = serialization.BestAvailableEncryption(b"password")
IS_FRUGAL = "FRUGAL" in os.environ
"""Whether nothing is told that would keep in memory what a store has let go: who looks
at a frame's variables makes circles, which only a collection of garbage would break."""
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def main(url: str, wrong: str, *files: str) -> None:
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
    if IS_FRUGAL:
        gc.disable()
    logging.debug("here is what it logs")
    fails(lambda: parsec_keys.open_store(wrong))
    store = parsec_keys.open_store(url)
    show_operations(store)
    show(store)
    made = [store.generate_ec("ec", P256), store.generate_rsa("rsa")]
    imported = [store.import_key(Path(file).stem, private_key(file)) for file in files]
    for key in (*made, *imported):
        use(key)
    show(store)
    show((store.keys(), store.providers(), made, imported))
    be_refused(store, files)
    mark("open")
    mark("lost")
    if made[0].provider != "software":
        fails(lambda: use(made[0]))
    mark("found")
    use(made[0])
    for info in list(store.keys()):
        store.delete(info.name)
    fails(lambda: use(made[0]))
    store.close()
    fails(lambda: use(made[0]))
    show(store)
    mark("closed")


def private_key(file: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(Path(file).read_bytes(), None)
    assert isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey))
    return key


def use(key: Any) -> None:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        key.public_key().verify(key.sign(b"", ECDSA), b"", ECDSA)
        return
    key.public_key().verify(key.sign(b"", PKCS1, SHA256), b"", PKCS1, SHA256)


def be_refused(store: parsec_keys.KeyStore, files: tuple[str, ...]) -> None:
    """All that goes wrong with a store that works."""
    key = store.load("ec")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    rsa_key = store.load("rsa")
    assert isinstance(rsa_key, rsa.RSAPrivateKey)
    fails(lambda: store.load("absent"))
    fails(lambda: store.delete("absent"))
    fails(lambda: store.generate_ec("ec", P256))
    for file in files:  # Whoever imports a key has its secret in its variables.
        fails(lambda f=file: store.import_key("ec", private_key(f)), locals_too=False)
    fails(lambda: key.private_bytes(PEM, PKCS8, PASSWORD))
    fails(lambda: rsa_key.private_bytes(PEM, PKCS8, PASSWORD))
    fails(lambda: rsa_key.private_numbers().d)
    fails(lambda: key.private_numbers().private_value)
    fails(lambda: key.sign(b"", ec.ECDSA(utils.Prehashed(SHA256))))
    fails(lambda: store.generate_ec("x", ec.SECT571R1()))
    fails(lambda: store.generate_ec("x", P256, provider="absent"))
    store.generate_ec("narrow", P256, algorithm="ECDSA(SHA_512)", usage="sign_hash")
    fails(lambda: use(store.load("narrow")))


def fails(work: Callable[[], object], *, locals_too: bool = True) -> None:
    """Tell all that an exception says, with the variables of each frame."""
    try:
        work()
    except Exception as e:
        print(all_said_by(e, locals_too=locals_too and not IS_FRUGAL))
        return
    raise AssertionError("nothing went wrong")


def show(value: object, seen: set[int] | None = None) -> None:
    """Tell what an object, and each of ours that it holds, says of itself."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            show(each, seen)
    elif isinstance(value, dict):
        show((*value.keys(), *value.values()), seen)
    elif type(value).__module__.startswith("parsec_keys"):
        print(repr(value), str(value), f"{value}", json.dumps(value, default=repr))
        for take in (copy.copy, copy.deepcopy, pickle.dumps):
            try:
                print(take(value))  # type: ignore[operator]
            except Exception as e:
                print(repr(e))
        if not isinstance(value, Secret):  # Its octets are where they have to be.
            show(tuple(held(value)), seen)


def held(value: object) -> list[object]:
    """What an object's attributes are."""
    names = [*getattr(value, "__dict__", {})]
    for class_ in type(value).__mro__:
        slots = getattr(class_, "__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    return [getattr(value, name, None) for name in names]


def show_operations(store: parsec_keys.KeyStore) -> None:
    """Tell every operation and its result, as a program might that logs them."""
    engine = store._engine
    execute = engine.execute

    def shown(operation: Any, **named: Any) -> Any:
        print(operation, named)
        result = execute(operation, **named)
        print(result)
        return result

    engine.execute = shown  # type: ignore[method-assign]


def mark(name: str) -> None:
    print(f"\n{name}", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
