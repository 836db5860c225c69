"""The public names, as a type checker sees them. Checked, never run."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

import parsec_keys
from parsec_keys.psa.algorithms import Ecdsa, Hash
from parsec_keys.psa.attributes import UsageFlags


def keys(store: parsec_keys.KeyStore) -> None:
    rsa_key: rsa.RSAPrivateKey = store.generate_rsa("rsa", 3072, usage="decrypt")
    ec_key: ec.EllipticCurvePrivateKey = store.generate_ec(
        "ec",
        ec.SECP256R1(),
        provider="tpm",
        algorithm=Ecdsa(Hash.SHA_256),
        usage=UsageFlags.SIGN_HASH,
    )
    signature: bytes = ec_key.sign(b"data", ec.ECDSA(hashes.SHA256()))
    signature = rsa_key.sign(b"data", padding.PKCS1v15(), hashes.SHA256())
    loaded: parsec_keys.rsa.RSAPrivateKey | parsec_keys.ec.EllipticCurvePrivateKey
    loaded = store.load("rsa")
    loaded = store.import_key("imported", ec.generate_private_key(ec.SECP256R1()))
    loaded = parsec_keys.load_key(loaded.uri)
    names: list[str] = [info.name for info in store.keys()]  # noqa: SIM118
    providers: tuple[parsec_keys.ProviderInfo, ...] = store.providers()
    print(signature, names, providers)


def stores() -> None:
    with parsec_keys.open_store() as store:
        keys(store)
    try:
        parsec_keys.open_store("tpm:device:/dev/tpmrm0").close()
    except parsec_keys.Error as e:
        print(e.status)
