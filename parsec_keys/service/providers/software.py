"""The software provider: pyca's own keys, kept in files. As safe as a PEM file.

Each key is one PKCS#8 file, 0600 in a 0700 folder, written whole or not at all; with a
passphrase it is encrypted. What is signed or decrypted is pyca's doing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, cast

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from parsec_keys._pyca import HASHES
from parsec_keys.errors import (
    AuthenticationError,
    DecryptionFailed,
    InvalidArgument,
    KeyNotFound,
    NotSupported,
    ServiceUnavailable,
    StorageFailure,
)
from parsec_keys.psa.algorithms import (
    AsymmetricEncryption,
    AsymmetricSignature,
    EccSignature,
    Ecdsa,
    Hash,
    KeyAgreement,
    PermittedAlgorithm,
    RsaOaep,
    RsaPkcs1v15Sign,
    RsaPss,
    RsaSignature,
)
from parsec_keys.psa.attributes import KeyAttributes, RsaKeyPair
from parsec_keys.psa.operations import ProviderInfo
from parsec_keys.service.config import SoftwareConfig
from parsec_keys.service.key_formats import (
    curve_of,
    decode_ecc_private_key,
    decode_rsa_private_key,
    scalar_length,
)
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.owned_files import (
    own_directory,
    sync_directory,
    unusable,
    write_whole,
)
from parsec_keys.service.providers import CreatedKey
from parsec_keys.service.rsa_padding import pss_parameters

_UUID: Final = "1c1139dc-ad7c-47dc-ad6b-db6fdb466552"
FOLDER: Final = "software"
"""Where the keys are, in the store's folder."""
_RSA_BITS: Final = range(1024, 16384 + 1)
_PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_RsaScheme = tuple[padding.AsymmetricPadding, utils.Prehashed | utils.NoDigestInfo]

_PREHASHED: Final = {hash_: utils.Prehashed(each) for hash_, each in HASHES.items()}
_ECDSA: Final = {hash_: ec.ECDSA(each) for hash_, each in _PREHASHED.items()}
_DETERMINISTIC_ECDSA: Final = {
    hash_: ec.ECDSA(each, deterministic_signing=True)
    for hash_, each in _PREHASHED.items()
}


class SoftwareProvider:
    """Keeps pyca's keys in a folder. Implements every capability."""

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
        self._directory = config.directory / FOLDER
        self._passphrase = config.passphrase
        self._keys: dict[bytes, _PrivateKey] = {}
        self._closed = False

    @classmethod
    def open(cls, config: SoftwareConfig) -> SoftwareProvider:
        """Use a folder, made where it is not there.

        Raises:
            StorageFailure: it cannot be used, or others can write to it.
        """
        provider = cls(config)
        own_directory(provider._directory)
        return provider

    def check_key(self, attributes: KeyAttributes) -> None:
        if not isinstance(attributes.type, RsaKeyPair):
            curve_of(attributes)
        elif attributes.bits not in _RSA_BITS:
            raise NotSupported(
                f"provider '{self.info.name}' makes RSA keys of {_RSA_BITS[0]} to "
                f"{_RSA_BITS[-1]} bits, not of {attributes.bits}"
            )

    def check_algorithm(
        self, attributes: KeyAttributes, algorithm: PermittedAlgorithm
    ) -> None:
        for attribute in ("hash", "mgf_hash"):
            hash_ = getattr(algorithm, attribute, None)
            if isinstance(hash_, Hash) and hash_ not in HASHES:
                raise NotSupported(f"provider '{self.info.name}' has no {hash_}")

    def generate_key(
        self, uid: bytes, attributes: KeyAttributes, public_exponent: int
    ) -> CreatedKey:
        key: _PrivateKey
        if isinstance(attributes.type, RsaKeyPair):
            try:
                key = rsa.generate_private_key(public_exponent, attributes.bits)
            except ValueError as e:
                raise InvalidArgument(str(e)) from None
        else:
            key = ec.generate_private_key(curve_of(attributes))
        return self._keep(uid, key)

    def import_key(
        self, uid: bytes, attributes: KeyAttributes, data: bytes
    ) -> CreatedKey:
        key: _PrivateKey
        if isinstance(attributes.type, RsaKeyPair):
            key = decode_rsa_private_key(data).private_key()
        else:
            key = decode_ecc_private_key(data, curve_of(attributes)).private_key()
        return self._keep(uid, key)

    def destroy_key(self, uid: bytes) -> None:
        self._keys.pop(uid, None)
        try:
            self._path(uid).unlink(missing_ok=True)
            sync_directory(self._directory)
        except OSError as e:
            raise unusable(self._directory, e) from e

    def sign_hash(
        self, key: KeyRecord, algorithm: AsymmetricSignature, hash_: bytes
    ) -> bytes:
        private_key = self._keys.get(key.uid) or self._load(key)
        try:
            if isinstance(private_key, ec.EllipticCurvePrivateKey):
                ecdsa = _ecdsa(cast(EccSignature, algorithm), len(hash_))
                r, s = utils.decode_dss_signature(private_key.sign(hash_, ecdsa))
                length = (private_key.key_size + 7) // 8
                return r.to_bytes(length, "big") + s.to_bytes(length, "big")
            scheme, prehashed = _rsa_scheme(cast(RsaSignature, algorithm))
            return private_key.sign(hash_, scheme, prehashed)
        except ValueError as e:
            raise InvalidArgument(str(e)) from None
        except KeyError:
            raise NotSupported(f"{key.described} has no {algorithm}") from None

    def asymmetric_decrypt(
        self,
        key: KeyRecord,
        algorithm: AsymmetricEncryption,
        ciphertext: bytes,
        label: bytes,
    ) -> bytes:
        private_key = self._keys.get(key.uid) or self._load(key)
        assert isinstance(private_key, rsa.RSAPrivateKey)  # noqa: S101
        try:
            return private_key.decrypt(ciphertext, _encryption(algorithm, label))
        except ValueError:
            raise DecryptionFailed from None

    def raw_key_agreement(
        self, key: KeyRecord, algorithm: KeyAgreement, peer_key: bytes
    ) -> bytes:
        private_key = self._keys.get(key.uid) or self._load(key)
        assert isinstance(private_key, ec.EllipticCurvePrivateKey)  # noqa: S101
        try:
            peer = ec.EllipticCurvePublicKey.from_encoded_point(
                private_key.curve, peer_key
            )
            return private_key.exchange(ec.ECDH(), peer)
        except ValueError:
            raise InvalidArgument("Error computing shared key.") from None

    def export_key(self, key: KeyRecord) -> bytes:
        private_key = self._keys.get(key.uid) or self._load(key)
        if isinstance(private_key, ec.EllipticCurvePrivateKey):
            length = scalar_length(private_key.curve)
            return private_key.private_numbers().private_value.to_bytes(length, "big")
        return private_key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )

    def generate_random(self, size: int) -> bytes:
        return os.urandom(size)

    def close(self) -> None:
        self._closed = True
        self._keys.clear()

    def _path(self, uid: bytes) -> Path:
        return self._directory / f"{uid.hex()}.pem"

    def _keep(self, uid: bytes, key: _PrivateKey) -> CreatedKey:
        encryption: serialization.KeySerializationEncryption
        encryption = serialization.NoEncryption()
        if self._passphrase is not None:
            encryption = serialization.BestAvailableEncryption(self._passphrase)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
        try:
            write_whole(self._path(uid), pem)
        except OSError as e:
            raise unusable(self._directory, e) from e
        self._keys[uid] = key
        return CreatedKey(uid, _public_key(key))

    def _load(self, record: KeyRecord) -> _PrivateKey:
        if self._closed:
            raise ServiceUnavailable("this key store is closed: open it again")
        path = self._path(record.uid)
        try:
            pem = path.read_bytes()
        except FileNotFoundError:
            raise KeyNotFound(
                f"the file of {record.described}, {path}, is gone: restore it from a "
                "backup, or delete the key"
            ) from None
        except OSError as e:
            raise unusable(path, e) from e
        key = self._parse(record, pem)
        if _public_key(key) != record.public_key:
            raise StorageFailure(f"{path} holds another key than {record.described}")
        self._keys[record.uid] = key
        return key

    def _parse(self, record: KeyRecord, pem: bytes) -> _PrivateKey:
        encrypted = b"BEGIN ENCRYPTED" in pem
        if encrypted and self._passphrase is None:
            raise AuthenticationError(
                f"{record.described} is encrypted: give the store its passphrase"
            )
        try:
            key = serialization.load_pem_private_key(
                pem, self._passphrase if encrypted else None
            )
        except ValueError:
            # The parser's message may quote the file, which is secret.
            if encrypted:
                raise AuthenticationError(
                    f"the store's passphrase does not open {record.described}"
                ) from None
            raise StorageFailure(
                f"the file of {record.described} is no key any more: restore "
                f"{self._path(record.uid)} from a backup, or delete the key"
            ) from None
        if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
            raise StorageFailure(f"the file of {record.described} holds another type")
        return key


def _public_key(key: _PrivateKey) -> bytes:
    public_key = key.public_key()
    if isinstance(public_key, rsa.RSAPublicKey):
        return public_key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.PKCS1
        )
    return public_key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def _ecdsa(algorithm: EccSignature, length: int) -> ec.ECDSA:
    hash_ = getattr(algorithm, "hash", None)
    if hash_ is None:
        # Of a digest that is already there, pyca asks the length and nothing else.
        return ec.ECDSA(utils.Prehashed(hashes.SHAKE256(length)))
    table = _ECDSA if isinstance(algorithm, Ecdsa) else _DETERMINISTIC_ECDSA
    return table[hash_]


def _rsa_scheme(algorithm: RsaSignature) -> _RsaScheme:
    if isinstance(algorithm, RsaPss):
        hash_, mgf_hash, salt_length = pss_parameters(algorithm)
        mgf = padding.MGF1(HASHES[mgf_hash])
        return padding.PSS(mgf, salt_length), _PREHASHED[hash_]
    if isinstance(algorithm, RsaPkcs1v15Sign) and isinstance(algorithm.hash, Hash):
        return padding.PKCS1v15(), _PREHASHED[algorithm.hash]
    return padding.PKCS1v15(), utils.NoDigestInfo()


def _encryption(
    algorithm: AsymmetricEncryption, label: bytes
) -> padding.AsymmetricPadding:
    if not isinstance(algorithm, RsaOaep):
        return padding.PKCS1v15()
    mgf = padding.MGF1(HASHES[algorithm.mgf_hash or algorithm.hash])
    return padding.OAEP(mgf, HASHES[algorithm.hash], label or None)
