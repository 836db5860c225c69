"""A proof: a file with a claim and a PEP 723 header, and what became of running it."""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent
PROVIDERS: Final = ("software", "tpm", "pkcs11")
ENGINES: Final = ("embedded", "socket")
"""In the proof's own process, and a daemon of ours that it speaks to."""
KINDS: Final = ("rsa", "ec")
PASSED: Final = "✓"
_PEER_VERSION: Final = "from interop._parsec import version; print(version({!r}))"
_VERSIONS: Final = {
    "python": (
        "import platform, ssl; "
        "print(platform.python_version(), 'with', *ssl.OPENSSL_VERSION.split()[:2])"
    ),
    "parsec-tool": _PEER_VERSION.format("parsec-tool"),
    "parsec-service": _PEER_VERSION.format("parsec-service"),
}
"""What says the version of a library that is not a package of Python's."""
_HEADER: Final = re.compile(r"^# /// script\n((?:#.*\n)*?)# ///$", re.MULTILINE)
_LONGEST: Final = 300
_LONGEST_SECONDS: Final = 120


@dataclass(frozen=True)
class Proof:
    """One library's proof.

    ``kinds`` are the key kinds that the claim is about, and ``engines`` those that it
    needs; ``library`` is what is shown with its version: the first dependency, where
    its header does not say another.
    """

    name: str
    claim: str
    dependencies: tuple[str, ...]
    kinds: tuple[str, ...]
    engines: tuple[str, ...]
    library: str

    @property
    def cells(self) -> tuple[tuple[str, str, str], ...]:
        """The key kind, provider and engine of each run."""
        return tuple(itertools.product(self.kinds, PROVIDERS, self.engines))


@dataclass
class Result:
    """What a proof showed: by kind, provider and engine ``✓``, or why not."""

    claim: str
    library: str
    version: str
    cells: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, proof: Proof, python: Path) -> Result:
        """A result without cells, with the version that an environment has."""
        code = f"import importlib.metadata as m; print(m.version({proof.library!r}))"
        code = _VERSIONS.get(proof.library, code)
        done = subprocess.run(
            [python, "-c", code],
            cwd=FOLDER.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        return cls(proof.claim, proof.library, done.stdout.strip())

    def failures(self) -> dict[str, str]:
        """The cells that are not passed, and why."""
        return {cell: why for cell, why in self.cells.items() if why != PASSED}


def proofs(names: list[str]) -> list[Proof]:
    """The proofs of these names, or all of them.

    Raises:
        SystemExit: there is none of a name.
    """
    paths = {p.stem: p for p in FOLDER.glob("*.py") if not p.stem.startswith("_")}
    for name in names:
        if name not in paths:
            sys.exit(
                f"there is no proof '{name}'; there are: {', '.join(sorted(paths))}"
            )
    return [parse(paths[name]) for name in sorted(names or paths)]


def parse(path: Path) -> Proof:
    """The proof in a file.

    Raises:
        ValueError: it has no PEP 723 header or no docstring.
    """
    text = path.read_text()
    header = _HEADER.search(text)
    claim = ast.get_docstring(ast.parse(text))
    if header is None or not claim:
        raise ValueError(f"{path.name} needs a PEP 723 header and a claim")
    lines = (
        line.removeprefix("#").removeprefix(" ") for line in header[1].splitlines()
    )
    metadata: dict[str, Any] = tomllib.loads("\n".join(lines))
    dependencies = tuple(metadata["dependencies"])
    ours = metadata.get("tool", {}).get("parsec-keys", {})
    first = re.split(r"[\[<>=! ]", dependencies[0])[0]
    return Proof(
        path.stem,
        claim.splitlines()[0],
        dependencies,
        tuple(ours.get("keys", KINDS)),
        tuple(ours.get("engines", ENGINES)),
        ours.get("library", first),
    )


def run(proof: Proof, python: Path, uri: str, folder: Path) -> str:
    """Run a proof with a key: ``✓``, or the last line of what it said.

    Where it failed, all that it said goes to our standard error. It runs as a module,
    so that a proof that is named after a library does not hide that library.
    """
    try:
        done = subprocess.run(
            [python, "-m", f"interop.{proof.name}", uri, folder],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=FOLDER.parent,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            timeout=_LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it did not end within {_LONGEST_SECONDS} seconds"
    if done.returncode == 0:
        return PASSED
    print(done.stderr, file=sys.stderr)
    said = done.stderr.strip().splitlines() or ["it ended without a word"]
    # The folder has another name each time, which would be drift.
    return said[-1].replace(str(folder), "FOLDER")[:_LONGEST]


def to_json(results: dict[str, Result]) -> str:
    """Results as they are committed."""
    document = {name: vars(result) for name, result in sorted(results.items())}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> dict[str, Result]:
    """Results as they were committed."""
    return {name: Result(**fields) for name, fields in json.loads(text).items()}
