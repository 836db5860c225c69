"""A key as libcrypto sees it: its name, numbers and parameters, all public."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from parsec_keys._key_data import point
from parsec_keys.errors import NotSupported
from parsec_keys.tls._params import Value
from parsec_keys.tls._structures import ParamType

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_GROUPS: Final = {
    "secp256r1": "prime256v1",
    "secp384r1": "secp384r1",
    "secp521r1": "secp521r1",
}
"""The curves of TLS, by pyca's name and by OpenSSL's."""
# NIST SP 800-57 part 1, table 2: the strength of an RSA modulus, and of a curve.
_RSA_STRENGTH: Final = ((15360, 256), (7680, 192), (3072, 128), (2048, 112), (1024, 80))

PARAMETERS: Final = {
    "bits": ParamType.INTEGER,
    "security-bits": ParamType.INTEGER,
    "max-size": ParamType.INTEGER,
    "default-digest": ParamType.UTF8_STRING,
}
RSA_PUBLIC: Final = {
    "n": ParamType.UNSIGNED_INTEGER,
    "e": ParamType.UNSIGNED_INTEGER,
}
EC_PUBLIC: Final = {
    "group": ParamType.UTF8_STRING,
    "pub": ParamType.OCTET_STRING,
}


@dataclass(frozen=True)
class BridgedKey:
    """One of our keys in libcrypto's hands."""

    key: PrivateKey

    @cached_property
    def is_rsa(self) -> bool:
        """Whether it is RSA; else it is on a curve."""
        return isinstance(self.key, rsa.RSAPrivateKey)

    @cached_property
    def max_size(self) -> int:
        """The longest signature in bytes."""
        length = (self.key.key_size + 7) // 8
        # DER of two integers, each perhaps one octet longer than the order.
        return length if self.is_rsa else 2 * length + 9

    @cached_property
    def public(self) -> dict[str, Value]:
        """The public key, in the parameters of its type."""
        public_key = self.key.public_key()
        if isinstance(public_key, rsa.RSAPublicKey):
            numbers = public_key.public_numbers()
            return {"n": numbers.n, "e": numbers.e}
        return {"group": self._group, "pub": point(public_key)}

    @cached_property
    def parameters(self) -> dict[bytes, Value]:
        """What libcrypto asks of any key, and the public key."""
        return {
            b"bits": self.key.key_size,
            b"security-bits": self._strength,
            b"max-size": self.max_size,
            b"default-digest": "SHA256",
            **{name.encode(): value for name, value in self.public.items()},
        }

    @property
    def _group(self) -> str:
        assert isinstance(self.key, ec.EllipticCurvePrivateKey)  # noqa: S101
        try:
            return _GROUPS[self.key.curve.name]
        except KeyError:
            raise NotSupported(
                f"TLS has no keys on {self.key.curve.name}: use P-256, P-384 or P-521"
            ) from None

    @property
    def _strength(self) -> int:
        bits = self.key.key_size
        if not self.is_rsa:
            return min(bits // 2, 256)
        return next((strength for size, strength in _RSA_STRENGTH if bits >= size), 56)
