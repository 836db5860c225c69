"""No room for a key's record: an error, nothing left in the hardware, nothing lost."""

from __future__ import annotations

import contextlib
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.errors import StorageFailure
from parsec_keys.psa.operations import ListKeys
from parsec_keys.service.key_info_sqlite import FILE_NAME
from tests.contract.test_lifecycle import signs
from tests.daemon import Daemon
from tests.service.hardware import Hardware, recorded

P256 = ec.SECP256R1()
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
    keys = daemon.folder / "keys"
    keys.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(keys)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"this user may not mount: {mounted.stderr.strip()}")
    ballast = keys / "ballast"
    try:
        with daemon:

            def allow(pages: int) -> None:
                with contextlib.suppress(OSError), ballast.open("ab", 0) as file:
                    while file.write(bytes(PAGE)):
                        pass
                length = max(0, ballast.stat().st_size - pages * PAGE)
                with ballast.open("ab") as file:
                    file.truncate(length)

            yield allow
            ballast.unlink()
        # What is on a disk that goes is copied to one that stays.
        kept = daemon.folder / "kept"
        subprocess.run(["cp", "-a", str(keys), str(kept)], check=True)
    finally:
        subprocess.run(["umount", str(keys)], check=True)
    keys.rmdir()
    kept.replace(keys)


@pytest.mark.parametrize("disk", [limited, full])
def test_no_room(
    hardware: Hardware,
    tmp_path: Path,
    disk: Callable[[Daemon], contextlib.AbstractContextManager[Callable[[int], None]]],
) -> None:
    daemon = Daemon(tmp_path, hardware.table)
    failed = 0
    with disk(daemon) as allow, parsec_keys.open_store(daemon.url) as store:
        before = store.generate_ec("before", P256)
        # With ever more room it fails at one step of the creation after another.
        for pages in range(40):
            allow(pages)
            try:
                signs(store.generate_ec("key", P256))
                break
            except StorageFailure:
                failed += 1
            assert [key.name for key in store._engine.execute(LIST)] == ["before"]
            signs(before)
        assert failed > 0
        assert [key.name for key in store._engine.execute(LIST)] == ["before", "key"]

    with daemon, parsec_keys.open_store(daemon.url) as store:
        signs(store.load("before"))
        signs(store.load("key"))
        signs(store.generate_ec("after", P256))

    records = recorded(tmp_path)
    assert set(records) == {"before", "key", "after"}
    hardware.check(tmp_path, set(records.values()))
