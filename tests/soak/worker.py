"""A program with many threads on one store, for as long as it is left alone.

``python -m tests.soak.worker URL SEED SECONDS``: each line that it writes is JSON, of
what it counted and measured, and of every exception that it met.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401  # Its fork hooks come before a fork.
import ctypes
import json
import os
import random
import resource
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

import parsec_keys

THREADS = 4
SHARED = {"ec": None, "rsa": "RSA_PSS(SHA_256)", "oaep": "RSA_OAEP(SHA_256)"}
"""The keys of all programs, and what they may do, as a service wants to hear it."""
SHA256 = hashes.SHA256()
ECDSA = ec.ECDSA(SHA256)
PSS = padding.PSS(padding.MGF1(SHA256), padding.PSS.DIGEST_LENGTH)
OAEP = padding.OAEP(padding.MGF1(SHA256), SHA256, None)
_MEASURE_AFTER = 0.4
"""The part of its life after which a program has what it needs, and rests a moment."""
_SETTLE_SECONDS = 10.0
_writing = threading.Lock()


def say(**what: Any) -> None:
    """Write a line of JSON, in one piece."""
    with _writing:
        print(json.dumps(what), flush=True)


def say_error(error: Exception, action: str, begun: float) -> None:
    """Write down what went wrong, and when."""
    say(
        error=type(error).__name__,
        text=str(error),
        action=action,
        begun=begun,
        ended=time.monotonic(),
        where="".join(traceback.format_exception(error)),
    )


class Work:
    """What one program does, by chance."""

    def __init__(self, store: parsec_keys.KeyStore, seed: str) -> None:
        self.store = store
        self.ec, self.rsa, self.oaep = map(store.load, SHARED)
        self.counted: Counter[str] = Counter()
        self._seed = seed
        self._chances = [random.Random(f"{seed}-{number}") for number in range(THREADS)]
        self._own_openssl = threading.RLock()
        """Held by forks, which do not wait for its own use of cryptography else."""
        self._actions: dict[str, tuple[int, Callable[[random.Random], None]]] = {
            "sign": (50, self.sign),
            "decrypt": (10, self.decrypt),
            "load": (10, self.load),
            "asynchronous": (5, self.sign_asynchronously),
            "create": (10, self.create),
            "fork": (3, self.fork),
        }

    def thread(self, number: int, until: float) -> None:
        """Do one thing after another until a time."""
        chance = self._chances[number]
        names = list(self._actions)
        weights = [self._actions[name][0] for name in names]
        while time.monotonic() < until:
            (name,) = chance.choices(names, weights)
            begun = time.monotonic()
            try:
                self._actions[name][1](chance)
            except Exception as e:
                say_error(e, name, begun)
            else:
                self.counted[name] += 1

    def settle(self) -> None:
        """Make a key until that works, which removes what is half made.

        Nothing is measured while the hardware is away.
        """
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            try:
                return self.create(self._chances[0])
            except parsec_keys.errors.ServiceUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def sign(self, chance: random.Random) -> None:
        message = chance.randbytes(40)
        if chance.random() < 0.5:
            signature = self.ec.sign(message, ECDSA)
            with self._own_openssl:
                self.ec.public_key().verify(signature, message, ECDSA)
        else:
            signature = self.rsa.sign(message, PSS, SHA256)
            with self._own_openssl:
                self.rsa.public_key().verify(signature, message, PSS, SHA256)

    def decrypt(self, chance: random.Random) -> None:
        message = chance.randbytes(30)
        with self._own_openssl:
            ciphertext = self.oaep.public_key().encrypt(message, OAEP)
        assert self.oaep.decrypt(ciphertext, OAEP) == message

    def load(self, chance: random.Random) -> None:
        assert self.store.load("ec") == self.ec

    def sign_asynchronously(self, chance: random.Random) -> None:
        async def several() -> None:
            await asyncio.gather(
                *(asyncio.to_thread(self.sign, chance) for _ in range(3))
            )

        asyncio.run(several())

    def create(self, chance: random.Random) -> None:
        name = f"{self._seed}-{chance.randbytes(8).hex()}"
        key = self.store.generate_ec(name, ec.SECP256R1())
        say(made=name)
        try:
            signature = key.sign(b"new", ECDSA)
            with self._own_openssl:
                key.public_key().verify(signature, b"new", ECDSA)
        finally:
            try:
                self.store.delete(name)
            except parsec_keys.errors.Error:
                say(undeleted=name)
                raise

    def fork(self, chance: random.Random) -> None:
        with self._own_openssl:
            child = os.fork()
        if child == 0:
            status = 1
            try:
                self.sign(chance)
                status = 0
            except Exception as e:
                text = f"{type(e).__name__}: {e}"
                os.write(2, f"{os.getpid()} {time.monotonic()} {text}\n".encode())
                status = 2
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if status:
            raise ChildProcessError(f"a child ended with {status:#x}")


def measure(url: str) -> dict[str, float]:
    """What must not grow: KiB of memory, descriptors, sessions of a token; and when."""
    return {
        "time": time.monotonic(),
        "memory": memory_of(os.getpid()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "sessions": _sessions(url) if url.startswith("pkcs11:") else 0,
    }


def memory_of(process: int) -> int:
    """KiB of a process's resident memory."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def _sessions(url: str) -> int:
    """How many sessions this process has: the handles that SoftHSM still knows.

    It gives them out in ascending order, and does not count them in CK_TOKEN_INFO.
    """
    module = ctypes.CDLL(url.partition("module-path=")[2].partition("&")[0])
    info = (ctypes.c_ulong * 4)()
    newest = ctypes.c_ulong(0)
    slots, count = (ctypes.c_ulong * 64)(), ctypes.c_ulong(64)
    assert module.C_GetSlotList(1, slots, ctypes.byref(count)) == 0
    for slot in slots[: count.value]:
        if (
            module.C_OpenSession(
                *map(ctypes.c_ulong, (slot, 4, 0, 0)), ctypes.byref(newest)
            )
            == 0
        ):
            break
    assert module.C_CloseSession(newest) == 0
    handles = map(ctypes.c_ulong, range(1, newest.value))
    return sum(module.C_GetSessionInfo(handle, info) == 0 for handle in handles)


def main() -> None:
    url, seed, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    begun = time.monotonic()
    try:
        store = parsec_keys.open_store(url)
        work = Work(store, seed)
    except Exception as e:
        say_error(e, "open", begun)
        return
    with store:
        say(ready=True)
        in_threads(work, begun + seconds * _MEASURE_AFTER)
        work.settle()
        before = measure(url)
        in_threads(work, begun + seconds)
        work.settle()
        say(counted=work.counted, before=before, after=measure(url))


def in_threads(work: Work, until: float) -> None:
    """Work until a time, and then rest."""
    threads = [
        threading.Thread(target=work.thread, args=(number, until))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
