"""The command line, as a program: results on stdout, words on stderr, exit statuses."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from parsec_keys.emulators import PIN
from parsec_keys.tls import _reference
from parsec_keys.tls._reference import EC_OID, RSA_OID

Run = Callable[..., subprocess.CompletedProcess[bytes]]
SHA256 = hashes.SHA256()


@pytest.fixture
def run(provider: str, new_url: Callable[[str], str], tmp_path: Path) -> Run:
    """Run ``parsec-keys --store URL …`` in an empty folder."""
    url = new_url(provider)

    def command(
        *arguments: str, data: bytes = b"", status: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [sys.executable, "-m", "parsec_keys", "--store", url, *arguments],
            input=data,
            capture_output=True,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == status, done.stderr.decode()
        assert PIN.encode() not in done.stdout + done.stderr
        assert b"Traceback" not in done.stderr
        return done

    return command


def openssl(command: str, folder: Path) -> str:
    done = subprocess.run(
        ["openssl", *command.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_an_ec_key_from_making_to_destroying(run: Run, tmp_path: Path) -> None:
    made = run("generate", "device", "--curve", "p-256")
    assert made.stdout.startswith(b"parsec:device?store=")
    assert b"made key 'device'" in made.stderr

    request = run("csr", "device", "--subject", "CN=x,O=Example", "--san", "DNS:a.b")
    (tmp_path / "csr.pem").write_bytes(request.stdout)
    text = openssl("req -in csr.pem -verify -noout -text", tmp_path)
    assert "DNS:a.b" in text
    assert "O = Example" in text or "O=Example" in text

    (tmp_path / "data").write_bytes(b"data" * 1000)
    run("sign", "device", "data", "--hash", "sha384", "-o", "signature")
    run("export-public", "device", "-o", "public.pem")
    verify = "dgst -sha384 -verify public.pem -signature signature data"
    assert "Verified OK" in openssl(verify, tmp_path)

    run("delete", "device", "--yes")
    assert run("list").stdout == b""
    assert b"no key named 'device'" in run("sign", "device", status=1).stderr


def test_an_rsa_key_signs_and_decrypts(run: Run, tmp_path: Path) -> None:
    run("generate", "rsa", "--type", "rsa", "--bits", "2048")
    run("export-public", "rsa", "-o", "public.pem")
    key = serialization.load_pem_public_key((tmp_path / "public.pem").read_bytes())
    assert isinstance(key, rsa.RSAPublicKey)

    pss = ("--padding", "pss", "--salt", "20", "--mgf-hash", "sha1")
    signature = run("sign", "rsa", *pss, "--encoding", "base64", data=b"data").stdout
    scheme: padding.AsymmetricPadding = padding.PSS(padding.MGF1(hashes.SHA1()), 20)
    key.verify(base64.b64decode(signature), b"data", scheme, SHA256)

    prehashed = ("--prehashed", "--encoding", "hex")
    signature = run("sign", "rsa", *prehashed, data=bytes(32)).stdout
    assert len(bytes.fromhex(signature.decode())) == 256

    scheme = padding.OAEP(padding.MGF1(hashes.SHA1()), SHA256, b"\x01label")
    ciphertext = base64.b64encode(key.encrypt(b"message", scheme))
    oaep = ("--mgf-hash", "sha1", "--label", "hex:016c6162656c", "--encoding", "base64")
    assert run("decrypt", "rsa", *oaep, data=ciphertext).stdout == b"message"
    failed = run("decrypt", "rsa", "--encoding", "base64", data=ciphertext, status=1)
    assert b"Decryption failed" in failed.stderr
    assert failed.stdout == b""

    request = x509.load_pem_x509_csr(run("csr", "rsa", "--pss").stdout)
    assert request.is_signature_valid
    assert isinstance(request.signature_algorithm_parameters, padding.PSS)


def test_listing(run: Run) -> None:
    run("generate", "one", "--algorithm", "ECDSA(SHA_256)", "--usage", "sign_hash")
    run("generate", "two", "--curve", "secp384r1")

    listed = json.loads(run("list", "--json").stdout)
    assert [key["name"] for key in listed] == ["one", "two"]
    assert listed[0]["algorithm"] == "ECDSA(SHA_256)"
    assert listed[0]["usage"] == "sign_message sign_hash"
    assert listed[1]["bits"] == 384
    lines = run("list").stdout.decode().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["one", "two"]

    shown = json.loads(run("show", "one", "--json").stdout)
    assert shown["uri"].startswith("parsec:one?store=")
    public_key = serialization.load_pem_public_key(run("export-public", "one").stdout)
    spki = public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(SHA256)
    digest.update(spki)
    assert shown["spki_sha256"] == digest.finalize().hex()


def test_providers(run: Run, provider: str) -> None:
    (listed,) = json.loads(run("providers", "--json").stdout)

    assert listed["name"] == provider
    assert 2048 in listed["rsa"]
    assert "secp256r1" in listed["curves"]
    assert "RSA_PSS(SHA_256, mgf=SHA_1, salt=20)" in listed["algorithms"]
    deterministic = "DETERMINISTIC_ECDSA(SHA_256)" in listed["algorithms"]
    assert deterministic == (provider == "software")
    assert provider in run("providers").stdout.decode()


@pytest.mark.parametrize("encoding", ["PEM", "DER"])
def test_import(run: Run, tmp_path: Path, encoding: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    data = key.private_bytes(
        getattr(serialization.Encoding, encoding),
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"sesame"),
    )
    (tmp_path / "key").write_bytes(data)
    (tmp_path / "pass").write_bytes(b"sesame\n")
    (tmp_path / "wrong").write_bytes(b"simsim\n")

    assert (
        b"wrong"
        in run("import", "key", "key", "--passphrase-file", "wrong", status=1).stderr
    )
    run("import", "key", "key", "--passphrase-file", "pass")

    public_key = serialization.load_pem_public_key(run("export-public", "key").stdout)
    assert public_key == key.public_key()
    for name in ("ssh", "der"):
        assert run("export-public", "key", "--format", name).stdout
    assert (
        b"no format"
        in run("export-public", "key", "--format", "pkcs1", status=1).stderr
    )


def test_a_reference_names_its_key(run: Run, tmp_path: Path) -> None:
    made = {
        EC_OID: run("generate", "ec").stdout,
        RSA_OID: run("generate", "rsa", "--type", "rsa").stdout,
    }
    for name, (oid, uri) in zip(("ec", "rsa"), made.items(), strict=True):
        der = run("export-reference", name, "--format", "der").stdout
        assert run("export-reference", name, "-o", "key.pem").stdout == b""

        assert _reference.parse(der) == (oid, uri.decode().rstrip())
        assert openssl("asn1parse -in key.pem -noout -out key.der", tmp_path) == ""
        assert (tmp_path / "key.der").read_bytes() == der
        assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0

    failed = run("export-reference", "absent", status=1)
    assert b"no key named 'absent'" in failed.stderr
    run("export-reference", "ec", "-o", "absent/key.pem", status=1)


def test_errors_are_one_sentence(run: Run) -> None:
    run("generate", "key")
    for arguments in (
        ("generate", "key"),
        ("show", "absent"),
        ("decrypt", "key"),
        ("generate", "x", "--provider", "absent"),
        ("import", "x", "-"),
        ("csr", "key", "--pss"),
    ):
        failed = run(*arguments, data=b"nonsense", status=1)
        assert failed.stderr.count(b"\n") == 1, failed.stderr
        assert failed.stderr.startswith(b"parsec-keys: ")
        assert failed.stdout == b""


def test_wrong_usage_is_exit_2(run: Run) -> None:
    run("generate", "key")
    for arguments in (
        ("generate", "x", "--curve", "P-257"),
        ("generate", "x", "--algorithm", "ECDSA"),
        ("generate", "x", "--usage", "sign"),
        ("delete", "key"),
        ("csr", "key", "--san", "nonsense"),
        ("csr", "key", "--subject", "nonsense"),
        ("sign", "key", "--padding", "pss"),
        ("sign", "key", "--hash", "sha0"),
        ("nonsense",),
        (),
    ):
        assert run(*arguments, status=2).stdout == b""


def test_help() -> None:
    commands = (
        *("demo", "providers", "generate", "import", "list", "show", "export-public"),
        *("export-reference", "csr", "sign", "decrypt", "delete", "run", "doctor"),
    )
    program = [sys.executable, "-m", "parsec_keys"]
    whole = subprocess.run([*program, "--help"], capture_output=True, check=True)
    for command in commands:
        assert command.encode() in whole.stdout
        subprocess.run([*program, command, "-h"], capture_output=True, check=True)


def test_the_demo_runs_all_three_providers() -> None:
    environment = {**os.environ, "PARSEC_KEYS_WANT": "software,tpm,pkcs11"}

    done = subprocess.run(
        [sys.executable, "-m", "parsec_keys", "demo"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if "✓" in line]
    assert len(rows) == 6
    assert all(row.count("✓") == 7 for row in rows)


def test_without_click_it_says_what_to_install() -> None:
    code = (
        "import sys\nsys.modules['click'] = None\n"
        "from parsec_keys.cli import main\nsys.exit(main())"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr == b"the command line needs: pip install parsec-keys[cli]\n"
