"""One context that is given its certificate and key again, as connection pools do."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

import parsec_keys
from tests.tls.handshakes import context, files, shake

KEYS = ("rsa", "ec")


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """Two RSA and two EC keys, each with its certificate and its reference."""
    with parsec_keys.open_store(f"software:{tmp_path / 'store'}") as store:
        keys = {f"rsa-{n}": store.generate_rsa(f"rsa-{n}") for n in "12"}
        keys |= {f"ec-{n}": store.generate_ec(f"ec-{n}", ec.SECP256R1()) for n in "12"}
        yield {name: files(key, tmp_path / name) for name, key in keys.items()}


@pytest.mark.parametrize("kind", KEYS)
def test_ssl_loads_a_chain_again(folders: dict[str, Path], kind: str) -> None:
    one, other = folders[f"{kind}-1"], folders[f"{kind}-2"]
    server = context(one, other, True)
    client = context(other, one, False)

    for folder in (other, one, other):
        client.load_cert_chain(folder / "cert.pem", folder / "key.pem")

    assert shake(client, server) == "TLSv1.3"


@pytest.mark.parametrize("kind", KEYS)
def test_pyopenssl_loads_a_key_again(folders: dict[str, Path], kind: str) -> None:
    made = SSL.Context(SSL.TLS_METHOD)
    for folder in (folders[f"{kind}-1"], folders[f"{kind}-2"], folders[f"{kind}-1"]):
        made.use_certificate_chain_file(str(folder / "cert.pem"))
        made.use_privatekey_file(str(folder / "key.pem"))
        made.check_privatekey()


@pytest.mark.parametrize("kind", KEYS)
def test_another_keys_certificate_is_refused(
    folders: dict[str, Path], kind: str
) -> None:
    certificate = folders[f"{kind}-1"] / "cert.pem"
    key = folders[f"{kind}-2"] / "key.pem"
    made = SSL.Context(SSL.TLS_METHOD)
    made.use_certificate_chain_file(str(certificate))

    with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key)
    with pytest.raises(SSL.Error, match="key values mismatch"):
        made.use_privatekey_file(str(key))
