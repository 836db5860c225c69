"""Which libcryptos a process has, and where none can be reached."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cryptography
import pytest
from cryptography.hazmat.bindings import _rust

from parsec_keys import tls
from parsec_keys.tls import _elf

ROOT = Path(__file__).parents[2]
SHARED = next(m.path for m in _elf.mappings() if "/libcrypto" in m.path)
STRIPPED = """
from parsec_keys import tls
from parsec_keys.errors import NotSupported
try:
    tls.enable()
except NotSupported as e:
    print(e)
"""
ENABLED = """
from parsec_keys import tls
print(*(registration.path for registration in tls.enable()), sep="\\n")
"""
FURTHER = """
import ctypes, os, ssl, sys
from parsec_keys import tls
copies = sys.argv[1:]
ctypes.CDLL(copies[0])
os.unlink(copies[0])
first = tls.enable()
ctypes.CDLL(copies[1])
second = tls.enable()
assert first == second[:len(first)]
print(len(first), *(registration.path for registration in second), sep="\\n")
for copy in copies:
    library = ctypes.CDLL(copy, os.RTLD_NOLOAD)
    print(library.OSSL_PROVIDER_available(None, b"parsec-keys"))
"""
SUBINTERPRETER = """
import _xxsubinterpreters
_xxsubinterpreters.run_string(_xxsubinterpreters.create(), '''
from parsec_keys import tls
try:
    tls.enable()
except tls.NotSupported as e:
    print(e)
''')
"""


def test_this_process() -> None:
    assert {registration.path for registration in tls.enable()} == {
        SHARED,
        str(Path(_rust.__file__ or "").resolve()),
    }
    assert all("OpenSSL " in registration.version for registration in tls.enable())
    assert tls.enable() == tls.enable()


def test_a_wheel_that_was_stripped(tmp_path: Path) -> None:
    copy = copied(tmp_path / "stripped")
    without_symbols(next(copy.glob("cryptography/hazmat/bindings/_rust*.so")))

    said = in_another_process(STRIPPED, copy)

    assert f"{copy}/cryptography/hazmat/bindings/_rust" in said
    assert "install cryptography from its own wheel" in said
    assert len(said.splitlines()) == 1


def test_a_wheel_behind_a_symbolic_link(tmp_path: Path) -> None:
    copy, link = copied(tmp_path / "real"), tmp_path / "link"
    link.symlink_to(copy)

    assert f"{copy}/cryptography/hazmat/bindings/_rust" in in_another_process(
        ENABLED, link
    )


def test_further_copies(tmp_path: Path) -> None:
    """As psycopg-binary brings one: one is there, though its file is not, one later."""
    copies = [str(tmp_path / f"libcrypto-abcdef{i}.so.3") for i in (1, 2)]
    for copy in copies:
        shutil.copy(SHARED, copy)

    count, *said = in_another_process(FURTHER, tmp_path, *copies).splitlines()

    assert count == "3"
    assert said[2:] == [*said[2:3], copies[1], "1", "1"]
    assert copies[0] in said


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pyca refuses there by itself")
def test_a_subinterpreter_is_refused() -> None:
    assert "main interpreter only" in in_another_process(SUBINTERPRETER, ROOT)


def copied(folder: Path) -> Path:
    """A folder with a copy of cryptography, to be put first on sys.path."""
    source = Path(cryptography.__file__).parent
    shutil.copytree(source, folder / "cryptography")
    return folder


def without_symbols(path: Path) -> None:
    """Do to a file what strip(1) does, as far as a reader sees: no symbol table."""
    content = bytearray(path.read_bytes())
    header = _elf._HEADER.unpack_from(content)
    for index in range(header[12]):
        at = header[6] + index * header[11]
        if int.from_bytes(content[at + 4 : at + 8], "little") == _elf._SYMBOL_TABLE:
            content[at + 4 : at + 8] = bytes(4)
    path.write_bytes(content)


def in_another_process(program: str, folder: Path, *arguments: str) -> str:
    """What a program says that finds a folder's modules first."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
