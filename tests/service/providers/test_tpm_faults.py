"""A TPM under fire: each fault is injected by a relay or by a rude neighbour."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from parsec_keys.emulators import Swtpm
from parsec_keys.errors import AuthenticationError, Error, ServiceUnavailable
from parsec_keys.service import call_gate
from parsec_keys.service.config import TpmConfig
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers.tpm import TpmProvider, _connection, _slots, _tss
from parsec_keys.service.providers.tpm._key_id import (
    LoadableKey,
    decode_key_id,
    encode_key_id,
)
from parsec_keys.service.secret import Secret
from tests.service.providers.relay import Command, Harm, Relay
from tests.service.providers.tpm_keys import (
    all_sign,
    ec_attributes,
    generated,
    handles,
    imported,
    lockout_counter,
    sign_all,
    signs,
    verify_all,
)

WARNINGS = {"RETRY": 0x922, "YIELDED": 0x908, "TESTING": 0x90A, "NV_RATE": 0x920}
FEW_SESSIONS = {"CONTEXT_GAP": 0x901, "SESSION_HANDLES": 0x905}
"""What TPM2_StartAuthSession says where others have sessions in saved contexts."""
ALWAYS = 10_000


@pytest.fixture
def relay(swtpm: Swtpm) -> Iterator[Relay]:
    with Relay(swtpm) as opened:
        yield opened


@pytest.fixture(params=[False, True], ids=["plain", "protected"])
def config(request: pytest.FixtureRequest, relay: Relay) -> TpmConfig:
    """A TPM on a line that stays open, behind the relay."""
    return TpmConfig(relay.tcti, protect_bus=request.param)


@pytest.mark.parametrize("name", WARNINGS)
def test_warnings_that_go_away(
    tpm: TpmProvider, keys: list[KeyRecord], relay: Relay, esapi: Any, name: str
) -> None:
    commands = [
        *(Command.LOAD, Command.SIGN, Command.CONTEXT_LOAD, Command.CONTEXT_SAVE),
        *(Command.FLUSH_CONTEXT, Command.CREATE, Command.CREATE_PRIMARY),
        *(Command.STARTUP, Command.READ_PUBLIC),
    ]
    all_sign(tpm, keys)
    for command in commands:
        # As often as the C library tries again by itself, and once more.
        relay.harm(command, WARNINGS[name], times=2 if name == "NV_RATE" else 6)

    relay.cut()
    all_sign(tpm, [*keys, generated(tpm, ec_attributes(256))] * 2)
    relay.cut()
    all_sign(tpm, keys)

    assert [command for command in commands if relay.left(command)] == []
    tpm.close()
    assert handles(esapi) == []


@pytest.mark.parametrize("name", WARNINGS)
def test_a_warning_that_does_not_go_away(
    tpm: TpmProvider, relay: Relay, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    key = generated(tpm, ec_attributes(256))
    monkeypatch.setattr(_connection, "PATIENCE_SECONDS", 0.05)
    relay.harm(Command.SIGN, WARNINGS[name], times=ALWAYS)

    with pytest.raises(ServiceUnavailable, match="busy"):
        signs(tpm, key)

    relay.harm_no_more()
    signs(tpm, key)


@pytest.mark.parametrize("harm", [Harm.CUT, Harm.CUT_AFTERWARDS])
@pytest.mark.parametrize(
    "command",
    [
        *(Command.SIGN, Command.LOAD, Command.CREATE, Command.CONTEXT_LOAD),
        *(Command.CONTEXT_SAVE, Command.FLUSH_CONTEXT),
    ],
    ids=lambda command: str(command.name),
)
def test_a_line_that_is_cut(
    tpm: TpmProvider,
    keys: list[KeyRecord],
    relay: Relay,
    esapi: Any,
    command: Command,
    harm: Harm,
) -> None:
    all_sign(tpm, keys * 2)
    relay.harm(command, harm)

    for _ in range(2):
        all_sign(tpm, [*keys, generated(tpm, ec_attributes(256))])

    assert relay.left(command) == 0
    tpm.close()
    # Not even what the TPM loaded when the answer was lost.
    assert handles(esapi) == []


@pytest.mark.parametrize("harm", [Harm.CUT, Harm.CUT_AFTERWARDS])
def test_a_line_that_is_cut_again_when_it_is_new(
    tpm: TpmProvider, keys: list[KeyRecord], relay: Relay, esapi: Any, harm: Harm
) -> None:
    """A context whose line was cut answers "wrong order" (0x70007) for ever."""
    all_sign(tpm, keys)
    relay.harm(Command.SIGN, harm, times=2)

    with pytest.raises(ServiceUnavailable, match="cannot be reached"):
        signs(tpm, keys[0])

    assert relay.left(Command.SIGN) == 0
    all_sign(tpm, keys)
    tpm.close()
    assert handles(esapi) == []


def test_a_line_that_is_cut_with_something_left_to_flush(
    config: TpmConfig, relay: Relay, esapi: Any
) -> None:
    esapi.hierarchy_change_auth(_tss.ESYS_TR.OWNER, b"owner")
    tpm = TpmProvider.open(
        replace(config, owner_hierarchy_auth=Secret(b"owner"), protect_bus=True)
    )
    key = generated(tpm, ec_attributes(256))
    relay.cut()
    relay.harm(Command.START_AUTH_SESSION, Harm.CUT)

    with pytest.raises(ServiceUnavailable, match="cannot be reached"):
        signs(tpm, key)

    assert relay.left(Command.START_AUTH_SESSION) == 0
    signs(tpm, key)
    tpm.close()
    assert handles(esapi) == []


def test_a_process_that_is_killed_while_it_loads_a_key(
    config: TpmConfig, relay: Relay, esapi: Any
) -> None:
    tpm = TpmProvider.open(config)
    key = generated(tpm, ec_attributes(256))
    relay.harm(Command.LOAD, Harm.SILENCE)
    before = relay.commands.count(Command.LOAD)
    child = os.fork()
    if child == 0:
        try:
            signs(tpm, key)
        finally:
            os._exit(1)
    _wait_until(lambda: relay.commands.count(Command.LOAD) > before)
    _wait_until(lambda: relay.left(Command.LOAD) == 0)

    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

    # Whoever comes next flushes what it may have loaded.
    tpm.generate_random(1)
    tpm.close()
    assert handles(esapi) == []


def test_a_child_and_its_parent_have_a_line_each(
    tpm: TpmProvider, keys: list[KeyRecord], relay: Relay, esapi: Any
) -> None:
    all_sign(tpm, keys)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for _ in range(5):
                all_sign(tpm, keys)
            tpm.close()
            status = 0
        finally:
            os._exit(status)
    for _ in range(5):
        all_sign(tpm, keys)

    assert os.waitpid(child, 0)[1] == 0
    all_sign(tpm, keys)
    assert relay.connections == 2
    tpm.close()
    assert handles(esapi) == []


def test_a_fork_waits_for_the_tpm_and_not_for_ever(
    tpm: TpmProvider,
    keys: list[KeyRecord],
    relay: Relay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(call_gate, "FORK_SECONDS", 0.1)
    all_sign(tpm, keys)
    relay.harm(Command.SIGN, Harm.SILENCE)
    failures: list[Exception] = []
    signed: list[tuple[KeyRecord, bytes, bytes]] = []

    def work() -> None:
        try:
            signed.extend(sign_all(tpm, keys))
        except Exception as e:
            failures.append(e)

    thread = threading.Thread(target=work)
    thread.start()
    _wait_until(lambda: relay.left(Command.SIGN) == 0)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            all_sign(tpm, keys)
            tpm.close()
            status = 0
        finally:
            os._exit(status)
    relay.go_on()
    thread.join()

    assert os.waitpid(child, 0)[1] == 0
    assert failures == []
    verify_all(signed)


def test_a_tpm_that_hangs(
    tpm: TpmProvider,
    keys: list[KeyRecord],
    relay: Relay,
    esapi: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_connection, "ANSWER_SECONDS", 0.3)
    for command in (Command.SIGN, Command.LOAD):
        tpm.destroy_key(keys[0].uid)
        relay.harm(command, Harm.SILENCE)
        with pytest.raises(ServiceUnavailable, match=r"no answer in .* hangs"):
            signs(tpm, keys[0])
        # A new line is made, and nobody touches the old one.
        all_sign(tpm, keys)

    relay.go_on()
    all_sign(tpm, keys)
    tpm.close()
    assert handles(esapi) == []


def test_a_tpm_that_hangs_for_all(
    tpm: TpmProvider,
    keys: list[KeyRecord],
    relay: Relay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_connection, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(_connection, "OPEN_SECONDS", 0.2)
    for command in Command:
        relay.harm(command, Harm.SILENCE, times=ALWAYS)
    failures: list[str] = []

    def work(key: KeyRecord) -> None:
        try:
            signs(tpm, key)
        except ServiceUnavailable as e:
            failures.append(str(e))

    threads = [threading.Thread(target=work, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tpm.destroy_key(keys[0].uid)
    tpm.close()

    assert len(failures) == len(keys)
    assert all("no answer in" in failure for failure in failures)


def test_a_program_ends_though_its_tpm_hangs(config: TpmConfig, relay: Relay) -> None:
    code = (
        "from parsec_keys.service.config import TpmConfig\n"
        "from parsec_keys.service.providers.tpm import TpmProvider, _connection\n"
        "from tests.service.providers.tpm_keys import *\n"
        "_connection.ANSWER_SECONDS = 0.3\n"
        f"tpm = TpmProvider.open(TpmConfig({config.tcti!r}))\n"
        "key = generated(tpm, ec_attributes(256))\n"
        "try:\n"
        "    signs(tpm, key)\n"
        "except Exception as e:\n"
        "    print(type(e).__name__)\n"
    )
    relay.harm(Command.SIGN, Harm.SILENCE)

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert (done.stdout, done.stderr) == ("ServiceUnavailable\n", "")


def test_the_last_signature_of_a_program(swtpm: Swtpm) -> None:
    """An object that signs when Python takes it away, with no thread left to ask."""
    code = (
        "from parsec_keys.service.config import TpmConfig\n"
        "from parsec_keys.service.providers.tpm import TpmProvider\n"
        "from tests.service.providers.tpm_keys import *\n"
        "import os, sys\n"
        f"tpm = TpmProvider.open(TpmConfig({swtpm.tcti!r}))\n"
        "key = generated(tpm, ec_attributes(256))\n"
        "class Last:\n"
        "    def __del__(self, sign=tpm.sign_hash, key=key, write=os.write,\n"
        "                alg=Ecdsa(Hash.SHA_256), over=sys.is_finalizing):\n"
        "        write(1, b'%d %d' % (len(sign(key, alg, bytes(32))), over()))\n"
        "last = Last()\n"
        "last.myself = last\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert (done.stdout, done.stderr) == ("64 1", "")


def test_ctrl_c_while_waiting_for_the_tpm(
    tpm: TpmProvider, keys: list[KeyRecord], relay: Relay, esapi: Any
) -> None:
    relay.harm(Command.LOAD, Harm.SILENCE)

    def interrupt() -> None:
        _wait_until(lambda: relay.left(Command.LOAD) == 0)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            signs(tpm, keys[0])
    finally:
        signal.signal(signal.SIGINT, before)
    thread.join()

    all_sign(tpm, keys)
    relay.go_on()
    tpm.close()
    assert handles(esapi) == []


def test_a_neighbour_that_flushes_everything_and_moves_in(
    tpm: TpmProvider, keys: list[KeyRecord], esapi: Any
) -> None:
    for taken in (1, 0, 1, 1, 0):
        all_sign(tpm, keys)
        for handle in handles(esapi):
            esapi.flush_context(esapi.tr_from_tpmpublic(handle))
        theirs = [esapi.create_primary(None, "ecc")[0] for _ in range(taken)]

        all_sign(tpm, keys)

        for each in theirs:
            esapi.flush_context(each)  # It is still there.
    tpm.close()
    assert handles(esapi) == []


@pytest.mark.parametrize("sessions", [True, False], ids=["sessions", "objects"])
def test_no_auth_value_is_tried_on_a_neighbours_object(
    tpm: TpmProvider, esapi: Any, monkeypatch: pytest.MonkeyPatch, sessions: bool
) -> None:
    """What is theirs is protected against dictionary attacks."""
    monkeypatch.setattr(_slots, "_UNDISTURBED_SECONDS", 0)  # An emulator is fast.
    monkeypatch.setattr(_slots, "_PAUSES", (0.001,))
    key = generated(tpm, ec_attributes(256))
    for _ in range(3):
        signs(tpm, key)
        for handle in handles(esapi):
            if sessions or handle >= _tss.FIRST_TRANSIENT:
                esapi.flush_context(esapi.tr_from_tpmpublic(handle))
        theirs = [esapi.create_primary(None, "ecc")[0] for _ in range(2)]
        with pytest.raises(ServiceUnavailable, match="resource manager"):
            signs(tpm, key)  # One slot is left.
        for each in theirs:
            esapi.flush_context(each)  # It is still there.

    assert lockout_counter(esapi) == 0


def test_a_neighbour_in_all_slots_keeps_them(
    tpm: TpmProvider,
    keys: list[KeyRecord],
    esapi: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is at the handles of ours is not ours to evict."""
    monkeypatch.setattr(_slots, "_PAUSES", (0.001,))
    all_sign(tpm, keys)
    for handle in handles(esapi):
        esapi.flush_context(esapi.tr_from_tpmpublic(handle))
    theirs = [esapi.create_primary(None, "ecc")[0] for _ in range(3)]

    with pytest.raises(ServiceUnavailable, match="resource manager"):
        signs(tpm, keys[0])

    for each in theirs:
        esapi.flush_context(each)  # It is still there.
    all_sign(tpm, keys)


def test_a_neighbour_where_a_deleted_key_was(
    tpm: TpmProvider, keys: list[KeyRecord], config: TpmConfig, esapi: Any
) -> None:
    all_sign(tpm, keys)
    for handle in handles(esapi):
        esapi.flush_context(esapi.tr_from_tpmpublic(handle))
    for key in keys[1:]:
        tpm.destroy_key(key.uid)  # One of them was at the second handle.
    first, theirs = (esapi.create_primary(None, "ecc")[0] for _ in range(2))
    esapi.flush_context(first)
    other = TpmProvider.open(config)
    signs(other, keys[0])

    signs(tpm, keys[0])  # After flushing what the other one has left.

    other.close()
    tpm.close()
    esapi.flush_context(theirs)  # It is still there.
    assert handles(esapi) == []
    assert lockout_counter(esapi) == 0


def test_a_neighbour_where_a_key_is_that_is_deleted(
    tpm: TpmProvider, keys: list[KeyRecord], esapi: Any
) -> None:
    signs(tpm, keys[0])
    for handle in handles(esapi):
        esapi.flush_context(esapi.tr_from_tpmpublic(handle))
    theirs = [esapi.create_primary(None, "ecc")[0] for _ in range(3)]

    tpm.destroy_key(keys[0].uid)

    for each in theirs:
        esapi.flush_context(each)  # It is still there.
    assert lockout_counter(esapi) == 0


@pytest.mark.parametrize("how", ["generated", "imported"])
def test_a_neighbours_storage_key_where_ours_was(
    tpm: TpmProvider, esapi: Any, how: str
) -> None:
    """A key that was wrapped to it would be lost."""
    for handle in handles(esapi):
        esapi.flush_context(esapi.tr_from_tpmpublic(handle))
    theirs = esapi.create_primary(None, "ecc")[0]

    if how == "generated":
        key = generated(tpm, ec_attributes(256))
    else:
        key = imported(tpm, ec_attributes(256), (1234).to_bytes(32, "big"))

    esapi.flush_context(theirs)
    signs(tpm, key)


def test_one_slot_does_for_keys_that_were_used_before(
    tpm: TpmProvider,
    keys: list[KeyRecord],
    esapi: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_slots, "_PAUSES", (0.001,))
    all_sign(tpm, keys * 2)
    new = generated(tpm, ec_attributes(256))
    for handle in handles(esapi):
        esapi.flush_context(esapi.tr_from_tpmpublic(handle))
    theirs = [esapi.create_primary(None, "ecc")[0] for _ in range(2)]

    all_sign(tpm, keys * 2)
    with pytest.raises(ServiceUnavailable, match="resource manager"):
        signs(tpm, new)
    all_sign(tpm, keys)

    for each in theirs:
        esapi.flush_context(each)
    signs(tpm, new)


def test_slots_that_are_given_back_meanwhile(
    config: TpmConfig, relay: Relay, esapi: Any
) -> None:
    tpm = TpmProvider.open(config)
    key = generated(tpm, ec_attributes(256))
    for handle in handles(esapi):
        esapi.flush_context(esapi.tr_from_tpmpublic(handle))
    theirs = [esapi.create_primary(None, "ecc")[0] for _ in range(3)]
    before = len(relay.commands)

    def give_back() -> None:
        _wait_until(lambda: len(relay.commands) > before + 6)
        for each in theirs:
            esapi.flush_context(each)

    thread = threading.Thread(target=give_back)
    thread.start()
    signs(tpm, key)
    thread.join()
    tpm.close()


@pytest.fixture
def bus(relay: Relay) -> Iterator[TpmProvider]:
    """A TPM whose commands need a session."""
    opened = TpmProvider.open(TpmConfig(relay.tcti, protect_bus=True))
    yield opened
    opened.close()


def started_session(esapi: Any) -> Any:
    return esapi.start_auth_session(
        tpm_key=_tss.ESYS_TR.NONE,
        bind=_tss.ESYS_TR.NONE,
        session_type=_tss.TPM2_SE.HMAC,
        symmetric=_tss.NO_CIPHER,
        auth_hash=_tss.TPM2_ALG.SHA256,
    )


def test_others_take_all_sessions(
    bus: TpmProvider, relay: Relay, esapi: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_slots, "_PAUSES", (0.001,))
    key = generated(bus, ec_attributes(256))
    for _ in range(2):
        # Another store moves in, and its session goes with it.
        TpmProvider.open(TpmConfig(relay.tcti)).close()
        theirs = [started_session(esapi) for _ in range(3)]

        for _ in range(2):
            with pytest.raises(ServiceUnavailable, match="resource manager"):
                signs(bus, key)

        for each in theirs:
            esapi.flush_context(each)
        signs(bus, key)
    bus.close()
    assert handles(esapi) == []


@pytest.mark.parametrize("code", FEW_SESSIONS.values(), ids=FEW_SESSIONS)
def test_others_have_saved_too_many_sessions(
    bus: TpmProvider,
    relay: Relay,
    esapi: Any,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    key = generated(bus, ec_attributes(256))
    relay.harm(Command.START_AUTH_SESSION, code, times=3)
    relay.cut()
    signs(bus, key)
    assert relay.left(Command.START_AUTH_SESSION) == 0

    monkeypatch.setattr(_slots, "_PAUSES", (0.001,))
    relay.harm(Command.START_AUTH_SESSION, code, times=ALWAYS)
    relay.cut()
    with pytest.raises(ServiceUnavailable, match="resource manager"):
        signs(bus, key)

    relay.harm_no_more()
    signs(bus, key)


def test_nothing_that_is_wrong_counts_as_a_dictionary_attack(
    config: TpmConfig, tpm: TpmProvider, esapi: Any
) -> None:
    key = generated(tpm, ec_attributes(256))
    wrapped = decode_key_id(key.key_id)
    assert isinstance(wrapped, LoadableKey)
    esapi.hierarchy_change_auth(_tss.ESYS_TR.OWNER, b"owner")
    wrong = [
        replace(wrapped, auth=b"wrong"),
        replace(wrapped, auth=b""),
        replace(wrapped, private=bytes(len(wrapped.private))),
        replace(wrapped, private=wrapped.private[:-1] + b"\0"),
    ]

    for each in wrong:
        damaged = replace(key, uid=os.urandom(16), key_id=encode_key_id(each))
        with pytest.raises(Error):
            signs(tpm, damaged)
    for auth in (b"", b"wrong"):
        with pytest.raises(AuthenticationError):
            TpmProvider.open(replace(config, owner_hierarchy_auth=Secret(auth)))

    assert lockout_counter(esapi) == 0


HELD = {
    "contract": [
        *(
            "tests/contract/test_like_pyca_rsa.py",
            "tests/contract/test_like_pyca_ec.py",
        ),
        *("tests/contract/test_oracles.py", "tests/contract/test_threads.py"),
        *("--provider", "tpm", "-k", "embedded"),
    ],
    "provider": [
        *("tests/service/providers/test_tpm.py", "-k"),
        "plain and (raw_pkcs1v15 or test_pss or ecdsa_signatures and SHA-2 or "
        "key_agreement or test_oaep or imported_ec)",
    ],
    "others' keys": [
        "tests/service/providers/test_tpm_attestation.py",
        "tests/service/providers/test_tpm_adoption.py",
        *("-k", "plain and (in_software or persistent_key)"),
    ],
}


@pytest.mark.parametrize("chosen", HELD.values(), ids=HELD)
def test_results_are_copied_from_what_is_held(chosen: list[str]) -> None:
    """Freed memory is overwritten at once, so that what is read from it shows."""
    watching = {"MALLOC_PERTURB_": "165", "PYTHONMALLOC": "debug"}

    done = subprocess.run(
        [
            *(sys.executable, "-X", "dev", "-X", "faulthandler", "-m", "pytest", "-q"),
            *("-p", "no:cacheprovider", *chosen),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **watching},
    )

    assert done.returncode == 0, done.stdout


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
