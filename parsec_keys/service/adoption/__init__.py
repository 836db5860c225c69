"""Taking over the keys of a Rust Parsec service, whose place this service has taken.

Keys of a TPM and of a token stay where they are and get a record here; keys that
MbedCrypto kept in files are imported. Each key is taken over whole or not at all, none
twice, and the old store is only read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from parsec_keys.errors import Error
from parsec_keys.psa.operations import PsaImportKey
from parsec_keys.service.adoption import old_stores
from parsec_keys.service.adoption.candidates import Candidate, Observer, Verdict
from parsec_keys.service.adoption.old_stores import INTERNAL
from parsec_keys.service.adoption.sources import Source
from parsec_keys.service.key_info import KeyInfoManager, KeyRecord
from parsec_keys.service.lifecycle import KeyLifecycle
from parsec_keys.service.providers import Provider


class Adoption:
    """Looks at the keys of an old store, and takes over those that it can."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        key_info: KeyInfoManager,
        source: Source,
    ) -> None:
        self._providers = providers
        self._key_info = key_info
        self._lifecycle = KeyLifecycle(key_info, allow_deprecated=True)
        self._source = source

    def look(self) -> list[Candidate]:
        """Every key of the old store, and what would become of it. Changes nothing.

        Raises:
            StorageFailure: the old store is not there, or cannot be read.
        """
        old = old_stores.read(self._source.key_info, self._source.authenticator)
        observer = Observer(self._providers, self._key_info, self._source, old)
        found, names = [], set()
        for key in old:
            if key.authenticator == INTERNAL:
                continue
            candidate = observer.look(key)
            name = (key.authenticator, key.application, key.key_name)
            if name in names and candidate.verdict is Verdict.ADOPT:
                candidate = candidate.refused("a key of another provider has its name")
            names.add(name)
            found.append(candidate)
        return found

    def adopt(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Take over what can be, and say what became of each.

        Raises:
            StorageFailure: the records cannot be written. Nothing is half done: another
                run takes over what is missing.
        """
        # Without intents: the next start would destroy the keys that they stand for.
        records: dict[bytes, KeyRecord | None] = {
            each.origin: self._record(each)
            for each in candidates
            if each.verdict is Verdict.ADOPT and each.found is not None
        }
        # A run that ended early did not remember what it had imported.
        before = (each for each in candidates if each.verdict is Verdict.BEFORE)
        records.update({each.origin: None for each in before})
        self._key_info.adopt(records)
        return [self._taken(each) for each in candidates]

    def _record(self, candidate: Candidate) -> KeyRecord:
        found = candidate.found
        assert found is not None  # noqa: S101
        return KeyRecord(
            candidate.identity,
            candidate.uid,
            found.key_id,
            found.attributes,
            found.public_key,
        )

    def _taken(self, candidate: Candidate) -> Candidate:
        if candidate.verdict is not Verdict.ADOPT:
            return candidate
        if candidate.material is not None:
            try:
                self._import(candidate, candidate.material)
            except Error as e:
                return candidate.refused(str(e))
        return replace(candidate, verdict=Verdict.ADOPTED)

    def _import(self, candidate: Candidate, material: bytes) -> None:
        identity, attributes = candidate.identity, candidate.attributes
        assert attributes is not None  # noqa: S101
        self._lifecycle.import_key(
            PsaImportKey(identity.key_name, attributes, material),
            identity.application,
            self._providers[identity.provider],
            uid=candidate.uid,
        )
        self._key_info.adopt({candidate.origin: None})
