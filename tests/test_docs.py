"""Every example in README and docs runs, in the order in which it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_HERE = ("pip ", "./dev ", "sudo ", "apt")
"""Set-up that ``.ci/run`` and the fresh-machine check run, not this test."""


def examples(page: Path, language: str) -> list[str]:
    return [code for kind, code in _BLOCK.findall(page.read_text()) if kind == language]


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "message.txt").write_text("a message")
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")}
    environment["PATH"] = f"{binaries}{os.pathsep}{environment['PATH']}"
    environment.pop("PARSEC_KEYS_STORE", None)
    return environment


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_run(
    page: Path, tmp_path: Path, surroundings: dict[str, str]
) -> None:
    for code in examples(page, "python"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=tmp_path,
            env=surroundings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_shell_examples_run(
    page: Path, tmp_path: Path, surroundings: dict[str, str]
) -> None:
    for code in examples(page, "sh"):
        for line in code.splitlines():
            if not line.strip() or line.startswith(_NOT_HERE):
                continue
            done = subprocess.run(
                shlex.split(line, comments=True),
                cwd=tmp_path,
                env=surroundings,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{line}: {done.stderr}"


def test_readme_has_examples_to_run() -> None:
    readme = ROOT / "README.md"

    assert examples(readme, "python")
    assert any("parsec-keys" in code for code in examples(readme, "sh"))
