"""What the service asks of a provider: one small protocol and optional capabilities.

A provider trusts its caller: the dispatcher has already resolved the key and checked
its policy. Each method does exactly what the algorithm says or raises ``NotSupported``
before anything is signed. All methods may be called from any thread, and in a child
after a fork. Providers never import each other; what they share are functions in
``key_formats`` and ``rsa_padding``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from parsec_keys.psa.algorithms import (
    AsymmetricEncryption,
    AsymmetricSignature,
    Hash,
    KeyAgreement,
    PermittedAlgorithm,
)
from parsec_keys.psa.attributes import KeyAttributes
from parsec_keys.psa.operations import ProviderInfo
from parsec_keys.service.key_info import KeyRecord

if TYPE_CHECKING:
    from parsec_keys.psa.operations.attestation import CredentialParameters
    from parsec_keys.psa.symmetric import AeadAlgorithm, Cipher, Mac


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """What a provider made: its own reference, and the public key in PSA's format.

    A symmetric key has an empty public key.
    """

    key_id: bytes = field(repr=False)
    public_key: bytes


class Provider(Protocol):
    """Keeps keys on one platform facility.

    Every provider can make, import and destroy keys; what it can do with them is in
    the capabilities below, which are asked for with ``isinstance``. It sees no public
    keys: those are in the key info alone, and what they do needs no provider.
    """

    info: ProviderInfo
    store_name: str
    """Names the facility in a path, for a key store that nobody chose a folder for."""

    def check_key(self, attributes: KeyAttributes) -> None:
        """Pass if this provider can keep a key of this type and size.

        Raises:
            NotSupported: it cannot, with what it can instead.
        """

    def check_algorithm(
        self, attributes: KeyAttributes, algorithm: PermittedAlgorithm
    ) -> None:
        """Pass if a key of these attributes can do this algorithm here.

        Raises:
            NotSupported: it cannot, with the reason.
        """

    def generate_key(
        self, uid: bytes, attributes: KeyAttributes, public_exponent: int
    ) -> CreatedKey:
        """Make a key. It leaves nothing behind when it raises.

        ``uid`` is 16 bytes, unique to this key: whatever the provider leaves in a
        facility must be found again by it.
        """

    def import_key(
        self, uid: bytes, attributes: KeyAttributes, data: bytes
    ) -> CreatedKey:
        """Take in a key: ``data`` as in ``PsaImportKey``, attributes already fit it."""

    def destroy_key(self, uid: bytes) -> None:
        """Remove all that the facility has of ``uid``; nothing there is no error."""

    def close(self) -> None:
        """Release the facility: no object, session or lock of ours stays in it."""


@runtime_checkable
class Signer(Protocol):
    """Signs digests."""

    def sign_hash(
        self, key: KeyRecord, algorithm: AsymmetricSignature, hash_: bytes
    ) -> bytes:
        """Sign. ECDSA answers ``r`` and ``s``, each as long as the curve's order."""


@runtime_checkable
class Decrypter(Protocol):
    """Decrypts what was encrypted to a key."""

    def asymmetric_decrypt(
        self,
        key: KeyRecord,
        algorithm: AsymmetricEncryption,
        ciphertext: bytes,
        label: bytes,
    ) -> bytes:
        """Decrypt. ``ciphertext`` is as long as the modulus.

        Raises:
            DecryptionFailed: a bad ciphertext, and nothing else; PKCS#1 v1.5 padding
                that is wrong gives a pseudo-random message instead.
        """


@runtime_checkable
class KeyAgreer(Protocol):
    """Agrees on a secret with a peer's public key."""

    def raw_key_agreement(
        self, key: KeyRecord, algorithm: KeyAgreement, peer_key: bytes
    ) -> bytes:
        """The shared secret; a point of a Weierstrass curve is known to be on it.

        Raises:
            InvalidArgument: ``peer_key`` gives no secret.
        """


@runtime_checkable
class KeyExporter(Protocol):
    """Gives away private keys whose policy has the export flag."""

    def export_key(self, key: KeyRecord) -> bytes:
        """The private key, in the format of ``PsaImportKey``."""


@runtime_checkable
class Attester(Protocol):
    """Proves to somebody else that a key is in this facility.

    An empty ``attesting_key_name`` means the facility's own endorsement key.
    """

    def prepare_key_attestation(
        self, key: KeyRecord, attesting_key_name: str
    ) -> CredentialParameters:
        """What a verifier needs to make a credential that only ``key`` opens."""

    def attest_key(
        self,
        key: KeyRecord,
        attesting_key_name: str,
        credential_blob: bytes,
        secret: bytes,
    ) -> bytes:
        """The credential.

        Raises:
            InvalidArgument: it was made for another key or facility, or is damaged.
        """


@runtime_checkable
class RandomGenerator(Protocol):
    """Has a random number generator."""

    def generate_random(self, size: int) -> bytes:
        """Exactly ``size`` random bytes."""


@runtime_checkable
class AuthenticatedEncrypter(Protocol):
    """Encrypts and authenticates with symmetric keys."""

    def aead_encrypt(
        self,
        key: KeyRecord,
        algorithm: AeadAlgorithm,
        nonce: bytes,
        additional_data: bytes,
        plaintext: bytes,
    ) -> bytes:
        """The ciphertext, then the tag."""

    def aead_decrypt(
        self,
        key: KeyRecord,
        algorithm: AeadAlgorithm,
        nonce: bytes,
        additional_data: bytes,
        ciphertext: bytes,
    ) -> bytes:
        """The plaintext.

        Raises:
            InvalidSignature: the tag is not that of the ciphertext.
        """


@runtime_checkable
class Encrypter(Protocol):
    """Encrypts with symmetric keys, without authentication."""

    def cipher_encrypt(
        self, key: KeyRecord, algorithm: Cipher, plaintext: bytes
    ) -> bytes:
        """A random IV, then the ciphertext."""

    def cipher_decrypt(
        self, key: KeyRecord, algorithm: Cipher, ciphertext: bytes
    ) -> bytes:
        """The plaintext of an IV and a ciphertext."""


@runtime_checkable
class MacComputer(Protocol):
    """Computes message authentication codes with symmetric keys."""

    def mac_compute(self, key: KeyRecord, algorithm: Mac, data: bytes) -> bytes:
        """The MAC, cut where the algorithm says so."""


@runtime_checkable
class Hasher(Protocol):
    """Computes hashes."""

    def hash_compute(self, algorithm: Hash, data: bytes) -> bytes:
        """The hash.

        Raises:
            NotSupported: it has no such hash.
        """


@dataclass(frozen=True, slots=True)
class AdoptedKey:
    """A key that was already there: its reference, public key and attributes.

    ``uid`` is what ``destroy_key`` destroys it by; ``None`` stands for a key that stays
    in its facility when its name goes.
    """

    key_id: bytes = field(repr=False)
    public_key: bytes
    attributes: KeyAttributes
    uid: bytes | None = None


@runtime_checkable
class KeyFinder(Protocol):
    """Uses keys that were there before, by the words of the facility itself."""

    def find_key(self, reference: str) -> AdoptedKey:
        """The key that ``reference`` names; each provider says what words it takes.

        Raises:
            KeyNotFound: there is none, or more than one.
            NotSupported: it is of a kind that no key class of ours is.
        """


@dataclass(frozen=True, slots=True)
class RustKey:
    """A key that the Rust Parsec service made: its key id there, and its attributes.

    ``root`` is the key id of the TPM's primary key, which that service keeps too.
    """

    key_id: bytes = field(repr=False)
    attributes: KeyAttributes
    root: bytes | None = None


@runtime_checkable
class RustKeyFinder(Protocol):
    """Uses keys that the Rust Parsec service's provider made in the same facility."""

    def find_rust_key(self, key: RustKey) -> AdoptedKey:
        """The key, where it is; nothing in the facility is changed.

        Raises:
            KeyNotFound: it is not there any more.
            NotSupported: it is of a kind that no key class of ours is.
            StorageFailure: its key id is damaged.
        """
