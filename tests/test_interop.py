"""The page of the interop proofs says what the results say, and each proof is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop._page import PAGE, differences, load, page
from interop._proof import ENGINES, FOLDER, KINDS, PASSED, parse, proofs

FILES = sorted(p for p in FOLDER.glob("*.py") if not p.stem.startswith("_"))


def test_the_page_is_written_from_the_results() -> None:
    assert page(load()) == PAGE.read_text()


def test_every_proof_passed_on_every_provider_and_engine() -> None:
    results = load()

    assert set(results) == {proof.name for proof in proofs([])}
    for proof in proofs([]):
        cells = {" ".join(cell) for cell in proof.cells}
        assert results[proof.name].cells == dict.fromkeys(cells, PASSED)
        assert results[proof.name].claim == proof.claim


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_proof_is_whole_and_short(path: Path) -> None:
    proof = parse(path)

    assert proof.claim.endswith(".")
    assert proof.dependencies
    assert set(proof.kinds) <= set(KINDS)
    assert set(proof.engines) <= set(ENGINES)
    assert len(path.read_text().splitlines()) <= 60
    assert "def prove(key: Key, tmp: Path) -> None:" in path.read_text()


def test_drift_is_seen() -> None:
    results, other = load(), load()
    name = next(iter(results))
    other[name].cells["rsa tpm embedded"] = "ValueError"
    other[name].claim = "another claim"

    assert differences(results, load()) == []
    assert len(differences(results, other)) == 2
    assert len(differences({}, results)) == len(results)
