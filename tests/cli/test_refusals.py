"""What the command line refuses, and that it says so without a traceback.

On the software provider alone: what is refused here never reaches a provider.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

import parsec_keys
from parsec_keys.cli import main
from parsec_keys.emulators import SoftHsm
from parsec_keys.tls import _reference

Run = Callable[..., tuple[int, bytes, str]]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A software store with an RSA and an EC key."""
    with parsec_keys.open_store(f"software:{tmp_path / 'store'}") as store:
        store.generate_rsa("rsa")
        store.generate_ec("ec", ec.SECP256R1())
        return store.url


@pytest.fixture
def run(
    url: str,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run the command line here: its status, its stdout and its stderr."""
    monkeypatch.setenv("PARSEC_KEYS_STORE", url)

    def command(*arguments: str, data: bytes = b"") -> tuple[int, bytes, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        status = main([*arguments])
        out, err = capfdbinary.readouterr()
        return status, out, err.decode()

    return command


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ("generate x --bits 2048", "--bits"),
        ("generate x --type rsa --curve P-256", "--curve"),
        ("sign ec --salt 32", "--salt"),
        ("sign ec --mgf-hash sha256", "--mgf-hash"),
        ("sign ec --padding pkcs1", "--padding"),
        ("sign rsa --deterministic", "--deterministic"),
        ("sign rsa --salt 20", "--salt"),
        ("sign rsa --padding pkcs1 --mgf-hash sha1", "--mgf-hash"),
        ("sign rsa --padding pss --salt auto", "--salt"),
        ("decrypt rsa --padding pkcs1 --label x", "--label"),
        ("decrypt rsa --padding pkcs1 --hash sha1", "--hash"),
        ("decrypt rsa --padding pkcs1 --mgf-hash sha1", "--mgf-hash"),
    ],
)
def test_no_option_is_ignored(run: Run, arguments: str, option: str) -> None:
    status, out, err = run(*arguments.split())

    assert (status, out) == (2, b"")
    assert option in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("csr ec --hash sm3", "sm3"),
        ("csr rsa --pss --hash md5", "md5"),
        ("sign ec --prehashed", "digest size"),
        ("sign rsa --padding pss --salt 300", "salt"),
        ("sign rsa --hash blake2b", "blake2b"),
        ("decrypt rsa --encoding hex", "hex"),
        ("decrypt rsa --label hex:xy", "hex"),
        ("sign ec -o absent/signature", "absent/signature"),
        ("--store unix:/run/parsec.sock list", "/run/parsec.sock"),
    ],
)
def test_a_refusal_is_one_sentence(run: Run, arguments: str, words: str) -> None:
    status, out, err = run(*arguments.split(), data=b"not hex")

    assert (status, out) == (1, b"")
    assert words in err
    assert err.count("\n") == 1


def test_a_key_of_another_family_is_not_imported(run: Run) -> None:
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )

    status, out, err = run("import", "x", "-", data=pem)

    assert (status, out) == (1, b"")
    assert "neither an RSA key" in err


def test_a_passphrase_is_not_asked_of_a_pipe(run: Run) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.BestAvailableEncryption(b"sesame"),
    )

    status, out, err = run("import", "x", "-", data=pem)

    assert (status, out) == (2, b"")
    assert "--passphrase-file" in err


def test_a_traditional_key_comes_from_stdin(run: Run) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )

    assert run("import", "x", "-", data=pem)[0] == 0
    exported = run("export-public", "x")[1]
    assert key.public_key() == serialization.load_pem_public_key(exported)


def test_a_reference_of_an_exportable_key_has_no_secret(run: Run) -> None:
    uri = run("generate", "key", "--usage", "sign_hash export")[1].decode().rstrip()

    der = run("export-reference", "key", "--format", "der")[1]

    assert _reference.parse(der) == (_reference.EC_OID, uri)


def test_blake2_signs_with_ecdsa(run: Run) -> None:
    public_key = serialization.load_pem_public_key(run("export-public", "ec")[1])
    assert isinstance(public_key, ec.EllipticCurvePublicKey)

    signature = run("sign", "ec", "--hash", "blake2s", data=b"data")[1]

    public_key.verify(signature, b"data", ec.ECDSA(hashes.BLAKE2s(32)))


def test_a_name_cannot_break_the_listing(run: Run) -> None:
    name = "[/red]\t\x1b[2J\nname"
    assert run("generate", name)[0] == 0

    lines = run("list")[1].splitlines()
    listed = json.loads(run("list", "--json")[1])

    assert len(lines) == 3
    assert lines[0].startswith(b"[/red]\\t\\x1b[2J\\nname\tsoftware\t")
    assert name == listed[0]["name"]


def test_a_wrong_pin_is_not_echoed(run: Run, softhsm: SoftHsm, tmp_path: Path) -> None:
    url = softhsm.url("without", tmp_path, pin="97531")

    status, out, err = run("--store", url, "list")

    assert (status, out) == (1, b"")
    assert "PIN" in err
    assert "97531" not in err


def _hear_sigint() -> None:
    """Whatever a shell that put us in the background made of it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_is_exit_130(url: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "parsec_keys", "--store", url, "sign", "ec"]

    with (
        subprocess.Popen(
            [*command, str(pipe)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_hear_sigint,
        ) as process,
        pipe.open("wb"),
    ):  # It is opened when the program reads.
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err


@pytest.mark.parametrize("arguments", ["list", "sign ec", "export-public rsa"])
def test_a_reader_that_left_is_no_traceback(url: str, arguments: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, "-m", "parsec_keys", "--store", url, *arguments.split()],
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (1, b"")
