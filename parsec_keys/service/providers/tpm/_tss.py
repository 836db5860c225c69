"""The TPM's words: the one module that imports tpm2-pytss.

Rule: a result is held by a local variable and copied to ``bytes`` at once. What
tpm2-pytss gives out through a temporary is memory that is free already.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, Final

# The C libraries write every error to stderr by themselves; our sentence is enough.
os.environ.setdefault("TSS2_LOG", "all+NONE")

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2_CAP,
    TPM2_ECC,
    TPM2_RC,
    TPM2_RH,
    TPM2_SE,
    TPM2_ST,
    TPM2_SU,
    TPM2B_AUTH,
    TPM2B_ECC_PARAMETER,
    TPM2B_ECC_POINT,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_PRIVATE,
    TPM2B_PUBLIC,
    TPM2B_PUBLIC_KEY_RSA,
    TPM2B_SENSITIVE,
    TPM2B_SENSITIVE_CREATE,
    TPMA_OBJECT,
    TPMA_SESSION,
    TPMS_ECC_POINT,
    TPMS_RSA_PARMS,
    TPMS_SENSITIVE_CREATE,
    TPMT_PUBLIC_PARMS,
    TPMT_RSA_DECRYPT,
    TPMT_RSA_SCHEME,
    TPMT_SIG_SCHEME,
    TPMT_SYM_DEF,
    TPMT_SYM_DEF_OBJECT,
    TPMT_TK_HASHCHECK,
    TPMU_PUBLIC_PARMS,
    TPMU_SYM_KEY_BITS,
    TPMU_SYM_MODE,
    TSS2_Exception,
)
from tpm2_pytss.tsskey import TSSPrivKey
from tpm2_pytss.utils import wrap

from parsec_keys.errors import (
    AuthenticationError,
    Error,
    PinLocked,
    ProviderFailure,
    ServiceUnavailable,
)
from parsec_keys.psa.algorithms import Hash
from parsec_keys.psa.attributes import EccFamily
from parsec_keys.service.secret import Secret

__all__ = [
    "ESAPI",
    "ESYS_TR",
    "TPM2B_ECC_PARAMETER",
    "TPM2B_ECC_POINT",
    "TPM2B_ENCRYPTED_SECRET",
    "TPM2B_ID_OBJECT",
    "TPM2B_PRIVATE",
    "TPM2B_PUBLIC",
    "TPM2B_PUBLIC_KEY_RSA",
    "TPM2B_SENSITIVE",
    "TPM2B_SENSITIVE_CREATE",
    "TPM2_ALG",
    "TPM2_CAP",
    "TPM2_RC",
    "TPM2_RH",
    "TPM2_SE",
    "TPM2_ST",
    "TPM2_SU",
    "TPMA_OBJECT",
    "TPMA_SESSION",
    "TPMS_ECC_POINT",
    "TPMS_RSA_PARMS",
    "TPMS_SENSITIVE_CREATE",
    "TPMT_PUBLIC_PARMS",
    "TPMT_RSA_DECRYPT",
    "TPMT_RSA_SCHEME",
    "TPMT_SIG_SCHEME",
    "TPMT_SYM_DEF",
    "TPMT_SYM_DEF_OBJECT",
    "TPMT_TK_HASHCHECK",
    "TPMU_PUBLIC_PARMS",
    "TPMU_SYM_KEY_BITS",
    "TPMU_SYM_MODE",
    "TSS2_Exception",
    "TSSPrivKey",
    "wrap",
]

HASHES: Final[dict[Hash, int]] = {
    Hash.SHA_1: TPM2_ALG.SHA1,
    Hash.SHA_256: TPM2_ALG.SHA256,
    Hash.SHA_384: TPM2_ALG.SHA384,
    Hash.SHA_512: TPM2_ALG.SHA512,
    Hash.SHA3_256: TPM2_ALG.SHA3_256,
    Hash.SHA3_384: TPM2_ALG.SHA3_384,
    Hash.SHA3_512: TPM2_ALG.SHA3_512,
    Hash.SM3: TPM2_ALG.SM3_256,
}
"""The hashes that a TPM may have; which it has, ``Capabilities`` knows."""

CURVES: Final[dict[tuple[EccFamily, int], int]] = {
    (EccFamily.SECP_R1, 192): TPM2_ECC.NIST_P192,
    (EccFamily.SECP_R1, 224): TPM2_ECC.NIST_P224,
    (EccFamily.SECP_R1, 256): TPM2_ECC.NIST_P256,
    (EccFamily.SECP_R1, 384): TPM2_ECC.NIST_P384,
    (EccFamily.SECP_R1, 521): TPM2_ECC.NIST_P521,
}
"""The curves that a TPM may have and pyca has too."""

NULL_SCHEME: Final = TPMT_RSA_DECRYPT(scheme=TPM2_ALG.NULL)
AES_128_CFB: Final = TPMT_SYM_DEF(
    algorithm=TPM2_ALG.AES,
    keyBits=TPMU_SYM_KEY_BITS(sym=128),
    mode=TPMU_SYM_MODE(sym=TPM2_ALG.CFB),
)
NO_CIPHER: Final = TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL)

# The storage primary of TSS2 PRIVATE KEY files, so that those load under it too: P-256
# where the TPM has it, because RSA primaries take hardware minutes to find.
_PRIMARY: Final = (
    TPMA_OBJECT.USERWITHAUTH
    | TPMA_OBJECT.RESTRICTED
    | TPMA_OBJECT.DECRYPT
    | TPMA_OBJECT.NODA
    | TPMA_OBJECT.FIXEDTPM
    | TPMA_OBJECT.FIXEDPARENT
    | TPMA_OBJECT.SENSITIVEDATAORIGIN
)
ECC_PRIMARY: Final = TPM2B_PUBLIC.parse("ecc256:aes128cfb", objectAttributes=_PRIMARY)
RSA_PRIMARY: Final = TPM2B_PUBLIC.parse("rsa2048:aes128cfb", objectAttributes=_PRIMARY)

# The RSA endorsement key of the TCG EK Credential Profile (template L-1), so that its
# public key is that of the manufacturer's certificate.
ENDORSEMENT_KEY: Final = TPM2B_PUBLIC.parse(
    "rsa2048:aes128cfb",
    objectAttributes=(
        TPMA_OBJECT.FIXEDTPM
        | TPMA_OBJECT.FIXEDPARENT
        | TPMA_OBJECT.SENSITIVEDATAORIGIN
        | TPMA_OBJECT.ADMINWITHPOLICY
        | TPMA_OBJECT.RESTRICTED
        | TPMA_OBJECT.DECRYPT
    ),
    # PolicySecret with the endorsement hierarchy.
    authPolicy=bytes.fromhex(
        "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"
    ),
)
ENDORSEMENT_KEY.publicArea.unique.rsa = bytes(256)

# The primary of the Rust Parsec service, under which its keys load: AES-256, and no
# NODA. Its name was compared with the one that service 1.4.1 keeps.
RUST_PRIMARY: Final = TPM2B_PUBLIC.parse(
    "rsa2048:aes256cfb", objectAttributes=_PRIMARY & ~TPMA_OBJECT.NODA
)
NO_SUCH_KEY_TYPE: Final = frozenset({TPM2_RC.TYPE, TPM2_RC.CURVE})

# A response code's upper bytes name the layer: 0 is the TPM itself, 11 and 12 its
# resource manager, which speaks in the TPM's codes (tss2_common.h).
_LAYERS_OF_THE_TPM: Final = frozenset({0, 11, 12})
_LAYERS_OF_A_TCTI: Final = frozenset({10})
_BAD_SEQUENCE: Final = 0x70007
"""TSS2_ESYS_RC_BAD_SEQUENCE: the context still waits for the answer to a command whose
line was cut."""
SLOTS_FULL: Final = frozenset(
    {TPM2_RC.OBJECT_MEMORY, TPM2_RC.OBJECT_HANDLES}
    | {TPM2_RC.SESSION_MEMORY, TPM2_RC.SESSION_HANDLES, TPM2_RC.CONTEXT_GAP}
)
"""Warnings that go away when an object of ours leaves the TPM, or others give back."""
AGAIN: Final = frozenset(
    {TPM2_RC.RETRY, TPM2_RC.YIELDED, TPM2_RC.TESTING, TPM2_RC.NV_RATE}
)
"""Warnings that go away by themselves."""
ALREADY_STARTED: Final = TPM2_RC.INITIALIZE
"""TPM2_Startup's answer where the firmware was first."""
REFUSED: Final = frozenset({TPM2_RC.BAD_AUTH, TPM2_RC.AUTH_FAIL})
"""An auth value that is not the right one."""
# An auth value is refused where another object or session is at our handle by now.
_STALE: Final = REFUSED | frozenset(
    {TPM2_RC.HANDLE, TPM2_RC.INITIALIZE, TPM2_RC.INTEGRITY}
    | {TPM2_RC.REFERENCE_H0 + index for index in range(7)}
    | {TPM2_RC.REFERENCE_S0 + index for index in range(7)}
)
FIRST_TRANSIENT: Final = 0x80000000
_SHA256: Final = int(TPM2_ALG.SHA256).to_bytes(2, "big")
OTHER_SCHEME: Final = frozenset({TPM2_RC.SCHEME})
"""A key whose own scheme is another one than it is asked for."""
LACKS_USAGE: Final = frozenset({TPM2_RC.ATTRIBUTES})
"""A key whose attributes forbid what it is asked for."""


def code(error: TSS2_Exception) -> int:
    """The TPM's own code, without the layer and without which parameter it means.

    An error of a software layer is none of the TPM's: it gives -1.
    """
    return int(error.error) & 0xFFFF if is_of_the_tpm(error) else -1


def is_of_the_tpm(error: TSS2_Exception) -> bool:
    """Whether the TPM itself, or its resource manager, answered with this error."""
    return int(error.rc) >> 16 in _LAYERS_OF_THE_TPM


def signature_numbers(signature: Any) -> list[bytes]:
    """The numbers of a signature, one of RSA or two of ECDSA, as long as they are.

    Read from its wire form (TPM 2.0 part 2, section 11.3.4): two octets of algorithm,
    two of hash, then numbers. Each look into a tpm2-pytss object is far slower.
    """
    wire = signature.marshal()
    numbers, start = [], 4
    while start < len(wire):
        end = start + 2 + int.from_bytes(wire[start : start + 2], "big")
        numbers.append(wire[start + 2 : end])
        start = end
    return numbers


def set_auth(esapi: Any, handle: Any, auth: Secret) -> None:
    """Tell a context an object's auth value, with no copy of it left elsewhere."""
    # Small integers are the same objects everywhere: a list of them says nothing.
    copy = TPM2B_AUTH(list(auth.octets))
    try:
        esapi.tr_set_auth(handle, copy)
    finally:
        copy.buffer = bytes(len(auth))


def transient_handles(esapi: Any) -> list[int]:
    """The TPM's handles of all objects that anybody has loaded."""
    _, data = esapi.get_capability(TPM2_CAP.HANDLES, FIRST_TRANSIENT, 64)
    handles = data.data.handles
    return [int(handles[index]) for index in range(len(handles))]


def name_of_public(public: bytes) -> bytes:
    """The name of the object with a marshalled ``TPM2B_PUBLIC``, or nothing.

    Its octets from the third on are a TPMT_PUBLIC, which says the name's hash after its
    own type (TPM 2.0 part 1, section 16).
    """
    if public[4:6] != _SHA256:
        return b""
    return _SHA256 + hashlib.sha256(public[2:]).digest()


def is_stale(error: TSS2_Exception) -> bool:
    """Whether the TPM, or its resource manager, may have restarted and forgotten us."""
    return code(error) in _STALE or is_of_the_line(error)


def is_of_the_line(error: TSS2_Exception) -> bool:
    """Whether the line to the TPM is cut, so that its context is of no use any more."""
    return int(error.rc) >> 16 in _LAYERS_OF_A_TCTI or int(error.rc) == _BAD_SEQUENCE


def is_because(error: Error, codes: frozenset[int]) -> bool:
    """Whether one of the TPM's codes is why ``translated`` made this error."""
    cause = error.__cause__
    return isinstance(cause, TSS2_Exception) and code(cause) in codes


def translated(error: TSS2_Exception, asked: str) -> Error:
    """Our error for the TPM's, in a sentence that starts with what was asked."""
    if is_of_the_line(error):
        return ServiceUnavailable(
            f"{asked} failed: the TPM cannot be reached any more ({error}): check the "
            "TPM, its resource manager and the TCTI"
        )
    number = code(error)
    if number == TPM2_RC.LOCKOUT:
        return PinLocked(
            f"{asked} failed: the TPM is locked against dictionary attacks: wait, or "
            "have its owner reset the lock (tpm2_dictionarylockout --clear-lockout)"
        )
    if number in REFUSED:
        return AuthenticationError(
            f"{asked} failed: the TPM refuses the auth value ({error}): configure "
            "owner_hierarchy_auth if the owner hierarchy has one; a key that somebody "
            "gave a password of its own is not used here"
        )
    if number in AGAIN:
        return ServiceUnavailable(
            f"{asked} failed: the TPM is busy with itself ({error}): try again later"
        )
    if number in SLOTS_FULL:
        return ServiceUnavailable(
            f"{asked} failed: other programs fill the TPM's slots: use a resource "
            "manager, as device:/dev/tpmrm0 or tabrmd"
        )
    return ProviderFailure(f"{asked} failed in the TPM: {error}")
