"""Commands that show what there is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import click
from cryptography.hazmat.primitives import hashes, serialization

import parsec_keys
from parsec_keys._pyca import CURVES, digest
from parsec_keys.cli.output import as_json, rows
from parsec_keys.psa.attributes import (
    ECC_USAGE,
    RSA_USAGE,
    EccFamily,
    EccKeyPair,
    KeyAttributes,
    KeyPolicy,
    RsaKeyPair,
)
from parsec_keys.psa.words import (
    algorithm_from_words,
    algorithm_to_words,
    key_type_to_words,
)

_RSA_SIZES: Final = (1024, 2048, 3072, 4096, 8192)
_ALGORITHMS: Final[dict[KeyAttributes, tuple[str, ...]]] = {
    KeyAttributes(RsaKeyPair(), 2048, KeyPolicy(RSA_USAGE)): (
        "RSA_PKCS1V15_SIGN(SHA_256)",
        "RSA_PSS(SHA_256)",
        "RSA_PSS(SHA_256, mgf=SHA_1, salt=20)",
        "RSA_OAEP(SHA_256)",
        "RSA_OAEP(SHA_256, mgf=SHA_1)",
        "RSA_PKCS1V15_CRYPT",
    ),
    KeyAttributes(EccKeyPair(EccFamily.SECP_R1), 256, KeyPolicy(ECC_USAGE)): (
        "ECDSA(SHA_256)",
        "DETERMINISTIC_ECDSA(SHA_256)",
        "ECDH",
    ),
}
"""What is asked of each provider, with the key that it is asked for."""
_json_option = click.option("--json", "json_", is_flag=True, help="Write JSON.")


@click.command("list")
@_json_option
@click.pass_obj
def list_keys(store: str | None, json_: bool) -> None:
    """List the keys."""
    with parsec_keys.open_store(store) as keys:
        listed = [_described(info) for info in keys.keys()]  # noqa: SIM118
    if json_:
        as_json(listed)
        return
    titles = ("name", "provider", "type", "bits", "algorithm", "usage")
    rows(titles, [[str(key[title]) for title in titles] for key in listed])


@click.command()
@click.argument("name")
@_json_option
@click.pass_obj
def show(store: str | None, name: str, json_: bool) -> None:
    """Show all that is to know of a key."""
    with parsec_keys.open_store(store) as keys:
        key = keys.load(name)
    public_key = key.public_key()
    spki = public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    info = parsec_keys.KeyInfo(key.name, key.provider, key.attributes)
    shown = {
        **_described(info),
        "uri": key.uri,
        "spki_sha256": digest(hashes.SHA256(), spki).hex(),
    }
    if json_:
        as_json(shown)
    else:
        rows(("", ""), [[title, str(value)] for title, value in shown.items()])


@click.command()
@_json_option
@click.pass_obj
def providers(store: str | None, json_: bool) -> None:
    """List the store's providers and the keys that each can keep."""
    with parsec_keys.open_store(store) as keys:
        listed = [
            {
                "name": info.name,
                "id": info.id,
                "uuid": info.uuid,
                "description": info.description,
                "vendor": info.vendor,
                "version": ".".join(map(str, info.version)),
                **_supported(keys, info.name),
            }
            for info in keys.providers()
        ]
    if json_:
        as_json(listed)
        return
    titles = ("name", "description", "rsa", "curves")
    rows(titles, [[_text(each[title]) for title in titles] for each in listed])


def _described(info: parsec_keys.KeyInfo) -> dict[str, Any]:
    attributes = info.attributes
    return {
        "name": info.name,
        "provider": info.provider,
        "type": key_type_to_words(attributes.type),
        "bits": attributes.bits,
        "algorithm": algorithm_to_words(attributes.policy.algorithm),
        "usage": attributes.policy.usage.words,
    }


def _supported(keys: parsec_keys.KeyStore, provider: str) -> dict[str, list[Any]]:
    rsa, ecc = KeyPolicy(RSA_USAGE), KeyPolicy(ECC_USAGE)
    return {
        "rsa": [
            bits
            for bits in _RSA_SIZES
            if keys.supports(KeyAttributes(RsaKeyPair(), bits, rsa), provider=provider)
        ],
        "curves": [
            curve().name
            for (family, bits), curve in CURVES.items()
            if keys.supports(
                KeyAttributes(EccKeyPair(family), bits, ecc), provider=provider
            )
        ],
        "algorithms": [
            algorithm
            for attributes, algorithms in _ALGORITHMS.items()
            for algorithm in algorithms
            if keys.supports(_permitting(attributes, algorithm), provider=provider)
        ],
    }


def _permitting(attributes: KeyAttributes, algorithm: str) -> KeyAttributes:
    policy = replace(attributes.policy, algorithm=algorithm_from_words(algorithm))
    return replace(attributes, policy=policy)


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
