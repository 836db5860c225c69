"""Tokens of three modules: SoftHSM, tpm2-pkcs11 and opencryptoki's software token.

Each is used in children (``children``), which ``enter`` prepares.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from parsec_keys.emulators import PIN, Swtpm, softhsm_module
from parsec_keys.errors import ServiceUnavailable
from parsec_keys.service.providers.tpm import _tss
from tests.service.providers.children import in_a_child
from tests.service.providers.raw_module import RawModule
from tests.service.providers.tpm_keys import handles

SO_PIN = "87654321"
_FOLDERS = (Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib/aarch64-linux-gnu"))
_START_SECONDS = 10.0


class Token(Protocol):
    """A token, and the module that reaches it."""

    module: Path
    label: str

    def enter(self) -> None:
        """Make this process, a child, one that can use the module."""

    def lose_power(self) -> None:
        """Stop the daemon or the chip behind the module."""

    def regain_power(self) -> None:
        """Start it again."""


def url(
    token: Token, store: Path, pin: str | None = PIN, module: Path | None = None
) -> str:
    """The URL of a store on a token, perhaps through a module in front of its own."""
    said = "" if pin is None else f"&pin-value={quote(pin)}"
    path = module or token.module
    return f"pkcs11:token={token.label}?module-path={path}&store={store}{said}"


class SoftHsmToken:
    """A SoftHSM of its own: a copy of the module, which no other test has loaded."""

    label = "token"

    def __init__(self, directory: Path) -> None:
        self.module = directory / "libsofthsm2.so"
        shutil.copy(softhsm_module(), self.module)
        self.tokens = directory / "tokens"
        self.tokens.mkdir()
        self.configuration = directory / "softhsm2.conf"
        self.configuration.write_text(
            f"directories.tokendir = {self.tokens}\n"
            "objectstore.backend = file\nlog.level = ERROR\n"
        )
        self.add(self.label)

    def add(self, label: str) -> None:
        """Initialise another token."""
        run(
            *("softhsm2-util", "--module", str(self.module), "--init-token", "--free"),
            *("--label", label, "--so-pin", SO_PIN, "--pin", PIN),
            environment={"SOFTHSM2_CONF": str(self.configuration)},
        )

    def enter(self) -> None:
        os.environ["SOFTHSM2_CONF"] = str(self.configuration)

    def lose_power(self) -> None:
        """Take all tokens out."""
        self.tokens.rename(self.tokens.with_name("drawer"))
        self.tokens.mkdir()

    def regain_power(self) -> None:
        self.tokens.rmdir()
        self.tokens.with_name("drawer").rename(self.tokens)


class Tpm2Token:
    """A token of tpm2-pkcs11, whose TPM is a swtpm of its own."""

    label = "token"

    def __init__(self, directory: Path) -> None:
        self.module = _module("libtpm2_pkcs11.so", "libtpm2-pkcs11-1")
        self.store = directory / "token"
        self.store.mkdir()
        self.swtpm = Swtpm(directory / "swtpm")
        in_a_child(self._initialise)

    def _initialise(self) -> None:
        self.enter()
        module = RawModule(self.module)
        module.initialize()
        module.init_token(module.slots()[0], self.label, SO_PIN.encode(), PIN.encode())
        module.finalize()

    def enter(self) -> None:
        os.environ["TPM2_PKCS11_STORE"] = str(self.store)
        os.environ["TPM2_PKCS11_TCTI"] = self.swtpm.tcti
        os.environ["TSS2_LOG"] = "all+NONE"

    def flush(self) -> None:
        """Empty the TPM's three slots, which a child that ended may have filled."""
        with _tss.ESAPI(self.swtpm.tcti) as tpm:
            for handle in handles(tpm):
                tpm.flush_context(tpm.tr_from_tpmpublic(handle))

    def lose_power(self) -> None:
        # A TPM that is not told counts it as a wrong PIN: three times, and it locks.
        with _tss.ESAPI(self.swtpm.tcti) as tpm:
            tpm.shutdown(_tss.TPM2_SU.CLEAR)
        self.swtpm.stop()

    def regain_power(self) -> None:
        self.swtpm.start()


class OpencryptokiToken:
    """opencryptoki's software token, with its daemon, in namespaces of their own.

    Its folders and its daemon's socket are the machine's; here they are mounted over,
    for this token's processes alone, so that no token of the machine is touched. Nor
    is a root needed, but in a chroot, whose processes get no user namespaces.
    """

    label = "token"

    def __init__(self, directory: Path) -> None:
        self.module = _module("libopencryptoki.so", "opencryptoki")
        for folder in (
            "lib/swtok/TOK_OBJ",
            "etc",
            "log",
            "run/lock/opencryptoki/swtok",
            "root",
        ):
            (directory / folder).mkdir(parents=True)
        (directory / "etc/opencryptoki.conf").write_text(
            "version opencryptoki-3.1\nslot 0\n{\nstdll = libpkcs11_sw.so\n}\n"
        )
        groups = Path("/etc/group").read_text().splitlines()
        others = [line for line in groups if not line.startswith("pkcs11:")]
        (directory / "group").write_text("\n".join([*others, "pkcs11:x:0:", ""]))
        self._root = directory / "root"
        self._daemon: subprocess.Popen[bytes] | None = None
        self._kinds = ("user", "ipc", "mnt")
        try:
            self._room = self._new_room("--user", "--map-root-user")
        except ServiceUnavailable:
            if os.geteuid() != 0:
                raise
            self._kinds = ("ipc", "mnt")
            self._room = self._new_room("--propagation", "unchanged")
        try:
            self._initialise()
        except BaseException:
            self.close()
            raise

    def _new_room(self, *options: str) -> subprocess.Popen[str]:
        """A process that does nothing in new namespaces.

        Raises:
            ServiceUnavailable: this machine forbids them.
        """
        room = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", "unshare", *options),
                *("--mount", "--ipc", "sh", "-ec", _ROOM, _FURNITURE),
            ],
            cwd=self._root.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert room.stdout is not None
        if room.stdout.readline() == "ready\n":
            return room
        _, why = room.communicate()
        self._unmount()
        raise ServiceUnavailable(
            f"opencryptoki wants namespaces, and this machine forbids them: {why}"
        )

    def _initialise(self) -> None:
        self.regain_power()
        for answers in (
            ("-I", SO_PIN, self.label),
            ("-P", SO_PIN, SO_PIN, SO_PIN),
            ("-u", SO_PIN, PIN, PIN),
        ):
            run(
                *(*self._inside, "pkcsconf", answers[0], "-c", "0"),
                answers="\n".join((*answers[1:], "")),
            )

    @property
    def _inside(self) -> tuple[str, ...]:
        kinds = ("mount" if kind == "mnt" else kind for kind in self._kinds)
        namespaces = (f"--{kind}" for kind in (*kinds, "root", "preserve-credentials"))
        return ("nsenter", f"--target={self._room.pid}", *namespaces)

    def enter(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        root = os.open(f"/proc/{self._room.pid}/root", os.O_PATH)
        for kind in self._kinds:
            with open(f"/proc/{self._room.pid}/ns/{kind}") as namespace:
                assert libc.setns(namespace.fileno(), 0) == 0, os.strerror(
                    ctypes.get_errno()
                )
        os.fchdir(root)
        os.chroot(".")
        os.close(root)

    def lose_power(self) -> None:
        assert self._daemon is not None
        self._daemon.kill()  # With a client, it does not heed less.
        self._daemon.wait()
        self._daemon = None

    def regain_power(self) -> None:
        self._daemon = subprocess.Popen(
            [*self._inside, "setpriv", "--pdeathsig", "KILL", "pkcsslotd", "-f"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # The socket is there before the daemon serves it.
        deadline = time.monotonic() + _START_SECONDS
        asking = [*self._inside, "pkcsconf", "-i"]
        while subprocess.run(asking, capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, "pkcsslotd does not start"
            time.sleep(0.01)

    def close(self) -> None:
        """Stop the daemon, and let the namespaces go."""
        if self._daemon is not None:
            self.lose_power()
        self._room.send_signal(signal.SIGKILL)
        self._room.communicate()
        self._unmount()

    def _unmount(self) -> None:
        if os.path.ismount(self._root):
            run("umount", "--lazy", str(self._root))


# A chroot cannot be made private: what is mounted below "/" there is mounted below the
# machine's "/". So all is mounted in another one, of which the machine gets to see an
# empty folder at most.
_ROOM = """
mount --bind root root
mount --make-private root
mount --rbind / root
mount --make-rprivate root
exec chroot root sh -ec "cd '$PWD'; $0"
"""
_FURNITURE = """
mount --bind group /etc/group
mount --bind lib /var/lib/opencryptoki
mount --bind etc /etc/opencryptoki
mount --bind log /var/log
mkdir -p /var/log/opencryptoki
mount --bind run /run
mount -t tmpfs none /dev/shm
echo ready
exec sleep infinity
"""


@contextlib.contextmanager
def started(kind: str, directory: Path) -> Iterator[Token]:
    """A token of a kind, one of ``KINDS``.

    Raises:
        ServiceUnavailable: its software is not installed.
    """
    if kind == "softhsm":
        yield SoftHsmToken(directory)
    elif kind == "tpm2-pkcs11":
        tpm2 = Tpm2Token(directory)
        with tpm2.swtpm:
            yield tpm2
    else:
        token = OpencryptokiToken(directory)
        try:
            yield token
        finally:
            token.close()


KINDS = ("softhsm", "tpm2-pkcs11", "opencryptoki")


def run(
    *command: str, answers: str = "", environment: dict[str, str] | None = None
) -> None:
    """Run a program that makes tokens; its output is why it failed."""
    done = subprocess.run(
        command,
        input=answers,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _module(name: str, package: str) -> Path:
    for folder in _FOLDERS:
        path = folder / "pkcs11" / name
        if path.exists():
            return path
    raise ServiceUnavailable(f"{name} is not installed: run apt install {package}")
