"""A TPM and a PKCS#11 token for a demo or a test: swtpm and SoftHSM, started here.

Both are the real programs, in folders of their own, and are gone when closed.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from parsec_keys.errors import ServiceUnavailable

SOFTHSM_MODULES: Final = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/pkcs11/libsofthsm2.so"),
)
PIN: Final = "hush4711"
"""The user PIN of every token that is made here: none that output has by chance."""
_START_SECONDS: Final = 10.0
_PORTS: Final = (10_000, 32_000)
_GET_CAPABILITY: Final = bytes((0, 0, 0, 1))
"""A command to swtpm's control port that changes nothing (swtpm_ioctls(3))."""


class Swtpm:
    """A software TPM 2.0 that listens on a port of this machine.

    A context manager. ``restart`` keeps its state, as a reboot does.
    """

    def __init__(self, directory: Path) -> None:
        """Start it with its state in ``directory``.

        Raises:
            ServiceUnavailable: swtpm is not installed, or does not start.
        """
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.start()

    @property
    def tcti(self) -> str:
        """The TCTI that reaches it."""
        return f"swtpm:host=127.0.0.1,port={self.port}"

    @property
    def url(self) -> str:
        """A store URL that keeps its key info beside the TPM's state."""
        return f"tpm:{self.tcti}?store={self._directory / 'store'}"

    def start(self) -> None:
        """Start it, at the port it had before if it had one."""
        program = shutil.which("swtpm")
        if program is None:
            raise ServiceUnavailable("swtpm is not installed: run apt install swtpm")
        for _ in range(20):
            port = self.port or free_port_pair()
            self._process = subprocess.Popen(  # noqa: S603
                [
                    *ends_with_us(),
                    *(program, "socket", "--tpm2"),
                    *("--tpmstate", f"dir={self._directory}"),
                    *("--server", f"type=tcp,port={port},bindaddr=127.0.0.1"),
                    *("--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1"),
                    *("--flags", "not-need-init,startup-clear"),
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                if self._listens(port):
                    self.port = port
                    return
            except BaseException:  # Ctrl-C while it starts.
                self.stop()
                raise
            self.stop()  # Somebody was faster at the port.
        raise ServiceUnavailable(f"swtpm does not start in {self._directory}")

    def stop(self) -> None:
        """Stop it; its state stays."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop and start it: what was loaded is gone, its seeds are not."""
        self.stop()
        self.start()

    def _listens(self, port: int) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            assert self._process is not None  # noqa: S101
            if self._process.poll() is not None:
                return False
            # The control port: a connection to the other one is a client's. Both are
            # listening once something is answered there, this one a little earlier.
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port + 1), 1) as probe,
            ):
                probe.sendall(_GET_CAPABILITY)
                if probe.recv(1):
                    return True
            time.sleep(0.01)
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class SoftHsm:
    """A folder of SoftHSM tokens. Sets ``SOFTHSM2_CONF`` for this process.

    SoftHSM reads its configuration once a process: a second folder is for another one.
    """

    def __init__(self, directory: Path, *, for_this_process: bool = True) -> None:
        """Configure SoftHSM to keep its tokens in ``directory``.

        ``environment`` is what another process needs to find them.

        Raises:
            ServiceUnavailable: SoftHSM is not installed.
        """
        self._directory = directory
        tokens = directory / "tokens"
        tokens.mkdir(parents=True, exist_ok=True)
        self.configuration = directory / "softhsm2.conf"
        self.configuration.write_text(
            f"directories.tokendir = {tokens}\n"
            "objectstore.backend = file\nlog.level = ERROR\n"
        )
        self.module = softhsm_module()
        self.environment = {"SOFTHSM2_CONF": str(self.configuration)}
        if for_this_process:
            os.environ.update(self.environment)

    def add_token(self, label: str, pin: str = PIN) -> str:
        """Initialise a token, and answer a store URL with its PIN.

        Raises:
            ServiceUnavailable: softhsm2-util is not installed, or fails.
        """
        program = shutil.which("softhsm2-util")
        if program is None:
            raise ServiceUnavailable("run apt install softhsm2")
        done = subprocess.run(  # noqa: S603
            [
                *(program, "--module", str(self.module), "--init-token", "--free"),
                *("--label", label, "--so-pin", pin, "--pin", pin),
            ],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServiceUnavailable(f"softhsm2-util failed: {done.stderr.strip()}")
        return self.url(label, self._directory / f"store-{label}", pin)

    def url(self, label: str, store: Path, pin: str = PIN) -> str:
        """The URL of a store on a token that keeps its key info in a folder."""
        return (
            f"pkcs11:token={label}?module-path={self.module}&pin-value={pin}"
            f"&store={store}"
        )


def softhsm_module() -> Path:
    """SoftHSM's PKCS#11 module.

    Raises:
        ServiceUnavailable: it is not installed.
    """
    for module in SOFTHSM_MODULES:
        if module.exists():
            return module
    raise ServiceUnavailable("SoftHSM is not installed: run apt install softhsm2")


def ends_with_us() -> tuple[str, ...]:
    """What to put before a command so that it ends when this process does."""
    # Ctrl-C while it starts, or SIGKILL, would leave it behind: prctl(2), PDEATHSIG.
    program = shutil.which("setpriv")
    return () if program is None else (program, "--pdeathsig", "TERM")


def free_port_pair() -> int:
    """A port that is free, with a free one behind it: the TCTI expects the pair.

    Below the ports that Linux gives to clients: a TPM's client opens a connection for
    each command, and thousands of these ports are not free for a while afterwards.
    """
    while True:
        port = random.randrange(*_PORTS)  # noqa: S311
        with (
            contextlib.suppress(OSError),
            socket.socket() as first,
            socket.socket() as second,
        ):
            first.bind(("127.0.0.1", port))
            second.bind(("127.0.0.1", port + 1))
            return port
