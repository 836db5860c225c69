"""RSA private keys that an engine holds, as pyca's ``RSAPrivateKey``."""

from __future__ import annotations

import typing

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding as asym_padding
from cryptography.hazmat.primitives.asymmetric import rsa, utils
from cryptography.utils import Buffer

from parsec_keys import _translate
from parsec_keys._key import PublicNumbersOnly, ServiceKey
from parsec_keys.psa.operations import PsaAsymmetricDecrypt, PsaSignHash

if typing.TYPE_CHECKING:
    from cryptography.hazmat.primitives import serialization

    from parsec_keys.engine import Engine
    from parsec_keys.psa.operations import KeyInfo


class RSAPrivateKey(ServiceKey, rsa.RSAPrivateKey):
    """An RSA private key in a TPM, a token or another provider.

    A ``cryptography`` key in every respect but one: the secret does not come out.
    Made by ``KeyStore`` and ``load_key``; safe to use from many threads.
    """

    def __init__(
        self,
        engine: Engine,
        info: KeyInfo,
        fingerprint: bytes,
        uri: str,
        public_key: rsa.RSAPublicKey,
    ) -> None:
        super().__init__(engine, info, fingerprint, uri)
        self._public_key = public_key
        self._key_size = public_key.key_size

    def __repr__(self) -> str:
        return (
            f"<parsec_keys RSAPrivateKey '{self.name}' in '{self.provider}', "
            f"{self._key_size} bits>"
        )

    @property
    def key_size(self) -> int:
        """The length of the modulus in bits."""
        return self._key_size

    def public_key(self) -> rsa.RSAPublicKey:
        """pyca's own public key object."""
        return self._public_key

    def sign(
        self,
        data: Buffer,
        padding: asym_padding.AsymmetricPadding,
        algorithm: hashes.HashAlgorithm | utils.Prehashed | utils.NoDigestInfo,
    ) -> bytes:
        """Sign as pyca's own key does (RFC 8017, sections 8.1 and 8.2).

        Raises:
            TypeError, ValueError, UnsupportedAlgorithm: where pyca raises them.
            NotSupported: this provider cannot do exactly this; nothing was signed.
            NotPermitted: the key's policy forbids it.
            Error: the provider failed.
        """
        if isinstance(algorithm, utils.NoDigestInfo):
            return self._sign_octets(_translate.octets(data), padding, algorithm)
        hashed, hash_algorithm = _translate.digest(data, algorithm)
        return self._sign_octets(hashed, padding, hash_algorithm)

    def decrypt(
        self, ciphertext: bytes, padding: asym_padding.AsymmetricPadding
    ) -> bytes:
        """Decrypt as pyca's own key does (RFC 8017, sections 7.1 and 7.2).

        A ciphertext with broken PKCS#1 v1.5 padding gives a pseudo-random message.

        Raises:
            TypeError, UnsupportedAlgorithm: where pyca raises them.
            ValueError: the ciphertext does not decrypt, and nothing else.
            NotSupported: this provider cannot do exactly this.
            NotPermitted: the key's policy forbids it.
            Error: the provider failed.
        """
        if not isinstance(ciphertext, bytes):
            raise TypeError(
                f"argument 'ciphertext': '{type(ciphertext).__name__}' object is not "
                "an instance of 'bytes'"
            )
        if len(ciphertext) != (self._key_size + 7) // 8:
            raise ValueError("Ciphertext length must be equal to key size.")
        algorithm, label = _translate.rsa_encryption(padding)
        return self._engine.execute(
            PsaAsymmetricDecrypt(
                self._name, algorithm, ciphertext, label, self._fingerprint
            )
        )

    def private_numbers(self) -> rsa.RSAPrivateNumbers:
        """An object that has ``public_numbers`` and refuses the rest.

        A key whose policy has the export flag gives the real numbers.
        """
        if self._is_exportable:
            return self._exported_key().private_numbers()
        refusal = self._not_exportable("private_numbers()")
        numbers = PublicNumbersOnly(self._public_key.public_numbers(), refusal)
        return typing.cast(rsa.RSAPrivateNumbers, numbers)

    def private_bytes(
        self,
        encoding: serialization.Encoding,
        format: serialization.PrivateFormat,
        encryption_algorithm: serialization.KeySerializationEncryption,
    ) -> bytes:
        """A key reference: unencrypted PKCS#8 in form, the key's URI in content.

        It registers our OpenSSL provider, so that ``ssl`` and pyOpenSSL take it for the
        key. A key whose policy has the export flag gives the secret, in any format.

        Raises:
            NotExportable: another format, or encryption, of a key without the flag.
            TypeError: no encoding, format or encryption.
        """
        if not self._is_exportable:
            from parsec_keys.tls import _reference

            arguments = (encoding, format, encryption_algorithm)
            return self._reference(_reference.RSA_OID, *arguments)
        key = self._exported_key()
        return key.private_bytes(encoding, format, encryption_algorithm)

    def _sign_octets(
        self,
        hashed: bytes,
        padding: asym_padding.AsymmetricPadding,
        algorithm: hashes.HashAlgorithm | utils.NoDigestInfo,
    ) -> bytes:
        asked = _translate.rsa_signature(padding, algorithm, self._key_size)
        if isinstance(algorithm, utils.NoDigestInfo):
            _translate.check_raw(hashed, self._key_size)
        return self._engine.execute(
            PsaSignHash(self._name, asked, hashed, self._fingerprint)
        )

    def _exported_key(self) -> rsa.RSAPrivateKey:
        from parsec_keys._key_data import rsa_private_key

        return rsa_private_key(self._exported())
