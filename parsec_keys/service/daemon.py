"""The daemon: a listener, signals, and a configuration that can be read again.

It is started by a service manager or by hand: with ``LISTEN_FDS`` it serves the socket
that it is given, and with ``NOTIFY_SOCKET`` it says when it is ready (sd_listen_fds(3),
sd_notify(3)).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from parsec_keys.errors import ConfigurationError, Error
from parsec_keys.service import Service
from parsec_keys.service.authenticators import (
    Authenticator,
    Direct,
    UnixPeerCredentials,
)
from parsec_keys.service.config_daemon import (
    LOG_LEVELS,
    AuthenticatorConfig,
    DaemonConfig,
    read_daemon_config,
)
from parsec_keys.service.front import Front, Limits
from parsec_keys.service.listener import Listener
from parsec_keys.service.listening import bound_socket, passed_socket

logger = logging.getLogger(__name__)

_TURN_SECONDS: Final = 0.001
_SET_DUMPABLE: Final = 4


def keep_memory_private() -> None:
    """Keep this process's memory, with its PINs and keys, from all but root.

    Nobody of the same user may attach to it or read it, and it leaves no core dump: not
    in a file, and not with a program that the kernel's core_pattern names (prctl(2),
    PR_SET_DUMPABLE).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)


class Daemon:
    """Serves what one configuration file describes, until it is told to stop."""

    def __init__(self, path: Path, config: DaemonConfig) -> None:
        """Open the providers of a configuration, read from a file.

        Raises:
            ConfigurationError: the daemon may not run as this user.
            Error: a provider does not open.
        """
        self._path = path
        self._config = config
        _check_user(config)
        self._service = Service(self._config.service)
        self._front = _front(self._service, self._config)
        self._reloading = asyncio.Lock()
        self._is_ours = False

    async def serve(self) -> None:
        """Serve until SIGTERM or SIGINT; SIGHUP reads the configuration again."""
        _allow_many_connections()
        # A worker that computes for long lets the event loop have its turn sooner, and
        # a collection of garbage does not look at what was imported.
        sys.setswitchinterval(_TURN_SECONDS)
        gc.freeze()
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        workers = _workers(self._config)
        core, listening = self._config.core, self._listen()
        timeout = self._config.listener.timeout
        listener = Listener(self._front, workers, timeout, core.body_limit)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        reload_wanted = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, reload_wanted.set)
        listener.start(listening)
        logger.info("keys and key info are in %s", self._config.service.directory)
        logger.info("Parsec is ready.")
        _notify("READY=1")
        reloading = asyncio.create_task(self._reload_when(reload_wanted, listener))
        await stopped.wait()
        _notify("STOPPING=1")
        await listener.stop()
        async with self._reloading:
            reloading.cancel()
        workers.shutdown()
        self._service.close()
        if self._is_ours:
            self._config.listener.socket_path.unlink(missing_ok=True)

    def _listen(self) -> socket.socket:
        passed = passed_socket()
        self._is_ours = passed is None
        return passed or bound_socket(self._config.listener.socket_path)

    async def _reload_when(self, wanted: asyncio.Event, listener: Listener) -> None:
        while True:
            await wanted.wait()
            wanted.clear()
            _notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            async with self._reloading:
                await self._try_to_reload(listener)
            _notify("READY=1")

    async def _try_to_reload(self, listener: Listener) -> None:
        try:
            await self._reload(listener)
        except Error as e:
            logger.error("the configuration stays as it was: %s", e)
        except Exception:
            logger.exception("the configuration stays as it was, for a reason of ours")
        else:
            logger.info("the configuration was read again")

    async def _reload(self, listener: Listener) -> None:
        """Open what the file describes now, use it, then close what was there."""
        config = read_daemon_config(self._path)
        _check_unchanged(self._config, config)
        service = await asyncio.to_thread(Service, config.service)
        try:
            front = _front(service, config)
        except Error:
            service.close()
            raise
        old, self._service = self._service, service
        self._config = config
        logging.getLogger().setLevel(LOG_LEVELS[config.core.log_level])
        shift = listener.replace(front)
        listener.timeout = config.listener.timeout
        listener.body_limit = config.core.body_limit
        await shift.finished()
        try:
            await asyncio.to_thread(old.close)
            # What the old one could not remove, it held until now.
            await asyncio.to_thread(service.recover)
        except Error as e:
            logger.warning("what was left half done stays for the next start: %s", e)


def _front(service: Service, config: DaemonConfig) -> Front:
    core = config.core
    return Front(
        service,
        _authenticator(config.authenticator),
        config.authenticator.admins,
        Limits(core.buffer_size, core.log_error_details),
    )


def _authenticator(config: AuthenticatorConfig) -> Authenticator:
    if config.auth_type == "Direct":
        return Direct()
    if config.workload_endpoint is not None:
        from parsec_keys.service.jwt_svid import JwtSvid

        return JwtSvid(config.workload_endpoint)
    return UnixPeerCredentials()


def _workers(config: DaemonConfig) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(config.core.threads, thread_name_prefix="worker")


def _check_user(config: DaemonConfig) -> None:
    if os.geteuid() == 0 and not config.core.allow_root:
        raise ConfigurationError(
            "the daemon runs as root, which it has no need of: run it as a user of "
            "its own, or set allow_root = true in [core_settings]"
        )


def _check_unchanged(old: DaemonConfig, new: DaemonConfig) -> None:
    """What only a restart changes."""
    if old.listener.socket_path != new.listener.socket_path:
        raise ConfigurationError("another socket_path needs a restart of the daemon")
    if old.core.threads != new.core.threads:
        raise ConfigurationError(
            "another thread_pool_size needs a restart of the daemon"
        )


def _allow_many_connections() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _notify(state: str) -> None:
    """Tell a service manager, where there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
    ):
        notify.connect(address)
        notify.sendall(state.encode())
