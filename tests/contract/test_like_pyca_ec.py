"""Elliptic curves: the same call on our key and on pyca's own has the same result."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from parsec_keys._pyca import HASHES
from parsec_keys.errors import NotSupported
from tests.contract.conftest import Twins
from tests.contract.like_pyca import assert_alike
from tests.contract.test_like_pyca_rsa import DummyHash

DATA = b"what is to be signed"
SHA256 = hashes.SHA256()
NAMELESS_HASHES = [
    *(hashes.BLAKE2b(64), hashes.BLAKE2s(32)),
    *(hashes.SHAKE128(20), hashes.SHAKE128(33), hashes.SHAKE256(64)),
]
"""Hashes that PSA has no name for."""


class DummySignatureAlgorithm(ec.EllipticCurveSignatureAlgorithm):
    algorithm = SHA256


class PythonPublicKey(ec.EllipticCurvePublicKey):
    """A foreign public key, which pyca refuses as a peer."""

    curve: Any = ec.SECP256R1()
    key_size: Any = 256

    def public_numbers(self) -> Any: ...
    def public_bytes(self, encoding: Any, format: Any) -> Any: ...
    def verify(self, signature: Any, data: Any, signature_algorithm: Any) -> Any: ...
    def __eq__(self, other: object) -> bool:
        return self is other

    def __copy__(self) -> Any: ...
    def __deepcopy__(self, memo: Any) -> Any: ...


SIGN: dict[str, tuple[Any, Any]] = {
    "bytearray": (bytearray(DATA), ec.ECDSA(SHA256)),
    "memoryview": (memoryview(DATA), ec.ECDSA(SHA256)),
    "gaps": (memoryview(DATA)[::2], ec.ECDSA(SHA256)),
    "array-of-ints": (array.array("I", [1, 2]), ec.ECDSA(SHA256)),
    "str": ("data", ec.ECDSA(SHA256)),
    "no-data": (None, ec.ECDSA(SHA256)),
    "empty": (b"", ec.ECDSA(SHA256)),
    "a-mebibyte": (bytes(1 << 20), ec.ECDSA(SHA256)),
    "algorithm-none": (DATA, None),
    "algorithm-str": (DATA, "ECDSA"),
    "algorithm-hash": (DATA, SHA256),
    "algorithm-unknown": (DATA, DummySignatureAlgorithm()),
    "hash-str": (DATA, ec.ECDSA("sha256")),  # type: ignore[arg-type]
    "hash-unknown": (DATA, ec.ECDSA(DummyHash())),
    "prehashed": (bytes(32), ec.ECDSA(utils.Prehashed(SHA256))),
    "prehashed-ones": (b"\xff" * 64, ec.ECDSA(utils.Prehashed(hashes.SHA512()))),
    "prehashed-bytearray": (bytearray(32), ec.ECDSA(utils.Prehashed(SHA256))),
    "prehashed-gaps": (memoryview(bytes(64))[::2], ec.ECDSA(utils.Prehashed(SHA256))),
    "prehashed-str": ("x" * 32, ec.ECDSA(utils.Prehashed(SHA256))),
    "prehashed-short": (bytes(31), ec.ECDSA(utils.Prehashed(SHA256))),
    "prehashed-long": (bytes(33), ec.ECDSA(utils.Prehashed(SHA256))),
    **{h.name: (DATA, ec.ECDSA(h)) for h in HASHES.values()},
    **{f"{h.name}-{h.digest_size}": (DATA, ec.ECDSA(h)) for h in NAMELESS_HASHES},
}


@pytest.mark.parametrize("case", SIGN)
def test_sign(ec_twins: Twins[ec.EllipticCurvePrivateKey], case: str) -> None:
    data, algorithm = SIGN[case]

    assert_alike(
        lambda key: key.sign(data, algorithm),
        ec_twins.doing(algorithm),
        ec_twins.native,
        _verified(ec_twins, data, algorithm),
        ec_twins.says(algorithm),
    )


def test_sign_with_keywords(ec_twins: Twins[ec.EllipticCurvePrivateKey]) -> None:
    algorithm = ec.ECDSA(SHA256)

    signature = ec_twins.ours.sign(data=DATA, signature_algorithm=algorithm)

    ec_twins.native.public_key().verify(signature, DATA, algorithm)


@pytest.mark.parametrize("hash_", HASHES.values(), ids=lambda hash_: hash_.name)
def test_deterministic_signature(
    ec_twins: Twins[ec.EllipticCurvePrivateKey], hash_: hashes.HashAlgorithm
) -> None:
    """RFC 6979 is the software provider's; no hardware lets one choose the nonce."""
    algorithm = ec.ECDSA(hash_, deterministic_signing=True)

    if ec_twins.provider == "software" and ec_twins.says(algorithm):
        expected = ec_twins.native.sign(DATA, algorithm)
        assert expected == ec_twins.doing(algorithm).sign(DATA, algorithm)
    else:
        with pytest.raises(NotSupported, match=ec_twins.words("nonce")):
            ec_twins.doing(algorithm).sign(DATA, algorithm)


def test_a_digest_longer_than_any_of_the_tpm(
    ec_twins: Twins[ec.EllipticCurvePrivateKey],
) -> None:
    """On P-521 alone does ECDSA use more than 64 bytes of a digest."""
    algorithm = ec.ECDSA(hashes.SHAKE256(66))

    ours = ec_twins.doing(algorithm)
    if ec_twins.provider == "tpm" and ours.key_size == 521:
        with pytest.raises(NotSupported, match=ec_twins.words("66 bytes")):
            ours.sign(DATA, algorithm)
    else:
        _verified(ec_twins, DATA, algorithm)(ours.sign(DATA, algorithm), None)


def peers(curve: ec.EllipticCurve) -> dict[str, Any]:
    other: ec.EllipticCurve = ec.SECP256R1()
    if curve.name == other.name:
        other = ec.SECP384R1()
    private_key = ec.generate_private_key(curve)
    return {
        "peer": private_key.public_key(),
        "other-curve": ec.generate_private_key(other).public_key(),
        "private": private_key,
        "none": None,
        "rsa": rsa.generate_private_key(65537, 2048).public_key(),
        "python": PythonPublicKey(),
    }


def test_exchange(ec_twins: Twins[ec.EllipticCurvePrivateKey]) -> None:
    for peer in peers(ec_twins.native.curve).values():
        for algorithm in (ec.ECDH(), ec.ECDH, None, ec.ECDSA(SHA256)):
            assert_alike(
                _exchange(algorithm, peer),
                ec_twins.doing(ec.ECDH()),
                ec_twins.native,
                _equal,
            )


def test_exchange_has_leading_zeros(
    ec_twins: Twins[ec.EllipticCurvePrivateKey],
) -> None:
    ours = ec_twins.doing(ec.ECDH())
    for _ in range(40):
        peer = ec.generate_private_key(ec_twins.native.curve)
        expected = peer.exchange(ec.ECDH(), ec_twins.native.public_key())
        secret = ours.exchange(algorithm=ec.ECDH(), peer_public_key=peer.public_key())
        assert expected == secret


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    data=st.binary(max_size=200),
    hash_=st.sampled_from([*HASHES.values(), *NAMELESS_HASHES]),
    prehashed=st.booleans(),
    buffer=st.sampled_from([bytes, bytearray, memoryview]),
)
@example(  # The Rust service lacks this hash.
    data=b"", hash_=hashes.SHA512_256(), prehashed=False, buffer=bytes
)
def test_sign_anything(
    ec_twins: Twins[ec.EllipticCurvePrivateKey],
    data: bytes,
    hash_: hashes.HashAlgorithm,
    prehashed: bool,
    buffer: Callable[[bytes], Any],
) -> None:
    algorithm = ec.ECDSA(utils.Prehashed(hash_) if prehashed else hash_)
    argument = buffer(data)

    assert_alike(
        lambda key: key.sign(argument, algorithm),
        ec_twins.doing(algorithm),
        ec_twins.native,
        _verified(ec_twins, data, algorithm),
        ec_twins.says(algorithm),
    )


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(hashed=st.binary(min_size=1, max_size=64))
def test_sign_a_digest_of_any_length(
    ec_twins: Twins[ec.EllipticCurvePrivateKey], hashed: bytes
) -> None:
    algorithm = ec.ECDSA(utils.Prehashed(hashes.SHAKE256(len(hashed))))

    signature = ec_twins.doing(algorithm).sign(hashed, algorithm)

    ec_twins.native.public_key().verify(signature, hashed, algorithm)


def test_deterministic_with_a_nameless_hash_is_unsupported(
    ec_twins: Twins[ec.EllipticCurvePrivateKey],
) -> None:
    with pytest.raises(UnsupportedAlgorithm):
        ec_twins.ours.sign(
            DATA, ec.ECDSA(hashes.SHAKE128(32), deterministic_signing=True)
        )


def test_the_public_key_is_pycas_own(
    ec_twins: Twins[ec.EllipticCurvePrivateKey],
) -> None:
    assert type(ec_twins.ours.public_key()) is type(ec_twins.native.public_key())
    assert ec_twins.ours.public_key() == ec_twins.native.public_key()
    assert ec_twins.ours.curve.name == ec_twins.native.curve.name
    assert ec_twins.ours.key_size == ec_twins.native.key_size


def _verified(
    twins: Twins[ec.EllipticCurvePrivateKey], data: Any, algorithm: ec.ECDSA
) -> Callable[[Any, Any], None]:
    def same(ours: Any, native: Any) -> None:
        assert type(ours) is bytes
        twins.native.public_key().verify(ours, data, algorithm)

    return same


def _exchange(
    algorithm: Any, peer: Any
) -> Callable[[ec.EllipticCurvePrivateKey], bytes]:
    return lambda key: key.exchange(algorithm, peer)


def _equal(ours: Any, native: Any) -> None:
    assert native == ours
