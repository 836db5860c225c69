"""The generated code in the repository is what the compiler makes of the messages."""

from __future__ import annotations

from pathlib import Path

from tests.service.wire.compiler import FOLDER, ROOT, compile_into


def test_the_generated_code_is_up_to_date(tmp_path: Path) -> None:
    generated = compile_into(tmp_path)
    committed = sorted(p.relative_to(ROOT) for p in (ROOT / FOLDER).glob("*_pb2.py*"))
    assert sorted(generated) == committed
    for file in generated:
        assert (ROOT / file).read_text() == (tmp_path / file).read_text(), (
            f"{file} is old: run ./dev proto"
        )
