"""Lock files, and what a fork does to them."""

from __future__ import annotations

import contextlib
import os
import pwd
import select
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.emulators import Swtpm
from parsec_keys.errors import ServiceUnavailable, StorageFailure
from parsec_keys.service import shared_files
from parsec_keys.service.shared_files import LockFile, open_shared
from tests.contract.test_lifecycle import signs
from tests.service.providers.children import in_a_child
from tests.service.providers.waiting import wait_until
from tests.service.test_permissions import mounted
from tests.users import as_user, open_folder

__all__ = ["open_folder"]


R = TypeVar("R")
SECONDS = 10.0
ANNA, BERT = 20_001, 20_002


def test_a_child_does_not_hold_its_killed_parents_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    told, tells = os.pipe()
    parent = os.fork()
    if parent == 0:
        held = LockFile(path)
        held.lock()
        if os.fork() == 0:
            signal.alarm(int(SECONDS) + 1)
            waiting = LockFile(path)
            waiting.lock()
            os.write(tells, b"locked")
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(parent, 0)[1] == signal.SIGKILL

    readable, _, _ = select.select([told], [], [], SECONDS)

    assert readable, "the child waits for itself"
    assert os.read(told, 10) == b"locked"
    os.close(told)
    os.close(tells)


def test_a_parent_keeps_its_lock_when_a_child_ends(tmp_path: Path) -> None:
    held, other = LockFile(tmp_path / "lock"), LockFile(tmp_path / "lock")
    held.lock()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)

    assert not other.try_lock()

    held.unlock()
    assert other.try_lock()
    held.close()
    other.close()


def test_a_lock_that_its_holder_removed_is_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held, waiting, other = LockFile(path), LockFile(path), LockFile(path)
    held.lock()
    path.unlink()
    held.close()

    waiting.lock()

    assert not other.try_lock()
    with contextlib.closing(LockFile(path)) as newest:
        assert not newest.try_lock()
    waiting.close()
    assert other.try_lock()
    other.close()


def shared_path(what: str = "what") -> str:
    with contextlib.closing(open_shared("kind", what)) as file:
        return str(file.path)


@pytest.fixture
def passwd(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the homes that this process's password database has."""
    known = pwd.getpwuid(0)

    def getpwuid(uid: int) -> pwd.struct_passwd:
        home = open_folder / str(uid)
        if not home.exists():
            raise KeyError(uid)
        return pwd.struct_passwd((*known[:5], str(home), known[6]))

    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    temporary = open_folder / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(shared_files, "_offered", [])  # Stores of other tests.
    return open_folder


def add_home(folder: Path, uid: int) -> Path:
    home = folder / str(uid)
    home.mkdir(mode=0o700)
    os.chown(home, uid, uid)
    return home


def test_a_folder_that_another_user_made_first_is_no_matter(passwd: Path) -> None:
    home = add_home(passwd, ANNA)
    temporary = passwd / "tmp"
    as_user(BERT, lambda: (temporary / f"parsec-keys-{ANNA}").mkdir(0o777))

    with_home = as_user(ANNA, shared_path)
    os.rename(home, passwd / "gone")
    without = as_user(ANNA, shared_path)

    assert with_home.startswith(f"{home}/.local/share/parsec-keys/shared/")
    assert without.startswith(f"{temporary}/parsec-keys-")


@pytest.mark.parametrize(
    "variable", ["HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "TMPDIR"]
)
def test_the_environment_does_not_decide(
    passwd: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_home(passwd, ANNA)
    before = as_user(ANNA, shared_path)

    monkeypatch.setenv(variable, str(passwd / "elsewhere"))

    assert as_user(ANNA, shared_path) == before


def test_a_user_without_a_home_shares_through_the_store(passwd: Path) -> None:
    store = add_home(passwd, BERT) / "store"

    def opened() -> str:
        parsec_keys.open_store(f"software:{store}").close()
        return shared_path()

    paths = {as_user(BERT, lambda: as_nobody_known(opened)) for _ in range(2)}

    (path,) = paths
    assert path.startswith(f"{store}/shared/")


def as_nobody_known(work: Callable[[], R]) -> R:
    def getpwuid(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    pwd.getpwuid = getpwuid
    return work()


def test_a_store_that_is_gone_is_not_made_again(passwd: Path) -> None:
    store = add_home(passwd, BERT) / "store"

    def opened() -> str:
        parsec_keys.open_store(f"software:{store}").close()
        shutil.rmtree(store)
        return shared_path()

    path = as_user(BERT, lambda: as_nobody_known(opened))

    assert Path(path).is_relative_to(passwd / "tmp")
    assert not store.exists()


def test_a_home_of_somebody_else_is_left_alone(passwd: Path) -> None:
    home = add_home(passwd, ANNA)
    home.chmod(0o777)
    os.chown(home, BERT, BERT)

    path = as_user(ANNA, shared_path)

    assert not path.startswith(str(home))
    assert list(home.iterdir()) == []


def test_files_of_before_the_machines_start_go(passwd: Path) -> None:
    add_home(passwd, ANNA)
    old = Path(as_user(ANNA, shared_path))
    new = Path(as_user(ANNA, lambda: shared_path("another")))
    os.utime(old, (0, 0))

    as_user(ANNA, lambda: shared_path("a third"))

    assert not old.exists()
    assert new.exists()


def test_forked_children_share_a_private_folder(passwd: Path) -> None:
    def both() -> tuple[str, str]:
        return shared_path(), in_a_child(shared_path)

    parent, child = as_user(ANNA, both)

    assert parent == child
    assert Path(parent).is_relative_to(passwd / "tmp")


def test_a_user_without_a_home_uses_a_tpm(passwd: Path, swtpm: Swtpm) -> None:
    store = add_home(passwd, ANNA) / "store"
    url = f"tpm:{swtpm.tcti}?store={store}"
    as_user(BERT, lambda: (passwd / "tmp" / f"parsec-keys-{ANNA}").mkdir(0o777))

    def used(name: str) -> None:
        with parsec_keys.open_store(url) as opened:
            signs(opened.generate_ec(name, ec.SECP256R1()))

    with parsec_keys.open_store(swtpm.url) as opened:  # A user may not import it.
        signs(opened.generate_ec("imported", ec.SECP256R1()))
    for name in ("a", "b"):
        as_user(ANNA, lambda name=name: as_nobody_known(lambda: used(name)))  # type: ignore[misc]

    assert [path.name[:4] for path in (store / "shared").iterdir()] == ["tpm-"]


def test_a_full_home_is_one_sentence(passwd: Path, swtpm: Swtpm) -> None:
    home, elsewhere = add_home(passwd, ANNA), passwd / "elsewhere"
    elsewhere.mkdir()
    os.chown(elsewhere, ANNA, ANNA)
    url = f"tpm:{swtpm.tcti}?store={elsewhere / 'store'}"

    def used() -> None:
        with parsec_keys.open_store(url) as opened:
            signs(opened.generate_ec("key", ec.SECP256R1()))

    with parsec_keys.open_store(swtpm.url) as opened:  # A user may not import it.
        signs(opened.generate_ec("imported elsewhere", ec.SECP256R1()))
    with mounted(home) as mount_again:
        mount_again("size=64k")
        home.chmod(0o700)
        os.chown(home, ANNA, ANNA)
        ballast = home / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", 0) as file:
            while file.write(bytes(4096)):
                pass
        with pytest.raises(StorageFailure, match="make room"):
            as_user(ANNA, used)
        ballast.unlink()
        as_user(ANNA, used)


def test_a_process_that_is_stopped_keeps_nobody_waiting_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    told, tells = os.pipe()
    holder = os.fork()
    if holder == 0:
        held = LockFile(path)
        held.lock()
        os.write(tells, b"locked")
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    assert os.read(told, 10) == b"locked"
    os.waitpid(holder, os.WUNTRACED)
    waiting = LockFile(path)
    monkeypatch.setattr(shared_files, "PATIENCE_SECONDS", 0.05)

    with pytest.raises(ServiceUnavailable, match="fuser"):
        waiting.lock()

    monkeypatch.setattr(shared_files, "PATIENCE_SECONDS", SECONDS)
    os.kill(holder, signal.SIGCONT)
    waiting.lock()
    os.waitpid(holder, 0)
    # What waited before did not take it, and left nothing open.
    assert not LockFile(path).try_lock()
    waiting.close()
    wait_until(LockFile(path).try_lock)
    os.close(told)
    os.close(tells)


def test_whoever_waits_gets_the_lock(tmp_path: Path) -> None:
    held, waiting = LockFile(tmp_path / "lock"), LockFile(tmp_path / "lock")
    held.lock()
    with ThreadPoolExecutor(1) as other_thread:
        done = other_thread.submit(waiting.lock)
        wait_until(
            lambda: "parsec-keys lock" in {t.name for t in threading.enumerate()}
        )

        held.close()

        done.result(SECONDS)
    assert not LockFile(tmp_path / "lock").try_lock()
    waiting.close()
    assert LockFile(tmp_path / "lock").try_lock()


def test_a_lock_file_that_nobody_has_is_closed(tmp_path: Path) -> None:
    file = LockFile(tmp_path / "lock")
    file.lock()

    del file

    assert LockFile(tmp_path / "lock").try_lock()
