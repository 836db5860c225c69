"""``docs/interop.md``, written from ``results.json``, and what differs between two."""

from __future__ import annotations

from typing import Final

from interop._proof import (
    ENGINES,
    FOLDER,
    PASSED,
    PROVIDERS,
    Result,
    from_json,
    to_json,
)

RESULTS: Final = FOLDER / "results.json"
PAGE: Final = FOLDER.parent / "docs" / "interop.md"
_HEAD: Final = """\
<!-- Written by ./dev interop. Do not edit: change a proof in interop/ and run it. -->
# Interoperability

Each row is a proof that one can read and run, in [interop/](../interop).
It signs, decrypts or talks TLS through the library, with an RSA-2048 and a P-256 key
of each provider, first in its own process and then in a daemon, over its socket.
The library's own verifier, the `openssl` command or a real server judges it.
✓✓ passed in both, ✓ in the one that it is about, - does not apply to this kind of key,
otherwise the reason.

`./dev interop` runs them all, `./dev interop pyjwt` one.
`./dev interop --check` fails where a result or a claim is not what stands here.
Another version of a library with the same results is no drift.
By hand, where the library is installed: `python -m interop.pyjwt URI FOLDER`.

"""
NOT_ASKED: Final = "-"
_KIND_TITLES: Final = {"rsa": "RSA", "ec": "EC"}


def load() -> dict[str, Result]:
    """The committed results."""
    return from_json(RESULTS.read_text()) if RESULTS.exists() else {}


def save(results: dict[str, Result]) -> None:
    """Write the results and the page."""
    RESULTS.write_text(to_json(results))
    PAGE.write_text(page(results))


def page(results: dict[str, Result]) -> str:
    """The page of these results."""
    cells = [(kind, provider) for kind in _KIND_TITLES for provider in PROVIDERS]
    titles = ["proof", "library", "what it proves"]
    titles += [f"{_KIND_TITLES[kind]} {provider}" for kind, provider in cells]
    lines = [_row(titles), _row(["---"] * len(titles))]
    for name, result in sorted(results.items()):
        row = [
            f"[{name}](../interop/{name}.py)",
            f"{result.library} {result.version}",
            result.claim,
        ]
        for kind, provider in cells:
            names = (f"{kind} {provider} {engine}" for engine in ENGINES)
            row.append(_both([result.cells.get(name, NOT_ASKED) for name in names]))
        lines.append(_row(row))
    return _HEAD + "\n".join(lines) + "\n"


def _both(outcomes: list[str]) -> str:
    """A cell with what became of a proof in each engine."""
    asked = [outcome for outcome in outcomes if outcome != NOT_ASKED]
    if not asked:
        return NOT_ASKED
    return ("" if {*asked} == {PASSED} else "; ").join(asked)


def differences(committed: dict[str, Result], measured: dict[str, Result]) -> list[str]:
    """A line for each claim and each cell that is not what is committed."""
    drift = []
    for name, result in measured.items():
        before = committed.get(name)
        if before is None:
            drift.append(f"{name} is not in the committed results")
            continue
        if before.claim != result.claim:
            drift.append(f"{name} claims '{result.claim}', not '{before.claim}'")
        for cell in sorted({*before.cells, *result.cells}):
            was = before.cells.get(cell, NOT_ASKED)
            now = result.cells.get(cell, NOT_ASKED)
            if was != now:
                drift.append(f"{name}, {cell}: {now}, where {was} is committed")
    return drift


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
