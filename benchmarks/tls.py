"""What TLS with our keys costs: handshakes beside those with the same key in a file.

Both ends are in this process, over memory, and every other handshake is the other
kind's. Run it with ``./dev bench tls``.
"""

from __future__ import annotations

import datetime
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL
from rich.console import Console
from rich.progress import track
from rich.table import Table

import parsec_keys

RUNS = 800
MANY = 5_000
Handshake = Callable[[], object]
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def certificate(key: Key) -> x509.Certificate:
    """A certificate of a key, signed by itself."""
    name = x509.Name.from_rfc4514_string("CN=localhost")
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
    return builder.not_valid_after(now + datetime.timedelta(days=1)).sign(
        key, hashes.SHA256()
    )


def stdlib(cert: x509.Certificate, key: Key, folder: Path) -> Handshake:
    """A TLS 1.3 handshake of stdlib's ssl with a server that has the key."""
    (folder / "cert.pem").write_bytes(cert.public_bytes(PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(PEM, PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE

    def handshake() -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = (
            client.wrap_bio(to_client, to_server),
            server.wrap_bio(to_server, to_client, server_side=True),
        )
        done = 0
        while done < 2:
            done = 0
            for end in ends:
                try:
                    end.do_handshake()
                    done += 1
                except ssl.SSLWantReadError:
                    continue

    return handshake


def pyopenssl(cert: x509.Certificate, key: Key, folder: Path) -> Handshake:
    """The same with pyOpenSSL, which has cryptography's libcrypto."""
    server = SSL.Context(SSL.TLS_METHOD)
    server.use_certificate(cert)
    server.use_privatekey(key)
    client = SSL.Context(SSL.TLS_METHOD)

    def handshake() -> None:
        ends = SSL.Connection(client), SSL.Connection(server)
        ends[0].set_connect_state()
        ends[1].set_accept_state()
        done = 0
        while done < 2:
            done = 0
            for end, other in (ends, ends[::-1]):
                try:
                    end.do_handshake()
                    done += 1
                except SSL.WantReadError:
                    pass
                try:
                    other.bio_write(end.bio_read(1 << 16))
                except SSL.WantReadError:
                    continue

    return handshake


def ratio(one: Handshake, other: Handshake, title: str) -> float:
    """How many of ``one`` go into the time of ``other``: above 1, it is faster."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in track(range(RUNS), title, console=Console(stderr=True)):
        for side, call in ((0, one), (1, other))[:: 1 if run % 2 else -1]:
            start = time.perf_counter()
            call()
            times[side].append(time.perf_counter() - start)
    return statistics.median(times[1]) / statistics.median(times[0])


def bystanders(folder: Path) -> dict[str, float]:
    """Medians in seconds of what has nothing to do with us, in this process."""
    key = ec.generate_private_key(ec.SECP256R1())
    handshake = stdlib(certificate(key), key, folder)
    ecdsa = ec.ECDSA(hashes.SHA256())
    pem = key.private_bytes(PEM, PKCS8, serialization.NoEncryption())
    calls: dict[str, Handshake] = {
        "a native-key handshake of ssl": handshake,
        "cryptography's own signature": lambda: key.sign(b"data", ecdsa),
        "loading a PEM key": lambda: serialization.load_pem_private_key(pem, None),
    }
    medians = {}
    for name, call in calls.items():
        call()
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        medians[name] = statistics.median(times)
    return medians


def measured_in_children() -> dict[str, float]:
    """Their speed where we are registered, in processes of their own, in turn."""
    code = (
        "import sys, json, tempfile, pathlib\n"
        "from benchmarks.tls import bystanders\n"
        "if sys.argv[1] == '1':\n    from parsec_keys import tls\n    tls.enable()\n"
        "print(json.dumps(bystanders(pathlib.Path(tempfile.mkdtemp()))))"
    )
    import json

    times: dict[str, tuple[list[float], list[float]]] = {}
    for run in track(range(10), "bystanders", console=Console(stderr=True)):
        command = [sys.executable, "-c", code, str(run % 2)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        for name, median in json.loads(done.stdout).items():
            times.setdefault(name, ([], []))[run % 2].append(median)
    return {
        name: statistics.median(without) / statistics.median(with_us)
        for name, (without, with_us) in times.items()
    }


def growth(handshake: Handshake) -> float:
    """How many KiB many handshakes add to this process."""
    for _ in range(500):
        handshake()
    before = _resident()
    for _ in track(range(MANY), "growth", console=Console(stderr=True)):
        handshake()
    return _resident() - before


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


def main() -> int:
    """Print the table; 1 if a limit is not held."""
    table = Table("what", "ratio", "limit")
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = parsec_keys.open_store(f"software:{folder / 'store'}")
        natives: dict[str, Key] = {
            "RSA-2048": rsa.generate_private_key(65537, 2048),
            "P-256": ec.generate_private_key(ec.SECP256R1()),
        }
        for kind, native in natives.items():
            ours, cert = store.import_key(kind, native), certificate(native)
            for library in (stdlib, pyopenssl):
                title = f"{library.__name__}, {kind}: bridged key beside file"
                sides = [library(cert, key, folder) for key in (ours, native)]
                speed = ratio(sides[0], sides[1], title)
                failed = failed or speed < 0.85
                table.add_row(title, f"{speed:.2f}", "0.85")
                if kind == "P-256":
                    added = growth(sides[0])
                    failed = failed or added >= 1024
                    title = f"{library.__name__}: {MANY} handshakes add KiB"
                    table.add_row(title, f"{added:.0f}", "< 1024")
        floor = 0.95 if ssl.OPENSSL_VERSION_INFO >= (3, 5) else 0.85
        for title, speed in measured_in_children().items():
            limit = floor if "ssl" in title else 0.95
            failed = failed or speed < limit
            table.add_row(f"registered: {title}", f"{speed:.2f}", f"{limit:.2f}")
        store.close()
    Console().print(table)
    print(ssl.OPENSSL_VERSION)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
