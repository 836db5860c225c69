"""Eight threads sign with every provider, RSA and EC together."""

from __future__ import annotations

import functools
import os
import threading
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

import parsec_keys
from parsec_keys.psa.algorithms import (
    ANY_HASH,
    Hash,
    PermittedAlgorithm,
    RsaOaep,
    RsaPkcs1v15Sign,
    RsaPss,
)
from tests.contract import wire

SECONDS = float(os.environ.get("PARSEC_KEYS_SECONDS", "2"))
THREADS = 8
SHA256 = hashes.SHA256()
OAEP = padding.OAEP(padding.MGF1(SHA256), SHA256, None)


def test_eight_threads(store: parsec_keys.KeyStore, engine: str) -> None:
    salt = wire.salt_length(engine, 20)
    schemes: list[tuple[padding.AsymmetricPadding, PermittedAlgorithm]] = [
        (padding.PSS(padding.MGF1(SHA256), salt), RsaPss(ANY_HASH)),
        (padding.PKCS1v15(), RsaPkcs1v15Sign(ANY_HASH)),
        (OAEP, RsaOaep(Hash.SHA_256)),
    ]
    # More keys than a TPM has slots.
    uses = [
        *(
            functools.partial(sign_ec, store.generate_ec(f"ec-{i}", ec.SECP256R1()))
            for i in range(3)
        ),
        *(
            functools.partial(
                use_rsa,
                store.generate_rsa(scheme.name, **wire.policy(engine, algorithm)),
                scheme,
            )
            for scheme, algorithm in schemes
        ),
    ]
    deadline = time.monotonic() + SECONDS
    done, failures = [0] * THREADS, []

    def work(number: int) -> None:
        try:
            while time.monotonic() < deadline:
                uses[(number + done[number]) % len(uses)](os.urandom(40))
                done[number] += 1
        except Exception as e:
            failures.append(e)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert min(done) > 0


def sign_ec(key: ec.EllipticCurvePrivateKey, message: bytes) -> None:
    signature = key.sign(message, ec.ECDSA(SHA256))
    key.public_key().verify(signature, message, ec.ECDSA(SHA256))


def use_rsa(
    key: rsa.RSAPrivateKey, scheme: padding.AsymmetricPadding, message: bytes
) -> None:
    if isinstance(scheme, padding.OAEP):
        assert key.decrypt(key.public_key().encrypt(message, scheme), scheme) == message
    else:
        signature = key.sign(message, scheme, SHA256)
        key.public_key().verify(signature, message, scheme, SHA256)
