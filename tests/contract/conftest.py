"""Keys of each provider, beside pyca's own objects of the same keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import parsec_keys

K = TypeVar("K")


@dataclass(frozen=True)
class Twins(Generic[K]):
    """One private key twice: in a provider, and as pyca's own object."""

    ours: K
    native: K
    provider: str


_RSA = rsa.generate_private_key(65537, 2048)
_EC: dict[str, ec.EllipticCurvePrivateKey] = {
    curve.name: ec.generate_private_key(curve)
    for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())
}


def _imported(
    store: parsec_keys.KeyStore,
    name: str,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    try:
        return store.load(name)
    except parsec_keys.errors.KeyNotFound:
        return store.import_key(name, key)


@pytest.fixture
def rsa_twins(
    provider: str, shared_store: parsec_keys.KeyStore
) -> Twins[rsa.RSAPrivateKey]:
    ours = _imported(shared_store, "rsa-twin", _RSA)
    assert isinstance(ours, rsa.RSAPrivateKey)
    return Twins(ours, _RSA, provider)


@pytest.fixture(params=_EC)
def ec_twins(
    request: pytest.FixtureRequest, provider: str, shared_store: parsec_keys.KeyStore
) -> Twins[ec.EllipticCurvePrivateKey]:
    native = _EC[request.param]
    ours = _imported(shared_store, f"{request.param}-twin", native)
    assert isinstance(ours, ec.EllipticCurvePrivateKey)
    return Twins(ours, native, provider)
