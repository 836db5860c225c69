"""A key in the TPM, for one command: a wrapped one loaded, a persistent one found.

Names tell whether a handle or a parent is still the one that is meant.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from parsec_keys.errors import AuthenticationError, KeyNotFound, ProviderFailure
from parsec_keys.service.providers.tpm import _tss
from parsec_keys.service.providers.tpm._hierarchy import Hierarchy
from parsec_keys.service.providers.tpm._key_id import LoadableKey, PersistentKey
from parsec_keys.service.providers.tpm._slots import Slots

T = TypeVar("T")


class Loader:
    """Gives commands their keys."""

    def __init__(self, slots: Slots, hierarchy: Hierarchy) -> None:
        self._slots = slots
        self._hierarchy = hierarchy
        self._refused: set[LoadableKey | PersistentKey] = set()
        self._proven: set[bytes] = set()
        """The uids of keys whose auth value was right once."""

    def run(
        self,
        asked: str,
        uid: bytes,
        key: LoadableKey | PersistentKey,
        command: Callable[[Any, Any, Any], T],
        *,
        secret: bool,
    ) -> T:
        """Run ``command(esapi, key, session)``. An auth value is tried once.

        What the TPM counts as a dictionary attack it answers with AUTH_FAIL.

        Raises:
            AuthenticationError: the key has another auth value than this one.
            KeyNotFound: a persistent key is not there any more.
            ProviderFailure: the key is another TPM's.
        """
        if key not in self._refused:
            try:
                # First, because it needs the primary, and one slot may be all there is.
                session = self._hierarchy.session(secret=secret)
                with self._usable(asked, uid, key) as handle:
                    result = command(self._slots.esapi, handle, session)
                self._proven.add(uid)
                return result
            except _tss.TSS2_Exception as e:
                if _tss.code(e) != _tss.TPM2_RC.AUTH_FAIL or self._is_displaced(uid):
                    raise
                self._refused.add(key)
        raise AuthenticationError(
            f"{asked} failed: it has a password of its own, or its record another auth "
            "value, and such a key is not used here; each further try would count as a "
            "dictionary attack"
        )

    def forget(self, uid: bytes) -> None:
        """Forget a key that is deleted."""
        self._proven.discard(uid)

    def _is_displaced(self, uid: bytes) -> bool:
        """Whether another program's object or session was used instead of ours."""
        if uid in self._proven:
            return True
        return uid in self._slots and not self._slots.is_still_there(uid)

    @contextlib.contextmanager
    def _usable(
        self, asked: str, uid: bytes, key: LoadableKey | PersistentKey
    ) -> Iterator[Any]:
        if isinstance(key, LoadableKey):
            yield self._loaded(asked, uid, key)
        else:
            with self._persistent(asked, key) as handle:
                yield handle

    def _loaded(self, asked: str, uid: bytes, key: LoadableKey) -> Any:
        handle = self._slots.found(uid)
        if handle is None:
            name = _tss.name_of_public(key.public)
            handle = self._slots.loaded(
                uid, lambda: self._load(asked, key), name, key.auth
            )
        return handle

    def _load(self, asked: str, key: LoadableKey) -> Any:
        public, _ = _tss.TPM2B_PUBLIC.unmarshal(key.public)
        private, _ = _tss.TPM2B_PRIVATE.unmarshal(key.private)
        if key.parent_handle is None:
            primary = self._hierarchy.primary(key.primary)
            if self._slots.name_of(primary) != key.parent:
                raise ProviderFailure(
                    f"{asked} failed: the key was made by another TPM, or this TPM was "
                    "cleared since; use the TPM that made it, or make a new key"
                )
            return self._slots.esapi.load(primary, private, public)
        persistent = PersistentKey(key.parent_handle, key.parent)
        with self._persistent(asked, persistent) as parent:
            return self._slots.esapi.load(parent, private, public)

    @contextlib.contextmanager
    def _persistent(self, asked: str, key: PersistentKey) -> Iterator[Any]:
        """A persistent key, if it is still the one that was found there."""
        esapi = self._slots.esapi
        try:
            handle = esapi.tr_from_tpmpublic(key.handle)
        except _tss.TSS2_Exception as e:
            if _tss.code(e) != _tss.TPM2_RC.HANDLE:
                raise
            raise KeyNotFound(
                f"{asked} failed: the TPM has no key at {key.handle:#010x} any more"
            ) from e
        try:
            if self._slots.name_of(handle) != key.name:
                raise KeyNotFound(
                    f"{asked} failed: at {key.handle:#010x} the TPM has another key by "
                    "now; put the old one back, or load the new one by its handle"
                )
            yield handle
        finally:
            if not esapi.lost:  # Ctrl-C may have this done late.
                esapi.tr_close(handle)
