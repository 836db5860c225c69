"""A TPM that fills up, restarts, is cleared, shared, damaged or already in use."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

import parsec_keys
from parsec_keys.emulators import Swtpm
from parsec_keys.errors import (
    AuthenticationError,
    Error,
    KeyNotFound,
    ProviderFailure,
    ServiceUnavailable,
    StorageFailure,
)
from parsec_keys.service.config import TpmConfig
from parsec_keys.service.key_info.sqlite import SqliteKeyInfoManager
from parsec_keys.service.providers.tpm import TpmProvider, _slots, _tss
from parsec_keys.service.providers.tpm._key_id import (
    LoadableKey,
    PersistentKey,
    decode_key_id,
    encode_key_id,
)
from parsec_keys.service.secret import Secret
from tests.service.providers.children import in_a_child
from tests.service.providers.relay import Relay
from tests.service.providers.tpm_keys import (
    ec_attributes,
    generated,
    handles,
    rsa_attributes,
    signs,
)
from tests.service.providers.waiting import wait_until

ECDSA = ec.ECDSA(hashes.SHA256())
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
PEER = ec_attributes(256)


def test_more_keys_than_slots(tpm: TpmProvider) -> None:
    keys = [generated(tpm, ec_attributes(256)) for _ in range(6)]
    keys.append(generated(tpm, rsa_attributes(2048)))

    for _ in range(3):
        for key in keys:
            signs(tpm, key)
    for key in keys:
        tpm.destroy_key(key.uid)


def test_nothing_stays_in_the_tpm(tpm: TpmProvider, esapi: Any) -> None:
    for attributes in (ec_attributes(256), rsa_attributes(2048), ec_attributes(384)):
        signs(tpm, generated(tpm, attributes))
    assert len(handles(esapi)) >= 3

    tpm.close()
    tpm.close()

    assert handles(esapi) == []


@pytest.mark.parametrize("end", ["", "raise SystemExit", "raise ValueError"])
def test_nothing_stays_of_a_program_that_ends_without_closing(
    swtpm: Swtpm, esapi: Any, end: str
) -> None:
    code = (
        "from parsec_keys.service.config import TpmConfig\n"
        "from parsec_keys.service.providers.tpm import TpmProvider\n"
        "from tests.service.providers.tpm_keys import *\n"
        f"tpm = TpmProvider.open(TpmConfig({swtpm.tcti!r}, protect_bus=True))\n"
        "signs(tpm, generated(tpm, ec_attributes(256)))\n"
    )

    subprocess.run([sys.executable, "-c", code + end], check=False, capture_output=True)

    assert handles(esapi) == []


def test_a_closed_provider_says_so(tpm: TpmProvider) -> None:
    key = generated(tpm, ec_attributes(256))
    signs(tpm, key)
    tpm.close()

    with pytest.raises(ServiceUnavailable, match="closed"):
        signs(tpm, key)
    with pytest.raises(ServiceUnavailable, match="closed"):
        tpm.generate_random(1)
    tpm.destroy_key(key.uid)


def test_keys_survive_a_new_provider(tpm: TpmProvider, config: TpmConfig) -> None:
    keys = [generated(tpm, ec_attributes(256)), generated(tpm, rsa_attributes(2048))]
    tpm.close()

    again = TpmProvider.open(config)

    for key in keys:
        signs(again, key)
    again.close()


def test_a_tpm_that_restarts(tpm: TpmProvider, swtpm: Swtpm, esapi: Any) -> None:
    keys = [generated(tpm, ec_attributes(256)) for _ in range(4)]
    for key in keys:
        signs(tpm, key)

    for _ in range(2):
        swtpm.restart()
        for key in keys:
            signs(tpm, key)

    tpm.close()
    assert handles(esapi) == []


def test_a_tpm_that_is_away_for_a_while(tpm: TpmProvider, swtpm: Swtpm) -> None:
    key = generated(tpm, ec_attributes(256))
    signs(tpm, key)

    swtpm.stop()
    with pytest.raises(ServiceUnavailable, match="check"):
        signs(tpm, key)
    swtpm.start()

    signs(tpm, key)


def test_closing_and_deleting_without_a_tpm(tpm: TpmProvider, swtpm: Swtpm) -> None:
    key = generated(tpm, ec_attributes(256))
    swtpm.stop()

    tpm.destroy_key(key.uid)
    tpm.close()

    swtpm.start()


def test_others_flush_everything(tpm: TpmProvider, esapi: Any) -> None:
    keys = [generated(tpm, ec_attributes(256)), generated(tpm, rsa_attributes(2048))]
    for key in keys:
        signs(tpm, key)

    for handle in handles(esapi):
        esapi.flush_context(esapi.tr_from_tpmpublic(handle))

    for key in keys:
        signs(tpm, key)


def test_others_fill_the_slots(
    tpm: TpmProvider,
    config: TpmConfig,
    esapi: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_slots, "_PAUSES", (0.001,))
    key = generated(tpm, ec_attributes(256))
    tpm.close()
    foreign = [esapi.create_primary(None, "ecc")[0] for _ in range(3)]
    for _ in range(2):
        with pytest.raises(ServiceUnavailable, match="resource manager"):
            TpmProvider.open(config)

    # The two slots that are left do for any number of keys.
    for handle in foreign[:2]:
        esapi.flush_context(handle)
    crowded = TpmProvider.open(config)
    for each in (key, generated(crowded, ec_attributes(256)), key):
        signs(crowded, each)
    crowded.close()
    assert len(handles(esapi)) == 1


def test_a_cleared_tpm(tpm: TpmProvider, config: TpmConfig, esapi: Any) -> None:
    key = generated(tpm, ec_attributes(256))
    signs(tpm, key)

    esapi.clear(_tss.ESYS_TR.LOCKOUT)

    for _ in range(2):
        with pytest.raises(ProviderFailure, match="cleared"):
            signs(tpm, key)
        # A key made now would be recorded with a primary that is gone.
        with pytest.raises(ProviderFailure, match="cleared"):
            generated(tpm, ec_attributes(256))
    tpm.close()
    again = TpmProvider.open(config)
    with pytest.raises(ProviderFailure, match="another TPM"):
        signs(again, key)
    signs(again, generated(again, ec_attributes(256)))
    again.close()
    assert handles(esapi) == []


def test_a_key_of_another_tpm(tpm: TpmProvider, new_swtpm: Callable[[], Swtpm]) -> None:
    key = generated(tpm, ec_attributes(256))

    other = TpmProvider.open(TpmConfig(new_swtpm().tcti))

    with pytest.raises(ProviderFailure, match="another TPM"):
        signs(other, key)
    other.close()


def test_the_owner_has_an_auth_value(config: TpmConfig, esapi: Any) -> None:
    esapi.hierarchy_change_auth(_tss.ESYS_TR.OWNER, b"owner")
    for wrong in (config, replace(config, owner_hierarchy_auth=Secret(b"wrong"))):
        with pytest.raises(AuthenticationError, match="owner_hierarchy_auth") as caught:
            TpmProvider.open(wrong)
        assert "wrong" not in str(caught.value)

    right = TpmProvider.open(replace(config, owner_hierarchy_auth=Secret(b"owner")))

    signs(right, generated(right, ec_attributes(256)))
    assert "owner'" not in repr(config)
    right.close()


def test_a_refused_opening_leaves_nothing(config: TpmConfig, esapi: Any) -> None:
    esapi.hierarchy_change_auth(_tss.ESYS_TR.OWNER, b"owner")
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))

    for _ in range(5):
        with pytest.raises(AuthenticationError):
            TpmProvider.open(config)

    assert len(list(descriptors.iterdir())) <= before
    assert handles(esapi) == []


def test_a_damaged_record_harms_no_other_key(tpm: TpmProvider, esapi: Any) -> None:
    key = generated(tpm, ec_attributes(256))
    signs(tpm, key)
    wrapped = decode_key_id(key.key_id)
    assert isinstance(wrapped, LoadableKey)
    tampered = replace(wrapped, private=_flipped(wrapped.private, -1))
    damaged = replace(key, uid=os.urandom(16), key_id=encode_key_id(tampered))

    for _ in range(5):
        with pytest.raises(ProviderFailure, match="integrity"):
            signs(tpm, damaged)

    signs(tpm, key)
    assert len(handles(esapi)) <= 3


def test_every_damage_to_a_key_id_is_an_error(tpm: TpmProvider) -> None:
    key = generated(tpm, ec_attributes(256))
    for index in range(0, len(key.key_id), 7):
        damaged = replace(key, uid=os.urandom(16), key_id=_flipped(key.key_id, index))
        with pytest.raises(Error) as caught:
            signs(tpm, damaged)
        assert key.key_id[-32:] not in str(caught.value).encode()

    signs(tpm, key)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 40, 200])
def test_a_short_key_id(tpm: TpmProvider, length: int) -> None:
    key = generated(tpm, ec_attributes(256))

    with pytest.raises(StorageFailure, match="backup"):
        signs(tpm, replace(key, key_id=key.key_id[:length]))


def test_key_ids_are_read_as_they_were_written() -> None:
    for key in (
        LoadableKey(b"parent", b"public", b"private", b"auth"),
        LoadableKey(b"parent", b"", b"", b"", 0x81000001),
        PersistentKey(0x81000002, b"name"),
    ):
        assert decode_key_id(encode_key_id(key)) == key


def test_eight_threads_with_more_keys_than_slots(tpm: TpmProvider) -> None:
    keys = [generated(tpm, ec_attributes(256)) for _ in range(4)]
    keys.append(generated(tpm, rsa_attributes(2048)))
    failures: list[Exception] = []
    deadline = time.monotonic() + 1

    def work(number: int) -> None:
        turn = number
        try:
            while time.monotonic() < deadline:
                signs(tpm, keys[turn % len(keys)])
                turn += 1
        except Exception as e:
            failures.append(e)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_a_child_and_its_parent(tpm: TpmProvider, esapi: Any) -> None:
    keys = [generated(tpm, ec_attributes(256)), generated(tpm, rsa_attributes(2048))]
    for key in keys:
        signs(tpm, key)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for _ in range(10):
                for key in keys:
                    signs(tpm, key)
            tpm.close()
            status = 0
        finally:
            os._exit(status)
    for _ in range(10):
        for key in keys:
            signs(tpm, key)

    assert os.waitpid(child, 0)[1] == 0
    signs(tpm, keys[0])
    tpm.close()
    assert handles(esapi) == []


def test_a_file_is_never_opened_as_a_device(tmp_path: Path) -> None:
    file = tmp_path / "precious"
    file.write_bytes(b"content" * 10)

    for tcti in (f"device:{file}", f"pcap:device:{file}"):
        with pytest.raises(ServiceUnavailable, match="not a device"):
            TpmProvider.open(TpmConfig(tcti))

    assert file.read_bytes() == b"content" * 10


def test_a_tcti_must_be_named() -> None:
    with pytest.raises(ServiceUnavailable, match="TCTI"):
        TpmProvider.open(TpmConfig(""))


def test_nothing_is_written_to_stderr(swtpm: Swtpm) -> None:
    code = (
        "import sys\n"
        "from parsec_keys.errors import ServiceUnavailable\n"
        "from parsec_keys.service.config import TpmConfig\n"
        "from parsec_keys.service.providers.tpm import TpmProvider\n"
        "try:\n"
        "    TpmProvider.open(TpmConfig('swtpm:port=1'))\n"
        "except ServiceUnavailable:\n"
        "    print('refused')\n"
        f"TpmProvider.open(TpmConfig({swtpm.tcti!r})).close()\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TSS2_LOG"}

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )

    assert (done.stdout, done.stderr) == ("refused\n", "")


def _flipped(data: bytes, index: int) -> bytes:
    changed = bytearray(data)
    changed[index] ^= 1
    return bytes(changed)


def test_keys_that_do_not_load_leave_no_marks(tpm: TpmProvider) -> None:
    """The next tenant reads a bounded number of them."""
    key = generated(tpm, ec_attributes(256))
    signs(tpm, key)
    wrapped = decode_key_id(key.key_id)
    assert isinstance(wrapped, LoadableKey)
    tampered = replace(wrapped, parent=_flipped(wrapped.parent, -1))
    before = len(tpm._chip._slots._marks)

    for _ in range(3):
        damaged = replace(key, uid=os.urandom(16), key_id=encode_key_id(tampered))
        with pytest.raises(ProviderFailure, match="another TPM"):
            signs(tpm, damaged)

    assert len(tpm._chip._slots._marks) <= before


def test_a_child_that_has_no_descriptors_for_a_while(tpm: TpmProvider) -> None:
    key = generated(tpm, ec_attributes(256))

    def child() -> None:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, most[1]))
        with pytest.raises(Error):
            signs(tpm, key)
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
        signs(tpm, key)
        tpm.close()

    in_a_child(child)


def test_a_provider_that_nobody_closed_leaves_nothing_in_the_process(
    swtpm: Swtpm,
) -> None:
    """On a line that stays open, as a device's."""
    gc.collect()
    before = sum(t.name == "parsec-keys TPM" for t in threading.enumerate())

    def open_and_drop() -> None:
        provider = TpmProvider.open(TpmConfig(relay.tcti))
        signs(provider, generated(provider, PEER))
        del provider
        gc.collect()

    def names() -> list[str]:
        return [thread.name for thread in threading.enumerate()]

    with Relay(swtpm) as relay:
        for number in range(1, 4):
            open_and_drop()
            assert relay.connections == number
        wait_until(lambda: names().count("parsec-keys TPM") == before)
        wait_until(lambda: relay.open_connections == 0)


def test_a_deleted_key_that_was_looked_up_meanwhile(
    swtpm: Swtpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs no more than its record, which must not be remembered."""
    with parsec_keys.open_store(f"{swtpm.url}?store={tmp_path}") as store:
        key = store.generate_ec("key", ec.SECP256R1())
        key.sign(b"before", ECDSA)
        found, goes_on = threading.Event(), threading.Event()
        find = SqliteKeyInfoManager.find

        def held(*arguments: Any) -> Any:
            record = find(*arguments)
            if threading.current_thread() is other:
                found.set()
                goes_on.wait()
            return record

        def load() -> None:
            with contextlib.suppress(KeyNotFound):
                store.load("key")

        monkeypatch.setattr(SqliteKeyInfoManager, "find", held)
        other = threading.Thread(target=load)
        other.start()
        found.wait()
        store.delete("key")
        goes_on.set()
        other.join()

        with pytest.raises(KeyNotFound):
            key.sign(b"after", ECDSA)
