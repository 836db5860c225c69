"""The Rust project's own tool, parsec-tool, on each provider of our daemon.

What it makes is judged by the ``openssl`` command.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
from pathlib import Path

import pytest

from interop._parsec import Served, parsec_tool
from tests.parsec.conftest import Tool, listed

TEXT = "a message for parsec-tool"
ALGORITHMS = {
    ("create-ecc-key",): "AsymmetricSignature(Ecdsa { hash_alg: Specific(Sha256) })",
    ("create-rsa-key", "-s"): (
        "AsymmetricSignature(RsaPkcs1v15Sign { hash_alg: Specific(Sha256) })"
    ),
    ("create-rsa-key",): "AsymmetricEncryption(RsaPkcs1v15Crypt)",
    ("create-rsa-key", "-o"): "AsymmetricEncryption(RsaOaep { hash_alg: Sha256 })",
}
SIGNING = [("create-ecc-key",), ("create-rsa-key", "-s")]
ENCRYPTING = {
    ("create-rsa-key",): ["rsa_padding_mode:pkcs1"],
    ("create-rsa-key", "-o"): ["rsa_padding_mode:oaep", "rsa_oaep_md:sha256"],
}
TITLES = {
    "software": "Mbed Crypto provider",
    "pkcs11": "PKCS #11 provider",
    "tpm": "TPM provider",
}
SUBJECT = {
    "cn": "device",
    "c": "DE",
    "l": "Berlin",
    "o": "An organization",
    "ou": "A unit",
    "st": "A state",
    "serialNumber": "4711",
}


def openssl(*arguments: str | Path) -> bytes:
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout + done.stderr


def public_key(tool: Tool, name: str, folder: Path) -> Path:
    path = folder / "public.pem"
    path.write_text(tool("export-public-key", "-k", name) + "\n")
    return path


@pytest.mark.parametrize("create", ALGORITHMS, ids=" ".join)
def test_keys_are_created_listed_and_deleted(
    tool: Tool, provider: str, create: tuple[str, ...]
) -> None:
    tool(*create, "-k", "listed")

    assert listed(tool)["listed"].startswith(f"{TITLES[provider]}, ")
    assert f"permitted algorithm: {ALGORITHMS[create]}" in listed(tool)["listed"]

    tool("delete-key", "-k", "listed")

    assert "listed" not in listed(tool)


@pytest.mark.parametrize("create", SIGNING, ids=" ".join)
def test_openssl_verifies_signatures_and_requests(
    tool: Tool, tmp_path: Path, create: tuple[str, ...]
) -> None:
    tool(*create, "-k", "signing")
    (tmp_path / "text").write_text(TEXT)

    signature = base64.b64decode(tool("sign", "-k", "signing", TEXT), validate=True)
    (tmp_path / "signature").write_bytes(signature)
    public = public_key(tool, "signing", tmp_path)
    verify = ["dgst", "-sha256", "-verify", public]
    said = openssl(*verify, "-signature", tmp_path / "signature", tmp_path / "text")
    assert b"Verified OK" in said

    subject = [word for key, value in SUBJECT.items() for word in (f"--{key}", value)]
    request = tmp_path / "request.pem"
    names = ["--san", "a.example", "--san", "b.example"]
    request.write_text(tool("create-csr", "-k", "signing", *subject, *names) + "\n")
    said = openssl("req", "-in", request, "-verify", "-noout", "-text").decode()
    assert "verify OK" in said
    assert all(value in said for value in SUBJECT.values())
    assert "DNS:a.example, DNS:b.example" in said
    assert openssl("req", "-in", request, "-pubkey", "-noout") == public.read_bytes()


@pytest.mark.parametrize("create", ENCRYPTING, ids=" ".join)
def test_what_is_encrypted_here_or_by_openssl_is_decrypted(
    tool: Tool, tmp_path: Path, create: tuple[str, ...]
) -> None:
    tool(*create, "-k", "encrypting")

    ciphertext = tool("encrypt", "-k", "encrypting", TEXT)
    assert tool("decrypt", "-k", "encrypting", ciphertext) == TEXT

    (tmp_path / "text").write_text(TEXT)
    options = [word for option in ENCRYPTING[create] for word in ("-pkeyopt", option)]
    public = public_key(tool, "encrypting", tmp_path)
    encrypt = ["pkeyutl", "-encrypt", "-pubin", "-inkey", public, *options]
    ciphertext = base64.b64encode(openssl(*encrypt, "-in", tmp_path / "text")).decode()
    assert tool("decrypt", "-k", "encrypting", ciphertext) == TEXT


def test_public_keys_are_exported_in_both_formats(tool: Tool, tmp_path: Path) -> None:
    tool("create-rsa-key", "-s", "-k", "exported")

    public = public_key(tool, "exported", tmp_path)
    (tmp_path / "pkcs1.pem").write_text(
        tool("export-public-key", "-k", "exported", "--pkcs1") + "\n"
    )
    as_pkcs1 = ("rsa", "-RSAPublicKey_in", "-in", tmp_path / "pkcs1.pem", "-pubout")
    assert openssl(*as_pkcs1).startswith(public.read_bytes())


def test_the_size_of_an_rsa_key_can_be_chosen(tool: Tool) -> None:
    tool("create-rsa-key", "-s", "-b", "3072", "-k", "large")

    assert "RsaKeyPair, 3072 bits" in listed(tool)["large"]


@pytest.mark.parametrize("size", [1, 64, 65, 1000])
def test_random_bytes_are_as_many_as_asked_for(tool: Tool, size: int) -> None:
    one, other = (tool("generate-random", "-n", str(size)).split() for _ in range(2))

    assert len(one) == len(other) == size
    assert one != other or size == 1


def test_the_service_describes_itself(tool: Tool, provider: str) -> None:
    assert tool("ping") == "1.0"
    order = re.findall(r"^ID: (\S+) \((.*)\)$", tool("list-providers"), re.MULTILINE)
    assert [title for _, title in order] == [*TITLES.values(), "Core provider"]
    assert "ID: 0x03 (Unix Peer Credentials" in tool("list-authenticators")
    opcodes = set(re.findall(r"\((\w+)\)", tool("list-opcodes")))
    needed = {"PsaGenerateKey", "PsaDestroyKey", "PsaSignHash", "PsaExportPublicKey"}
    assert needed | {"PsaAsymmetricDecrypt", "PsaGenerateRandom"} <= opcodes
    assert not any("Mac" in opcode for opcode in opcodes)


def test_what_is_refused_is_said(own: Served, tool: Tool, provider: str) -> None:
    tool("create-ecc-key", "-k", "taken")

    for arguments, words in (
        (("create-ecc-key", "-k", "taken"), "PsaErrorAlreadyExists"),
        (("create-rsa-key", "-k", "taken"), "PsaErrorAlreadyExists"),
        (("delete-key", "-k", "absent"), "PsaErrorDoesNotExist"),
        (("export-public-key", "-k", "absent"), "PsaErrorDoesNotExist"),
        (("create-rsa-key", "-b", "100", "-k", "small"), "PsaError"),
    ):
        done = parsec_tool(own.socket, *arguments, provider=provider)
        assert done.returncode == 1
        assert words in done.stderr


def test_an_administrator_sees_and_deletes_clients(
    tool: Tool,
) -> None:
    tool("create-ecc-key", "-k", "mine")
    uid = str(os.getuid())

    assert uid in tool("list-clients").splitlines()

    tool("delete-client", "-c", uid)

    assert listed(tool) == {}
    assert uid not in tool("list-clients").splitlines()
