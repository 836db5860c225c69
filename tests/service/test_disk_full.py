"""No room for a key's record: an error, nothing left in the hardware, nothing lost."""

from __future__ import annotations

import contextlib
import resource
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.errors import StorageFailure
from parsec_keys.psa.operations import ListKeys
from parsec_keys.service.key_info.sqlite import FILE_NAME
from tests.contract.test_lifecycle import signs
from tests.daemon import Daemon
from tests.service.hardware import Hardware, recorded
from tests.service.providers.children import in_a_child

P256 = ec.SECP256R1()
OURS = ec.generate_private_key(P256)
PAGE = 4096
LIST = ListKeys()


@contextlib.contextmanager
def limited(daemon: Daemon) -> Iterator[Callable[[int], None]]:
    """A daemon whose files may be no longer than the longest is, and so much."""
    with daemon:
        pid = daemon.process.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        log = daemon.folder / "keys" / f"{FILE_NAME}-wal"

        def allow(pages: int) -> None:
            length = log.stat().st_size + pages * PAGE
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (length, hard))

        yield allow
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextlib.contextmanager
def full(daemon: Daemon) -> Iterator[Callable[[int], None]]:
    """A daemon whose disk is full, but for so much."""
    with full_disk(daemon) as allow, daemon:
        yield allow


@contextlib.contextmanager
def full_disk(daemon: Daemon) -> Iterator[Callable[[int], None]]:
    """A disk for a daemon's store that is full, but for so much."""
    keys = daemon.folder / "keys"
    keys.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(keys)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"this user may not mount: {mounted.stderr.strip()}")
    ballast = keys / "ballast"

    def allow(pages: int) -> None:
        with contextlib.suppress(OSError), ballast.open("ab", 0) as file:
            while file.write(bytes(PAGE)):
                pass
        length = max(0, ballast.stat().st_size - pages * PAGE)
        with ballast.open("ab") as file:
            file.truncate(length)

    try:
        yield allow
        ballast.unlink()
        # What is on a disk that goes is copied to one that stays.
        kept = daemon.folder / "kept"
        subprocess.run(["cp", "-a", str(keys), str(kept)], check=True)
    finally:
        subprocess.run(["umount", str(keys)], check=True)
    keys.rmdir()
    kept.replace(keys)


def without_room(store: parsec_keys.KeyStore, allow: Callable[[int], None]) -> None:
    """Make keys and delete one while there is no room, and ever more of it.

    So it fails at one step after another.
    """
    before = store.generate_ec("before", P256)
    failed = Counter[str]()
    for step, work, then in (
        ("generate", lambda: store.generate_ec("doomed", P256), ["before", "doomed"]),
        ("delete", lambda: store.delete("doomed"), ["before"]),
        ("import", lambda: store.import_key("key", OURS), ["before", "key"]),
    ):
        at_first = listed(store)
        for pages in range(40):
            allow(pages)
            try:
                work()
                break
            except StorageFailure:
                failed[step] += 1
            assert listed(store) == at_first
            for name in at_first:
                signs(store.load(name))
            signs(before)
        assert listed(store) == then
    assert set(failed) == {"generate", "delete", "import"}


def listed(store: parsec_keys.KeyStore) -> list[str]:
    return [key.name for key in store._engine.execute(LIST)]


def room_again(url: str) -> None:
    with parsec_keys.open_store(url) as store:
        signs(store.load("before"))
        signs(store.load("key"))
        signs(store.generate_ec("after", P256))


def check(hardware: Hardware, folder: Path) -> None:
    records = recorded(folder)
    assert set(records) == {"before", "key", "after"}
    hardware.check(folder, set(records.values()))


@pytest.mark.parametrize("disk", [limited, full])
def test_a_daemon_without_room(
    hardware: Hardware,
    tmp_path: Path,
    disk: Callable[[Daemon], contextlib.AbstractContextManager[Callable[[int], None]]],
) -> None:
    daemon = Daemon(tmp_path, hardware.table)
    with disk(daemon) as allow, parsec_keys.open_store(daemon.url) as store:
        without_room(store, allow)

    with daemon:
        room_again(daemon.url)
    check(hardware, tmp_path)


def test_a_program_without_room(hardware: Hardware, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, hardware.table)

    def work() -> None:
        with parsec_keys.open_store(str(daemon.file)) as store:
            without_room(store, allow)

    with full_disk(daemon) as allow:
        in_a_child(work)

    in_a_child(lambda: room_again(str(daemon.file)))
    check(hardware, tmp_path)
