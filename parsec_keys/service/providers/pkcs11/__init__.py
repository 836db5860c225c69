"""The PKCS#11 provider: any token through python-pkcs11.

Keys are made on the token and do not leave it. Digests are computed here and signed
with the portable mechanisms; what the token cannot pad is padded here over its bare RSA
operation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final, TypeVar

from parsec_keys.errors import DecryptionFailed, NotPermitted
from parsec_keys.psa.algorithms import (
    AsymmetricEncryption,
    AsymmetricSignature,
    KeyAgreement,
    PermittedAlgorithm,
    RsaOaep,
)
from parsec_keys.psa.attributes import KeyAttributes, UsageFlags
from parsec_keys.psa.operations import ProviderInfo
from parsec_keys.service.config import Pkcs11Config
from parsec_keys.service.implicit_rejection import RejectionSecrets
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers import AdoptedKey, CreatedKey, RustKey
from parsec_keys.service.providers.pkcs11 import (
    _adoption,
    _decryption,
    _keys,
    _signing,
)
from parsec_keys.service.providers.pkcs11._cryptoki import exceptions
from parsec_keys.service.providers.pkcs11._token import PooledSession, Token

T = TypeVar("T")
_UUID: Final = "30e39502-eba6-4d60-a4af-c518b7f5e38f"
_RANDOM_CHUNK: Final = 4096


class Pkcs11Provider:
    """Keeps keys on one token."""

    def __init__(self, config: Pkcs11Config) -> None:
        self.info = ProviderInfo(
            config.name, 2, _UUID, "PKCS #11", "OASIS Standard.", (0, 1, 0)
        )
        self._token = Token(config)
        self._can = self._token.can
        self._secrets = RejectionSecrets()
        self._allow_export = config.allow_export
        self.store_name = f"pkcs11-{self._token.serial}"

    @classmethod
    def open(cls, config: Pkcs11Config) -> Pkcs11Provider:
        """Open a token and log in.

        Raises:
            ServiceUnavailable: no module, or no such token.
            ConfigurationError: several tokens match.
            PinIncorrect, PinLocked, AuthenticationError: the token does not let us in.
        """
        return cls(config)

    def check_key(self, attributes: KeyAttributes) -> None:
        if attributes.policy.usage & UsageFlags.EXPORT and not self._allow_export:
            raise NotPermitted(
                f"provider '{self.info.name}' is configured to make no keys that give "
                "their secret away: leave out the usage flag export"
            )
        self._can.check_key(attributes)

    def check_algorithm(
        self, attributes: KeyAttributes, algorithm: PermittedAlgorithm
    ) -> None:
        self._can.check_algorithm(algorithm)

    def generate_key(
        self, uid: bytes, attributes: KeyAttributes, public_exponent: int
    ) -> CreatedKey:
        return self._make(
            uid,
            f"making an {attributes.type} of {attributes.bits} bits",
            lambda session: _keys.generate(session, uid, attributes, public_exponent),
        )

    def import_key(
        self, uid: bytes, attributes: KeyAttributes, data: bytes
    ) -> CreatedKey:
        return self._make(
            uid,
            f"importing an {attributes.type} of {attributes.bits} bits",
            lambda session: _keys.import_key(session, uid, attributes, data),
        )

    def destroy_key(self, uid: bytes) -> None:
        self._secrets.forget(uid)
        # Before it is gone, and after it, for who has found it meanwhile.
        self._token.forget(uid)
        self._token.run("removing a key", lambda session: _keys.destroy(session, uid))
        self._token.forget(uid)

    def export_key(self, key: KeyRecord) -> bytes:
        return self._with_key(
            key, lambda private_key: _keys.export(private_key, key.attributes)
        )

    def sign_hash(
        self, key: KeyRecord, algorithm: AsymmetricSignature, hash_: bytes
    ) -> bytes:
        self._can.check_algorithm(algorithm)
        return self._with_key(
            key,
            lambda private_key: _signing.sign(
                private_key, self._can, key, algorithm, hash_
            ),
        )

    def asymmetric_decrypt(
        self,
        key: KeyRecord,
        algorithm: AsymmetricEncryption,
        ciphertext: bytes,
        label: bytes,
    ) -> bytes:
        self._can.check_algorithm(algorithm)
        with contextlib.suppress(_decryption.Unclear):
            return self._with_key(
                key,
                lambda private_key: _decryption.decrypt(
                    private_key,
                    self._can,
                    self._secrets,
                    key,
                    algorithm,
                    ciphertext,
                    label,
                ),
            )
        # Whose fault it is, a ciphertext that is good tells, in another session.
        assert isinstance(algorithm, RsaOaep)  # noqa: S101
        self._with_key(
            key,
            lambda private_key: _decryption.check_oaep(
                private_key, key, algorithm, label
            ),
        )
        raise DecryptionFailed

    def raw_key_agreement(
        self, key: KeyRecord, algorithm: KeyAgreement, peer_key: bytes
    ) -> bytes:
        self._can.check_algorithm(algorithm)
        return self._with_key(
            key, lambda private_key: _decryption.agree(private_key, peer_key)
        )

    def generate_random(self, size: int) -> bytes:
        random = bytearray()
        while len(random) < size:
            bits = 8 * min(size - len(random), _RANDOM_CHUNK)
            random += self._token.run(
                "asking the token for random bytes",
                lambda session: bytes(session.session.generate_random(bits)),  # noqa: B023
            )
        return bytes(random)

    def find_key(self, reference: str) -> AdoptedKey:
        """A key that was there before: ``object=LABEL;id=%01`` (RFC 7512)."""
        return self._token.run(
            f"looking for '{reference}'",
            lambda session: _adoption.find(session, reference),
        )

    def find_rust_key(self, key: RustKey) -> AdoptedKey:
        return self._token.run(
            "looking for a key of the Rust Parsec service",
            lambda session: _adoption.find_rust_key(session, key),
        )

    def close(self) -> None:
        self._token.close()

    def _make(
        self, uid: bytes, asked: str, make: Callable[[PooledSession], CreatedKey]
    ) -> CreatedKey:
        """Make a key; half of one is removed before another try, and at the end."""
        tries = 0

        def attempt(session: PooledSession) -> CreatedKey:
            nonlocal tries
            tries += 1
            if tries > 1:  # The session was lost, perhaps after the token had made it.
                _keys.destroy(session, uid)
            try:
                return make(session)
            except BaseException:
                with contextlib.suppress(exceptions.PKCS11Error):
                    _keys.destroy(session, uid)
                raise

        return self._token.run(asked, attempt)

    def _with_key(self, key: KeyRecord, use: Callable[[Any], T]) -> T:
        return self._token.run(
            f"using {key.described}",
            lambda session: use(
                session.private_key(key.key_id, _keys.find(key.key_id))
            ),
        )
