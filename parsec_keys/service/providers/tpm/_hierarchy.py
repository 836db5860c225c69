"""The owner hierarchy: its primary keys, and the sessions under which commands run.

Its auth value never crosses a bus: a session proves it, whose salt is encrypted to a
key that needs no auth value.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, Final

from parsec_keys.service.config import TpmConfig
from parsec_keys.service.providers.tpm import _marks, _tcti, _tss
from parsec_keys.service.providers.tpm._key_id import Primary
from parsec_keys.service.providers.tpm._slots import PRIMARIES, SESSION, Slots

_PLAIN: Final = _tss.TPMA_SESSION.CONTINUESESSION
_ENCRYPTED: Final = _PLAIN | _tss.TPMA_SESSION.ENCRYPT | _tss.TPMA_SESSION.DECRYPT
_SALT: Final = b"salt"
_POLICY: Final = b"policy"


class Hierarchy:
    """What keys are wrapped to, and what authorises commands. Within a command.

    ``primary_name`` is the name of the storage primary, which the TPM's seed decides;
    it is empty until that primary was made once.
    """

    def __init__(self, config: TpmConfig, slots: Slots) -> None:
        self._auth = config.owner_hierarchy_auth
        self._protected = not _tcti.is_private(config.tcti)
        if config.protect_bus is not None:
            self._protected = config.protect_bus
        self._slots = slots
        self.primary_name = b""

    def authorise(self) -> None:
        """Have a new connection know the owner's auth value."""
        if self._auth is not None:
            _tss.set_auth(self._slots.esapi, _tss.ESYS_TR.OWNER, self._auth)

    def forget_auth(self) -> None:
        """Keep the auth value no longer: nothing is authorised any more."""
        self._auth = None

    def primary(self, primary: Primary = Primary.STORAGE) -> Any:
        """A primary key's handle."""
        name = self.primary_name if primary is Primary.STORAGE else b""
        make = functools.partial(self._make_primary, primary)
        return self._slots.loaded(PRIMARIES[primary], make, name)

    def session(self, *, secret: bool) -> Any:
        """What authorises a command: on a bus, a salted HMAC session.

        ``secret`` says that its parameters must not cross the bus in clear.
        """
        if not self._protected:
            return _tss.ESYS_TR.PASSWORD
        slots = self._slots
        if slots.session is None:
            with self._salt() as salt:
                slots.session = slots.esapi.start_auth_session(
                    tpm_key=salt,
                    bind=_tss.ESYS_TR.NONE,
                    session_type=_tss.TPM2_SE.HMAC,
                    symmetric=_tss.AES_128_CFB,
                    auth_hash=_tss.TPM2_ALG.SHA256,
                )
            slots.note_session(SESSION, slots.session)
        wanted = _ENCRYPTED if secret else _PLAIN
        slots.esapi.trsess_set_attributes(slots.session, wanted)
        return slots.session

    @contextlib.contextmanager
    def policy_session(self) -> Iterator[Any]:
        """A policy session, which is gone afterwards."""
        esapi = self._slots.esapi
        session = esapi.start_auth_session(
            tpm_key=_tss.ESYS_TR.NONE,
            bind=_tss.ESYS_TR.NONE,
            session_type=_tss.TPM2_SE.POLICY,
            symmetric=_tss.NO_CIPHER,
            auth_hash=_tss.TPM2_ALG.SHA256,
        )
        try:
            self._slots.note_session(_POLICY, session)
            yield session
        finally:
            if not esapi.lost:
                self._slots.flush(_POLICY, session)

    def _make_primary(self, primary: Primary) -> Any:
        session = _tss.ESYS_TR.PASSWORD
        if self._auth:
            session = self.session(secret=False)
        return self._create(_tss.ESYS_TR.OWNER, session, primary)

    def _create(
        self, hierarchy: Any, session: Any, primary: Primary = Primary.STORAGE
    ) -> Any:
        def create(template: Any) -> Any:
            return self._slots.esapi.create_primary(
                None, template, primary_handle=hierarchy, session1=session
            )[0]

        if primary is Primary.RUST_PARSEC:
            return create(_tss.RUST_PRIMARY)
        try:
            return create(_tss.ECC_PRIMARY)
        except _tss.TSS2_Exception as e:
            if _tss.code(e) not in _tss.NO_SUCH_KEY_TYPE:
                raise
            return create(_tss.RSA_PRIMARY)

    @contextlib.contextmanager
    def _salt(self) -> Iterator[Any]:
        """The key to which a session's salt is encrypted: it needs no auth value."""
        if not self._auth:
            yield self.primary()
            return
        esapi = self._slots.esapi
        handle = self._create(_tss.ESYS_TR.NULL, _tss.ESYS_TR.PASSWORD)
        try:
            self._slots.note(_SALT, _marks.of_object(self._slots.name_of(handle)))
            yield handle
        finally:
            if not esapi.lost:
                self._slots.flush(_SALT, handle)
