"""A virtual environment for each set of dependencies: peers' pins conflict.

They are kept in ``.interop/`` until no proof has that set any more.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Final

from interop._proof import FOLDER, Proof

_ROOT: Final = FOLDER.parent
_CACHE: Final = _ROOT / ".interop"
_EXTRAS: Final = "tpm,pkcs11,cli"


def environment(proof: Proof) -> Path:
    """The Python of a proof's environment, made where it is not there yet.

    Raises:
        SystemExit: pip cannot install what the proof or this package needs.
    """
    folder = _folder(proof)
    python = folder / "bin" / "python"
    stamp = folder / "stamp"
    if not stamp.exists():
        venv.create(folder, with_pip=True, clear=True)
        packages = (*proof.dependencies, "-e", f"{_ROOT}[{_EXTRAS}]")
        done = subprocess.run(
            [python, "-m", "pip", "install", "-q", *packages],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            print(done.stdout, file=sys.stderr)
            sys.exit(f"pip cannot install {', '.join(packages)}: see above")
        stamp.touch()
    return python


def remove_others(proofs: list[Proof]) -> None:
    """Remove the environments that none of these proofs has."""
    kept = {_folder(proof) for proof in proofs}
    for folder in set(_CACHE.iterdir()) - kept:
        shutil.rmtree(folder)


def _folder(proof: Proof) -> Path:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    wanted = repr((sys.version, proof.dependencies, _EXTRAS, project))
    return _CACHE / hashlib.sha256(wanted.encode()).hexdigest()[:16]
