"""Keys that are not ours never come to our provider."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

OURS = {"_keymgmt", "_signature", "_asym_cipher"}


@pytest.mark.parametrize("order", ["first", "later", "last", "forgotten"])
def test_ordinary_work_is_not_routed_to_us(tmp_path: Path, order: str) -> None:
    """A decoder is asked about each key that is loaded, and has no other say."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.tls.ordinary", order, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    calls = json.loads(done.stdout)
    assert calls["ordinary"].keys() <= {"_decoder", "_provider"}
    assert calls["ours"].keys() >= {"_keymgmt", "_signature", "_decoder"}
