"""What the kernel sees of a store: which files it makes, and where secrets go.

strace(1) writes down every system call that opens, makes or writes something, whoever
makes it: Python, OpenSSL, SQLite or a token's module.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.secrets.facilities import Facility
from tests.secrets.forms import Forms, forms_of_key, found_in
from tests.want import missing

PROGRAM = """
import sys
from pathlib import Path
import parsec_keys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

url, *files = sys.argv[1:]
with parsec_keys.open_store(url) as store:
    for file in files:
        pem = Path(file).read_bytes()
        store.import_key(Path(file).stem, serialization.load_pem_private_key(pem, None))
    store.generate_rsa("rsa")
    key = store.generate_ec("ec", ec.SECP256R1())
    key.sign(b"", ec.ECDSA(hashes.SHA256()))
    store.delete("imported-ec")
"""
CALLS = (
    *("open", "openat", "openat2", "creat", "memfd_create", "mkdir", "mkdirat"),
    *("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg"),
    *("chmod", "fchmod", "fchmodat", "rename", "renameat", "link", "linkat"),
)
ESCAPED = re.compile(rb"(?:\\x[0-9a-f]{2})+")
CALL = re.compile(rb"\d+ +(\w+)\(")


@dataclass(frozen=True)
class SystemCall:
    """A system call as strace writes it, its strings as they are."""

    name: str
    words: bytes

    @property
    def path(self) -> Path:
        """The file that a call is about: the last one that is named before its flags.

        An open call has its folder first; a write call has its file alone.
        """
        named = re.findall(rb'<([^>]*)>|"([^"]*)"', self.words)
        first, second = (named + [(b"", b"")] * 2)[:2]
        if self.name.startswith(("open", "mkdir")):
            return Path(os.fsdecode(first[0]), os.fsdecode(second[1]))
        return Path(os.fsdecode(first[0]))

    @property
    def makes_file(self) -> bool:
        return b"O_CREAT" in self.words or b"O_TMPFILE" in self.words


def traced(
    folder: Path, url: str, files: list[str], **environment: str
) -> Iterator[SystemCall]:
    """The system calls of a program that makes, uses and deletes keys."""
    log = folder / "calls"
    strace = [
        *("strace", "-f", "-qq", "-y", "-xx", "-s", "100000", "-o", str(log)),
        *("-e", "trace=" + ",".join(CALLS)),
    ]
    try:
        done = subprocess.run(
            [*strace, sys.executable, "-c", PROGRAM, url, *files],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        missing("strace", "strace is not installed: run apt install strace")
    assert done.returncode == 0, done.stderr
    for line in log.read_bytes().splitlines():
        call = CALL.match(line)
        if call is not None:
            yield SystemCall(call[1].decode(), ESCAPED.sub(_octets, line))


def _octets(escaped: re.Match[bytes]) -> bytes:
    return bytes.fromhex(escaped[0].decode().replace("\\x", ""))


def forms_in(folder: Path) -> Forms:
    """The forms of every private key in a software store's files."""
    forms: Forms = {}
    for path in folder.glob("*.pem"):
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        assert isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey))
        forms |= {f"{path.name}: {n}": form for n, form in forms_of_key(key).items()}
    return forms


def test_where_secrets_go(facility: Facility, keys: tuple[list[str], Forms]) -> None:
    files, forms = keys
    environment = facility.environment
    calls = list(traced(facility.folder, facility.url, files, **environment))
    assert any(call.name.startswith("write") for call in calls)

    for call in calls:
        found = found_in(call.words, facility.secret | forms)
        if "socket:" not in call.path.name:
            assert not found, (call.name, call.path, found)
        elif found:  # An emulator's bus has no protection: nobody can probe it.
            assert found <= facility.secret.keys()
            assert facility.url.startswith("tpm:")


def test_where_a_software_key_goes(
    tmp_path: Path, keys: tuple[list[str], Forms]
) -> None:
    """Into its own file, which nobody else can read from its first moment on."""
    files, forms = keys
    store, temporary = tmp_path / "store", tmp_path / "temporary"
    temporary.mkdir()

    calls = list(traced(tmp_path, f"software:{store}", files, TMPDIR=str(temporary)))

    forms = forms | forms_in(store / "software")
    makers = [call for call in calls if call.makes_file]
    holders = {call.path for call in calls if found_in(call.words, forms)}
    assert len(holders) == 4
    assert holders <= {call.path for call in makers}
    for path in holders:
        assert path.parent == store / "software"
        assert path.name.endswith(".pem.partial")
    for call in makers:
        assert store in call.path.parents
        assert call.path not in holders or b", 0600)" in call.words
    assert not [call for call in calls if call.name.startswith(("chmod", "fchmod"))]
    for folder in (store, store / "software"):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(temporary.iterdir()) == []
