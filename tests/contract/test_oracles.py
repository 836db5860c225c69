"""A decryption says nothing of how a padding is broken, on every provider."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.broken_paddings import broken_oaep, broken_pkcs1v15
from tests.contract.conftest import Twins

SHA256 = hashes.SHA256()
OAEP = padding.OAEP(padding.MGF1(SHA256), SHA256, None)
PKCS1 = padding.PKCS1v15()


def test_oaep_says_one_thing(rsa_twins: Twins[rsa.RSAPrivateKey]) -> None:
    said: set[object] = set()
    for kind, ciphertext in broken_oaep(rsa_twins.native.public_key()).items():
        with pytest.raises(ValueError, match="Decryption failed"):
            rsa_twins.native.decrypt(ciphertext, OAEP)
        with pytest.raises(ValueError, match="Decryption failed") as caught:
            rsa_twins.ours.decrypt(ciphertext, OAEP)
        error = caught.value
        said.add((type(error), str(error), error.__cause__, repr(error.__context__)))
        assert len(said) == 1, kind


def test_pkcs1v15_says_nothing(rsa_twins: Twins[rsa.RSAPrivateKey]) -> None:
    for ciphertext in broken_pkcs1v15(rsa_twins.native.public_key()).values():
        message = rsa_twins.ours.decrypt(ciphertext, PKCS1)

        assert len(message) <= 256 - 11
        assert rsa_twins.ours.decrypt(ciphertext, PKCS1) == message
