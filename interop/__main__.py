"""Run the proofs on every provider and write ``docs/interop.md``.

``python -m interop [NAME…]`` runs all proofs or some; with ``--check`` it writes
nothing and fails where a result, a claim or the page is not what is committed. The
versions of libraries are shown and are no drift: a newer one with the same result is
what this is for.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from rich.console import Console
from rich.progress import Progress

import parsec_keys
from interop._environment import environment, remove_others
from interop._page import PAGE, RESULTS, differences, load, page, save
from interop._parsec import Hardware, Served, own_daemon
from interop._proof import KINDS, PROVIDERS, Proof, Result, proofs, run
from parsec_keys.emulators import PIN, SoftHsm, Swtpm

console = Console(stderr=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="interop", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--check", action="store_true", help="fail on drift")
    arguments = parser.parse_args()
    chosen = proofs(arguments.names)
    committed = load()
    with tempfile.TemporaryDirectory() as folder, _uris(Path(folder)) as uris:
        measured = _measure(chosen, uris, Path(folder))
    failed = [
        f"{name}, {cell}: {why}"
        for name, result in measured.items()
        for cell, why in result.failures().items()
    ]
    for text in failed:
        console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
    results = {**committed, **measured}
    known = proofs([])
    remove_others(known)
    results = {
        proof.name: results[proof.name] for proof in known if proof.name in results
    }
    if arguments.check:
        drift = differences(committed, measured)
        gone = sorted(committed.keys() - results.keys())
        drift += [f"{name} is committed, but there is no such proof" for name in gone]
        if page(committed) != PAGE.read_text():
            drift.append(f"{PAGE.name} is not what {RESULTS.name} says")
        for line in drift:
            console.print(
                f"drift: {line}", markup=False, highlight=False, soft_wrap=True
            )
        return int(bool(drift or failed))
    save(results)
    return int(bool(failed))


def _measure(
    chosen: list[Proof], uris: dict[tuple[str, str, str], str], folder: Path
) -> dict[str, Result]:
    results = {}
    with Progress(console=console) as progress:
        task = progress.add_task(
            "proofs", total=sum(len(proof.cells) for proof in chosen)
        )
        for proof in chosen:
            progress.update(task, description=f"{proof.name}: environment")
            python = environment(proof)
            result = results[proof.name] = Result.of(proof, python)
            for cell in proof.cells:
                name = " ".join(cell)
                progress.update(task, description=f"{proof.name}: {name}")
                own = Path(tempfile.mkdtemp(dir=folder))
                result.cells[name] = run(proof, python, uris[cell], own)
                progress.advance(task)
    return results


@contextlib.contextmanager
def _uris(folder: Path) -> Iterator[dict[tuple[str, str, str], str]]:
    """The URI of a key of each kind in each provider and engine."""
    with Swtpm(folder / "tpm") as tpm:
        softhsm = SoftHsm(folder / "softhsm")
        token = softhsm.add_token("interop")
        (folder / "pin").write_text(PIN)
        token = token.replace(f"pin-value={PIN}", f"pin-source=file:{folder / 'pin'}")
        urls = (f"software:{folder / 'software'}", tpm.url, token)
        uris = {}
        for provider, url in zip(PROVIDERS, urls, strict=True):
            with parsec_keys.open_store(url) as store:
                uris["rsa", provider, "embedded"] = store.generate_rsa("rsa").uri
                key = store.generate_ec("ec", ec.SECP256R1())
                uris["ec", provider, "embedded"] = key.uri
        with own_daemon(folder / "daemon", Hardware(tpm, softhsm)) as daemon:
            _make_keys(daemon)
            daemon.restart()  # SoftHSM does not look for what others made meanwhile.
            with parsec_keys.open_store(daemon.url) as store:
                for kind, provider in itertools.product(KINDS, PROVIDERS):
                    name = f"{kind}-{provider}"
                    uris[kind, provider, "socket"] = store.load(name).uri
            yield uris


def _make_keys(daemon: Served) -> None:
    """Keys that may do all that a proof asks: a wire gives a key one algorithm."""
    with parsec_keys.open_store(str(daemon.folder / "config.toml")) as store:
        for provider in PROVIDERS:
            store.generate_rsa(f"rsa-{provider}", provider=provider)
            store.generate_ec(f"ec-{provider}", ec.SECP256R1(), provider=provider)


if __name__ == "__main__":
    sys.exit(main())
