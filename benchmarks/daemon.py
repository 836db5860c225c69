"""Our daemon beside the Rust Parsec service 1.4.1, on the same swtpm and SoftHSM.

Both read one configuration, and one client that knows only bytes asks both in turn. Run
it with ``./dev bench daemon``.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from interop._parsec import (
    NUMBERS,
    Hardware,
    Served,
    hardware,
    own_daemon,
    rust_service,
)
from parsec_keys.psa.algorithms import Ecdsa, Hash
from parsec_keys.psa.attributes import (
    EccFamily,
    EccKeyPair,
    KeyAttributes,
    KeyPolicy,
    UsageFlags,
)
from parsec_keys.psa.operations import (
    ListKeys,
    Operation,
    PsaGenerateKey,
    PsaSignHash,
)
from parsec_keys.psa.operations.service import Ping
from parsec_keys.service.authenticators import AuthenticatorType, own_credentials
from parsec_keys.service.key_info.sqlite import FILE_NAME
from parsec_keys.service.wire.frames import HEADER_LENGTH, Request
from parsec_keys.service.wire.requests import encode_request

TURNS = 3
CLIENTS = 8
SECONDS = 2.0
RUNS = 100
PINGS = 300
MANY_KEYS = 100_000
CROWD = 1_000
ECDSA = Ecdsa(Hash.SHA_256)
ON_P256 = KeyAttributes(
    EccKeyPair(EccFamily.SECP_R1), 256, KeyPolicy(UsageFlags.SIGN_HASH, ECDSA)
)
SLOWEST_PING = 0.050
console = Console(stderr=True)


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    title: str
    rust: str
    ours: str
    ratio: str
    limit: str
    held: bool


def request(operation: Operation[object], provider: int = 0) -> bytes:
    """The bytes of a request of this user."""
    uid = AuthenticatorType.UNIX_PEER_CREDENTIALS
    body = encode_request(operation)
    return Request(operation.opcode, body, provider, uid, own_credentials()).encode()


PING = Request(Ping.opcode, b"").encode()
LIST = request(ListKeys())


def signature(provider: str) -> bytes:
    """The bytes of a request to sign with the provider's key."""
    return request(PsaSignHash(provider, ECDSA, bytes(32)), NUMBERS[provider])


def ask(service: Path, data: bytes) -> bytes:
    """Send a request, and read its answer as the header announces it."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(service))
        connection.sendall(data)
        return answered(connection)


def answered(connection: socket.socket) -> bytes:
    """The answer on a connection.

    Raises:
        AssertionError: it is another one than success.
    """
    got = bytearray(connection.recv(1 << 16))
    while len(got) < HEADER_LENGTH + int.from_bytes(got[22:26], "little"):
        more = connection.recv(1 << 20)
        assert more, "the service closed the connection"
        got += more
    assert got[32:34] == b"\0\0", f"status {int.from_bytes(got[32:34], 'little')}"
    return bytes(got)


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def make_keys(served: Served) -> None:
    """A P-256 key in each provider, with the provider's name."""
    for provider, number in NUMBERS.items():
        ask(served.socket, request(PsaGenerateKey(provider, ON_P256), number))


def beside_rust(folder: Path, emulators: Hardware) -> Iterator[Row]:
    """Latency and throughput of both services.

    They take turns with the machine, and with a TPM that was reset: the Rust service
    leaves objects in it, and swtpm has no resource manager.
    """
    limits = {"ping": 10, "software": 10, "pkcs11": 10, "tpm": 5}
    asked = {"ping": PING, **{name: signature(name) for name in NUMBERS}}
    services = {"rust": rust_service, "own": own_daemon}
    measured: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for turn in track(range(2 * TURNS), "both services in turn", console=console):
        service = ("rust", "own")[turn % 2]
        with services[service](folder / service, emulators) as served:
            if turn < 2:
                make_keys(served)
            for name, data in asked.items():
                times = (_latency(served, data), _rate(served, data))
                measured.setdefault((service, name), []).append(times)
        emulators.tpm.restart()
    for name, limit in limits.items():
        title = "ping" if name == "ping" else f"P-256 sign, {name}"
        (slow, few), (fast, many) = (
            map(statistics.median, zip(*measured[service, name], strict=True))
            for service in services
        )
        cells = (f"{1000 * slow:.2f} ms", f"{1000 * fast:.2f} ms")
        yield _compared(f"one client: {title}", cells, slow / fast, limit)
        cells = (f"{few:.0f}/s", f"{many:.0f}/s")
        yield _compared(f"{CLIENTS} clients: {title}", cells, many / few, 2)


def _compared(title: str, cells: tuple[str, str], ratio: float, limit: int) -> Row:
    return Row(title, *cells, f"{ratio:.1f}", f"≥ {limit}", ratio >= limit)


def _latency(served: Served, data: bytes) -> float:
    """The median seconds of a request by one client."""
    return statistics.median(
        seconds(lambda: ask(served.socket, data)) for _ in range(RUNS)
    )


def _rate(served: Served, data: bytes) -> float:
    """How many requests a second several clients have answered."""
    end, counts = time.perf_counter() + SECONDS, [0] * CLIENTS

    def client(number: int) -> None:
        while time.perf_counter() < end:
            ask(served.socket, data)
            counts[number] += 1

    threads = [threading.Thread(target=client, args=(i,)) for i in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


def many_keys(folder: Path, emulators: Hardware) -> Iterator[Row]:
    """A store of 100,000 keys: opened, used, and listed while others ask."""
    with own_daemon(folder, emulators) as own:
        make_keys(own)
        own.stop()
        _copy_record(folder / "keys" / FILE_NAME, "software")
        opened = seconds(own.start)
        opened += seconds(lambda: ask(own.socket, signature("software")))
        title = f"{MANY_KEYS} keys: the daemon's start and first signature"
        yield _limited(title, opened, 1.0)
        asked = {"ping": PING, "signature": signature("software")}
        for name, data in asked.items():
            with _lister(own) as lister:
                waits = []
                while lister.poll() is None:
                    waits.append(seconds(lambda of=data: ask(own.socket, of)))  # type: ignore[misc]
            title = f"{MANY_KEYS} keys: the slowest {name} during a list"
            yield _limited(title, max(waits), SLOWEST_PING)


def _copy_record(database: Path, key_name: str) -> None:
    """Give a key 100,000 more names."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        cursor = connection.execute(
            "SELECT * FROM key_record WHERE key_name = ?", (key_name,)
        )
        record = dict(
            zip(
                [each[0] for each in cursor.description], cursor.fetchone(), strict=True
            )
        )
        places = ", ".join("?" * len(record))
        with connection:
            connection.executemany(
                f"INSERT INTO key_record ({', '.join(record)}) VALUES ({places})",  # noqa: S608
                (
                    tuple(
                        {**record, "key_name": f"{i}", "uid": os.urandom(16)}.values()
                    )
                    for i in track(range(MANY_KEYS), "records", console=console)
                ),
            )


def _lister(served: Served) -> subprocess.Popen[bytes]:
    """Another process that lists all keys: it has an interpreter of its own."""
    code = (
        "import sys, pathlib; from benchmarks.daemon import LIST, ask; "
        "assert len(ask(pathlib.Path(sys.argv[1]), LIST)) > 1_000_000"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(served.socket)])


def crowd(folder: Path, emulators: Hardware) -> Iterator[Row]:
    """1,000 connections that ask nothing, or half of something."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with (
        own_daemon(folder, emulators, timeout=60.0) as own,
        contextlib.ExitStack() as connections,
    ):
        make_keys(own)
        for provider in NUMBERS:
            ask(own.socket, signature(provider))
        opened = []
        for _ in range(CROWD):
            connection = connections.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(str(own.socket))
            opened.append(connection)
        title = f"the slowest ping beside {CROWD} idle connections"
        yield _limited(title, _slowest_ping(own, title), SLOWEST_PING)
        for connection in opened:
            connection.sendall(signature("software")[:50])
        title = f"the slowest ping beside {CROWD} half-sent frames"
        yield _limited(title, _slowest_ping(own, title), SLOWEST_PING)
        resident = _resident(own.process.pid)
        title = f"memory with three providers and {CROWD} connections"
        cells = ("", f"{resident:.0f} MiB", "")
        yield Row(title, *cells, "< 80 MiB", resident < 80)


def _slowest_ping(served: Served, title: str) -> float:
    pings = track(range(PINGS), title, console=console)
    return max(seconds(lambda: ask(served.socket, PING)) for _ in pings)


def _limited(title: str, measured: float, limit: float) -> Row:
    cells = ("", f"{1000 * measured:.1f} ms", "")
    return Row(title, *cells, f"< {1000 * limit:.0f} ms", measured < limit)


def _resident(process: int) -> float:
    """MiB of memory that a process holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def main() -> int:
    """Print the table; 1 if a limit is not held."""
    table = Table("what", "Rust", "ours", "ratio", "limit", "")
    failed = False
    with tempfile.TemporaryDirectory() as name, hardware(Path(name)) as emulators:
        for measure in (beside_rust, many_keys, crowd):
            for row in measure(Path(name, measure.__name__), emulators):
                failed = failed or not row.held
                cells = (row.title, row.rust, row.ours, row.ratio, row.limit)
                table.add_row(*cells, "" if row.held else "✗")
    Console().print(table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
