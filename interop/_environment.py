"""A virtual environment for each proof: peers' pins conflict with one another."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

from interop._proof import FOLDER, Proof

_ROOT: Final = FOLDER.parent
_CACHE: Final = _ROOT / ".interop"


def environment(proof: Proof) -> Path:
    """The Python of a proof's environment, made where it is not there yet."""
    wanted = "\n".join((sys.version, *proof.dependencies))
    wanted += (_ROOT / "pyproject.toml").read_text()
    name = f"{proof.name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    folder = _CACHE / name
    python = folder / "bin" / "python"
    stamp = folder / "stamp"
    if not stamp.exists():
        venv.create(folder, with_pip=True, clear=True)
        packages = (*proof.dependencies, "-e", f"{_ROOT}[tpm,pkcs11]")
        command = (str(python), "-m", "pip", "install", "-q", *packages)
        subprocess.run(command, check=True, stdout=sys.stderr)
        stamp.touch()
    return python
