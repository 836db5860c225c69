"""A Celery application whose workers sign with a key of before the fork.

Its broker and its results are folders, so that no other program is needed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import worker_ready, worker_shutdown

import parsec_keys
from tests.contract.workers import sign

FOLDER, STORE = "CELERY_FOLDER", "CELERY_STORE"
"""The variables that say where it works, and with which key store."""


def application(folder: Path) -> Any:
    """An application that a client and its workers make alike."""
    for name in ("queue", "results"):
        (folder / name).mkdir(exist_ok=True)
    made = Celery(broker="filesystem://", backend=f"file://{folder}/results")
    made.conf.broker_transport_options = {
        "data_folder_in": f"{folder}/queue",
        "data_folder_out": f"{folder}/queue",
        "control_folder": f"{folder}/control",
        "polling_interval": 0.02,
    }
    return made


def _worker() -> Any:
    folder = Path(os.environ[FOLDER])
    app = application(folder)
    key = parsec_keys.open_store(os.environ[STORE]).load("key")

    @app.task(name="sign")
    def task() -> tuple[int, list[str]]:
        return os.getpid(), [signature.hex() for signature in sign(key)]

    def sign_in_the_parent(**_: Any) -> None:
        with (folder / f"parent-{os.getpid()}").open("a") as file:
            file.writelines(f"{signature.hex()}\n" for signature in sign(key))

    worker_ready.connect(sign_in_the_parent, weak=False)
    worker_shutdown.connect(sign_in_the_parent, weak=False)
    return app


if FOLDER in os.environ:
    app = _worker()
