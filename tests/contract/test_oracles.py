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
    ours = rsa_twins.doing(b"", OAEP)
    for kind, ciphertext in broken_oaep(rsa_twins.native.public_key()).items():
        with pytest.raises(ValueError, match="Decryption failed"):
            rsa_twins.native.decrypt(ciphertext, OAEP)
        with pytest.raises(ValueError, match=r"^Decryption failed$") as caught:
            ours.decrypt(ciphertext, OAEP)
        error = caught.value
        assert error.__cause__ is None
        said.add((type(error), repr(error.__context__)))
        assert len(said) == 1, kind


def test_pkcs1v15_says_nothing(rsa_twins: Twins[rsa.RSAPrivateKey]) -> None:
    ours = rsa_twins.doing(b"", PKCS1)
    for ciphertext in broken_pkcs1v15(rsa_twins.native.public_key()).values():
        message = ours.decrypt(ciphertext, PKCS1)

        assert len(message) <= 256 - 11
        assert ours.decrypt(ciphertext, PKCS1) == message
