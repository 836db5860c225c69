"""Whether the time of an RSA decryption tells how its padding is broken.

As dudect does it (Reparaz, Balasch and Verbauwhede, 2016): decryptions of every kind of
broken padding in random order, and Welch's t between each kind and all others. A |t|
above 4.5 would be a leak. Run it with ``./dev bench oracle``.
"""

from __future__ import annotations

import contextlib
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from rich.console import Console
from rich.progress import track
from rich.table import Table

import parsec_keys
from parsec_keys.emulators import SoftHsm, Swtpm
from tests.broken_paddings import broken_oaep, broken_pkcs1v15

SHA256 = hashes.SHA256()
OAEP = padding.OAEP(padding.MGF1(SHA256), SHA256, None)
RUNS: Final = {"software": 60_000, "tpm": 12_000, "pkcs11": 30_000}
POOL: Final = 300
"""Ciphertexts of each kind, so that no single one is what is measured."""
CONTROL: Final = "random again"
"""A kind that is none: what its |t| is, is the machine's noise."""
KEPT: Final = 0.9
"""The slowest are the machine's doing."""
LIMIT: Final = 4.5
_Broken = Callable[[rsa.RSAPublicKey], dict[str, bytes]]
SCHEMES: Final[tuple[tuple[str, padding.AsymmetricPadding, _Broken], ...]] = (
    ("OAEP", OAEP, broken_oaep),
    ("PKCS#1 v1.5", padding.PKCS1v15(), broken_pkcs1v15),
)


def main() -> int:
    console = Console()
    table = Table("provider", "padding", "decryptions", "kind", "|t|", "median")
    worst = 0.0
    for provider, store in stores():
        key = store.generate_rsa("oracle")
        for name, scheme, broken in SCHEMES:
            title = f"{provider} {name}"
            times = measure(key, scheme, broken, RUNS[provider], title, console)
            for kind in times:
                others = [t for other in times if other != kind for t in times[other]]
                t = abs(welch(cropped(times[kind]), cropped(others)))
                worst = max(worst, t)
                median = f"{statistics.median(times[kind]) / 1000:.0f} µs"
                row = (
                    provider,
                    name,
                    f"{len(times[kind]):,}",
                    kind,
                    f"{t:.1f}",
                    median,
                )
                table.add_row(*row)
    console.print(table)
    return int(worst > LIMIT)


def stores() -> Iterator[tuple[str, parsec_keys.KeyStore]]:
    """A store of each provider, on emulators."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tpm = stack.enter_context(Swtpm(folder / "tpm"))
        urls = {
            "software": f"software:{folder / 'software'}",
            "tpm": tpm.url,
            "pkcs11": SoftHsm(folder / "softhsm").add_token("oracle"),
        }
        for provider, url in urls.items():
            with parsec_keys.open_store(url) as store:
                yield provider, store


def measure(
    key: rsa.RSAPrivateKey,
    scheme: padding.AsymmetricPadding,
    broken: _Broken,
    runs: int,
    title: str,
    console: Console,
) -> dict[str, list[int]]:
    """Nanoseconds of decryptions, by kind of broken padding."""
    pool: list[tuple[str, bytes]] = []
    for _ in range(POOL):
        pool += broken(key.public_key()).items()
        pool.append((CONTROL, broken(key.public_key())["random"]))
    times: dict[str, list[int]] = {kind: [] for kind, _ in pool}
    for _ in track(range(runs), title, console=console, transient=True):
        kind, ciphertext = random.choice(pool)
        start = time.perf_counter_ns()
        with contextlib.suppress(ValueError):
            key.decrypt(ciphertext, scheme)
        times[kind].append(time.perf_counter_ns() - start)
    return times


def cropped(times: Sequence[int]) -> list[int]:
    """Without the slowest."""
    return sorted(times)[: int(len(times) * KEPT)]


def welch(one: Sequence[int], other: Sequence[int]) -> float:
    """Welch's t of two samples."""
    error = statistics.variance(one) / len(one) + statistics.variance(other) / len(
        other
    )
    return (statistics.fmean(one) - statistics.fmean(other)) / math.sqrt(error)


if __name__ == "__main__":
    sys.exit(main())
