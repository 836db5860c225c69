"""What our keys can do on the tokens of three modules; what differs in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

import parsec_keys
from parsec_keys.errors import KeyNotFound, NotSupported
from tests.service.providers.children import in_a_child
from tests.service.providers.tokens import Token, Tpm2Token, url

SHA1, SHA256, SHA512 = hashes.SHA1(), hashes.SHA256(), hashes.SHA512()
SHA3 = hashes.SHA3_256()
P256 = ec.SECP256R1()
ECDSA = ec.ECDSA(SHA256)

LACKS = {
    "softhsm": set[str](),
    # A TPM's: its module takes no private keys, and does no ECDH.
    "tpm2-pkcs11": {"import RSA", "import EC", "ECDH"},
    # That of Debian 12, 3.8.1, has no elliptic curves.
    "opencryptoki": {"generate EC", "import EC", "ECDSA", "ECDH"},
}


def generate_rsa(store: parsec_keys.KeyStore) -> None:
    signs(padding.PKCS1v15(), SHA256)(store)


def kept(store: parsec_keys.KeyStore) -> rsa.RSAPrivateKey:
    """A key that stays for other tests: making one takes a while."""
    try:
        key = store.load("kept")
    except KeyNotFound:
        key = store.generate_rsa("kept")
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def signs(scheme: Any, hash_: hashes.HashAlgorithm) -> Callable[..., None]:
    def sign(store: parsec_keys.KeyStore) -> None:
        key = kept(store)
        for _ in range(2):
            signature = key.sign(b"data", scheme, hash_)
            key.public_key().verify(signature, b"data", scheme, hash_)

    return sign


def decrypts(scheme: Any) -> Callable[..., None]:
    def decrypt(store: parsec_keys.KeyStore) -> None:
        key = kept(store)
        for message in (b"", b"message"):
            ciphertext = key.public_key().encrypt(message, scheme)
            assert key.decrypt(ciphertext, scheme) == message

    return decrypt


def import_rsa(store: parsec_keys.KeyStore) -> None:
    native = rsa.generate_private_key(65537, 2048)
    signature = store.import_key("key", native).sign(b"", padding.PKCS1v15(), SHA256)
    native.public_key().verify(signature, b"", padding.PKCS1v15(), SHA256)


def import_ec(store: parsec_keys.KeyStore) -> None:
    native = ec.generate_private_key(P256)
    signature = store.import_key("key", native).sign(b"", ECDSA)
    native.public_key().verify(signature, b"", ECDSA)


def ecdsa(store: parsec_keys.KeyStore) -> None:
    key = store.generate_ec("key", P256)
    for hash_ in (SHA1, SHA256, SHA512):
        signature = key.sign(b"data", ec.ECDSA(hash_))
        key.public_key().verify(signature, b"data", ec.ECDSA(hash_))


def ecdh(store: parsec_keys.KeyStore) -> None:
    key, peer = store.generate_ec("key", P256), ec.generate_private_key(P256)
    ours = key.exchange(ec.ECDH(), peer.public_key())
    assert ours == peer.exchange(ec.ECDH(), key.public_key())


ABILITIES: dict[str, Callable[[parsec_keys.KeyStore], object]] = {
    "generate RSA": generate_rsa,
    "generate EC": lambda store: store.generate_ec("key", P256),
    "import RSA": import_rsa,
    "import EC": import_ec,
    "PKCS#1 v1.5": signs(padding.PKCS1v15(), SHA256),
    "PKCS#1 v1.5, SHA-3": signs(padding.PKCS1v15(), SHA3),
    "PSS, salt of the hash's length": signs(
        padding.PSS(padding.MGF1(SHA256), 32), SHA256
    ),
    "PSS, salt of 20": signs(padding.PSS(padding.MGF1(SHA256), 20), SHA256),
    "PSS, longest salt": signs(padding.PSS(padding.MGF1(SHA256), 222), SHA256),
    "PSS, other MGF": signs(padding.PSS(padding.MGF1(SHA1), 32), SHA256),
    "PSS, SHA-3": signs(padding.PSS(padding.MGF1(SHA3), 32), SHA3),
    "OAEP, SHA-1": decrypts(padding.OAEP(padding.MGF1(SHA1), SHA1, None)),
    "OAEP, SHA-256 and a label": decrypts(
        padding.OAEP(padding.MGF1(SHA256), SHA256, b"label")
    ),
    "PKCS#1 v1.5 decryption": decrypts(padding.PKCS1v15()),
    "ECDSA": ecdsa,
    "ECDH": ecdh,
}


@pytest.mark.parametrize("ability", ABILITIES)
def test_a_key_can_do_it_or_says_not(
    any_token: tuple[str, Token],
    ability: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    kind, token = any_token
    folder = tmp_path_factory.getbasetemp() / f"store-{kind}"
    use = ABILITIES[ability]

    def work() -> None:
        token.enter()
        with parsec_keys.open_store(url(token, folder)) as store:
            if ability in LACKS[kind]:
                with pytest.raises(NotSupported, match="token"):
                    use(store)
            else:
                use(store)
            for info in store.keys():  # noqa: SIM118
                if info.name != "kept":
                    store.delete(info.name)

    in_a_child(work)
    if isinstance(token, Tpm2Token):
        token.flush()
