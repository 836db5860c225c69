"""Compiles the ``.proto`` files with the official tools: ``./dev proto`` runs this.

The compiler's version decides which protobuf runtimes the generated code runs on: this
one asks for 6.31 or newer, and the next major version still takes it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

COMPILER = "grpcio-tools==1.73.1"
ROOT = Path(__file__).parents[3]
FOLDER = Path("parsec_keys/service/wire/proto")


def compile_into(target: Path) -> list[Path]:
    """Generate into a folder, and answer the files, relative to it."""
    protos = sorted(path.relative_to(ROOT) for path in (ROOT / FOLDER).glob("*.proto"))
    with tempfile.TemporaryDirectory() as tools:
        # By itself: its dependency, another protobuf runtime, is not what we test.
        _run("-m", "pip", "install", "-q", "--no-deps", "--target", tools, COMPILER)
        _run(
            *("-m", "grpc_tools.protoc", "--proto_path=."),
            *(f"--python_out={target}", f"--pyi_out={target}"),
            *map(str, protos),
            PYTHONPATH=tools,
        )
    return [
        p.with_name(f"{p.stem}_pb2{end}") for p in protos for end in (".py", ".pyi")
    ]


def _run(*arguments: str, **environment: str) -> None:
    subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=os.environ | environment, check=True
    )


if __name__ == "__main__":
    print(*compile_into(ROOT), sep="\n")
