"""What a Rust Parsec service leaves behind, made by hand: its key info, its key files.

The schema and the bytes are those that ``test_rust_service`` meets in the real thing.
"""

from __future__ import annotations

import base64
import contextlib
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

SCHEMA = """
CREATE TABLE kim_metadata (
    id TEXT NOT NULL, int_value INTEGER NOT NULL, PRIMARY KEY (id));
CREATE TABLE key_mapping (
    authenticator_id INTEGER NOT NULL, application_name TEXT NOT NULL,
    key_name TEXT NOT NULL, provider_uuid TEXT NOT NULL, provider_name TEXT NOT NULL,
    key_id BLOB NOT NULL, key_id_version INTEGER NOT NULL,
    key_attributes BLOB NOT NULL, key_attributes_version INTEGER NOT NULL,
    PRIMARY KEY (authenticator_id, application_name, key_name));
INSERT INTO kim_metadata VALUES ('schema_version', 1);
"""
MBED_CRYPTO = "1c1139dc-ad7c-47dc-ad6b-db6fdb466552"
PKCS11 = "30e39502-eba6-4d60-a4af-c518b7f5e38f"
TPM = "1e4954a4-ff21-46d3-ab0c-661eeb667e1d"
NAMES = {
    MBED_CRYPTO: "mbed-crypto-provider",
    PKCS11: "pkcs11-provider",
    TPM: "tpm-provider",
}
EC_SIGN = bytes.fromhex(
    "010000000a000000010000000001000000000000"
    "00000000000101010100"
    "05000000030000000000000006000000"
)
"""P-256, sign and verify, ECDSA with SHA-256."""
RSA_SIGN = bytes.fromhex(
    "01000000090000000008000000000000"
    "00000000000101010100"
    "05000000000000000000000006000000"
)
"""RSA of 2048 bits, sign and verify, PKCS#1 v1.5 with SHA-256."""


@dataclass
class OldService:
    """A folder where a Rust Parsec service ran: ``config.toml``, SQLite, key files."""

    folder: Path
    _files: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        make_database(self.database)
        self.config.write_text(
            '[[key_manager]]\nname = "keys"\nmanager_type = "SQLite"\n'
            f'sqlite_db_path = "{self.database}"\n'
            '[[provider]]\nprovider_type = "MbedCrypto"\nkey_info_manager = "keys"\n'
        )

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def database(self) -> Path:
        return self.folder / "keys" / "keys.sqlite3"

    @property
    def new_database(self) -> Path:
        """Where the new service keeps its own key info."""
        return self.folder / "keys" / "key-info.sqlite3"

    def connect(self) -> contextlib.closing[sqlite3.Connection]:
        return contextlib.closing(sqlite3.connect(self.database, isolation_level=None))

    def add(
        self,
        name: str,
        attributes: bytes = EC_SIGN,
        key_id: bytes | None = None,
        *,
        application: str = "1000",
        authenticator: int = 3,
        uuid: str = MBED_CRYPTO,
        provider_name: str | None = None,
        version: int = 1,
    ) -> None:
        """Write a row; without a key id, that of the key file that came last."""
        row = (
            *(authenticator, application, name, uuid, provider_name or NAMES[uuid]),
            *(key_id or self._files.to_bytes(4, "little"), version, attributes, 1),
        )
        with self.connect() as database:
            database.execute("INSERT INTO key_mapping VALUES (?,?,?,?,?,?,?,?,?)", row)

    def keep(self, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
        """Write a key file, the next one."""
        if isinstance(key, rsa.RSAPrivateKey):
            self.keep_data(
                0x7001,
                key.key_size,
                key.private_bytes(
                    serialization.Encoding.DER,
                    serialization.PrivateFormat.TraditionalOpenSSL,
                    serialization.NoEncryption(),
                ),
            )
        else:
            value = key.private_numbers().private_value
            length = (key.key_size + 7) // 8
            self.keep_data(0x7112, key.key_size, value.to_bytes(length, "big"))

    def keep_data(self, key_type: int, bits: int, data: bytes) -> None:
        self._files += 1
        path = self.folder / f"{self._files:016x}.psa_its"
        path.write_bytes(key_file(key_type, bits, data))


def make_database(path: Path) -> None:
    """An empty key info, where a service that was never asked for a key has it."""
    path.parent.mkdir(mode=0o700, parents=True)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(SCHEMA)
    path.chmod(0o600)


def key_file(key_type: int, bits: int, data: bytes) -> bytes:
    """A key file of MbedCrypto, little endian."""
    key = b"PSA\x00KEY\x00" + bytes(4) + b"\x01\x00\x00\x00"
    key += key_type.to_bytes(2, "little") + bits.to_bytes(2, "little")
    key += bytes.fromhex("003c0000 09060006 00000000")
    key += len(data).to_bytes(4, "little") + data
    return b"PSA\x00ITS\x00" + len(key).to_bytes(4, "little") + bytes(4) + key


def file_of(folder: Path, application: str, provider: int, name: str) -> Path:
    """Where a store in files has a key."""
    names = (application, str(provider), name)
    encoded = [base64.urlsafe_b64encode(each.encode()).decode() for each in names]
    return folder / encoded[0] / str(provider) / encoded[2]
