"""Key records for tests that talk to the TPM provider directly."""

from __future__ import annotations

import os
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from parsec_keys.psa.algorithms import Ecdsa, Hash, RsaPkcs1v15Sign
from parsec_keys.psa.attributes import (
    ECC_USAGE,
    RSA_USAGE,
    EccFamily,
    EccKeyPair,
    KeyAttributes,
    KeyPolicy,
    RsaKeyPair,
)
from parsec_keys.service.authenticators import own_identity
from parsec_keys.service.key_formats import curve_of
from parsec_keys.service.key_info import KeyIdentity, KeyRecord
from parsec_keys.service.providers import AdoptedKey, CreatedKey
from parsec_keys.service.providers.tpm import TpmProvider, _tss

TRANSIENT, LOADED_SESSIONS = 0x80000000, 0x02000000
"""The first handles of two kinds (TPM 2.0 part 2, section 7.4)."""
LOCKOUT_COUNTER = 0x20E
"""TPM_PT_LOCKOUT_COUNTER (TPM 2.0 part 2, section 6.13)."""
SHA256 = utils.Prehashed(hashes.SHA256())


def rsa_attributes(bits: int) -> KeyAttributes:
    return KeyAttributes(RsaKeyPair(), bits, KeyPolicy(RSA_USAGE))


def ec_attributes(bits: int, family: EccFamily = EccFamily.SECP_R1) -> KeyAttributes:
    return KeyAttributes(EccKeyPair(family), bits, KeyPolicy(ECC_USAGE))


def generated(provider: TpmProvider, attributes: KeyAttributes) -> KeyRecord:
    uid = os.urandom(16)
    return recorded(uid, attributes, provider.generate_key(uid, attributes, 65537))


def imported(
    provider: TpmProvider, attributes: KeyAttributes, data: bytes
) -> KeyRecord:
    uid = os.urandom(16)
    return recorded(uid, attributes, provider.import_key(uid, attributes, data))


def adopted(provider: TpmProvider, reference: str) -> KeyRecord:
    found = provider.find_key(reference)
    return recorded(os.urandom(16), found.attributes, found)


def recorded(
    uid: bytes, attributes: KeyAttributes, created: CreatedKey | AdoptedKey
) -> KeyRecord:
    identity = KeyIdentity(own_identity(), "tpm", "key")
    return KeyRecord(identity, uid, created.key_id, attributes, created.public_key)


def rsa_public_key(key: KeyRecord) -> rsa.RSAPublicKey:
    public_key = serialization.load_der_public_key(key.public_key)
    assert isinstance(public_key, rsa.RSAPublicKey)
    return public_key


def ec_public_key(key: KeyRecord) -> ec.EllipticCurvePublicKey:
    curve = curve_of(key.attributes)
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, key.public_key)


def verify_ecdsa(key: KeyRecord, signature: bytes, digest: bytes) -> None:
    """Verify with pyca a signature of a digest of any length."""
    length = (key.attributes.bits + 7) // 8
    assert 2 * length == len(signature)
    r, s = signature[:length], signature[length:]
    der = utils.encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    any_hash = utils.Prehashed(hashes.SHAKE256(len(digest)))
    ec_public_key(key).verify(der, digest, ec.ECDSA(any_hash))


def signs(tpm: TpmProvider, key: KeyRecord) -> None:
    """Sign with a key, and verify with pyca."""
    digest = os.urandom(32)
    if isinstance(key.attributes.type, RsaKeyPair):
        signature = tpm.sign_hash(key, RsaPkcs1v15Sign(Hash.SHA_256), digest)
        rsa_public_key(key).verify(signature, digest, padding.PKCS1v15(), SHA256)
    else:
        verify_ecdsa(key, tpm.sign_hash(key, Ecdsa(Hash.SHA_256), digest), digest)


def all_sign(tpm: TpmProvider, keys: list[KeyRecord]) -> None:
    """Each key signs, one after the other."""
    for key in keys:
        signs(tpm, key)


def sign_all(
    tpm: TpmProvider, keys: list[KeyRecord]
) -> list[tuple[KeyRecord, bytes, bytes]]:
    """Sign with EC keys, for ``verify_all``."""
    digest = os.urandom(32)
    return [
        (key, tpm.sign_hash(key, Ecdsa(Hash.SHA_256), digest), digest) for key in keys
    ]


def verify_all(signed: list[tuple[KeyRecord, bytes, bytes]]) -> None:
    for each in signed:
        verify_ecdsa(*each)


def lockout_counter(esapi: Any) -> int:
    """How many failures the TPM counts as a dictionary attack."""
    _, data = esapi.get_capability(_tss.TPM2_CAP.TPM_PROPERTIES, LOCKOUT_COUNTER, 1)
    return int(data.data.tpmProperties[0].value)


def handles(esapi: Any) -> list[int]:
    """The objects and sessions that are in a TPM."""
    found: list[int] = []
    for first in (TRANSIENT, LOADED_SESSIONS):
        _, data = esapi.get_capability(_tss.TPM2_CAP.HANDLES, first, 64)
        listed = data.data.handles
        found += [int(listed[index]) for index in range(len(listed))]
    return found
