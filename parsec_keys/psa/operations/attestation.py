"""Requests that prove where a key lives: TPM2_ActivateCredential's two halves."""

from __future__ import annotations

from dataclasses import dataclass

from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import KeyOperation


@dataclass(frozen=True, slots=True)
class CredentialParameters:
    """What a verifier needs to make a credential for a key.

    ``name`` is the TPM's name of the key, ``public`` its marshalled ``TPMT_PUBLIC``,
    ``attesting_key_pub`` the endorsement key as PKCS#1 ``RSAPublicKey`` DER.
    """

    name: bytes
    public: bytes
    attesting_key_pub: bytes


@dataclass(frozen=True, slots=True)
class PrepareKeyAttestation(KeyOperation[CredentialParameters]):
    """Answer what a verifier needs. An empty attesting key is the endorsement key."""

    opcode = Opcode.PREPARE_KEY_ATTESTATION
    key_name: str
    attesting_key_name: str = ""
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True)
class AttestKey(KeyOperation[bytes]):
    """Answer the credential, which only the TPM that holds the key can open.

    ``credential_blob`` and ``secret`` are what TPM2_MakeCredential gives, each without
    its outer size.
    """

    opcode = Opcode.ATTEST_KEY
    key_name: str
    credential_blob: bytes
    secret: bytes
    attesting_key_name: str = ""
    fingerprint: bytes | None = None
