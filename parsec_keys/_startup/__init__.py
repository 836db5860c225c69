"""A folder for $PYTHONPATH: each Python that starts with it has TLS with our keys.

``site`` imports ``sitecustomize`` from there before a program's first line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
_VARIABLE: Final = "PYTHONPATH"


def environment(own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """An environment that brings this folder to every Python below a program."""
    folders = [str(FOLDER)]
    if own.get(_VARIABLE):
        folders += (
            folder
            for folder in own[_VARIABLE].split(os.pathsep)
            if folder != str(FOLDER)
        )
    return {**own, _VARIABLE: os.pathsep.join(folders)}
