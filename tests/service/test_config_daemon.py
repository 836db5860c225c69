"""A daemon's configuration: the Rust service's own words, and ours in ``config/``."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.emulators import PIN, SoftHsm, Swtpm
from parsec_keys.errors import ConfigurationError, NotPermitted
from parsec_keys.service.config import Pkcs11Config, SoftwareConfig, TpmConfig
from parsec_keys.service.config_daemon import (
    AuthenticatorConfig,
    DaemonConfig,
    ListenerConfig,
    read_daemon_config,
)
from parsec_keys.service.secret import Secret
from tests.daemon import Daemon
from tests.service.test_daemon import refused_to_start

FOLDER = Path(__file__).parents[2] / "config"
EXAMPLE = FOLDER / "config.toml"
P256 = ec.SECP256R1()

RUST = """
[core_settings]
allow_root = true
thread_pool_size = 8
idle_listener_sleep_duration = 10
log_level = "trace"
log_timestamp = true
body_len_limit = 1048576
log_error_details = true
buffer_size_limit = 1048576
allow_deprecated = true
[listener]
listener_type = "DomainSocket"
timeout = 3000
socket_path = "/srv/parsec/m/parsec.sock"
[authenticator]
auth_type = "UnixPeerCredentials"
admins = [ { name = "0" }, { name = "1000" } ]
[[key_manager]]
name = "sql"
manager_type = "SQLite"
store_path = "./mappings"
sqlite_db_path = "/srv/parsec/m/kim.sqlite3"
[[key_manager]]
name = "unused"
manager_type = "OnDisk"
store_path = "/var/lib/parsec/mappings"
[[provider]]
provider_type = "MbedCrypto"
name = "mbed-crypto-provider"
key_info_manager = "sql"
[[provider]]
provider_type = "Pkcs11"
key_info_manager = "sql"
library_path = "/usr/lib/softhsm/libsofthsm2.so"
slot_number = 123
serial_number = " 0f2d8b6c  "
user_pin = "hex:31323334"
software_public_operations = true
allow_export = false
[[provider]]
provider_type = "Tpm"
key_info_manager = "sql"
tcti = "swtpm:host=127.0.0.1,port=25321"
owner_hierarchy_auth = "str:hex:owner"
endorsement_hierarchy_auth = "hex:00ff"
skip_if_no_tpm = true
"""
"""Every key that the Rust service has, of what is here."""
LEAST = """
[core_settings]
[listener]
listener_type = "DomainSocket"
timeout = 200
[authenticator]
auth_type = "UnixPeerCredentials"
[[key_manager]]
name = "sql"
manager_type = "SQLite"
[[provider]]
provider_type = "MbedCrypto"
key_info_manager = "sql"
"""


def read(folder: Path, text: str) -> DaemonConfig:
    (folder / "config.toml").write_text(text)
    return read_daemon_config(folder / "config.toml")


def test_every_word_of_the_rust_service(tmp_path: Path) -> None:
    config = read(tmp_path, RUST)

    store = Path("/srv/parsec/m")
    assert config.service.providers == (
        SoftwareConfig(store, None, "mbed-crypto-provider"),
        Pkcs11Config(
            Path("/usr/lib/softhsm/libsofthsm2.so"),
            serial_number="0f2d8b6c",
            pin=Secret(b"1234"),
            allow_export=False,
        ),
        TpmConfig(
            "swtpm:host=127.0.0.1,port=25321",
            Secret(b"hex:owner"),
            endorsement_hierarchy_auth=Secret(b"\x00\xff"),
        ),
    )
    assert config.service.directory == store
    assert config.service.allow_deprecated
    assert config.listener == ListenerConfig(store / "parsec.sock", 3.0)
    admins = frozenset({"0", "1000"})
    assert config.authenticator == AuthenticatorConfig(
        "UnixPeerCredentials", admins, None
    )
    assert (config.core.threads, config.core.log_level) == (8, "trace")
    for secret in ("1234", "owner'", "ff'"):
        assert secret not in repr(config)


def test_the_least_that_the_rust_service_takes(tmp_path: Path) -> None:
    config = read(tmp_path, LEAST)

    assert config.listener.socket_path == Path("/run/parsec/parsec.sock")
    assert config.service.directory == Path("/var/lib/parsec/kim-mappings/sqlite")
    assert not config.service.allow_deprecated
    assert not config.core.allow_root
    assert config.core.log_level == "error"


@pytest.mark.parametrize(
    ("manager", "folder"),
    [
        ('"OnDisk"', "/var/lib/parsec/mappings"),
        ('"OnDisk"\nstore_path = "/x/y"', "/x/y"),
        ('"SQLite"\nsqlite_db_path = "/x/y/z.sqlite3"', "/x/y"),
        ('"SQLite"\nsqlite_db_path = "y/z.sqlite3"', "{here}/y"),
    ],
)
def test_where_key_info_is_kept(tmp_path: Path, manager: str, folder: str) -> None:
    config = read(tmp_path, LEAST.replace('"SQLite"', manager))

    expected = Path(folder.format(here=tmp_path))
    assert config.service.directory == expected
    assert config.service.providers == (SoftwareConfig(expected),)


def test_a_tpm_that_is_not_there(tmp_path: Path) -> None:
    tpm = (
        '[[provider]]\nprovider_type = "Tpm"\ntcti = "device:/dev/absent"\n'
        'key_info_manager = "sql"\nowner_hierarchy_auth = ""\n'
    )

    assert len(read(tmp_path, LEAST + tpm).service.providers) == 2
    skipping = read(tmp_path, LEAST + tpm + "skip_if_no_tpm = true\n")
    assert len(skipping.service.providers) == 1


WRONG = [
    ("timeout = 200", "", "line 3, listener: 'timeout' is missing"),
    ("timeout = 200", "timeout = 0", "line 5, listener: 'timeout' is at least 1"),
    ("timeout = 200", "time_out = 200", "'timeout' is missing"),
    ("timeout = 200", "timeout = 200\ncolor = 1", "line 6, listener: nothing here"),
    ("[core_settings]", "", "[core_settings] is missing"),
    ("[core_settings]", "[core_settings]\nthreads = 1", "line 3, core_settings"),
    ("[core_settings]", '[core_settings]\nlog_level = "loud"', "one of off, error"),
    ("[core_settings]", "[core_settings]\nallow_root = 1", "line 3"),
    ('"UnixPeerCredentials"', '"Jwt"', "line 7, authenticator"),
    ('"UnixPeerCredentials"', '"JwtSvid"', "'workload_endpoint' is missing"),
    ('"UnixPeerCredentials"', '"Direct"\nworkload_endpoint = "unix:/x"', "line 8"),
    ('"UnixPeerCredentials"', '"Direct"\nadmins = ["x"]', "line 8"),
    ('"UnixPeerCredentials"', '"Direct"\nadmins = [{ x = "x" }]', "'name' is missing"),
    ("[[provider]]", "[extra]\nx = 1\n[[provider]]", "'extra'"),
    ('"MbedCrypto"', '"CryptoAuthLib"', "line 12, provider 1: there is no"),
    ('"MbedCrypto"', '"TrustedService"', "line 12, provider 1: there is no"),
    ('key_info_manager = "sql"', 'key_info_manager = "x"', "line 13, provider 1"),
    ('"SQLite"', '"Etcd"', "line 10, key_manager 1"),
]


@pytest.mark.parametrize(("old", "new", "words"), WRONG)
def test_what_is_wrong_has_its_line(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert old in LEAST
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, LEAST.replace(old, new))

    assert words in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_two_providers_of_one_type(tmp_path: Path) -> None:
    second = '[[provider]]\nprovider_type = "Software"\nname = "b"\nkey_info_manager = '
    with pytest.raises(ConfigurationError, match="of one type"):
        read(tmp_path, LEAST + second + '"sql"')


def test_a_wrong_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    daemon.file.write_text(LEAST.replace("timeout = 200", "timeout = 200\ncolor = 1"))

    assert "line 6, listener: nothing here reads 'color'" in refused_to_start(daemon)


def test_the_rust_service_s_files_start_a_daemon(
    tmp_path: Path, swtpm: Swtpm, softhsm: SoftHsm
) -> None:
    """The shapes of files that started the Rust service."""
    daemon = Daemon(tmp_path)
    daemon.file.write_text(
        f"""
        [core_settings]
        allow_root = true
        log_level = "info"
        log_error_details = true
        [listener]
        listener_type = "DomainSocket"
        timeout = 3000
        socket_path = "{daemon.socket}"
        [authenticator]
        auth_type = "UnixPeerCredentials"
        admins = [ {{ name = "{os.geteuid()}" }} ]
        [[key_manager]]
        name = "sql"
        manager_type = "SQLite"
        sqlite_db_path = "{tmp_path}/m/kim.sqlite3"
        [[provider]]
        provider_type = "MbedCrypto"
        key_info_manager = "sql"
        [[provider]]
        provider_type = "Tpm"
        key_info_manager = "sql"
        tcti = "{swtpm.tcti}"
        owner_hierarchy_auth = ""
        endorsement_hierarchy_auth = ""
        [[provider]]
        provider_type = "Pkcs11"
        key_info_manager = "sql"
        library_path = "{softhsm.module}"
        serial_number = "{serial_of("shared", softhsm)}"
        user_pin = "str:{PIN}"
        allow_export = false
        """
    )
    with daemon, parsec_keys.open_store(daemon.url) as store:
        assert [each.id for each in store.providers()] == [1, 3, 2]
        for provider in ("software", "tpm", "pkcs11"):
            key = store.generate_ec(provider, P256, provider=provider)
            assert key.provider == provider
        assert store.generate_ec("default", P256).provider == "software"
        with pytest.raises(NotPermitted):
            store.generate_ec("out", P256, usage="export", provider="pkcs11")
        assert (tmp_path / "m" / "key-info.sqlite3").exists()
        assert not (tmp_path / "m" / "kim.sqlite3").exists()


def serial_of(label: str, softhsm: SoftHsm) -> str:
    done = subprocess.run(
        ["softhsm2-util", "--module", str(softhsm.module), "--show-slots"],
        capture_output=True,
        text=True,
        check=True,
    )
    slots = done.stdout.split("\nSlot ")
    slot = next(each for each in slots if re.search(rf"Label: +{label} *$", each, re.M))
    found = re.search(r"Serial number: +(\w+)", slot)
    assert found is not None
    return found[1]


def example(folder: Path) -> str:
    """The example with the paths of a test."""
    text = EXAMPLE.read_text().replace("/var/lib/parsec", str(folder))
    text = text.replace("# socket_path", "socket_path")
    text = text.replace("/run/parsec/parsec.sock", str(folder / "parsec.sock"))
    return text.replace("# allow_root = false", "allow_root = true")


def test_the_example_starts(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    daemon.file.write_text(example(tmp_path))

    with daemon, parsec_keys.open_store(daemon.url) as store:
        store.generate_ec("key", P256)


def test_what_the_example_leaves_out_is_the_default(tmp_path: Path) -> None:
    """What is written after ``#`` is understood, and is what happens without it."""
    (tmp_path / "passphrase").write_text("open sesame")
    (tmp_path / "pin").write_text("1234")
    text = EXAMPLE.read_text().replace("/etc/parsec", str(tmp_path))
    setting = re.compile(r"^# (?=\w+ = |\[\[)", re.M)
    ours = re.compile(r"^# (?=(?:admins|workload_endpoint|passphrase_file) )", re.M)

    written = read(tmp_path, setting.sub("", ours.sub("## ", text)))
    left_out = read(tmp_path, text)

    assert len(written.service.providers) == 3
    assert written.core == left_out.core
    assert written.listener == left_out.listener
    assert written.authenticator == left_out.authenticator
    assert written.service.providers[0] == left_out.service.providers[0]
    assert written.service.allow_deprecated == left_out.service.allow_deprecated
    svid = text.replace('"UnixPeerCredentials"', '"JwtSvid"')
    assert read(tmp_path, setting.sub("", svid)).authenticator.admins == {"1000"}


def unit(name: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(
        strict=False, interpolation=None, comment_prefixes=("#",)
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(FOLDER / name)
    return parser


def test_the_units_are_about_the_same_daemon() -> None:
    service, listening = unit("parsec-keys.service"), unit("parsec-keys.socket")

    assert service["Service"]["Type"] == "notify"
    assert service["Unit"]["Wants"] == "parsec-keys.socket"
    assert listening["Socket"]["ListenStream"] == "/run/parsec/parsec.sock"
    command = service["Service"]["ExecStart"].split()
    assert command[1:] == ["serve", "-c", "/etc/parsec/config.toml"]
    folders = [
        line.split()
        for line in (FOLDER / "parsec-keys.tmpfiles").read_text().splitlines()
        if not line.startswith("#")
    ]
    user = service["Service"]["User"]
    assert ["d", "/run/parsec", "0755", user, user, "-"] in folders
    assert f"u {user} - " in (FOLDER / "parsec-keys.sysusers").read_text()


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        return  # The test above reads them without it.
    for name in ("parsec-keys.service", "parsec-keys.socket"):
        text = (FOLDER / name).read_text()
        text = text.replace("/usr/bin/parsec-keys", sys.executable)
        (tmp_path / name).write_text(text)

    done = subprocess.run(
        [program, "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "parsec-keys" not in done.stderr
    assert done.returncode == 0, done.stderr
