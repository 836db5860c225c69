"""The socket that a daemon listens on: a service manager's, or one of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path
from typing import Final

from parsec_keys.errors import ConfigurationError, Error, ServiceUnavailable

_FIRST_PASSED_DESCRIPTOR: Final = 3
_PROBE_SECONDS: Final = 1


def passed_socket() -> socket.socket | None:
    """The socket that a service manager bound for us (sd_listen_fds(3)).

    Raises:
        ConfigurationError: there are several, or it is none to serve on.
    """
    count = os.environ.pop("LISTEN_FDS", "")
    is_mine = os.environ.pop("LISTEN_PID", "") == str(os.getpid())
    os.environ.pop("LISTEN_FDNAMES", None)
    if not is_mine or not count.isdecimal() or int(count) == 0:
        return None
    if int(count) > 1:
        raise ConfigurationError(
            f"the service manager passed {count} sockets: one is what a daemon serves"
        )
    try:
        passed = socket.socket(fileno=_FIRST_PASSED_DESCRIPTOR)
    except OSError as e:
        raise ConfigurationError(
            f"what the service manager passed is no socket: {e.strerror}"
        ) from e
    passed.set_inheritable(False)
    if (passed.family, passed.type) != (socket.AF_UNIX, socket.SOCK_STREAM):
        passed.close()
        raise ConfigurationError(
            "the service manager passed another socket than a Unix stream: write "
            "ListenStream= with a path in its socket unit"
        )
    return passed


def bound_socket(path: Path) -> socket.socket:
    """A socket of our own at a path, where an old one may lie.

    Raises:
        ServiceUnavailable: the path cannot be used, or somebody serves there.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _make_way(path)
        listening.bind(str(path))
        # Who may connect is decided by the folder; who is who, by the authenticator.
        path.chmod(0o666)
    except OSError as e:
        listening.close()
        raise ServiceUnavailable(
            f"the socket {path} cannot be made ({e.strerror or e}): make its folder, "
            "which the daemon's user must own, or choose another socket_path"
        ) from e
    except Error:
        listening.close()
        raise
    return listening


def _make_way(path: Path) -> None:
    """Remove the socket of a daemon that is gone, and nothing else."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ServiceUnavailable(
            f"{path} is there and is no socket: remove it, or choose another "
            "socket_path"
        )
    _check_nobody_serves(path)
    path.unlink()


def _check_nobody_serves(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        with contextlib.suppress(ConnectionRefusedError):
            probe.connect(str(path))
            raise ServiceUnavailable(
                f"a service answers at {path} already: stop it, or choose another "
                "socket_path"
            )
