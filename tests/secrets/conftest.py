"""A facility of each provider, and keys to import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.secrets.facilities import EMULATORS, FACILITIES, Facility
from tests.secrets.forms import Forms, forms_of_key


@pytest.fixture
def facility(
    provider: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Facility]:
    if provider in EMULATORS:
        request.getfixturevalue(EMULATORS[provider])  # Or say that it is missing.
    yield from FACILITIES[provider](tmp_path)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Forms]:
    """The files of keys to import, and the forms of them."""
    folder = tmp_path_factory.mktemp("keys")
    forms: Forms = {}
    for name, key in {
        "imported-rsa": rsa.generate_private_key(65537, 2048),
        "imported-ec": ec.generate_private_key(ec.SECP256R1()),
    }.items():
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (folder / f"{name}.pem").write_bytes(pem)
        forms |= {f"{name}: {form}": text for form, text in forms_of_key(key).items()}
    return [str(each) for each in folder.iterdir()], forms
