"""Key references: what is one, what is refused, and what one can reach."""

from __future__ import annotations

import base64
import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from OpenSSL import crypto

import parsec_keys
from parsec_keys import tls
from parsec_keys.emulators import softhsm_module
from parsec_keys.stores import STORE_VARIABLE
from parsec_keys.tls import _reference
from parsec_keys.tls._reference import EC_OID, RSA_OID, NoReferenceError
from tests.conftest import open_or_miss
from tests.tls.handshakes import PKCS8, PLAIN, files

P256 = ec.SECP256R1()
VALID = (
    _reference.encode(RSA_OID, "parsec:key?store=software:/nowhere"),
    _reference.encode(EC_OID, "parsec:" + "k" * 300),
)
ANOTHER_PROCESS = """
import logging, sys
from pathlib import Path
from parsec_keys import tls
from tests.tls.handshakes import context, shake

logging.basicConfig()
tls.enable()
own, peer = Path(sys.argv[1]), Path(sys.argv[2])
print(shake(context(own, peer, False), context(peer, own, True)))
"""
oids = st.sampled_from([RSA_OID, EC_OID])


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid reference with a few octets changed, left out or put in."""
    data = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=400) | mutated())
def test_any_bytes_are_a_reference_in_der_or_refused(data: bytes) -> None:
    try:
        oid, uri = _reference.parse(data)
    except NoReferenceError:
        return
    # DER has one form for each value.
    assert data == _reference.encode(oid, uri)


@settings(max_examples=200, deadline=None)
@given(oids, st.text(max_size=2000))
def test_round_trip(oid: str, uri: str) -> None:
    data, pem = _reference.encode(oid, uri), _reference.encode_pem(oid, uri)

    assert _reference.parse(data) == (oid, uri)
    assert base64.b64decode(b"".join(pem.splitlines()[1:-1])) == data


@pytest.mark.parametrize("data", VALID, ids=["rsa", "ec"])
def test_what_is_cut_off_or_followed_by_more_is_refused(data: bytes) -> None:
    for end in range(len(data)):
        with pytest.raises(NoReferenceError):
            _reference.parse(data[:end])
    with pytest.raises(NoReferenceError, match="more than a reference"):
        _reference.parse(data + b"\x00")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "another structure"),
        (b"\x30", "another structure"),
        (b"\x31\x00", "another structure"),
        (b"\x30\x80\x00\x00", "a length that is not DER"),
        (b"\x30\x81\x05" + bytes(5), "a length that is not DER"),
        (b"\x30\x82\x00\x85" + bytes(133), "a length that is not DER"),
        (b"\x30\x84\xff\xff\xff\xff", "cut off"),
        (b"\x30\xff" + b"\xff" * 127, "cut off"),
        (bytes(64 * 1024 + 1), "longer than any reference"),
        (VALID[0].replace(b"\x02\x01\x00", b"\x02\x01\x01", 1), "of another kind"),
        (VALID[0].replace(b"nowhere", b"\xff" * 7), "a URI that is not UTF-8"),
    ],
)
def test_refusals(data: bytes, why: str) -> None:
    with pytest.raises(NoReferenceError, match=why):
        _reference.parse(data)


def test_a_private_key_is_no_reference() -> None:
    for key in (ec.generate_private_key(P256), ec.generate_private_key(ec.SECP384R1())):
        data = key.private_bytes(serialization.Encoding.DER, PKCS8, PLAIN)

        with pytest.raises(NoReferenceError):
            _reference.parse(data)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=mutated() | st.binary(max_size=200))
def test_libcrypto_refuses_what_we_refuse(
    caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    caplog.set_level(logging.CRITICAL, "parsec_keys.tls")
    tls.enable()

    with pytest.raises(crypto.Error):
        crypto.load_privatekey(crypto.FILETYPE_ASN1, data)


@pytest.mark.parametrize("encoding", ["PEM", "DER"])
def test_openssl_reads_it(tmp_path: Path, encoding: str) -> None:
    key = parsec_keys.open_store(f"software:{tmp_path}").generate_ec("key", P256)
    data = key.private_bytes(getattr(serialization.Encoding, encoding), PKCS8, PLAIN)
    command = ["openssl", "asn1parse", "-inform", encoding, "-strparse"]

    whole = subprocess.run(command[:-1], input=data, capture_output=True, check=True)
    # The octets are a value themselves: behind 30 82, 02 01 00, and the identifier.
    octets = next(line for line in whole.stdout.splitlines() if b"OCTET STRING" in line)
    offset = octets.partition(b":")[0].strip().decode()
    inner = subprocess.run(
        [*command, offset], input=data, capture_output=True, check=True
    )

    assert EC_OID in whole.stdout.decode()
    assert key.uri in inner.stdout.decode()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Places that a reference may name and that nobody opened."""

    folder: Path

    @property
    def stores(self) -> dict[str, str]:
        """The URL of a store of each kind."""
        folder = f"store={self.folder}/store"
        return {
            "software": f"software:{self.folder}/store",
            "tpm": f"tpm:swtpm:path={self.folder}/socket?{folder}",
            "pkcs11": f"pkcs11:token=x?module-path={self.folder}/module.so&{folder}",
            "socket": f"unix:{self.folder}/socket",
            "toml": f"{self.folder}/config.toml",
        }

    @property
    def keys(self) -> dict[str, str]:
        """The URI of a key that was somewhere before, of each kind."""
        return {
            "tpm": f"tpm:handle=0x81000001?tcti=swtpm:path={self.folder}/socket",
            "file": f"{self.folder}/key.tss",
            "pkcs11": f"pkcs11:token=x;object=y?module-path={self.folder}/module.so",
            "another scheme": "https://example.com/key",
            "nothing": "",
        }


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    """Places that are as they were at the end: nothing opened, nothing connected."""
    found = Elsewhere(tmp_path / "elsewhere")
    found.folder.mkdir()
    shutil.copy(softhsm_module(), found.folder / "module.so")
    (found.folder / "config.toml").write_text("[core_settings]\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{found.folder}/socket")
        listener.listen()
        listener.setblocking(False)
        _opened.clear()
        yield found
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert [path for path in _opened if str(found.folder) in path] == []
    assert not (found.folder / "store").exists()
    assert str(found.folder) not in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("kind", ["software", "tpm", "pkcs11", "socket", "toml"])
def test_a_store_that_nobody_opened_is_refused(elsewhere: Elsewhere, kind: str) -> None:
    uri = f"parsec:key?store={quote(elsewhere.stores[kind], safe='')}"

    # OpenSSL keeps 255 bytes: what to do comes before the URL, which may be long.
    assert f"not open (open it first, or make it the default in ${STORE_VARIABLE})" in (
        refusal(uri)
    )


@pytest.mark.parametrize("kind", ["tpm", "file", "pkcs11", "another scheme", "nothing"])
def test_a_key_that_nobody_loaded_is_refused(elsewhere: Elsewhere, kind: str) -> None:
    assert "has not loaded itself" in refusal(elsewhere.keys[kind])


@pytest.mark.parametrize("length", [300, 1200, 1201])
def test_a_long_refusal_is_shown(tmp_path: Path, length: int) -> None:
    """To the end, or to the end of a character."""
    folder = "a" * (length % 2) + "ä" * (length // 2)

    shown = refusal(f"parsec:key?store={quote(f'software:{tmp_path}/{folder}')}")

    assert 150 * "ä" in shown
    if length == 300:
        assert f"make it the default in ${STORE_VARIABLE}" in shown


def test_the_default_store_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the two tests above would see if a reference opened a store."""
    url = f"software:{tmp_path}/store"
    monkeypatch.setenv(STORE_VARIABLE, url)
    _opened.clear()

    assert "KeyNotFound" in refusal(f"parsec:key?store={quote(url, safe='')}")

    assert [path for path in _opened if str(tmp_path) in path] != []


def test_it_works_where_the_default_store_has_its_key(
    provider: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    url = new_url(provider)
    with open_or_miss(provider, url) as store:
        own = files(store.generate_ec("key", P256), tmp_path / "own")
    peer = files(ec.generate_private_key(P256), tmp_path / "peer")

    there = in_another_process(own, peer, url)
    elsewhere = in_another_process(own, peer, f"software:{tmp_path / 'other'}")

    assert (there.stdout, there.stderr) == ("TLSv1.3\n", "")
    assert elsewhere.returncode == 1
    assert "a store that this process has not open" in elsewhere.stderr


_opened: list[str] = []


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    # An audit hook stays as long as the process: keep no more than a test needs.
    if event in ("open", "os.mkdir", "sqlite3.connect", "ctypes.dlopen"):
        _opened.append(str(arguments[0]))
        del _opened[:-1000]


sys.addaudithook(_record)


def refusal(uri: str) -> str:
    """What libcrypto says of a reference that names a URI."""
    tls.enable()
    with pytest.raises(crypto.Error) as caught:
        crypto.load_privatekey(crypto.FILETYPE_PEM, _reference.encode_pem(EC_OID, uri))
    return str(caught.value)


def in_another_process(
    own: Path, peer: Path, default_store: str
) -> subprocess.CompletedProcess[str]:
    """A handshake with the files of two folders, the first one's a reference."""
    return subprocess.run(
        [sys.executable, "-c", ANOTHER_PROCESS, str(own), str(peer)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, STORE_VARIABLE: default_store},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
