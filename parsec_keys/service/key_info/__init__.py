"""Key info: what the service remembers of each key, and who keeps it.

A key is created in Parsec's four steps, and a crash between any two leaves an *intent*
that the next start finds: ``begin`` writes it, ``commit`` turns it into a record,
``cancel`` forgets it after the creation was undone. Destruction goes the other way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from parsec_keys._fork import fork_safe_lock
from parsec_keys.errors import KeyExists
from parsec_keys.psa.attributes import KeyAttributes
from parsec_keys.psa.operations import KeyInfo
from parsec_keys.service.authenticators import ApplicationIdentity


class KeyIdentity(NamedTuple):
    """Which key: whose, in which provider, under which name."""

    application: ApplicationIdentity
    provider: str
    key_name: str


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key identity with its key info.

    ``uid`` is 16 random bytes, taken before the key is made; a provider finds by it
    whatever it made for this key. ``key_id`` is the provider's own reference and may be
    secret: a TPM's has the key's auth value. ``public_key`` is in PSA's export format.
    """

    identity: KeyIdentity
    uid: bytes
    key_id: bytes = field(repr=False)
    attributes: KeyAttributes
    public_key: bytes = field(repr=False)
    fingerprint: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(self.public_key).digest()
        object.__setattr__(self, "fingerprint", digest)

    @property
    def described(self) -> str:
        """How a message names this key."""
        return f"key '{self.identity.key_name}' ({self.identity.provider})"


class KeyInfoManager(Protocol):
    """Keeps records. Safe to call from any thread, and after a fork."""

    def find(self, application: ApplicationIdentity, key_name: str) -> KeyRecord | None:
        """The record of a name, in whichever provider the key is."""

    def applications(self) -> list[ApplicationIdentity]:
        """Who has keys, in whichever provider: each once, by authenticator and name."""

    def records(self, application: ApplicationIdentity) -> list[KeyRecord]:
        """An application's records, by name."""

    def listing(self, application: ApplicationIdentity) -> list[KeyInfo]:
        """An application's keys as a listing shows them, by name.

        However many there are, nobody else waits for long.
        """

    def begin(self, identity: KeyIdentity, uid: bytes) -> None:
        """Write the intent to create a key.

        Raises:
            KeyExists: the application has a key of this name, in any provider.
        """

    def commit(self, record: KeyRecord) -> None:
        """Turn the intent of ``record.uid`` into the record."""

    def begin_destroy(self, record: KeyRecord) -> bool:
        """Turn the record back into an intent; False if it is no longer there."""

    def cancel(self, uid: bytes) -> None:
        """Forget an intent, after the provider has nothing left of it."""

    def withdraw(self, uid: bytes) -> None:
        """Turn what there is of a uid into an intent, if it is none yet."""

    def abandoned(self, provider: str) -> Iterable[tuple[bytes, KeyIdentity]]:
        """The uids of intents whose process is gone, and which keys they were for.

        They are held against others until they are cancelled.
        """

    def adopt(self, records: Mapping[bytes, KeyRecord | None]) -> None:
        """Record keys that were there before, all or none, and where they came from.

        ``records`` are by their origin; ``None`` is for a key that has its record.

        Raises:
            KeyExists: a name was taken meanwhile.
        """

    def adopted(self) -> frozenset[bytes]:
        """The origins of all keys that were ever adopted."""

    def close(self) -> None:
        """Release what the manager holds."""


class InMemoryKeyInfoManager:
    """Records that end with the process, for adopted keys and for tests."""

    def __init__(self) -> None:
        self._lock = fork_safe_lock()
        self._records: dict[tuple[ApplicationIdentity, str], KeyRecord] = {}
        self._intents: dict[bytes, KeyIdentity] = {}
        self._adopted: set[bytes] = set()

    def find(self, application: ApplicationIdentity, key_name: str) -> KeyRecord | None:
        return self._records.get((application, key_name))

    def applications(self) -> list[ApplicationIdentity]:
        with self._lock:
            return sorted({application for application, _ in self._records})

    def records(self, application: ApplicationIdentity) -> list[KeyRecord]:
        with self._lock:
            mine = [r for (app, _), r in self._records.items() if app == application]
        return sorted(mine, key=lambda record: record.identity.key_name)

    def listing(self, application: ApplicationIdentity) -> list[KeyInfo]:
        return [
            KeyInfo(each.identity.key_name, each.identity.provider, each.attributes)
            for each in self.records(application)
        ]

    def begin(self, identity: KeyIdentity, uid: bytes) -> None:
        name = (identity.application, identity.key_name)
        with self._lock:
            taken = self._records.get(name)
            if taken is not None:
                raise name_taken(taken.identity)
            for other in self._intents.values():
                if (other.application, other.key_name) == name:
                    raise name_taken(other)
            self._intents[uid] = identity

    def commit(self, record: KeyRecord) -> None:
        identity = record.identity
        with self._lock:
            self._intents.pop(record.uid, None)
            self._records[identity.application, identity.key_name] = record

    def begin_destroy(self, record: KeyRecord) -> bool:
        identity = record.identity
        name = (identity.application, identity.key_name)
        with self._lock:
            found = self._records.get(name)
            if found is None or found.uid != record.uid:
                return False
            del self._records[name]
            self._intents[record.uid] = identity
            return True

    def cancel(self, uid: bytes) -> None:
        with self._lock:
            self._intents.pop(uid, None)

    def withdraw(self, uid: bytes) -> None:
        with self._lock:
            for name, record in list(self._records.items()):
                if record.uid == uid:
                    self._intents[uid] = record.identity
                    del self._records[name]

    def abandoned(self, provider: str) -> Iterable[tuple[bytes, KeyIdentity]]:
        return ()

    def adopt(self, records: Mapping[bytes, KeyRecord | None]) -> None:
        adopted = {r.identity: r for r in records.values() if r is not None}
        with self._lock:
            for identity in adopted:
                if (identity.application, identity.key_name) in self._records:
                    raise name_taken(identity)
            for identity, record in adopted.items():
                self._records[identity.application, identity.key_name] = record
            self._adopted.update(records)

    def adopted(self) -> frozenset[bytes]:
        return frozenset(self._adopted)

    def close(self) -> None:
        pass


def name_taken(identity: KeyIdentity) -> KeyExists:
    """The refusal of a second key of one name."""
    return KeyExists(
        f"a key named '{identity.key_name}' exists already (in provider "
        f"'{identity.provider}'): choose another name, load it, or delete it first"
    )
