"""What a PKCS#11 key id finds: a random CKA_ID, or the names of a key found there."""

from __future__ import annotations

import pytest

from parsec_keys.service.providers.pkcs11._cryptoki import Attribute
from parsec_keys.service.providers.pkcs11._keys import find, key_id_of


@pytest.mark.parametrize("second", [b'"', b"\xe6", b"\x00"])
def test_every_random_id_is_an_id(second: bytes) -> None:
    for first in range(256):
        uid = bytes([first]) + second + bytes(14)

        assert {Attribute.ID: uid} == find(uid)


def test_the_names_of_a_key() -> None:
    key_id = key_id_of({"id": "7b22", "label": "web"})

    assert find(key_id) == {Attribute.ID: b"{\x22", Attribute.LABEL: "web"}


def test_the_shortest_names_are_longer_than_a_random_id() -> None:
    assert len(key_id_of({})) > 16
