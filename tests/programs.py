"""Programs of the tests themselves, which are modules that write JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
SECONDS: Final = 120.0


def said_by(module: str, *arguments: str, options: tuple[str, ...] = ()) -> Any:
    """What a module says that runs in a process of its own, and in silence else.

    ``options`` are Python's.
    """
    done = subprocess.run(
        [sys.executable, *options, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)
