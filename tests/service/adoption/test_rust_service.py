"""From the real Rust Parsec service to our daemon, and back: the same keys all the way.

One store on a TPM, a token and key files; two users; what was signed is verified with
the public keys that the Rust service gave out.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

import parsec_keys
from interop._parsec import (
    NUMBERS,
    Hardware,
    Served,
    hardware,
    own_daemon,
    parsec_tool,
    rust_service,
)
from parsec_keys.client import Client
from parsec_keys.errors import KeyNotFound, ServiceUnavailable
from parsec_keys.psa.algorithms import Ecdsa, Hash, RsaPkcs1v15Sign
from parsec_keys.psa.attributes import (
    EccFamily,
    EccPublicKey,
    KeyAttributes,
    KeyPolicy,
    RsaPublicKey,
    UsageFlags,
)
from parsec_keys.psa.operations import (
    GetKeyAttributes,
    PsaExportPublicKey,
    PsaImportKey,
)
from tests.want import missing

SIGN, DECRYPT = "sign_hash verify_hash", "encrypt decrypt"
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
PKCS1V15 = padding.PKCS1v15()
OTHER_USER = 65534
IS_ROOT = os.geteuid() == 0
"""Only root can be two users."""


@dataclass(frozen=True)
class OldKey:
    """A key as the Rust service had it."""

    name: str
    provider: str
    attributes: KeyAttributes
    public_key: Any


@dataclass(frozen=True)
class Move:
    """One folder that both services run in, one after the other, on one hardware."""

    folder: Path
    hardware: Hardware
    keys: dict[str, OldKey]
    digests: dict[str, str]

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    def adopt(self, *arguments: str) -> list[dict[str, Any]]:
        """Run ``parsec-keys adopt``, and answer its table."""
        command = [sys.executable, "-m", "parsec_keys", "adopt", "--json"]
        done = subprocess.run(
            [*command, "--config", str(self.config), *arguments],
            env={**os.environ, **self.hardware.softhsm.environment},
            capture_output=True,
            check=True,
        )
        table: list[dict[str, Any]] = json.loads(done.stdout)
        return table

    def old_files(self) -> dict[str, str]:
        """What is in the old service's key info and key files."""
        files = [self.folder / "keys" / "keys.sqlite3", *self.folder.glob("*.psa_its")]
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # Another user must get at the socket, and a socket's path is a short one.
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="module")
def machine(folder: Path) -> Iterator[Hardware]:
    with hardware(folder) as made:
        yield made


@pytest.fixture(scope="module")
def move(folder: Path, machine: Hardware) -> Move:
    """Keys that the Rust service made, for two users, after it has ended."""
    try:
        with rust_service(folder / "service", machine) as rust:
            keys = {key.name: key for key in make_keys(rust)}
            import_public_keys(rust)
            as_other_user(rust, GENERATE)
    except ServiceUnavailable as e:
        missing("rust", str(e))
    made = Move(folder / "service", machine, keys, {})
    made.digests.update(made.old_files())
    return made


def make_keys(rust: Served) -> Iterator[OldKey]:
    encryption = {"pkcs11": "RSA_PKCS1V15_CRYPT"}
    with parsec_keys.open_store(rust.url) as store:
        for provider in NUMBERS:
            decrypts = encryption.get(provider, "RSA_OAEP(SHA_256)")
            rsa_key, ec_key = store.generate_rsa, store.generate_ec
            policy: dict[str, Any] = {"provider": provider, "usage": SIGN}
            made = [
                rsa_key(
                    f"{provider} rsa", algorithm="RSA_PKCS1V15_SIGN(SHA_256)", **policy
                ),
                rsa_key(
                    f"{provider} decrypt",
                    algorithm=decrypts,
                    provider=provider,
                    usage=DECRYPT,
                ),
                *(
                    ec_key(
                        f"{provider} {name}",
                        ec.SECP256R1(),
                        algorithm="ECDSA(SHA_256)",
                        **policy,
                    )
                    for name in ("ec", "to delete", "for the tool")
                ),
            ]
            if provider != "software":  # MbedCrypto signs no SHA-384 of P-256.
                made.append(
                    ec_key(
                        f"{provider} sha384",
                        ec.SECP256R1(),
                        algorithm="ECDSA(SHA_384)",
                        **policy,
                    )
                )
            for key in made:
                public_key = key.public_key()
                yield OldKey(key.name, provider, key.attributes, public_key)


PUBLIC = ec.generate_private_key(ec.SECP256R1()).public_key()
POINT = PUBLIC.public_bytes(
    serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
)
PUBLIC_RSA = rsa.generate_private_key(65537, 2048).public_key()
PUBLIC_KEYS = {
    "public ec": (EccPublicKey(EccFamily.SECP_R1), Ecdsa(Hash.SHA_256), POINT),
    "public rsa": (
        RsaPublicKey(),
        RsaPkcs1v15Sign(Hash.SHA_256),
        PUBLIC_RSA.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.PKCS1
        ),
    ),
}
PUBLIC_NAMES = {f"{p} {name}" for p in ("pkcs11", "tpm") for name in PUBLIC_KEYS}


def import_public_keys(rust: Served) -> None:
    client = Client(rust.socket)
    for provider in ("pkcs11", "tpm"):
        for name, (key_type, algorithm, data) in PUBLIC_KEYS.items():
            policy = KeyPolicy(UsageFlags.VERIFY_HASH, algorithm)
            attributes = KeyAttributes(key_type, 0, policy)
            operation = PsaImportKey(f"{provider} {name}", attributes, data)
            client.execute(operation, provider=provider)


def as_other_user(service: Served, code: str) -> str:
    """Run a program as another user on a service, and answer what it prints."""
    if not IS_ROOT:
        return ""
    done = subprocess.run(
        [sys.executable, "-c", AS_OTHER_USER + code, service.url, str(OTHER_USER)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


AS_OTHER_USER = """
import os, sys, tempfile
import parsec_keys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
# All that is imported lazily: the other user may not read this checkout.
parsec_keys.open_store(sys.argv[1]).close()
with (
    tempfile.TemporaryDirectory() as folder,
    parsec_keys.open_store(f"software:{folder}/store") as own,
):
    key = own.generate_ec("key", ec.SECP256R1())
    key.public_key().verify(
        key.sign(b"", ec.ECDSA(hashes.SHA256())), b"", ec.ECDSA(hashes.SHA256())
    )
os.setuid(int(sys.argv[2]))
store = parsec_keys.open_store(sys.argv[1])
providers = ("software", "pkcs11", "tpm")
"""
GENERATE = """
for provider in providers:
    store.generate_ec(
        f"{provider} mine", ec.SECP256R1(), provider=provider, usage="sign_hash",
        algorithm="ECDSA(SHA_256)",
    )
store.generate_ec("tpm ec", ec.SECP256R1(), provider="software", usage="sign_hash",
    algorithm="ECDSA(SHA_256)")
"""
USE = """
for key in (store.load(info.name) for info in store.keys()):
    scheme = ec.ECDSA(hashes.SHA256())
    key.public_key().verify(key.sign(b"message", scheme), b"message", scheme)
    print(key.provider, key.name, sep="/")
"""


def test_first_a_look(move: Move) -> None:
    table = move.adopt()

    mine = {row["name"] for row in table if row["application"] == str(os.geteuid())}
    assert mine == move.keys.keys() | PUBLIC_NAMES
    assert {row["verdict"] for row in table} == {"adopt"}
    assert move.old_files() == move.digests
    with (
        own_daemon(move.folder, move.hardware) as daemon,
        parsec_keys.open_store(daemon.url) as store,
    ):
        assert list(store.keys()) == []


def test_then_every_key_is_adopted_once(move: Move) -> None:
    assert {row["verdict"] for row in move.adopt("--write")} == {"adopted"}
    assert {row["verdict"] for row in move.adopt("--write")} == {"adopted before"}
    assert move.old_files() == move.digests


@pytest.fixture(scope="module")
def daemon(move: Move) -> Iterator[Served]:
    """Our daemon in the Rust service's place, after the adoption."""
    move.adopt("--write")
    with own_daemon(move.folder, move.hardware) as served:
        yield served


@pytest.fixture(scope="module")
def store(daemon: Served) -> Iterator[parsec_keys.KeyStore]:
    with parsec_keys.open_store(daemon.url) as opened:
        yield opened


def works(key: Any, old: OldKey) -> None:
    """A key does what its policy permits, for whoever had its public key before."""
    if old.name.endswith("decrypt"):
        scheme = PKCS1V15 if old.provider == "pkcs11" else OAEP
        sealed = old.public_key.encrypt(b"message", scheme)
        assert key.decrypt(sealed, scheme) == b"message"
    elif isinstance(old.public_key, rsa.RSAPublicKey):
        signature = key.sign(b"message", PKCS1V15, hashes.SHA256())
        old.public_key.verify(signature, b"message", PKCS1V15, hashes.SHA256())
    else:
        ecdsa = ec.ECDSA(
            hashes.SHA384() if old.name.endswith("sha384") else hashes.SHA256()
        )
        old.public_key.verify(key.sign(b"message", ecdsa), b"message", ecdsa)


def test_the_same_clients_use_the_same_keys(
    move: Move, store: parsec_keys.KeyStore
) -> None:
    for old in move.keys.values():
        key = store.load(old.name)
        assert (key.provider, key.attributes) == (old.provider, old.attributes)
        assert key.public_key() == old.public_key
        works(key, old)


def test_public_keys_are_there_too(move: Move, daemon: Served) -> None:
    client = Client(daemon.socket)

    for provider in ("pkcs11", "tpm"):
        for name, (key_type, _, data) in PUBLIC_KEYS.items():
            exported = client.execute(PsaExportPublicKey(f"{provider} {name}"))
            listed = client.execute(GetKeyAttributes(f"{provider} {name}"))
            assert exported == data
            assert listed.attributes.type == key_type


def test_broken_padding_of_a_token_key_is_not_told(
    move: Move, store: parsec_keys.KeyStore
) -> None:
    # Its token lets it do no bare operation, which the Rust service did not ask for.
    key = store.load("pkcs11 decrypt")
    sealed = move.keys[key.name].public_key.encrypt(b"message", PKCS1V15)

    garbage = key.decrypt(b"\x00" + sealed[1:-1] + b"\x00", PKCS1V15)

    assert garbage != b"message"


def test_the_rust_client_uses_them_too(daemon: Served, move: Move) -> None:
    for provider in NUMBERS:
        name = f"{provider} for the tool"
        signed = parsec_tool(
            daemon.socket, "sign", "--key-name", name, "message", provider=provider
        )
        assert signed.returncode == 0, signed.stderr
        signature = base64.b64decode(signed.stdout)
        move.keys[name].public_key.verify(
            signature, b"message", ec.ECDSA(hashes.SHA256())
        )

        decrypting = f"{provider} decrypt"
        scheme = PKCS1V15 if provider == "pkcs11" else OAEP
        sealed = move.keys[decrypting].public_key.encrypt(b"a text", scheme)
        text = base64.b64encode(sealed).decode()
        opened = parsec_tool(
            *(daemon.socket, "decrypt", "--key-name", decrypting, text),
            provider=provider,
        )
        assert opened.stdout.strip() == "a text", opened.stderr


@pytest.mark.skipif(not IS_ROOT, reason="being another user takes root")
def test_each_user_has_its_own(daemon: Served) -> None:
    used = as_other_user(daemon, USE)

    assert set(used.split("\n")) - {""} == {
        *(f"{provider}/{provider} mine" for provider in NUMBERS),
        "software/tpm ec",
    }


def test_a_deleted_key_is_gone_and_stays_so(
    move: Move, daemon: Served, store: parsec_keys.KeyStore
) -> None:
    for provider in NUMBERS:
        store.delete(f"{provider} to delete")
        name = f"{provider} for the tool"
        deleted = parsec_tool(
            daemon.socket, "delete-key", "--key-name", name, provider=provider
        )
        assert deleted.returncode == 0, deleted.stderr
        with pytest.raises(KeyNotFound):
            store.load(f"{provider} to delete")

    again = {row["name"]: row["verdict"] for row in move.adopt("--write")}

    for provider in NUMBERS:
        for name in (f"{provider} to delete", f"{provider} for the tool"):
            assert again[name] == "deleted since it was adopted"


def test_and_back_to_the_rust_service(move: Move, daemon: Served) -> None:
    daemon.stop()
    assert move.old_files() == move.digests

    with (
        rust_service(move.folder, move.hardware) as rust,
        parsec_keys.open_store(rust.url) as store,
    ):
        listed = {info.name for info in store.keys()}  # noqa: SIM118
        for name in listed - PUBLIC_NAMES:
            works(store.load(name), move.keys[name])

    # The token's objects are gone; what the Rust service keeps in files is as it was.
    gone = {"pkcs11 to delete", "pkcs11 for the tool"}
    assert listed == (move.keys.keys() | PUBLIC_NAMES) - gone


@contextlib.contextmanager
def in_files(
    start: Callable[[Path, Hardware], AbstractContextManager[Served]], move: Move
) -> Iterator[Served]:
    """A service that keeps its key info in files."""
    with start(move.folder, move.hardware) as served:
        served.stop()
        text = move.config.read_text().replace('"SQLite"', '"OnDisk"')
        sqlite = f'sqlite_db_path = "{move.folder}/keys/keys.sqlite3"'
        assert sqlite in text
        files = f'store_path = "{move.folder}/mappings"'
        move.config.write_text(text.replace(sqlite, files))
        served.start()
        yield served


@pytest.mark.usefixtures("move")
def test_there_and_back_with_a_store_in_files(folder: Path, machine: Hardware) -> None:
    move = Move(folder / "in files", machine, {}, {})
    with in_files(rust_service, move) as rust, parsec_keys.open_store(rust.url) as old:
        keys = {
            provider: old.generate_ec(
                provider,
                ec.SECP256R1(),
                provider=provider,
                algorithm="ECDSA(SHA_256)",
            ).public_key()
            for provider in NUMBERS
        }

    assert {row["verdict"] for row in move.adopt("--write")} == {"adopted"}

    for service in (own_daemon, rust_service):
        with (
            in_files(service, move) as served,
            parsec_keys.open_store(served.url) as store,
        ):
            for provider, public_key in keys.items():
                key = store.load(provider)
                signature = key.sign(b"message", ec.ECDSA(hashes.SHA256()))
                public_key.verify(signature, b"message", ec.ECDSA(hashes.SHA256()))
