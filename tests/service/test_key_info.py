"""Key info on disk and in memory, through one suite; then what only a disk has."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from parsec_keys.errors import KeyExists, StorageFailure
from parsec_keys.psa.algorithms import (
    ANY_ALGORITHM,
    ANY_HASH,
    Ecdsa,
    Hash,
    RsaPss,
)
from parsec_keys.psa.attributes import (
    EccFamily,
    EccKeyPair,
    KeyAttributes,
    KeyPolicy,
    RsaKeyPair,
    RsaPublicKey,
    UnstructuredKeyType,
    UsageFlags,
)
from parsec_keys.psa.symmetric import BlockCipherMac, TruncatedMac
from parsec_keys.service.authenticators import ApplicationIdentity, AuthenticatorType
from parsec_keys.service.key_info import (
    InMemoryKeyInfoManager,
    KeyIdentity,
    KeyInfoManager,
    KeyRecord,
)
from parsec_keys.service.key_info._intents import HeldIntents
from parsec_keys.service.key_info.sqlite import FILE_NAME, SqliteKeyInfoManager
from tests.forks import inside
from tests.service.providers.children import in_a_child, in_the_parent

APP = ApplicationIdentity(AuthenticatorType.UNIX_PEER_CREDENTIALS, "1000")
OTHER = ApplicationIdentity(AuthenticatorType.UNIX_PEER_CREDENTIALS, "1001")
RSA = KeyAttributes(
    RsaKeyPair(), 2048, KeyPolicy(UsageFlags.SIGN_HASH, RsaPss(Hash.SHA_256, None, 20))
)
ECC = KeyAttributes(
    EccKeyPair(EccFamily.SECP_R1), 521, KeyPolicy(UsageFlags(1023), ANY_ALGORITHM)
)
ONE_HASH = KeyAttributes(
    EccKeyPair(EccFamily.BRAINPOOL_P_R1),
    256,
    KeyPolicy(UsageFlags.DERIVE, Ecdsa(Hash.SHA3_512)),
)


def record(
    name: str,
    application: ApplicationIdentity = APP,
    provider: str = "tpm",
    attributes: KeyAttributes = RSA,
) -> KeyRecord:
    identity = KeyIdentity(application, provider, name)
    return KeyRecord(
        identity, os.urandom(16), b"\x00wrapped secret", attributes, b"public"
    )


def add(manager: KeyInfoManager, new: KeyRecord) -> KeyRecord:
    manager.begin(new.identity, new.uid)
    manager.commit(new)
    return new


@pytest.fixture(params=["memory", "sqlite"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> KeyInfoManager:
    if request.param == "memory":
        return InMemoryKeyInfoManager()
    return SqliteKeyInfoManager(tmp_path / "store")


MAC = KeyAttributes(
    UnstructuredKeyType.AES,
    256,
    KeyPolicy(UsageFlags.SIGN_MESSAGE, TruncatedMac(BlockCipherMac.CMAC, 8)),
)
PUBLIC = KeyAttributes(
    RsaPublicKey(), 2048, KeyPolicy(UsageFlags.VERIFY_HASH, RsaPss(ANY_HASH))
)


@pytest.mark.parametrize("attributes", [RSA, ECC, ONE_HASH, MAC, PUBLIC], ids=str)
def test_a_record_comes_back_whole(
    manager: KeyInfoManager, attributes: KeyAttributes
) -> None:
    new = add(manager, record("key", attributes=attributes))

    assert manager.find(APP, "key") == new
    assert manager.records(APP) == [new]


def test_applications_do_not_see_each_other(manager: KeyInfoManager) -> None:
    mine, theirs = add(manager, record("key")), add(manager, record("key", OTHER))

    assert manager.find(APP, "key") == mine
    assert manager.find(OTHER, "key") == theirs
    assert manager.records(APP) == [mine]


def test_applications_with_keys_are_listed_once(manager: KeyInfoManager) -> None:
    assert manager.applications() == []
    for new in (record("a", OTHER), record("a"), record("b")):
        add(manager, new)
    intent = record("c", ApplicationIdentity(AuthenticatorType.DIRECT, "creating"))
    manager.begin(intent.identity, intent.uid)

    assert manager.applications() == [APP, OTHER]


def test_a_name_is_taken_in_every_provider(manager: KeyInfoManager) -> None:
    add(manager, record("key"))

    for provider in ("tpm", "pkcs11"):
        again = record("key", provider=provider)
        with pytest.raises(KeyExists, match="'tpm'"):
            manager.begin(again.identity, again.uid)


def test_adopted_records_are_there_and_their_origins_remembered(
    manager: KeyInfoManager,
) -> None:
    first, second = record("first"), record("second", OTHER)
    assert manager.adopted() == frozenset()

    manager.adopt({b"1": first, b"2": second})
    manager.adopt({b"2": None, b"3": None})

    assert list(manager.records(APP)) == [first]
    assert list(manager.records(OTHER)) == [second]
    assert manager.adopted() == {b"1", b"2", b"3"}
    assert list(manager.abandoned("tpm")) == []


def test_all_records_are_adopted_or_none(manager: KeyInfoManager) -> None:
    taken = add(manager, record("taken"))

    with pytest.raises(KeyExists):
        manager.adopt({b"1": record("free"), b"2": record("taken")})

    assert list(manager.records(APP)) == [taken]
    assert manager.adopted() == frozenset()


def test_an_intent_is_no_key_and_takes_its_name(manager: KeyInfoManager) -> None:
    new, again = record("key"), record("key")
    manager.begin(new.identity, new.uid)

    assert manager.find(APP, "key") is None
    assert manager.records(APP) == []
    assert list(manager.abandoned("tpm")) == []
    with pytest.raises(KeyExists):
        manager.begin(again.identity, again.uid)

    manager.cancel(new.uid)
    assert add(manager, again) == manager.find(APP, "key")


def test_destruction_is_an_intent_first(manager: KeyInfoManager) -> None:
    doomed = add(manager, record("key"))

    assert manager.begin_destroy(doomed) is True
    assert manager.find(APP, "key") is None
    assert manager.begin_destroy(doomed) is False

    manager.commit(doomed)  # The provider failed: it is back.
    assert manager.find(APP, "key") == doomed
    assert manager.begin_destroy(doomed) is True
    manager.cancel(doomed.uid)
    assert manager.records(APP) == []


def test_threads(manager: KeyInfoManager) -> None:
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for turn in range(10):
                new = add(manager, record(f"{number}-{turn}"))
                assert manager.find(APP, new.identity.key_name) == new
                assert manager.begin_destroy(new)
                manager.cancel(new.uid)
        except Exception as e:
            failures.append(e)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert manager.records(APP) == []


def test_secrets_are_not_shown() -> None:
    assert "wrapped secret" not in repr(record("key"))


def test_records_survive(tmp_path: Path) -> None:
    first = SqliteKeyInfoManager(tmp_path)
    new = add(first, record("key"))
    first.close()

    assert SqliteKeyInfoManager(tmp_path).find(APP, "key") == new


def _killed_in(
    step: Callable[[SqliteKeyInfoManager, KeyRecord], None], path: Path
) -> None:
    """Run a step in a process that is killed right after it."""
    child = os.fork()
    if child == 0:
        try:
            step(SqliteKeyInfoManager(path), record("key"))
        finally:
            os.kill(os.getpid(), 9)
    assert os.waitpid(child, 0)[1] == 9


def _begin(manager: SqliteKeyInfoManager, new: KeyRecord) -> None:
    manager.begin(new.identity, new.uid)


def _begin_destroy(manager: SqliteKeyInfoManager, new: KeyRecord) -> None:
    manager.begin_destroy(add(manager, new))


@pytest.mark.parametrize("step", [_begin, _begin_destroy])
def test_what_a_killed_process_leaves_is_found(
    tmp_path: Path, step: Callable[[SqliteKeyInfoManager, KeyRecord], None]
) -> None:
    _killed_in(step, tmp_path)
    manager = SqliteKeyInfoManager(tmp_path)

    assert manager.records(APP) == []
    assert list(manager.abandoned("pkcs11")) == []
    ((uid, identity),) = manager.abandoned("tpm")
    assert identity == KeyIdentity(APP, "tpm", "key")
    manager.cancel(uid)

    assert list(manager.abandoned("tpm")) == []
    assert list((tmp_path / "intents").iterdir()) == []
    add(manager, record("key"))


def test_what_a_living_process_does_is_left_alone(tmp_path: Path) -> None:
    mine, other = SqliteKeyInfoManager(tmp_path), SqliteKeyInfoManager(tmp_path)
    new = record("key")
    mine.begin(new.identity, new.uid)

    assert list(other.abandoned("tpm")) == []

    mine.commit(new)
    assert other.find(APP, "key") == new


def test_a_second_destruction_leaves_the_first_its_lock(tmp_path: Path) -> None:
    mine, other = SqliteKeyInfoManager(tmp_path), SqliteKeyInfoManager(tmp_path)
    doomed = add(mine, record("key"))
    assert mine.begin_destroy(doomed) is True

    assert mine.begin_destroy(doomed) is False

    assert list(other.abandoned("tpm")) == []


def test_a_destruction_that_fails_holds_nothing(tmp_path: Path) -> None:
    manager = SqliteKeyInfoManager(tmp_path)
    key = add(manager, record("key"))
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        database.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON key_record "
            "BEGIN SELECT RAISE(FAIL, 'disk full'); END"
        )

    with pytest.raises(StorageFailure):
        manager.begin_destroy(key)

    assert list((tmp_path / "intents").iterdir()) == []
    assert manager.find(APP, "key") == key


def test_a_lock_file_without_an_intent_is_swept(tmp_path: Path) -> None:
    manager = SqliteKeyInfoManager(tmp_path)
    (tmp_path / "intents" / os.urandom(16).hex()).touch()

    assert list(manager.abandoned("tpm")) == []
    assert list((tmp_path / "intents").iterdir()) == []


def _add_many(path: Path, number: int) -> None:
    manager = SqliteKeyInfoManager(path)
    for turn in range(20):
        add(manager, record(f"{number}-{turn}"))


def test_two_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_add_many, args=(tmp_path, number)) for number in (1, 2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0]
    assert len(SqliteKeyInfoManager(tmp_path).records(APP)) == 40


def _names(path: Path, answers: multiprocessing.SimpleQueue[list[str]]) -> None:
    manager = SqliteKeyInfoManager(path)
    answers.put([each.identity.key_name for each in manager.records(APP)])
    manager.close()


def test_others_may_come_and_go_where_a_process_has_two_stores(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.SimpleQueue[list[str]] = context.SimpleQueue()
    first, second = SqliteKeyInfoManager(tmp_path), SqliteKeyInfoManager(tmp_path)
    seen = []
    for name in ("a", "b"):
        add(first, record(name))
        process = context.Process(target=_names, args=(tmp_path, answers))
        process.start()
        seen.append(answers.get())
        process.join()
        assert process.exitcode == 0
    first.close()
    second.close()

    assert seen == [["a"], ["a", "b"]]
    names = [
        each.identity.key_name for each in SqliteKeyInfoManager(tmp_path).records(APP)
    ]
    assert names == ["a", "b"]


def test_a_fork_uses_its_own_connection(tmp_path: Path) -> None:
    manager = SqliteKeyInfoManager(tmp_path)
    add(manager, record("parent"))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            add(manager, record("child"))
            status = 0
        finally:
            os._exit(status)

    assert os.waitpid(child, 0)[1] == 0
    names = [each.identity.key_name for each in manager.records(APP)]
    assert names == ["child", "parent"]


def test_others_may_come_and_go_where_a_parent_went(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.SimpleQueue[list[str]] = context.SimpleQueue()
    manager = SqliteKeyInfoManager(tmp_path)
    add(manager, record("parent"))
    ours, childs = multiprocessing.Pipe()
    child = os.fork()
    if child == 0:
        for name in ("a", "b"):
            add(manager, record(name))
            childs.send(name)
            childs.recv()
        os._exit(0)
    manager.close()
    seen = []
    for _ in range(2):
        assert ours.poll(20)
        ours.recv()
        process = context.Process(target=_names, args=(tmp_path, answers))
        process.start()
        seen.append(answers.get())
        process.join()
        ours.send(None)

    assert os.waitpid(child, 0)[1] == 0
    assert seen == [["a", "parent"], ["a", "b", "parent"]]


def test_a_child_finds_the_records_in_memory_unlocked() -> None:
    manager, is_held, go_on = (
        InMemoryKeyInfoManager(),
        threading.Event(),
        threading.Event(),
    )
    new = add(manager, record("key"))

    def hold() -> None:
        with manager._lock:
            is_held.set()
            go_on.wait(20)

    with inside(hold, is_held.is_set, go_on.set):
        in_a_child(lambda: manager.records(APP))
    assert manager.records(APP) == [new]


WRITING = """
import sqlite3, sys

database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("writing", flush=True)
sys.stdin.readline()
database.execute("COMMIT")
sys.stdin.read()
"""


def test_an_intent_that_another_process_just_looks_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is held all the same, before a key is made."""
    hold, new = HeldIntents.hold, record("new")
    looks = [True]
    monkeypatch.setattr(
        HeldIntents,
        "hold",
        lambda self, uid: not (looks and looks.pop()) and hold(self, uid),
    )
    manager = SqliteKeyInfoManager(tmp_path)

    manager.begin(new.identity, new.uid)

    assert list(SqliteKeyInfoManager(tmp_path).abandoned("tpm")) == []
    manager.commit(new)


def test_a_fork_waits_for_sqlite(tmp_path: Path) -> None:
    """Which waits for another program; its locks would be closed in the child."""
    manager = SqliteKeyInfoManager(tmp_path)
    command = [sys.executable, "-c", WRITING, str(tmp_path / FILE_NAME)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        to_other = other.stdin
        assert other.stdout is not None
        assert other.stdout.readline() == "writing\n"

        def is_waiting() -> bool:
            is_free = manager._file._lock.acquire(blocking=False)
            if is_free:
                manager._file._lock.release()
            return not is_free

        def let_go() -> None:
            print(file=to_other, flush=True)

        def in_the_child() -> None:
            in_the_parent("let_go")
            add(manager, record("child"))

        with inside(lambda: add(manager, record("thread")), is_waiting, let_go):
            in_a_child(in_the_child, let_go=let_go)
            add(manager, record("parent"))

    names = [each.identity.key_name for each in manager.records(APP)]
    assert names == ["child", "parent", "thread"]


FORKS = """
import os, sys, threading
import parsec_keys

store = parsec_keys.open_store(f"software:{sys.argv[1]}")

def fork():
    for _ in range(25):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

threads = [threading.Thread(target=fork) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(store.keys()))
"""


def test_threads_that_fork_at_once_leave_a_store_open(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORKS, str(tmp_path / "store")]

    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=30
    )

    assert (done.returncode, done.stdout) == (0, "0\n")
