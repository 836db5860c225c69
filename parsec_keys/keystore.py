"""A key store: what a program opens to make, load and delete keys."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Self, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from parsec_keys import errors
from parsec_keys._pyca import HASHES, digest
from parsec_keys.ec import EllipticCurvePrivateKey
from parsec_keys.engine import Engine
from parsec_keys.psa.algorithms import Hash, PermittedAlgorithm
from parsec_keys.psa.attributes import (
    ECC_USAGE,
    RSA_USAGE,
    KeyAttributes,
    KeyPolicy,
    KeyType,
    RsaKeyPair,
    UsageFlags,
)
from parsec_keys.psa.operations import (
    GetKeyAttributes,
    KeyInfo,
    ListKeys,
    ListProviders,
    Operation,
    ProviderInfo,
    PsaDestroyKey,
    PsaExportPublicKey,
    PsaGenerateKey,
    PsaImportKey,
)
from parsec_keys.psa.words import algorithm_from_words, usage_from_words
from parsec_keys.rsa import RSAPrivateKey

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey
_T = TypeVar("_T")


class Unchosen(enum.Enum):
    """The algorithm of a key for which the caller names none."""

    UNCHOSEN = "the store's default"


UNCHOSEN: Final = Unchosen.UNCHOSEN


class KeyStore:
    """One engine and its keys. Made by ``open_store``.

    Safe to use from many threads, and in a child after a fork. A context manager that
    closes the store; keys of a closed store raise ``ServiceUnavailable``.

    ``algorithm`` and ``usage`` narrow a new key's policy: PSA's objects, or words such
    as ``"ECDSA(SHA_256)"`` and ``"sign_hash"``. Without them a key may do all that its
    type can, except give its secret away. A key of a Parsec service has one algorithm:
    there it is ECDSA, or RSA PKCS#1 v1.5 signing, with any hash, or with SHA-256 (of a
    larger curve, SHA-384 or SHA-512) where its provider wants the hash named.
    """

    def __init__(self, engine: Engine, url: str) -> None:
        self._engine = engine
        self._url = url

    @property
    def url(self) -> str:
        """What ``open_store`` opens this store by; never with a PIN in it."""
        return self._url

    def generate_rsa(
        self,
        name: str,
        key_size: int = 2048,
        *,
        provider: str | None = None,
        public_exponent: int = 65537,
        algorithm: PermittedAlgorithm | str | Unchosen = UNCHOSEN,
        usage: UsageFlags | str | None = None,
    ) -> RSAPrivateKey:
        """Make an RSA key of ``key_size`` bits inside a provider.

        Args:
            provider: the provider's name; the store's first one without it.

        Raises:
            KeyExists: the name is taken.
            NotSupported: the provider makes no such key.
            ValueError: fewer than 1024 bits, a wrong exponent, or words that name no
                algorithm or flag.
            Error: the provider failed; neither key nor record is left.
        """
        if key_size < 1024:
            raise errors.InvalidArgument("key_size must be at least 1024-bits.")
        self._create(
            lambda attributes: PsaGenerateKey(
                _checked(name), attributes, public_exponent
            ),
            self._attributes(RsaKeyPair(), key_size, algorithm, usage),
            provider,
        )
        return _expect(self.load(name), RSAPrivateKey)

    def generate_ec(
        self,
        name: str,
        curve: ec.EllipticCurve,
        *,
        provider: str | None = None,
        algorithm: PermittedAlgorithm | str | Unchosen = UNCHOSEN,
        usage: UsageFlags | str | None = None,
    ) -> EllipticCurvePrivateKey:
        """Make a key on a curve inside a provider.

        Args:
            provider: the provider's name; the store's first one without it.

        Raises:
            KeyExists: the name is taken.
            NotSupported: the provider makes no such key.
            ValueError: words that name no algorithm or flag.
            Error: the provider failed; neither key nor record is left.
        """
        from parsec_keys import _key_data

        key_type, bits = _key_data.type_of_curve(curve)
        self._create(
            lambda attributes: PsaGenerateKey(_checked(name), attributes),
            self._attributes(key_type, bits, algorithm, usage),
            provider,
        )
        return _expect(self.load(name), EllipticCurvePrivateKey)

    def import_key(
        self,
        name: str,
        private_key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
        *,
        provider: str | None = None,
        algorithm: PermittedAlgorithm | str | Unchosen = UNCHOSEN,
        usage: UsageFlags | str | None = None,
    ) -> PrivateKey:
        """Put a software key into a provider. The key object given stays as it is.

        Raises:
            KeyExists: the name is taken.
            NotSupported: the provider takes no such key.
            NotExportable: the key given is one whose secret does not come out.
            TypeError: no RSA or EC private key.
            Error: the provider failed; neither key nor record is left.
        """
        from parsec_keys import _key_data

        key_type, bits, data = _key_data.private_key_data(private_key)
        self._create(
            lambda attributes: PsaImportKey(_checked(name), attributes, data),
            self._attributes(key_type, bits, algorithm, usage),
            provider,
        )
        return self.load(name)

    def load(self, name: str) -> PrivateKey:
        """The key of a name.

        Raises:
            KeyNotFound: there is none.
        """
        info = self._engine.execute(GetKeyAttributes(_checked(name)))
        data = self._engine.execute(PsaExportPublicKey(name))
        return key_object(self._engine, info, data, self._uri(name))

    def delete(self, name: str) -> None:
        """Destroy a key for ever.

        Raises:
            KeyNotFound: there is none.
        """
        self._engine.execute(PsaDestroyKey(_checked(name)))

    def keys(self) -> tuple[KeyInfo, ...]:
        """Name, provider and attributes of each key, by name."""
        return self._engine.execute(ListKeys())

    def providers(self) -> tuple[ProviderInfo, ...]:
        """The store's providers, the default one first."""
        return self._engine.execute(ListProviders())

    def supports(
        self, attributes: KeyAttributes, *, provider: str | None = None
    ) -> bool:
        """Whether a provider can make a key of these attributes.

        Args:
            provider: the provider's name; the store's first one without it.
        """
        from parsec_keys.psa.operations.service import CanDoCrypto, CheckType

        asked = CanDoCrypto(CheckType.GENERATE, attributes)
        try:
            self._engine.execute(asked, provider=provider)
        except errors.NotSupported:
            return False
        return True

    def close(self) -> None:
        """Release the hardware. A second call does nothing."""
        self._engine.close()

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called, on this or another object of the same store."""
        return self._engine.closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<parsec_keys KeyStore {self._url}>"

    def _create(
        self,
        make: Callable[[KeyAttributes], Operation[None]],
        candidates: Iterable[KeyAttributes],
        provider: str | None,
    ) -> None:
        """Make a key with the first attributes that its provider takes."""
        refused: errors.Error | None = None
        for attributes in candidates:
            try:
                self._engine.execute(make(attributes), provider=provider)
                return
            except (errors.NotSupported, errors.InvalidArgument) as e:
                refused = e
        if refused is not None:
            try:
                raise refused
            finally:
                del refused  # It holds this frame, which would hold it and the key.

    def _attributes(
        self,
        key_type: KeyType,
        bits: int,
        algorithm: PermittedAlgorithm | str | Unchosen,
        usage: UsageFlags | str | None,
    ) -> list[KeyAttributes]:
        """The attributes that were asked for, or several where nobody chose."""
        algorithms: tuple[PermittedAlgorithm, ...]
        if isinstance(algorithm, Unchosen):
            algorithms = self._engine.default_algorithms(key_type, bits)
        elif isinstance(algorithm, str):
            algorithms = (algorithm_from_words(algorithm),)
        else:
            algorithms = (algorithm,)
        if isinstance(usage, str):
            usage = usage_from_words(usage)
        elif usage is None:
            usage = RSA_USAGE if isinstance(key_type, RsaKeyPair) else ECC_USAGE
        return [
            KeyAttributes(key_type, bits, KeyPolicy(usage, each)) for each in algorithms
        ]

    def _uri(self, name: str) -> str:
        from parsec_keys.uri import format_key_uri

        return format_key_uri(name, self._url)


def key_object(engine: Engine, info: KeyInfo, data: bytes, uri: str) -> PrivateKey:
    """The key object of a listing and a public key in PSA's format.

    Raises:
        NotSupported: a key of a type that no key class of ours is.
    """
    from parsec_keys import _key_data

    fingerprint = digest(HASHES[Hash.SHA_256], data)
    try:
        public_key = _key_data.public_key(info.attributes, data)
    except ValueError as e:
        raise errors.StorageFailure(
            f"the public key of key '{info.name}' ({info.provider}) is damaged "
            f"({e}): restore the key info from a backup, or delete the key"
        ) from e
    if isinstance(public_key, rsa.RSAPublicKey):
        return RSAPrivateKey(engine, info, fingerprint, uri, public_key)
    return EllipticCurvePrivateKey(engine, info, fingerprint, uri, public_key)


def _checked(name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a key name is a str, not {type(name).__name__}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise errors.InvalidArgument(
            f"a key name must be text that UTF-8 can say, unlike {name[:100]!a}"
        ) from None
    return name


def _expect(value: object, class_: type[_T]) -> _T:
    if not isinstance(value, class_):
        raise errors.ProviderFailure(f"the provider made no {class_.__name__}")
    return value
