"""The command that runs the daemon."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click


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
    from parsec_keys.service.config_daemon import LOG_LEVELS, read_daemon_config
    from parsec_keys.service.daemon import Daemon, keep_memory_private

    keep_memory_private()
    path = path.absolute()
    config = read_daemon_config(path)
    time = "%(asctime)s " if config.core.log_timestamp else ""
    logging.basicConfig(
        level=LOG_LEVELS[config.core.log_level],
        format=f"{time}%(levelname)s %(message)s",
    )
    asyncio.run(Daemon(path, config).serve())
