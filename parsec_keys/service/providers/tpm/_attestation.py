"""Key attestation by TPM2_ActivateCredential: the key is in the endorsement key's TPM.

The verifier encrypts a credential to the endorsement key, bound to the key's name. The
TPM opens it only if it holds both. The endorsement key is made again from its template
each time it is not loaded, and authorised by a policy session of one command.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

from parsec_keys.errors import AuthenticationError, InvalidArgument, NotSupported
from parsec_keys.psa.operations.attestation import CredentialParameters
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers.tpm import _tss
from parsec_keys.service.providers.tpm._chip import Chip
from parsec_keys.service.providers.tpm._keys import public_key_data
from parsec_keys.service.providers.tpm._signing import run_with_key
from parsec_keys.service.providers.tpm._slots import Displaced
from parsec_keys.service.secret import Secret

_ENDORSEMENT: Final = b"endorsement"
_LONGEST_BLOB: Final = 132
"""A TPMS_ID_OBJECT of the longest hash (TPM 2.0 part 2, section 12.4)."""
_LONGEST_SECRET: Final = 512
# What TPMs say of a credential that does not open: TPM_RC_INTEGRITY for another key's,
# TPM_RC_VALUE for another TPM's, TPM_RC_SIZE and TPM_RC_INSUFFICIENT for no credential
# at all and, seen on swtpm 0.7, TPM_RC_FAILURE where the secret does not decrypt.
_BAD_CREDENTIAL: Final = frozenset(
    {
        *(_tss.TPM2_RC.INTEGRITY, _tss.TPM2_RC.VALUE, _tss.TPM2_RC.SIZE),
        *(_tss.TPM2_RC.INSUFFICIENT, _tss.TPM2_RC.FAILURE),
    }
)


def check(attesting_key_name: str) -> None:
    """Pass for the endorsement key, which has no name.

    Raises:
        NotSupported: another key shall attest.
    """
    if attesting_key_name:
        raise NotSupported(
            f"key '{attesting_key_name}' cannot attest another: only the TPM's "
            "endorsement key does, whose attesting_key_name is empty"
        )


def prepare(chip: Chip, auth: Secret | None, key: KeyRecord) -> CredentialParameters:
    """What a verifier needs to make a credential for a key.

    Raises:
        NotSupported: the endorsement hierarchy's auth value is not configured.
        AuthenticationError: it is another one.
    """
    known = _configured(auth)

    def command(esapi: Any, handle: Any, session: Any) -> CredentialParameters:
        public, name, _ = esapi.read_public(handle)
        if public_key_data(public) != key.public_key:
            raise Displaced
        endorsement = _endorsement_key(chip, esapi, known, session)
        attesting, _, _ = esapi.read_public(endorsement)
        area = public.publicArea
        return CredentialParameters(
            bytes(name), area.marshal(), public_key_data(attesting)
        )

    return run_with_key(chip, key, command, secret=False)


def attest(
    chip: Chip,
    auth: Secret | None,
    key: KeyRecord,
    credential_blob: bytes,
    secret: bytes,
) -> bytes:
    """Open a credential that a verifier made for a key.

    Raises:
        InvalidArgument: it was made for another key or TPM, or is damaged.
        NotSupported: the endorsement hierarchy's auth value is not configured.
        AuthenticationError: it is another one.
    """
    known = _configured(auth)
    if len(credential_blob) > _LONGEST_BLOB or len(secret) > _LONGEST_SECRET:
        raise _bad_credential(key)
    blob = _tss.TPM2B_ID_OBJECT(credential_blob)
    encrypted = _tss.TPM2B_ENCRYPTED_SECRET(secret)

    def command(esapi: Any, handle: Any, session: Any) -> bytes | None:
        endorsement = _endorsement_key(chip, esapi, known, session)
        with chip.policy_session() as policy:
            with _refused_by_the_endorsement_hierarchy():
                esapi.policy_secret(
                    _tss.ESYS_TR.ENDORSEMENT, policy, expiration=0, session1=session
                )
            try:
                credential = esapi.activate_credential(
                    handle, endorsement, blob, encrypted, session, policy
                )
            except _tss.TSS2_Exception as e:
                if _tss.code(e) not in _BAD_CREDENTIAL:
                    raise
                # A TPM that really is in failure mode answers nothing else either.
                esapi.get_random(1)
                return None
        return bytes(credential.buffer)

    opened = run_with_key(chip, key, command, secret=True)
    if opened is None:
        raise _bad_credential(key)
    return opened


def _configured(auth: Secret | None) -> Secret:
    if auth is None:
        raise NotSupported(
            "key attestation needs the auth value of the TPM's endorsement hierarchy: "
            "open the store from a TOML file, and write endorsement_hierarchy_auth in "
            'the provider\'s table ("" where the hierarchy has none)'
        )
    return auth


def _endorsement_key(chip: Chip, esapi: Any, auth: Secret, session: Any) -> Any:
    _tss.set_auth(esapi, _tss.ESYS_TR.ENDORSEMENT, auth)

    def make() -> Any:
        with _refused_by_the_endorsement_hierarchy():
            created = esapi.create_primary(
                None,
                _tss.ENDORSEMENT_KEY,
                primary_handle=_tss.ESYS_TR.ENDORSEMENT,
                session1=session,
            )
        return created[0]

    return chip.loaded(_ENDORSEMENT, make)


@contextlib.contextmanager
def _refused_by_the_endorsement_hierarchy() -> Iterator[None]:
    try:
        yield
    except _tss.TSS2_Exception as e:
        if _tss.code(e) not in _tss.REFUSED:
            raise
        raise AuthenticationError(
            "the TPM's endorsement hierarchy has another auth value: correct "
            "endorsement_hierarchy_auth in the configuration"
        ) from e


def _bad_credential(key: KeyRecord) -> InvalidArgument:
    return InvalidArgument(
        f"the credential does not open with {key.described}: it was made for another "
        "key or TPM, or is damaged; let the verifier make one for this key as "
        "PrepareKeyAttestation describes it"
    )
