"""Both Parsec services, and the Rust project's tool, each as a process of its own.

One configuration file, in the Rust service's words, starts either service: with a
software provider, a TPM and a token, or some of these. ``_rust_parsec.sh`` has fetched
what is not ours.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from parsec_keys._wire import Wire
from parsec_keys.ec import EllipticCurvePrivateKey
from parsec_keys.emulators import PIN, SoftHsm, Swtpm, ends_with_us
from parsec_keys.errors import ServiceUnavailable
from parsec_keys.psa.operations.service import Ping
from parsec_keys.rsa import RSAPrivateKey

RUST: Final = Path(__file__).parents[1] / ".rust-parsec" / "root"
NUMBERS: Final = {"software": 1, "pkcs11": 2, "tpm": 3}
"""The wire's numbers of the providers that both services have."""
_START_SECONDS: Final = 30.0
_CONFIGURATION: Final = """\
[core_settings]
allow_root = true
log_level = "warn"
log_error_details = true

[listener]
listener_type = "DomainSocket"
timeout = {timeout}
socket_path = "{folder}/parsec.sock"

[authenticator]
auth_type = "UnixPeerCredentials"
admins = [{{ name = "{uid}" }}]

[[key_manager]]
name = "keys"
manager_type = "SQLite"
sqlite_db_path = "{folder}/keys/keys.sqlite3"
"""
_PROVIDERS: Final = {
    "software": """
[[provider]]
provider_type = "MbedCrypto"
key_info_manager = "keys"
""",
    "pkcs11": """
[[provider]]
provider_type = "Pkcs11"
key_info_manager = "keys"
library_path = "{module}"
user_pin = "{pin}"
""",
    "tpm": """
[[provider]]
provider_type = "Tpm"
key_info_manager = "keys"
tcti = "{tcti}"
owner_hierarchy_auth = ""
endorsement_hierarchy_auth = ""
""",
}


@dataclass(frozen=True, slots=True)
class Hardware:
    """An emulated TPM, and emulated tokens of which one is initialised."""

    tpm: Swtpm
    softhsm: SoftHsm


@dataclass(slots=True)
class Served:
    """A service that runs. ``restart`` keeps its keys."""

    folder: Path
    command: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / "parsec.sock"

    @property
    def url(self) -> str:
        """The URL of a store that uses it."""
        return f"unix:{self.socket}"

    @property
    def log(self) -> str:
        """What it said."""
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Start it, and wait for its answer to a ping.

        Raises:
            ServiceUnavailable: it ends, or does not answer, with what it said.
        """
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*ends_with_us(), *self.command],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServiceUnavailable(f"{self.command[0]}: {self.log.strip()}")
            time.sleep(0.02)

    def stop(self) -> int:
        """Tell it to end, wait until it did, and answer its exit status."""
        self.process.terminate()
        return self.process.wait()

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    def _answers(self) -> bool:
        with contextlib.suppress(ServiceUnavailable):
            Wire(self.socket, None, 1.0).ask(Ping())
            return True
        return False


@contextlib.contextmanager
def hardware(folder: Path) -> Iterator[Hardware]:
    """A TPM and a token, for processes that are started here."""
    with Swtpm(folder / "tpm") as tpm:
        softhsm = SoftHsm(folder / "softhsm", for_this_process=False)
        softhsm.add_token("parsec")
        yield Hardware(tpm, softhsm)


@contextlib.contextmanager
def rust_service(
    folder: Path,
    hardware: Hardware,
    providers: Sequence[str] = tuple(NUMBERS),
    timeout: float = 3.0,
) -> Iterator[Served]:
    """The Rust Parsec service on this hardware.

    Raises:
        ServiceUnavailable: it was not fetched, or does not start.
    """
    command = [*_rust("parsec"), "-c", "config.toml"]
    with _served(folder, hardware, command, providers, timeout) as served:
        yield served


@contextlib.contextmanager
def own_daemon(
    folder: Path,
    hardware: Hardware,
    providers: Sequence[str] = tuple(NUMBERS),
    timeout: float = 3.0,
) -> Iterator[Served]:
    """``parsec-keys serve`` on this hardware."""
    command = [sys.executable, "-m", "parsec_keys", "serve", "-c", "config.toml"]
    with _served(folder, hardware, command, providers, timeout) as served:
        yield served


@contextlib.contextmanager
def _served(
    folder: Path,
    hardware: Hardware,
    command: Sequence[str],
    providers: Sequence[str],
    timeout: float,
) -> Iterator[Served]:
    folder.mkdir(parents=True, exist_ok=True)
    tables = (_CONFIGURATION, *(_PROVIDERS[name] for name in providers))
    (folder / "config.toml").write_text(
        "".join(tables).format(
            folder=folder,
            timeout=round(1000 * timeout),
            uid=os.getuid(),
            module=hardware.softhsm.module,
            pin=PIN,
            tcti=hardware.tpm.tcti,
        )
    )
    environment = {**os.environ, **hardware.softhsm.environment}
    served = Served(folder, command, environment)
    served.start()
    try:
        yield served
    finally:
        served.stop()


def parsec_tool(
    service: Path, *arguments: str, provider: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run parsec-tool on a service's socket: what it wrote, and its exit status.

    Raises:
        ServiceUnavailable: it was not fetched.
    """
    chosen = [] if provider is None else ["--provider", str(NUMBERS[provider])]
    return subprocess.run(
        [*_rust("parsec-tool"), *chosen, *arguments],
        env={**os.environ, "PARSEC_SERVICE_ENDPOINT": f"unix:{service}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def service_of(key: object) -> tuple[Path, str]:
    """The socket and the provider's name of a key in a service."""
    assert isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey)
    _, _, store = key.uri.partition("?store=unix:")
    return Path(unquote(store)), key.provider


def version(package: str) -> str:
    """The version of a Debian package that was fetched.

    Raises:
        ServiceUnavailable: it was not.
    """
    versions = RUST.parent / "versions"
    for line in versions.read_text().splitlines() if versions.exists() else ():
        name, _, number = line.partition(" ")
        if name == package:
            return number
    raise ServiceUnavailable(f"{package} is not here: ./dev interop fetches it")


def _rust(program: str) -> list[str]:
    """The command of a fetched program, with the libraries that were fetched with it.

    They are newer than the host's may be, and so is their loader.
    """
    path = RUST / "usr" / "bin" / program
    loader = next((RUST / "usr" / "lib").glob("*-linux-gnu*/ld-linux*.so.*"), None)
    if loader is None or not path.exists():
        raise ServiceUnavailable(f"{program} is not here: ./dev interop fetches it")
    return [str(loader), "--library-path", str(loader.parent), str(path)]
