"""The command that runs the daemon."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

import click

_LEVELS: Final = {
    "off": logging.CRITICAL + 1,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG,
}


@click.command()
@click.option(
    "-c",
    "--config",
    "path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default="config.toml",
    show_default=True,
    help="What to serve, in the words of the Rust Parsec service's config.toml.",
)
def serve(path: Path) -> None:
    """Serve keys to other programs, with the Parsec wire protocol.

    SIGTERM ends it after the requests that run; SIGHUP reads FILE again.
    """
    from parsec_keys.service.daemon import Daemon

    daemon = Daemon(path.absolute())
    core = daemon.config.core
    time = "%(asctime)s " if core.log_timestamp else ""
    logging.basicConfig(
        level=_LEVELS[core.log_level], format=f"{time}%(levelname)s %(message)s"
    )
    asyncio.run(daemon.serve())
