"""The software provider: pyca's own keys, kept in files. As safe as a PEM file.

Each key is one file, 0600 in a 0700 folder, written whole or not at all; with a
passphrase it is encrypted. What is signed, decrypted or computed is pyca's doing.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Final

from parsec_keys._pyca import HASHES, digest
from parsec_keys.psa.algorithms import (
    AsymmetricEncryption,
    AsymmetricSignature,
    Hash,
    KeyAgreement,
    PermittedAlgorithm,
)
from parsec_keys.psa.attributes import KeyAttributes, UnstructuredKeyType
from parsec_keys.psa.operations import ProviderInfo
from parsec_keys.service.config import SoftwareConfig
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers import CreatedKey
from parsec_keys.service.providers.software import _asymmetric
from parsec_keys.service.providers.software._files import KeyFiles
from parsec_keys.service.public_operations import check_hashes

if TYPE_CHECKING:
    from parsec_keys.psa.symmetric import AeadAlgorithm, Cipher, Mac
    from parsec_keys.service.providers.software._symmetric import SymmetricKeys

_UUID: Final = "1c1139dc-ad7c-47dc-ad6b-db6fdb466552"
FOLDER: Final = "software"
"""Where the keys are, in the store's folder."""


class SoftwareProvider:
    """Keeps pyca's keys in a folder. Implements every capability but attestation."""

    store_name = "software"

    def __init__(self, config: SoftwareConfig) -> None:
        self.info = ProviderInfo(
            config.name,
            1,
            _UUID,
            "user-space software provider based on pyca cryptography",
            "parsec-keys",
            (0, 1, 0),
        )
        self._files = KeyFiles(config.directory / FOLDER, config.passphrase)

    @classmethod
    def open(cls, config: SoftwareConfig) -> SoftwareProvider:
        """Use a folder, made where it is not there.

        Raises:
            StorageFailure: it cannot be used, or others can write to it.
        """
        provider = cls(config)
        provider._files.open()
        return provider

    @functools.cached_property
    def _symmetric(self) -> SymmetricKeys:
        """Loaded for the first such key: most programs have none."""
        from parsec_keys.service.providers.software import _symmetric

        return _symmetric.SymmetricKeys(self._files)

    def check_key(self, attributes: KeyAttributes) -> None:
        if isinstance(attributes.type, UnstructuredKeyType):
            self._symmetric.check_key(attributes)
        else:
            _asymmetric.check_key(attributes)

    def check_algorithm(
        self, attributes: KeyAttributes, algorithm: PermittedAlgorithm
    ) -> None:
        if isinstance(attributes.type, UnstructuredKeyType):
            self._symmetric.check_algorithm(attributes, algorithm)
        else:
            _asymmetric.check_algorithm(algorithm)

    def generate_key(
        self, uid: bytes, attributes: KeyAttributes, public_exponent: int
    ) -> CreatedKey:
        if isinstance(attributes.type, UnstructuredKeyType):
            octets = self._symmetric.generate(attributes)
            return self._files.keep_symmetric_key(uid, attributes.type, octets)
        key = _asymmetric.generate(attributes, public_exponent)
        return self._files.keep_private_key(uid, key)

    def import_key(
        self, uid: bytes, attributes: KeyAttributes, data: bytes
    ) -> CreatedKey:
        if isinstance(attributes.type, UnstructuredKeyType):
            return self._files.keep_symmetric_key(uid, attributes.type, data)
        return self._files.keep_private_key(uid, _asymmetric.decode(attributes, data))

    def destroy_key(self, uid: bytes) -> None:
        self._files.remove(uid)

    def sign_hash(
        self, key: KeyRecord, algorithm: AsymmetricSignature, hash_: bytes
    ) -> bytes:
        private_key = self._files.private_key(key)
        return _asymmetric.sign(private_key, key, algorithm, hash_)

    def asymmetric_decrypt(
        self,
        key: KeyRecord,
        algorithm: AsymmetricEncryption,
        ciphertext: bytes,
        label: bytes,
    ) -> bytes:
        private_key = self._files.private_key(key)
        return _asymmetric.decrypt(private_key, algorithm, ciphertext, label)

    def raw_key_agreement(
        self, key: KeyRecord, algorithm: KeyAgreement, peer_key: bytes
    ) -> bytes:
        return _asymmetric.agree(self._files.private_key(key), peer_key)

    def export_key(self, key: KeyRecord) -> bytes:
        if isinstance(key.attributes.type, UnstructuredKeyType):
            return self._files.symmetric_key(key)
        return _asymmetric.encode(self._files.private_key(key))

    def aead_encrypt(
        self,
        key: KeyRecord,
        algorithm: AeadAlgorithm,
        nonce: bytes,
        additional_data: bytes,
        plaintext: bytes,
    ) -> bytes:
        text = (nonce, additional_data, plaintext)
        return self._symmetric.aead_encrypt(key, algorithm, *text)

    def aead_decrypt(
        self,
        key: KeyRecord,
        algorithm: AeadAlgorithm,
        nonce: bytes,
        additional_data: bytes,
        ciphertext: bytes,
    ) -> bytes:
        text = (nonce, additional_data, ciphertext)
        return self._symmetric.aead_decrypt(key, algorithm, *text)

    def cipher_encrypt(
        self, key: KeyRecord, algorithm: Cipher, plaintext: bytes
    ) -> bytes:
        return self._symmetric.cipher_encrypt(key, algorithm, plaintext)

    def cipher_decrypt(
        self, key: KeyRecord, algorithm: Cipher, ciphertext: bytes
    ) -> bytes:
        return self._symmetric.cipher_decrypt(key, algorithm, ciphertext)

    def mac_compute(self, key: KeyRecord, algorithm: Mac, data: bytes) -> bytes:
        return self._symmetric.mac_compute(key, algorithm, data)

    def hash_compute(self, algorithm: Hash, data: bytes) -> bytes:
        check_hashes(algorithm)
        return digest(HASHES[algorithm], data)

    def generate_random(self, size: int) -> bytes:
        return os.urandom(size)

    def close(self) -> None:
        self._files.close()
