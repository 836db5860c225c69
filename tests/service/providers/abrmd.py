"""tpm2-abrmd, the resource manager in user space, in front of a swtpm."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from parsec_keys.emulators import Swtpm
from tests.service.providers.relay import Relay

NAME = "com.intel.tss2.Tabrmd"


class Bus:
    """A D-Bus of one's own, as this process's session bus. A context manager.

    One for a process: GLib uses the first that it knew for ever.
    """

    def __init__(self, folder: Path) -> None:
        self.address = f"unix:path={folder / 'bus'}"
        os.environ["DBUS_SESSION_BUS_ADDRESS"] = self.address
        self._daemon = _program(
            *("dbus-daemon", "--session", "--nofork", "--nosyslog"),
            *("--address", self.address),
        )
        _wait_until(lambda: _listens(folder / "bus"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._daemon.terminate()
        self._daemon.wait()


class Abrmd:
    """A resource manager on a bus. A context manager."""

    tcti = "tabrmd:bus_type=session"

    def __init__(self, tpm: Swtpm | Relay, bus: Bus) -> None:
        self._tpm = tpm
        self._bus = bus
        self._manager: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        tcti = f"--tcti={self._tpm.tcti}"
        self._manager = _program("tpm2-abrmd", "--session", "--allow-root", tcti)
        _wait_until(self._has_its_name)

    def stop(self) -> None:
        if self._manager is not None:
            self._manager.terminate()
            self._manager.wait()
            self._manager = None

    def _has_its_name(self) -> bool:
        asked = subprocess.run(
            [
                *("dbus-send", f"--bus={self._bus.address}", "--print-reply=literal"),
                *("--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"),
                *("org.freedesktop.DBus.NameHasOwner", f"string:{NAME}"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        return "true" in asked.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def missing_programs() -> str:
    """The programs that are not installed, in words."""
    programs = ("tpm2-abrmd", "dbus-daemon", "dbus-send")
    return ", ".join(each for each in programs if shutil.which(each) is None)


def _program(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
