"""What is really in the hardware behind a daemon, seen past our own code."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import pkcs11

from parsec_keys.emulators import PIN, SoftHsm, Swtpm
from parsec_keys.service.key_info.sqlite import FILE_NAME
from parsec_keys.service.providers.tpm import _tss
from tests.daemon import SOFTWARE, pkcs11_table, tpm_table
from tests.service.providers.children import in_a_child
from tests.service.providers.tpm_keys import handles

PERSISTENT = 0x81000000
SOFTHSM_KEEPS = 2
"""KiB, of two objects in 2.6.1: a loop of C_GenerateKeyPair and C_DestroyObject shows
1.65 of them, without labels."""
SMALLEST = 620
"""Bytes of SoftHSM's file of an object: a whole public key on P-256 has 628."""


class Hardware(Protocol):
    """One provider's facility."""

    number: int
    table: str
    """The daemon's ``[[provider]]``."""
    kept: int
    """KiB of memory that its own library keeps of each key that is deleted."""

    def check(self, folder: Path, uids: set[str]) -> None:
        """Pass if there is just what belongs to the uids of the records."""


class Software:
    number = 1
    kept = 0
    table = SOFTWARE

    def check(self, folder: Path, uids: set[str]) -> None:
        names = {path.name for path in (folder / "keys" / "software").iterdir()}
        assert names == {f"{uid}.pem" for uid in uids}


class Token:
    """A token of SoftHSM, which leaves empty objects behind when it is killed itself.

    They are no keys, and have neither label nor id by which anybody could know whose.
    """

    number = 2
    kept = SOFTHSM_KEEPS

    def __init__(self, softhsm: SoftHsm, label: str) -> None:
        softhsm.add_token(label)
        self._module, self._label = str(softhsm.module), label
        self._folder = softhsm.configuration.parent
        self.table = pkcs11_table(label, softhsm.module)

    def check(self, folder: Path, uids: set[str]) -> None:
        # A key is a private and a public object.
        assert in_a_child(self._counted) == dict.fromkeys(uids, 2)
        # Each killed process leaves one more, which every later one has to look at.
        for path in self._folder.rglob("*.object"):
            if path.name != "token.object" and path.stat().st_size < SMALLEST:
                path.unlink()

    def _counted(self) -> Counter[str]:
        token = pkcs11.lib(self._module).get_token(token_label=self._label)
        with token.open(user_pin=PIN) as session:
            ours = session.get_objects({pkcs11.Attribute.LABEL: "parsec-keys"})
            return Counter(each[pkcs11.Attribute.ID].hex() for each in ours)


class Tpm:
    number = 3
    kept = 0

    def __init__(self, swtpm: Swtpm) -> None:
        self._tcti = swtpm.tcti
        self.table = tpm_table(swtpm.tcti)

    def check(self, folder: Path, uids: set[str]) -> None:
        """Keys are blobs in their records: the TPM itself has nothing of ours."""
        esapi = _tss.ESAPI(self._tcti)
        try:
            assert handles(esapi) == []
            assert persistent(esapi) == []
        finally:
            esapi.close()


def persistent(esapi: Any) -> list[int]:
    _, data = esapi.get_capability(_tss.TPM2_CAP.HANDLES, PERSISTENT, 64)
    listed = data.data.handles
    return [int(listed[index]) for index in range(len(listed))]


def recorded(folder: Path) -> dict[str, str]:
    """The names and uids in a daemon's key info, where no intent may be left."""
    with closing(sqlite3.connect(folder / "keys" / FILE_NAME)) as database:
        rows = database.execute(
            "SELECT key_name, hex(uid), intent, key_id IS NULL FROM key_record"
        ).fetchall()
    assert all(not intent and not empty for _, _, intent, empty in rows)
    assert list((folder / "keys" / "intents").iterdir()) == []
    return {name: uid.lower() for name, uid, _, _ in rows}
