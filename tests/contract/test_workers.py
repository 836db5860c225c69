"""Workers and their parent sign at the same time, with a key of before the fork."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from parsec_keys.emulators import PIN
from tests.conftest import open_or_miss
from tests.contract import celery_app
from tests.contract.workers import ECDSA, KINDS, MESSAGE, SECONDS, TIMES, WORKERS
from tests.programs import ROOT, said_by

BY_KIND = {
    "forks": 2 * WORKERS + 1,
    "processes": WORKERS + 1,
    "pool": 2 * WORKERS + 1,
    "executor": 2 * WORKERS + 1,
    "afterwards": 1,
}
"""How many times ``sign`` was called."""


@pytest.mark.parametrize("method", KINDS)
def test_workers(
    provider: str, embedded_url: Callable[[str], str], tmp_path: Path, method: str
) -> None:
    all_sign(provider, embedded_url(provider), tmp_path, method)


@pytest.mark.parametrize("method", KINDS)
@pytest.mark.parametrize("service", ["daemon_url", "rust_url"])
def test_workers_that_ask_a_service(
    request: pytest.FixtureRequest, tmp_path: Path, service: str, method: str
) -> None:
    url = request.getfixturevalue(service)("software")
    all_sign("software", url, tmp_path, method)


def test_celery(
    provider: str, embedded_url: Callable[[str], str], tmp_path: Path
) -> None:
    celery_signs(provider, embedded_url(provider), tmp_path)


def test_celery_that_asks_a_service(
    daemon_url: Callable[[str], str], tmp_path: Path
) -> None:
    celery_signs("software", daemon_url("software"), tmp_path)


def celery_signs(provider: str, url: str, tmp_path: Path) -> None:
    """Have the workers of Celery sign, and their parent at the same time."""
    with open_or_miss(provider, url) as store:
        key = store.generate_ec("key", ec.SECP256R1())
    client = celery_app.application(tmp_path)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "celery"]
    options = ["--concurrency", str(WORKERS), "--loglevel", "WARNING"]
    without = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with (tmp_path / "log").open("w") as log:
        worker = subprocess.Popen(
            [*command, "-A", "tests.contract.celery_app", "worker", *options, *without],
            cwd=ROOT,
            env={
                **os.environ,
                celery_app.FOLDER: str(tmp_path),
                celery_app.STORE: url,
            },
            stdout=log,
            stderr=log,
        )
    try:
        tasks = [client.send_task("sign") for _ in range(4 * WORKERS)]
        answers = [task.get(timeout=SECONDS, interval=0.02) for task in tasks]
        client.control.shutdown()
        worker.wait(SECONDS)
    finally:
        worker.kill()

    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said, said
    assert worker.returncode == 0, said
    parents = (tmp_path / f"parent-{worker.pid}").read_text().split()
    processes = {process for process, _ in answers}
    assert len(parents) == 2 * TIMES
    assert worker.pid not in processes
    for signature in [*parents, *(each for _, some in answers for each in some)]:
        key.public_key().verify(bytes.fromhex(signature), MESSAGE, ECDSA)


def all_sign(provider: str, url: str, folder: Path, method: str) -> None:
    """Run all kinds of workers that there are with a method of starting them."""
    with open_or_miss(provider, url) as store:
        key = store.generate_ec("key", ec.SECP256R1())
    # A key goes to another program as its URI, which has no PIN in it.
    (folder / "pin").write_text(PIN)
    url = url.replace(f"pin-value={PIN}", f"pin-source=file:{folder}/pin")
    options = ("-W", "ignore::DeprecationWarning")  # fork and threads

    made = said_by("tests.contract.workers", method, url, options=options)

    kinds = [*(kind.__name__ for kind in KINDS[method]), "afterwards"]
    assert {kind: len(some) for kind, some in made.items()} == {
        kind: BY_KIND[kind] * TIMES for kind in kinds
    }
    for some in made.values():
        for signature in some:
            key.public_key().verify(bytes.fromhex(signature), MESSAGE, ECDSA)
