"""Eight threads sign with every provider, RSA and EC together."""

from __future__ import annotations

import os
import threading
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

import parsec_keys

SECONDS = float(os.environ.get("PARSEC_KEYS_SECONDS", "2"))
THREADS = 8
SHA256 = hashes.SHA256()
PSS = padding.PSS(padding.MGF1(SHA256), 20)
OAEP = padding.OAEP(padding.MGF1(SHA256), SHA256, None)
PKCS1 = padding.PKCS1v15()


def test_eight_threads(store: parsec_keys.KeyStore) -> None:
    # More keys than a TPM has slots.
    keys = [
        *(store.generate_ec(f"ec-{i}", ec.SECP256R1()) for i in range(3)),
        *(store.generate_rsa(f"rsa-{i}") for i in range(2)),
    ]
    deadline = time.monotonic() + SECONDS
    done, failures = [0] * THREADS, []

    def work(number: int) -> None:
        try:
            while time.monotonic() < deadline:
                use(keys[(number + done[number]) % len(keys)], done[number])
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


def use(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, turn: int) -> None:
    message = os.urandom(40)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(message, ec.ECDSA(SHA256))
        key.public_key().verify(signature, message, ec.ECDSA(SHA256))
    elif turn % 3 == 0:
        assert key.decrypt(key.public_key().encrypt(message, OAEP), OAEP) == message
    else:
        scheme = PSS if turn % 3 == 1 else PKCS1
        signature = key.sign(message, scheme, SHA256)
        key.public_key().verify(signature, message, scheme, SHA256)
