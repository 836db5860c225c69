"""Decryption and key agreement of a TPM.

OAEP is the TPM's own where it can say exactly what was asked. PKCS#1 v1.5 never is: a
TPM answers broken padding with an error, which is an oracle; the bare operation with
implicit rejection answers every ciphertext with a message.
"""

from __future__ import annotations

from typing import Any, Final

from parsec_keys.errors import DecryptionFailed, ProviderFailure
from parsec_keys.psa.algorithms import AsymmetricEncryption, RsaOaep
from parsec_keys.service.implicit_rejection import RejectionSecrets
from parsec_keys.service.key_formats import decode_ecc_public_key, rsa_modulus
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers.tpm import _tss
from parsec_keys.service.providers.tpm._capabilities import Capabilities
from parsec_keys.service.providers.tpm._chip import Chip
from parsec_keys.service.providers.tpm._signing import bare, run_with_key
from parsec_keys.service.rsa_padding import decode_oaep, decode_pkcs1v15

# What TPMs say of an OAEP block that does not unpad: TPM_RC_VALUE, TPM_RC_SIZE and,
# seen on swtpm 0.7, TPM_RC_FAILURE.
_BAD_PADDING: Final = frozenset(
    {_tss.TPM2_RC.VALUE, _tss.TPM2_RC.SIZE, _tss.TPM2_RC.FAILURE}
)


def decrypt(
    chip: Chip,
    can: Capabilities,
    secrets: RejectionSecrets,
    key: KeyRecord,
    algorithm: AsymmetricEncryption,
    ciphertext: bytes,
    label: bytes,
) -> bytes:
    """Decrypt; ``ciphertext`` is as long as the modulus.

    Raises:
        DecryptionFailed: a bad ciphertext, and nothing else.
    """
    if int.from_bytes(ciphertext, "big") >= rsa_modulus(key.public_key):
        raise DecryptionFailed
    if not isinstance(algorithm, RsaOaep):
        secret = secrets.of(key, lambda block: bare(chip, key, block))
        return decode_pkcs1v15(bare(chip, key, ciphertext), ciphertext, secret)
    if _is_native(can, algorithm, label):
        return _native_oaep(chip, can, key, algorithm, ciphertext, label)
    return decode_oaep(algorithm, label, bare(chip, key, ciphertext))


def agree(chip: Chip, key: KeyRecord, peer_key: bytes) -> bytes:
    """ECDH with an uncompressed point (TPM2_ECDH_ZGen): the X coordinate."""
    x, y = decode_ecc_public_key(peer_key)

    def command(esapi: Any, handle: Any, session: Any) -> bytes:
        point = _tss.TPM2B_ECC_POINT(_tss.TPMS_ECC_POINT(x=x, y=y))
        shared = esapi.ecdh_zgen(handle, point, session1=session)
        return bytes(shared.point.x)

    return run_with_key(chip, key, command, secret=True).rjust(len(x), b"\x00")


def _is_native(can: Capabilities, algorithm: RsaOaep, label: bytes) -> bool:
    """Whether the TPM can say this: MGF1 with the same hash, and a C string as label.

    A TPM's label ends in a NUL, which is part of it (TPM 2.0 part 1, B.4).
    """
    same = algorithm.mgf_hash in (None, algorithm.hash)
    said = not label or (label.endswith(b"\x00") and label.count(b"\x00") == 1)
    return same and said and algorithm.hash in can.hashes


def _native_oaep(
    chip: Chip,
    can: Capabilities,
    key: KeyRecord,
    algorithm: RsaOaep,
    ciphertext: bytes,
    label: bytes,
) -> bytes:
    scheme = _tss.TPMT_RSA_DECRYPT(scheme=_tss.TPM2_ALG.OAEP)
    scheme.details.oaep.hashAlg = can.hashes[algorithm.hash]

    def command(esapi: Any, handle: Any, session: Any) -> bytes:
        message = esapi.rsa_decrypt(
            handle, ciphertext, scheme, label or None, session1=session
        )
        return bytes(message.buffer)

    try:
        return run_with_key(chip, key, command, secret=True)
    except ProviderFailure as e:
        if not _tss.is_because(e, _BAD_PADDING):
            raise
    # A TPM that really is in failure mode answers nothing else either.
    chip.run(f"using {key.described}", lambda esapi: bytes(esapi.get_random(1)))
    raise DecryptionFailed
