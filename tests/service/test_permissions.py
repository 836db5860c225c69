"""Whose a store must be, and what is done with one that cannot be written to.

The users are real, by their uids; a file system is read-only because it is mounted so.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.emulators import Swtpm
from parsec_keys.errors import StorageFailure
from parsec_keys.service.key_info.sqlite import FILE_NAME
from tests.contract.test_lifecycle import names, signs
from tests.daemon import Daemon
from tests.service.hardware import Hardware
from tests.service.providers.children import in_a_child, in_the_parent
from tests.service.steps import Process
from tests.users import as_user, open_folder

__all__ = ["open_folder"]

ANNA, BERT = 20_001, 20_002
P256 = ec.SECP256R1()


def make(url: str) -> None:
    with parsec_keys.open_store(url) as store:
        signs(store.generate_ec("key", P256))


def use(url: str) -> None:
    """Use a key in a store that cannot be written to, and fail to change anything."""
    with parsec_keys.open_store(url) as store:
        for change in (
            lambda: store.generate_ec("another", P256),
            lambda: store.import_key("another", ec.generate_private_key(P256)),
            lambda: store.delete("key"),
        ):
            assert "keys can be used" in refused(change)
            assert names(store) == ["key"]
            signs(store.load("key"))


def refused(work: Callable[[], object]) -> str:
    """The one sentence with which something is refused."""
    with pytest.raises(StorageFailure) as caught:
        work()
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[Callable[[str], None]]:
    """A file system in a folder; what mounts it again, with other options."""

    def mount(*options: str) -> subprocess.CompletedProcess[str]:
        command = ["mount", *options, "-t", "tmpfs", "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    folder.mkdir(mode=0o700, exist_ok=True)
    done = mount("-o", "mode=0700")
    if done.returncode:
        pytest.skip(f"this user may not mount: {done.stderr.strip()}")
    try:
        yield lambda options: mount("-o", f"remount,{options}").check_returncode()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("end", ["closed", "killed"])
def test_a_read_only_file_system(hardware: Hardware, tmp_path: Path, end: str) -> None:
    url = str(Daemon(tmp_path, hardware.table).file)

    def made() -> None:
        with parsec_keys.open_store(url) as store:
            signs(store.generate_ec("key", P256))
            if end == "killed":  # Then all is in SQLite's log.
                os.kill(os.getpid(), signal.SIGKILL)

    with mounted(tmp_path / "keys") as mount_again:
        assert Process(lambda: made).work() == (0 if end == "closed" else -9)
        mount_again("ro")
        in_a_child(lambda: use(url))


def test_a_log_without_its_index_on_a_read_only_file_system(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    url = f"software:{folder}"

    def killed() -> None:
        with parsec_keys.open_store(url) as store:
            store.generate_ec("key", P256)
            os.kill(os.getpid(), signal.SIGKILL)

    with mounted(folder) as mount_again:
        assert Process(lambda: killed).work() == -signal.SIGKILL
        (folder / f"{FILE_NAME}-shm").unlink()
        mount_again("ro")
        said = in_a_child(lambda: refused(lambda: use(url)))
        mount_again("rw")
        in_a_child(lambda: sign(folder))

    assert "open the store once where it can be written to" in said


def test_a_reader_sees_what_a_writer_does(tmp_path: Path) -> None:
    folder, view = tmp_path / "keys", tmp_path / "view"
    view.mkdir()

    def read() -> None:
        with parsec_keys.open_store(f"software:{view}") as store:
            assert names(store) == ["a"]
            in_the_parent("make")
            assert names(store) == ["a", "b"]
            in_the_parent("close")
            for name in names(store):
                signs(store.load(name))
            in_the_parent("delete")
            assert names(store) == ["b"]

    with mounted(folder), contextlib.ExitStack() as bound:
        for options in (["--bind", folder, view], ["-o", "remount,bind,ro", view]):
            subprocess.run(["mount", *options], check=True)
        bound.callback(subprocess.run, ["umount", view], check=True)
        url = f"software:{folder}"
        with parsec_keys.open_store(url) as store:
            store.generate_ec("a", P256)
        writers = []

        def make() -> None:
            writers.append(parsec_keys.open_store(url))
            writers[0].generate_ec("b", P256)

        def delete() -> None:
            with parsec_keys.open_store(url) as store:
                store.delete("a")

        in_a_child(read, make=make, close=lambda: writers[0].close(), delete=delete)


def test_a_folder_that_its_user_may_not_write(open_folder: Path, swtpm: Swtpm) -> None:
    urls = {
        open_folder / "software": "software:{}",
        open_folder / "tpm": f"tpm:{swtpm.tcti}?store={{}}",
    }
    make(f"tpm:{swtpm.tcti}?store={open_folder / 'imports'}")
    for folder, form in urls.items():
        folder.mkdir(mode=0o700)
        os.chown(folder, ANNA, ANNA)
        url = form.format(folder)
        as_user(ANNA, lambda url=url: make(url))  # type: ignore[misc]
        folder.chmod(0o500)

        as_user(ANNA, lambda url=url: use(url))  # type: ignore[misc]


def test_a_new_store_where_nothing_can_be_written(open_folder: Path) -> None:
    in_a_child(lambda: make(f"software:{open_folder / 'imports'}"))

    said = as_user(ANNA, lambda: refused(lambda: make(f"software:{open_folder}/x/y")))

    assert "choose another folder" in said


@pytest.fixture
def annas(open_folder: Path) -> Path:
    """A store of Anna's, which others may look into."""
    folder = open_folder / "store"
    folder.mkdir()
    os.chown(folder, ANNA, ANNA)
    in_a_child(lambda: make(f"software:{open_folder / 'imports'}"))
    as_user(ANNA, lambda: make(f"software:{folder}"))
    for each in (folder, folder / "software"):
        each.chmod(0o755)
    as_user(ANNA, lambda: sign(folder))
    return folder


def sign(folder: Path) -> None:
    with parsec_keys.open_store(f"software:{folder}") as store:
        signs(store.load("key"))


PARTS: dict[str, Callable[[Path], Path]] = {
    "folder": lambda store: store,
    "folder of keys": lambda store: store / "software",
    "folder of intents": lambda store: store / "intents",
    "key": lambda store: next((store / "software").glob("*.pem")),
    "key info": lambda store: store / FILE_NAME,
    "log": lambda store: store / (FILE_NAME + "-wal"),
    "index": lambda store: store / (FILE_NAME + "-shm"),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_others_may_write(annas: Path, part: str) -> None:
    path = PARTS[part](annas)
    touched(annas, path)
    before = path.stat().st_mode
    for others in (0o020, 0o002):
        path.chmod(before | others)

        said = as_user(ANNA, lambda: refused(lambda: sign(annas)))

        assert f"others can write to {path}" in said
    path.chmod(before)
    as_user(ANNA, lambda: sign(annas))


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_somebody_else(annas: Path, part: str) -> None:
    path = PARTS[part](annas)
    touched(annas, path)
    os.chown(path, BERT, BERT)

    said = as_user(ANNA, lambda: refused(lambda: sign(annas)))

    assert f"{path} belongs to uid {BERT}" in said


@pytest.mark.parametrize("part", PARTS)
def test_a_link_that_somebody_else_made(annas: Path, part: str) -> None:
    path = PARTS[part](annas)
    touched(annas, path)
    elsewhere = path.rename(annas.parent / "elsewhere")
    path.symlink_to(elsewhere)
    os.chown(path, BERT, BERT, follow_symlinks=False)

    said = as_user(ANNA, lambda: refused(lambda: sign(annas)))

    assert f"{path} belongs to uid {BERT}" in said


def test_a_link_to_the_folder_of_ones_own(annas: Path) -> None:
    link = annas.with_name("link")
    link.symlink_to(annas)
    os.chown(link, ANNA, ANNA, follow_symlinks=False)

    as_user(ANNA, lambda: sign(link))


def touched(store: Path, path: Path) -> None:
    """Make a file of SQLite's that is gone after its last user closed it."""
    if not path.exists():
        path.touch(0o600)
        os.chown(path, ANNA, ANNA)


def test_what_is_made_is_its_users_alone(open_folder: Path) -> None:
    home = open_folder / "home"
    home.mkdir()
    os.chown(home, ANNA, ANNA)
    in_a_child(lambda: make(f"software:{open_folder / 'imports'}"))

    def made() -> list[Any]:
        os.umask(0)
        make(f"software:{home / 'new' / 'store'}")
        return [(str(path), path.stat().st_mode & 0o077) for path in home.rglob("*")]

    assert all(mode == 0 for _, mode in as_user(ANNA, made))
