"""Ctrl-C at every moment of an operation: what comes next is right, and goes on."""

from __future__ import annotations

import functools
import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.service.running_operations import running
from tests.interrupts import Interrupt

ECDSA = ec.ECDSA(hashes.SHA256())
SECONDS = 60


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_ctrl_c_while_signing(store: parsec_keys.KeyStore) -> None:
    key = store.generate_ec("key", ec.SECP256R1())

    def signs(message: bytes) -> None:
        key.public_key().verify(key.sign(message, ECDSA), message, ECDSA)

    signs(b"first")
    with ThreadPoolExecutor(1) as other_thread:
        for moment in itertools.count(1):
            sign = functools.partial(key.sign, os.urandom(20), ECDSA)
            if not Interrupt(moment).during(sign):
                break
            other_thread.submit(signs, os.urandom(20)).result(SECONDS)
            signs(os.urandom(20))
            assert len(running) == 0
    assert moment > 20
