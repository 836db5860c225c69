"""What is not written to the disk is lost with the power: what is, and when.

strace sees what is written and what fsync(2) is called for. Until then a file has lost
its content, and a folder what was made, renamed or removed in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.service.key_info.sqlite import FILE_NAME
from tests.service.steps import SYNCS, Process, Traced

P256 = ec.SECP256R1()
WAL = f"{FILE_NAME}-wal"
VOLATILE = ("intents", f"{FILE_NAME}-shm", "lock", "shared")
"""Locks, and what SQLite makes anew: in these folders and files nothing can be lost."""
_FILE = re.compile(r"(\w+)\(\d+<([^>]*)>")
_HERE = "(?:AT_FDCWD<[^>]*>, )?"
_NAMES = re.compile(rf'([a-z]+?)(?:at2?)?\({_HERE}"([^"]*)"(?:, {_HERE}"([^"]*)")?(.*)')


def unsynced(calls: Iterable[str], store: Path) -> Iterator[tuple[str, set[Path]]]:
    """After each call, its name with its path and what of a store would be lost."""
    lost: set[Path] = set()
    made: set[Path] = set()
    for call in calls:
        name, path = "", Path()
        if found := _FILE.match(call):
            name, path = found[1], Path(found[2])
            (lost.discard if name in SYNCS else lost.add)(path)
        elif " = -1 " not in call and (found := _NAMES.match(call)):
            name, path = found[1], Path(found[2])
            if name == "open" and ("O_CREAT" not in found[4] or path in made):
                continue
            made.add(path)
            lost.add(path.parent)
            if name in ("rename", "unlink"):
                made.discard(path)
                if name == "rename" and path in lost:
                    lost.add(Path(found[3]))
                lost.discard(path)
        yield f"{name} {path.name}", {each for each in lost if is_kept(each, store)}


def is_kept(path: Path, store: Path) -> bool:
    """Whether a path is of a store, or above it, and does not only hold a lock."""
    if any(part in VOLATILE for part in path.parts):
        return False
    return path.is_relative_to(store) or store.is_relative_to(path)


def traced(
    tmp_path: Path, prepare: Callable[[], Callable[[], object]]
) -> list[tuple[str, set[Path]]]:
    process = Process(prepare)
    with Traced(process.threads[0], tmp_path / "strace") as work:
        assert process.work() == 0
    return list(unsynced(work.calls, tmp_path / "new" / "store"))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"software:{tmp_path / 'new' / 'store'}"


def test_a_new_store_is_on_the_disk_before_its_key_is_answered(
    tmp_path: Path, url: str
) -> None:
    open_still = []

    def make() -> None:
        open_still.append(parsec_keys.open_store(url))
        open_still[0].generate_ec("key", P256)

    calls = traced(tmp_path, lambda: make)

    assert any(lost for _, lost in calls)
    assert calls[-1][1] == set()


@pytest.mark.parametrize("operation", ["generate", "import", "delete"])
def test_a_key_is_on_the_disk_before_its_record_says_so(
    tmp_path: Path, url: str, operation: str
) -> None:
    native = ec.generate_private_key(P256)

    def prepare() -> Callable[[], object]:
        store = parsec_keys.open_store(url)
        if operation == "generate":
            return lambda: store.generate_ec("key", P256)
        if operation == "import":
            return lambda: store.import_key("key", native)
        store.generate_ec("key", P256)
        return lambda: store.delete("key")

    calls = traced(tmp_path, prepare)

    commits = [lost for name, lost in calls if name == f"fdatasync {WAL}"]
    assert commits == [set(), set()]
    writes = [name for name, _ in calls if name.startswith(("pwrite64", "fdatasync"))]
    assert writes[-1] == f"fdatasync {WAL}"
    assert calls[-1][1] == set()
    keys = tmp_path / "new" / "store" / "software"
    assert any(keys in lost for _, lost in calls)
