"""What RSA and EC keys share: name, URI, export refusal, copy, pickle, ``repr``.

Rule: a key is tied to the public key that it was loaded with. When its name belongs to
another key by now, every operation says so instead of signing with that one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, Self

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from parsec_keys.errors import NotExportable
from parsec_keys.psa.attributes import KeyAttributes, UsageFlags
from parsec_keys.psa.operations import KeyInfo, PsaExportKey

if TYPE_CHECKING:
    from parsec_keys.engine import Engine


class ServiceKey:
    """A key that an engine holds; the private half never is in this object."""

    def __init__(
        self, engine: Engine, info: KeyInfo, fingerprint: bytes, uri: str
    ) -> None:
        self._engine = engine
        self._info = info
        self._name = info.name
        self._fingerprint = fingerprint
        self._uri = uri

    @property
    def name(self) -> str:
        """The key's name in its store."""
        return self._name

    @property
    def provider(self) -> str:
        """The name of the provider that holds the key."""
        return self._info.provider

    @property
    def attributes(self) -> KeyAttributes:
        """Type, bits and policy."""
        return self._info.attributes

    @property
    def uri(self) -> str:
        """What ``parsec_keys.load_key`` finds this key by; never with a PIN in it."""
        return self._uri

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return _load, (self._uri,)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ServiceKey):
            return NotImplemented
        return self._uri == other._uri and self._fingerprint == other._fingerprint

    def __hash__(self) -> int:
        return hash(self._uri)

    def _reference(
        self,
        oid: str,
        encoding: object,
        format: object,
        encryption_algorithm: object,
    ) -> bytes:
        """The reference of this key, which makes TLS in this process able to use it.

        Raises:
            NotExportable: anything but unencrypted PKCS#8 is asked for.
        """
        from cryptography.hazmat.primitives import serialization

        from parsec_keys import stores, tls
        from parsec_keys.tls import _reference

        plain = isinstance(encryption_algorithm, serialization.NoEncryption)
        encoders = {
            serialization.Encoding.PEM: _reference.encode_pem,
            serialization.Encoding.DER: _reference.encode,
        }
        encode = (
            encoders.get(encoding)
            if isinstance(encoding, serialization.Encoding)
            else None
        )
        if encode is None or not plain or format != serialization.PrivateFormat.PKCS8:
            raise self._not_exportable("private_bytes()")
        stores.keep_open(self._engine)
        tls.enable()
        return encode(oid, self._uri)

    @property
    def _is_exportable(self) -> bool:
        return bool(self.attributes.policy.usage & UsageFlags.EXPORT)

    def _exported(self) -> bytes:
        """The private key in PSA's format, if its policy lets it out.

        Raises:
            NotExportable: it does not.
        """
        if not self._is_exportable:
            raise self._not_exportable("private_bytes()")
        return self._engine.execute(PsaExportKey(self._name, self._fingerprint))

    def _not_exportable(self, what: str) -> NotExportable:
        return NotExportable(
            f"{what} would need the secret of key '{self._name}', which stays in "
            f"provider '{self.provider}': sign and decrypt with this object instead"
        )


class PublicNumbersOnly:
    """The numbers of a private key without the private ones.

    Raises:
        NotExportable: on every attribute but ``public_numbers``.
    """

    def __init__(
        self,
        public_numbers: rsa.RSAPublicNumbers | ec.EllipticCurvePublicNumbers,
        refusal: NotExportable,
    ) -> None:
        self.public_numbers = public_numbers
        self._refusal = refusal

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self._refusal


def _load(uri: str) -> object:
    """Load a pickled key; what can open a store is above this module."""
    import parsec_keys

    return parsec_keys.load_key(uri)
