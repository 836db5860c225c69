"""A TOML file that went wrong anywhere: understood, or refused with a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from parsec_keys.errors import ConfigurationError
from parsec_keys.service.config_daemon import read_daemon_config
from parsec_keys.service.config_toml import read_config
from tests.secrets.errors import all_said_by

PIN = "correct horse"
STORE = f"""
store = "keys"
[[key_manager]]
name = "sql"
manager_type = "SQLite"
sqlite_db_path = "keys/other.sqlite3"
[[provider]]
provider_type = "Tpm"
tcti = "device:/dev/tpmrm0"
owner_hierarchy_auth = "hex:00ff"
protect_bus = false
[[provider]]
provider_type = "Pkcs11"
name = "hsm"
library_path = "/usr/lib/softhsm/libsofthsm2.so"
serial_number = "42"
slot_number = 7
user_pin = "{PIN}"
allow_export = true
[[provider]]
provider_type = "Software"
passphrase = "{PIN}"
[[provider]]
provider_type = "Cloud"
region = "here"
"""
DAEMON = """
[core_settings]
allow_root = true
thread_pool_size = 8
log_level = "info"
body_len_limit = 1048576
[listener]
listener_type = "DomainSocket"
timeout = 200
socket_path = "parsec.sock"
[authenticator]
auth_type = "UnixPeerCredentials"
admins = [{ name = "0" }]
"""
VALUES = (
    *('""', '"~nobody-here/x"', '"\\u0000"', "'''\n'''", '"../../x"', '"hex:zz"'),
    *(
        "0",
        "-1",
        "1.5",
        "nan",
        "inf",
        "9" * 30,
        "9" * 5000,
        "true",
        "1979-05-27",
        "07:32:00",
    ),
    *("[]", "{}", "[[]]", "[{}]", "[1]", "[{ name = 1 }]", "{ name = 'x' }", "["),
    *(f'"{"x" * 5000}"', '"\\ud800"', "'\x7f'", f"{'[' * 3000}"),
)
LINES = (
    *("[", "[[", "]]", "=", "x = 1", "[provider]", "[[core_settings]]", "[x.y]"),
    *("[[provider]]", "store = 1", "\ufeff", "\0", "[[provider]]\nx.y.z = 1", "'''"),
    'provider_type = "Software"',
)


@st.composite
def damaged(draw: st.DrawFn, text: str) -> bytes:
    """A file with some lines changed, lost, doubled or new, or some bytes changed."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(lines) - 1))
        name = lines[place].partition("=")[0]
        kind = draw(st.sampled_from(["value", "lost", "doubled", "new", "text"]))
        if kind == "value":
            lines[place] = f"{name}= {draw(st.sampled_from(VALUES))}"
        elif kind == "lost":
            del lines[place]
        elif kind == "doubled":
            lines.insert(draw(st.integers(0, len(lines))), lines[place])
        else:
            known = kind == "new"
            new = draw(st.sampled_from(LINES) if known else st.text(max_size=20))
            lines.insert(place, new)
    data = bytearray("\n".join(lines).encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.integers(0, 2))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


def check(read: Callable[[Path], object], path: Path, data: bytes) -> None:
    """Pass if a file is understood, or refused in a line that names it."""
    path.write_bytes(data)
    try:
        shown = repr(read(path))
    except ConfigurationError as e:
        shown = str(e)
        assert shown.startswith(str(path))
        assert shown.isprintable()
        assert len(shown) < 2100
        shown = all_said_by(e)
    assert PIN not in shown


anything = settings(
    max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@anything
@given(data=damaged(STORE))
@example(data=STORE.encode())
@example(data=STORE.encode()[:-20])
@example(data=STORE.replace('"keys"', '"~nobody-here/x"').encode())
def test_a_store(tmp_path: Path, data: bytes) -> None:
    check(read_config, tmp_path / "store.toml", data)


@anything
@given(data=damaged(DAEMON + STORE.replace('store = "keys"', "")))
@example(data=(DAEMON + STORE.replace('store = "keys"', "")).encode())
def test_a_daemon(tmp_path: Path, data: bytes) -> None:
    check(read_daemon_config, tmp_path / "daemon.toml", data)


@pytest.mark.parametrize("text", [STORE, 'store = "keys"\n' + DAEMON])
def test_the_file_itself_is_understood(tmp_path: Path, text: str) -> None:
    whole = text if text is STORE else text + STORE.replace('store = "keys"', "")
    whole = whole.replace(
        '[[provider]]\nprovider_type = "Cloud"\nregion = "here"\n', ""
    )
    (tmp_path / "file.toml").write_text(whole)

    assert len(read_config(tmp_path / "file.toml").providers) == 3
