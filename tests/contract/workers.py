"""Workers of every kind that sign with a key that their parent loaded before them.

``python -m tests.contract.workers METHOD STORE``: the signatures that each kind of
worker made, and its parent at the same time, in JSON.
"""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import os
import sys
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys

MESSAGE = b"signed by a worker"
ECDSA = ec.ECDSA(hashes.SHA256())
WORKERS, TIMES, SECONDS = 3, 3, 60


def sign(key: Any) -> list[bytes]:
    return [key.sign(MESSAGE, ECDSA) for _ in range(TIMES)]


def sign_when_all_are_ready(key: Any, ready: Any, answers: Any) -> None:
    ready.wait(SECONDS)
    answers.put(sign(key))


def processes(context: Any, key: Any) -> list[bytes]:
    """Processes that are given the key, and sign when all of them have it."""
    ready, answers = context.Barrier(WORKERS + 1), context.SimpleQueue()
    arguments = (key, ready, answers)
    started = [
        context.Process(target=sign_when_all_are_ready, args=arguments)
        for _ in range(WORKERS)
    ]
    for process in started:
        process.start()
    ready.wait(SECONDS)
    signatures = sign(key)
    for _ in started:
        signatures += answers.get()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * WORKERS
    return signatures


def pool(context: Any, key: Any) -> list[bytes]:
    """A pool to which the key goes with each task."""
    with context.Pool(WORKERS) as workers:
        tasks = workers.map_async(sign, [key] * 2 * WORKERS, chunksize=1)
        signatures = sign(key)
        signatures += [each for some in tasks.get(SECONDS) for each in some]
        workers.close()
        workers.join()
    return signatures


def executor(context: Any, key: Any) -> list[bytes]:
    with concurrent.futures.ProcessPoolExecutor(WORKERS, context) as workers:
        tasks = [workers.submit(sign, key) for _ in range(2 * WORKERS)]
        signatures = sign(key)
        for task in tasks:
            signatures += task.result(SECONDS)
    return signatures


def forks(context: Any, key: Any) -> list[bytes]:
    """Children, and a child of each, which end in two ways."""
    ready, answers = context.Barrier(2 * WORKERS + 1), context.SimpleQueue()
    children = []
    for number in range(WORKERS):
        child = os.fork()
        if child == 0:
            grandchild = os.fork()
            sign_when_all_are_ready(key, ready, answers)
            if grandchild:
                assert os.waitpid(grandchild, 0)[1] == 0
            if number % 2:
                os._exit(0)
            sys.exit(0)
        children.append(child)
    ready.wait(SECONDS)
    signatures = sign(key)
    for _ in range(2 * WORKERS):
        signatures += answers.get()
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * WORKERS
    return signatures


KINDS = {
    "fork": (forks, processes, pool, executor),
    "forkserver": (processes, pool),
    "spawn": (processes, executor),
}


def main() -> None:
    method, url = sys.argv[1:]
    context = multiprocessing.get_context(method)
    with parsec_keys.open_store(url) as store:
        key = store.load("key")
        made = {kind.__name__: kind(context, key) for kind in KINDS[method]}
        made["afterwards"] = sign(key)
    said = {kind: [each.hex() for each in some] for kind, some in made.items()}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
