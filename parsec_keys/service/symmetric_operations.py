"""The rest of the operations: whole messages, ciphers, MACs, hashes.

Loaded when one of them is asked for: a program that only signs digests has none.
"""

from __future__ import annotations

import hmac
from typing import Final

from parsec_keys._pyca import HASHES, digest
from parsec_keys.errors import InvalidSignature, NotSupported
from parsec_keys.psa.algorithms import AsymmetricSignature
from parsec_keys.psa.operations.symmetric import (
    PsaAeadDecrypt,
    PsaAeadEncrypt,
    PsaCipherDecrypt,
    PsaCipherEncrypt,
    PsaHashCompare,
    PsaHashCompute,
    PsaMacCompute,
    PsaMacVerify,
    PsaSignMessage,
    PsaVerifyMessage,
)
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.key_operations import Handlers, sign_digest, verify_digest
from parsec_keys.service.providers import (
    AuthenticatedEncrypter,
    Encrypter,
    Hasher,
    MacComputer,
    Signer,
)


def _digest_of(algorithm: AsymmetricSignature, message: bytes) -> bytes:
    hash_ = getattr(algorithm, "hash", None)
    if hash_ not in HASHES:
        raise NotSupported(f"{hash_} is not computed here")
    return digest(HASHES[hash_], message)


def _sign_message(provider: Signer, key: KeyRecord, asked: PsaSignMessage) -> bytes:
    hashed = _digest_of(asked.alg, asked.message)
    return sign_digest(provider, key, asked, hashed)


def _verify_message(provider: object, key: KeyRecord, asked: PsaVerifyMessage) -> None:
    verify_digest(key, asked, _digest_of(asked.alg, asked.message))


def _verify_mac(provider: MacComputer, key: KeyRecord, asked: PsaMacVerify) -> None:
    mac = provider.mac_compute(key, asked.alg, asked.input)
    if not hmac.compare_digest(mac, asked.mac):
        raise InvalidSignature(f"the MAC is not of {key.described}")


def _compute_hash(provider: Hasher, asked: PsaHashCompute) -> bytes:
    return provider.hash_compute(asked.alg, asked.input)


def _compare_hash(provider: Hasher, asked: PsaHashCompare) -> None:
    hashed = provider.hash_compute(asked.alg, asked.input)
    if not hmac.compare_digest(hashed, asked.hash):
        raise InvalidSignature(f"the hash is not {asked.alg} of the input")


HANDLERS: Final[Handlers] = {
    PsaSignMessage: (Signer, _sign_message),
    PsaVerifyMessage: (object, _verify_message),
    PsaAeadEncrypt: (
        AuthenticatedEncrypter,
        lambda provider, key, asked: provider.aead_encrypt(
            key, asked.alg, asked.nonce, asked.additional_data, asked.plaintext
        ),
    ),
    PsaAeadDecrypt: (
        AuthenticatedEncrypter,
        lambda provider, key, asked: provider.aead_decrypt(
            key, asked.alg, asked.nonce, asked.additional_data, asked.ciphertext
        ),
    ),
    PsaCipherEncrypt: (
        Encrypter,
        lambda provider, key, asked: provider.cipher_encrypt(
            key, asked.alg, asked.plaintext
        ),
    ),
    PsaCipherDecrypt: (
        Encrypter,
        lambda provider, key, asked: provider.cipher_decrypt(
            key, asked.alg, asked.ciphertext
        ),
    ),
    PsaMacCompute: (
        MacComputer,
        lambda provider, key, asked: provider.mac_compute(key, asked.alg, asked.input),
    ),
    PsaMacVerify: (MacComputer, _verify_mac),
    PsaHashCompute: (Hasher, _compute_hash),
    PsaHashCompare: (Hasher, _compare_hash),
}
