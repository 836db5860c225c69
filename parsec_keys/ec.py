"""Elliptic-curve private keys that an engine holds, as pyca's own kind."""

from __future__ import annotations

import typing

from cryptography.exceptions import UnsupportedAlgorithm, _Reasons
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.utils import Buffer

from parsec_keys import _translate
from parsec_keys._key import PublicNumbersOnly, ServiceKey
from parsec_keys.psa.algorithms import ECDH
from parsec_keys.psa.operations import PsaRawKeyAgreement, PsaSignHash

if typing.TYPE_CHECKING:
    from cryptography.hazmat.primitives import serialization

    from parsec_keys.engine import Engine
    from parsec_keys.psa.operations import KeyInfo


class EllipticCurvePrivateKey(ServiceKey, ec.EllipticCurvePrivateKey):
    """A private key on an elliptic curve in a TPM, a token or another provider.

    A ``cryptography`` key in every respect but one: the secret does not come out.
    Made by ``KeyStore`` and ``load_key``; safe to use from many threads.
    """

    def __init__(
        self,
        engine: Engine,
        info: KeyInfo,
        fingerprint: bytes,
        uri: str,
        public_key: ec.EllipticCurvePublicKey,
    ) -> None:
        super().__init__(engine, info, fingerprint, uri)
        self._public_key = public_key

    def __repr__(self) -> str:
        return (
            f"<parsec_keys EllipticCurvePrivateKey '{self.name}' in "
            f"'{self.provider}', {self.curve.name}>"
        )

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve."""
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        """The length of the curve's order in bits."""
        return self._public_key.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """pyca's own public key object."""
        return self._public_key

    def sign(
        self,
        data: Buffer,
        signature_algorithm: ec.EllipticCurveSignatureAlgorithm,
    ) -> bytes:
        """Sign as pyca's own key does: DER (FIPS 186-5, section 6.4; RFC 3279).

        Raises:
            TypeError, ValueError, UnsupportedAlgorithm: where pyca raises them.
            NotSupported: this provider cannot do exactly this; nothing was signed.
            NotPermitted: the key's policy forbids it.
            Error: the provider failed.
        """
        ecdsa = _translate.check_ecdsa(signature_algorithm)
        hashed, hash_algorithm = _translate.digest(data, ecdsa.algorithm)
        asked = _translate.ecdsa(hash_algorithm, ecdsa.deterministic_signing)
        return _translate.der_signature(
            self._engine.execute(
                PsaSignHash(self._name, asked, hashed, self._fingerprint)
            )
        )

    def exchange(
        self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey
    ) -> bytes:
        """Agree on a secret as pyca's own key does: the X coordinate (SEC 1, 3.3.1).

        Raises:
            TypeError, ValueError, UnsupportedAlgorithm: where pyca raises them.
            NotSupported: this provider cannot.
            NotPermitted: the key's policy forbids it.
            Error: the provider failed.
        """
        # Our own public key is pyca's class, which pyca's keys insist on too.
        if not isinstance(peer_public_key, type(self._public_key)):
            raise TypeError(
                f"argument 'peer_public_key': '{type(peer_public_key).__name__}' "
                "object is not an instance of 'ECPublicKey'"
            )
        if not isinstance(algorithm, ec.ECDH):
            raise UnsupportedAlgorithm(
                "Unsupported EC exchange algorithm",
                _Reasons.UNSUPPORTED_EXCHANGE_ALGORITHM,
            )
        if peer_public_key.curve.name != self.curve.name:
            raise ValueError("Error computing shared key.")
        from parsec_keys._key_data import point

        peer_key = point(peer_public_key)
        return self._engine.execute(
            PsaRawKeyAgreement(self._name, ECDH, peer_key, self._fingerprint)
        )

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        """An object that has ``public_numbers`` and refuses the rest.

        A key whose policy has the export flag gives the real numbers.
        """
        if self._is_exportable:
            return self._exported_key().private_numbers()
        refusal = self._not_exportable("private_numbers()")
        numbers = PublicNumbersOnly(self._public_key.public_numbers(), refusal)
        return typing.cast(ec.EllipticCurvePrivateNumbers, numbers)

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
            return self._reference(_reference.EC_OID, *arguments)
        key = self._exported_key()
        return key.private_bytes(encoding, format, encryption_algorithm)

    def _exported_key(self) -> ec.EllipticCurvePrivateKey:
        data = self._exported()
        return ec.derive_private_key(int.from_bytes(data, "big"), self.curve)
