"""Key attestation: the capability that its operations need, and the calls.

These two rows continue the table of ``key_operations``.
"""

from __future__ import annotations

from typing import Final

from parsec_keys.psa.operations.attestation import AttestKey, PrepareKeyAttestation
from parsec_keys.service.key_operations import Handlers
from parsec_keys.service.providers import Attester

HANDLERS: Final[Handlers] = {
    PrepareKeyAttestation: (
        Attester,
        lambda provider, key, asked: provider.prepare_key_attestation(
            key, asked.attesting_key_name
        ),
    ),
    AttestKey: (
        Attester,
        lambda provider, key, asked: provider.attest_key(
            key, asked.attesting_key_name, asked.credential_blob, asked.secret
        ),
    ),
}
