"""Threads sign with every provider: one key, many keys, keys that come and go."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

import parsec_keys
from parsec_keys.errors import KeyNotFound
from parsec_keys.psa.algorithms import (
    ANY_HASH,
    Hash,
    PermittedAlgorithm,
    RsaOaep,
    RsaPkcs1v15Sign,
    RsaPss,
)
from tests.contract import wire

THREADS, TIMES = 8, 24
MANY_THREADS, TURNS = 32, 8
SHA256 = hashes.SHA256()
P256 = ec.SECP256R1()
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

    def work(number: int) -> None:
        for turn in range(TIMES):
            uses[(number + turn) % len(uses)](os.urandom(40))

    in_threads(THREADS, work)


def test_many_threads_on_one_key(store: parsec_keys.KeyStore) -> None:
    key = store.generate_ec("key", P256)

    def work(number: int) -> None:
        for turn in range(4):
            sign_ec(key, b"%d %d" % (number, turn))

    in_threads(MANY_THREADS, work)


def test_many_threads_on_many_keys(store: parsec_keys.KeyStore) -> None:
    """Each key that a thread signs with is another one, and more than slots."""
    keys = [store.generate_ec(f"key-{number}", P256) for number in range(8)]

    def work(number: int) -> None:
        for turn in range(4):
            sign_ec(keys[(number + turn) % len(keys)], b"%d" % number)
        sign_ec(ec_key(store, f"key-{number % len(keys)}"), b"loaded")

    in_threads(MANY_THREADS, work)


def test_many_threads_while_keys_come_and_go(store: parsec_keys.KeyStore) -> None:
    """A name that is used again means another key, for which no old object signs."""
    steady = store.generate_ec("steady", P256)
    store.generate_ec("name", P256)

    def work(number: int) -> None:
        if number == 0:
            for _ in range(TURNS):
                store.delete("name")
                store.generate_ec("name", P256)
        elif number == 1:
            for turn in range(TURNS):
                sign_ec(store.generate_ec(f"other-{turn}", P256), b"new")
                store.delete(f"other-{turn}")
        else:
            for turn in range(TURNS):
                sign_ec(steady, b"%d" % turn)
                with contextlib.suppress(KeyNotFound):  # And nothing else.
                    key = ec_key(store, "name")
                    sign_ec(key, b"%d" % turn)
                    sign_ec(key, b"again")

    in_threads(MANY_THREADS, work)
    left = [info.name for info in store.keys()]  # noqa: SIM118
    assert sorted(left) == ["name", "steady"]
    sign_ec(ec_key(store, "name"), b"in the end")


def in_threads(threads: int, work: Callable[[int], None]) -> None:
    """Do work in threads that begin together; all of it must succeed."""
    ready = threading.Barrier(threads)

    def begin(number: int) -> None:
        ready.wait(60)
        work(number)

    with ThreadPoolExecutor(threads) as pool:
        tasks = [pool.submit(begin, number) for number in range(threads)]
    failures = [task.exception() for task in tasks]
    assert [each for each in failures if each is not None] == []


def ec_key(store: parsec_keys.KeyStore, name: str) -> ec.EllipticCurvePrivateKey:
    key = store.load(name)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


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
