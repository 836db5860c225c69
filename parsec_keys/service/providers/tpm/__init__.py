"""The TPM provider: TPM 2.0 through tpm2-pytss.

Keys are made in the TPM and kept as blobs that only it can unwrap, so that their number
is not bounded by its memory. What it cannot pad itself is padded here over its bare RSA
operation.
"""

from __future__ import annotations

from typing import Final

from parsec_keys.errors import ConfigurationError, NotSupported
from parsec_keys.psa.algorithms import (
    AsymmetricEncryption,
    AsymmetricSignature,
    KeyAgreement,
    PermittedAlgorithm,
)
from parsec_keys.psa.attributes import EccKeyPair, KeyAttributes, RsaKeyPair
from parsec_keys.psa.operations import ProviderInfo
from parsec_keys.psa.operations.attestation import CredentialParameters
from parsec_keys.service.config import TpmConfig
from parsec_keys.service.implicit_rejection import RejectionSecrets
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers import AdoptedKey, CreatedKey, RustKey
from parsec_keys.service.providers.tpm import (
    _adoption,
    _attestation,
    _capabilities,
    _decryption,
    _keys,
    _rust_key,
    _signing,
)
from parsec_keys.service.providers.tpm._chip import Chip
from parsec_keys.service.providers.tpm._key_id import LONGEST_AUTH
from parsec_keys.service.secret import Secret

_UUID: Final = "1e4954a4-ff21-46d3-ab0c-661eeb667e1d"
_LONGEST_TCTI: Final = 1000
_RANDOM_CHUNK: Final = 64
"""A TPM gives as many random bytes at once as it likes: no more than a digest has."""


class TpmProvider:
    """Keeps keys under one TPM's owner hierarchy."""

    store_name = "tpm"

    def __init__(self, config: TpmConfig) -> None:
        self.info = ProviderInfo(
            config.name,
            3,
            _UUID,
            "TSS 2.0 ESAPI",
            "Trusted Computing Group (TCG)",
            (0, 1, 0),
        )
        self._secrets = RejectionSecrets()
        self._endorsement_auth = config.endorsement_hierarchy_auth
        _check_tcti(config.tcti)
        _check_auth(config.owner_hierarchy_auth, "owner_hierarchy_auth")
        _check_auth(config.endorsement_hierarchy_auth, "endorsement_hierarchy_auth")
        self._chip = Chip(config)
        asked = f"asking the TPM '{config.tcti}' what it can do"
        try:
            self._can = self._chip.run(asked, _capabilities.ask)
        except BaseException:
            self._chip.close()
            raise

    @classmethod
    def open(cls, config: TpmConfig) -> TpmProvider:
        """Open a TPM.

        Raises:
            ServiceUnavailable: it does not answer.
            AuthenticationError: its owner hierarchy has another auth value.
        """
        return cls(config)

    def check_key(self, attributes: KeyAttributes) -> None:
        key_type, bits = attributes.type, attributes.bits
        if isinstance(key_type, RsaKeyPair):
            if bits in self._can.rsa_sizes:
                return
            sizes = ", ".join(map(str, self._can.rsa_sizes))
            raise NotSupported(
                f"this TPM makes RSA keys of {sizes} bits, not of {bits}"
            )
        if isinstance(key_type, EccKeyPair):
            if (key_type.curve_family, bits) in self._can.curves:
                return
            curves = ", ".join(sorted(f"P-{bits}" for _, bits in self._can.curves))
            raise NotSupported(
                f"this TPM has the curves {curves}, not {key_type.curve_family} of "
                f"{bits} bits"
            )
        raise NotSupported(f"provider '{self.info.name}' keeps no {key_type}")

    def check_algorithm(
        self, attributes: KeyAttributes, algorithm: PermittedAlgorithm
    ) -> None:
        _signing.check(algorithm)

    def generate_key(
        self, uid: bytes, attributes: KeyAttributes, public_exponent: int
    ) -> CreatedKey:
        _keys.check_exponent(public_exponent)
        return _keys.generate(self._chip, attributes)

    def import_key(
        self, uid: bytes, attributes: KeyAttributes, data: bytes
    ) -> CreatedKey:
        return _keys.import_key(self._chip, attributes, data)

    def destroy_key(self, uid: bytes) -> None:
        # The blob in the record is all there is of a key outside of a slot.
        self._chip.forget(uid)
        self._secrets.forget(uid)

    def sign_hash(
        self, key: KeyRecord, algorithm: AsymmetricSignature, hash_: bytes
    ) -> bytes:
        return _signing.sign(self._chip, self._can, key, algorithm, hash_)

    def asymmetric_decrypt(
        self,
        key: KeyRecord,
        algorithm: AsymmetricEncryption,
        ciphertext: bytes,
        label: bytes,
    ) -> bytes:
        return _decryption.decrypt(
            self._chip, self._can, self._secrets, key, algorithm, ciphertext, label
        )

    def raw_key_agreement(
        self, key: KeyRecord, algorithm: KeyAgreement, peer_key: bytes
    ) -> bytes:
        return _decryption.agree(self._chip, key, peer_key)

    def prepare_key_attestation(
        self, key: KeyRecord, attesting_key_name: str
    ) -> CredentialParameters:
        _attestation.check(attesting_key_name)
        return _attestation.prepare(self._chip, self._endorsement_auth, key)

    def attest_key(
        self,
        key: KeyRecord,
        attesting_key_name: str,
        credential_blob: bytes,
        secret: bytes,
    ) -> bytes:
        _attestation.check(attesting_key_name)
        return _attestation.attest(
            self._chip, self._endorsement_auth, key, credential_blob, secret
        )

    def generate_random(self, size: int) -> bytes:
        random = bytearray()
        while len(random) < size:
            wanted = min(size - len(random), _RANDOM_CHUNK)
            random += self._chip.run(
                "asking the TPM for random bytes",
                lambda esapi: bytes(esapi.get_random(wanted)),  # noqa: B023
            )
        return bytes(random)

    def find_key(self, reference: str) -> AdoptedKey:
        """A key made elsewhere: ``handle=0x81…`` or ``file=`` a TSS2 PRIVATE KEY."""
        return _adoption.find(self._chip, reference)

    def find_rust_key(self, key: RustKey) -> AdoptedKey:
        return _rust_key.find(self._chip, key)

    def close(self) -> None:
        self._chip.close()
        self._endorsement_auth = None


def _check_tcti(tcti: str) -> None:
    # tpm2-tss copies it onto its stack: ten million characters end the process.
    if len(tcti) > _LONGEST_TCTI or "\0" in tcti:
        raise ConfigurationError(
            f"a TCTI has at most {_LONGEST_TCTI} characters and no NUL: write "
            "device:/dev/tpmrm0, or swtpm:port=2321 for an emulator"
        )


def _check_auth(auth: Secret | None, name: str) -> None:
    if auth is not None and len(auth) > LONGEST_AUTH:
        raise ConfigurationError(
            f"{name} has {len(auth)} octets, and no TPM has an auth value of more than "
            f"{LONGEST_AUTH}: correct it, or its file"
        )
