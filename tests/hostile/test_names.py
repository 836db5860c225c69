"""Key names of any characters, by every way in: back exactly, or one clear sentence."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import parsec_keys
from parsec_keys.cli import main
from parsec_keys.errors import Error, InvalidArgument, KeyNotFound, NotSupported
from tests.conftest import PROVIDERS
from tests.daemon import Daemon

P256 = ec.SECP256R1()
ECDSA = ec.ECDSA(hashes.SHA256())
HUGE = "name " * 2_000_000
NAMES = (
    *("", " ", ".", "..", "/", "../../../etc/passwd", "a/b", "a\nb", "\0", "a\0b"),
    *("\u202eabc", "e\u0301", "\u00e9", "\ufeff", "\u2028", "\U0010ffff", "%00", "'"),
    *('"; DROP TABLE key_record; --', "?store=unix:/x", "x" * 100_000),
)
SURROGATES = ("\ud800", "a\udcffb", "\udfff\ud800")
texts = st.text(max_size=30) | st.text(
    st.characters(categories=["Cs", "Cc", "Cf", "Mn", "Zl", "Lo"]), max_size=10
)
few = settings(
    max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def is_text(name: str) -> bool:
    return not any("\ud800" <= each <= "\udfff" for each in name)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon")) as running:
        yield running


@pytest.fixture(scope="module", params=[*PROVIDERS, "daemon"])
def store(
    request: pytest.FixtureRequest, new_url: Callable[[str], str]
) -> Iterator[parsec_keys.KeyStore]:
    """A store of each provider, and one in a daemon."""
    if request.param == "daemon":
        daemon: Daemon = request.getfixturevalue("daemon")
        url = daemon.url
    else:
        url = new_url(request.param)
    with parsec_keys.open_store(url) as opened:
        yield opened


def goes_everywhere(store: parsec_keys.KeyStore, name: str) -> None:
    """Pass if a name comes back from all that has names."""
    with pytest.raises(KeyNotFound):
        store.load(name)
    try:
        key = store.generate_ec(name, P256)
        assert key.name == name
        listed = store.keys()
        assert name in [each.name for each in listed]
        for loaded in (store.load(name), parsec_keys.load_key(key.uri)):
            assert isinstance(loaded, ec.EllipticCurvePrivateKey)
            assert loaded == key
            key.public_key().verify(loaded.sign(b"", ECDSA), b"", ECDSA)
    finally:
        store.delete(name)
    imported = ec.generate_private_key(P256)
    assert store.import_key(name, imported).public_key() == imported.public_key()
    store.delete(name)


def is_refused(store: parsec_keys.KeyStore, name: str) -> None:
    """Pass if a name is refused in a sentence wherever one is given."""
    software = ec.generate_private_key(P256)
    for use in (
        lambda: store.generate_ec(name, P256),
        lambda: store.import_key(name, software),
        lambda: store.load(name),
        lambda: store.delete(name),
        lambda: parsec_keys.load_key(f"parsec:{name}"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            use()
        assert str(caught.value).isprintable()


@few
@given(name=texts)
def test_any_name(store: parsec_keys.KeyStore, name: str) -> None:
    if is_text(name):
        goes_everywhere(store, name)
    else:
        is_refused(store, name)


@pytest.mark.parametrize("store", ["software", "daemon"], indirect=True)
@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:20]))
def test_a_hostile_name(store: parsec_keys.KeyStore, name: str) -> None:
    # No name gets as far as the hardware: it knows a key by its uid.
    goes_everywhere(store, name)


@pytest.mark.parametrize("name", SURROGATES, ids=ascii)
def test_a_name_that_is_no_text(store: parsec_keys.KeyStore, name: str) -> None:
    is_refused(store, name)
    assert store.keys() == ()


def test_a_huge_name(store: parsec_keys.KeyStore) -> None:
    """Ten million characters: kept, where they are not too much for a wire."""
    for use in (store.load, store.delete):
        with pytest.raises((KeyNotFound, NotSupported)) as caught:
            use(HUGE)
        assert len(str(caught.value)) < 2100
    if store.url.startswith("unix:"):
        with pytest.raises(NotSupported, match="longer than it allows"):
            store.generate_ec(HUGE, P256)
        assert store.keys() == ()
        return
    key = store.generate_ec(HUGE, P256)
    assert store.keys()[0].name == key.name == HUGE
    key.public_key().verify(key.sign(b"", ECDSA), b"", ECDSA)
    store.delete(HUGE)


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run the command line here on a software store: status, stdout, stderr."""
    monkeypatch.setenv("PARSEC_KEYS_STORE", f"software:{tmp_path}/store")

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"data")))
        status = main([*arguments])
        out, err = capfd.readouterr()
        return status, out, err

    return command


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=texts)
@example(name="-x")
@example(name="--help")
@example(name="\ud800")
@example(name="x" * 100_000)
def test_the_command_line(run: Run, tmp_path: Path, name: str) -> None:
    file = str(tmp_path / "key.pem")
    Path(file).write_bytes(
        ec.generate_private_key(P256).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    if not is_text(name):
        for arguments in (
            *(("generate", "--", name), ("import", "--", name, file)),
            *(("delete", "--yes", "--", name), ("sign", "--", name)),
        ):
            status, out, err = run(*arguments)
            assert (status, out, err.count("\n")) == (1, "", 1), arguments
        return
    status, _, err = run("generate", "--", name)
    assert status == 0, err
    listed = json.loads(run("list", "--json")[1])
    assert [each["name"] for each in listed] == [name]
    for arguments in (
        *(("sign", "--encoding", "hex", "--", name), ("show", "--", name)),
        ("export-public", "--", name),
    ):
        status, out, err = run(*arguments)
        assert status == 0, err
        assert out
    assert run("import", "--", name, file)[0] == 1  # It is there.
    assert run("delete", "--yes", "--", name)[0] == 0
    assert run("list")[1] == ""


def test_errors_of_any_name_are_sentences(store: parsec_keys.KeyStore) -> None:
    for name in (*NAMES, *SURROGATES):
        with pytest.raises(Error) as caught:
            store.load(name)
        assert str(caught.value).isprintable()
