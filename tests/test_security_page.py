"""The table of faults in docs/security.md: every test that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "tests" / "service" / "providers"
"""Where a test is that is named without a folder."""
_NAME = re.compile(r"`([\w/]+\.py)?(?:::)?(test_\w+)?`")


def rows() -> list[list[str]]:
    """The rows of the table, as cells."""
    page = (ROOT / "docs" / "security.md").read_text()
    _, _, section = page.partition("\n## Faults\n")
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[2:]]


def named(cell: str) -> list[tuple[Path, str]]:
    """The files in a cell and the functions, each in the file before it."""
    found, path = [], None
    for file, function in _NAME.findall(cell):
        if file:
            path = ROOT / file if "/" in file else FOLDER / file
        assert path is not None, f"'{function}' is in no file"
        found.append((path, function))
    return found


def functions(path: Path) -> set[str]:
    """The tests of a file."""
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {each.name for each in tree.body if isinstance(each, kinds)}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:60])
def test_every_fault_has_a_test(row: list[str]) -> None:
    fault, outcome, tests = row

    assert fault
    assert outcome
    assert named(tests)
    assert tests.count("`") == 2 * len(named(tests)), tests
    for path, function in named(tests):
        assert path.is_file(), path
        assert not function or function in functions(path), f"{path}::{function}"


def test_a_table_is_there() -> None:
    assert len(rows()) > 40
