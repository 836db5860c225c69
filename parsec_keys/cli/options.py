"""Options that several commands have, and the words for curves and hashes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from parsec_keys._pyca import CURVES, HASHES
from parsec_keys.keystore import UNCHOSEN
from parsec_keys.psa.attributes import EccFamily
from parsec_keys.psa.words import algorithm_from_words, usage_from_words

F = TypeVar("F", bound=Callable[..., Any])

_NIST: Final = {
    f"P-{bits}": curve
    for (family, bits), curve in CURVES.items()
    if family is EccFamily.SECP_R1
}
CURVE_NAMES: Final = {**{c().name: c for c in CURVES.values()}, **_NIST}
"""Every curve, by the name of SEC 2 or RFC 5639, and by NIST's."""
HASH_NAMES: Final[dict[str, hashes.HashAlgorithm]] = {
    each.name: each
    for each in (*HASHES.values(), hashes.BLAKE2b(64), hashes.BLAKE2s(32))
}
"""Every hash of a fixed length that pyca has. PSA has no BLAKE2, but ECDSA takes it."""


def curve_named(name: str) -> ec.EllipticCurve:
    """The curve of a name, in upper or lower case."""
    for known, curve in CURVE_NAMES.items():
        if known.lower() == name.lower():
            return curve()
    raise click.BadParameter(f"'{name}' is none of {', '.join(CURVE_NAMES)}")


def hash_named(name: str) -> hashes.HashAlgorithm:
    """The hash of a name."""
    return HASH_NAMES[name]


def policy_options(command: F) -> F:
    """Add ``--provider``, ``--algorithm`` and ``--usage`` to a command."""
    for option in (
        click.option(
            "--usage",
            metavar="FLAGS",
            callback=_checked(usage_from_words),
            help="What the key may do: 'sign_hash decrypt'. Without it, all.",
        ),
        click.option(
            "--algorithm",
            metavar="ALGORITHM",
            callback=_checked(algorithm_from_words, UNCHOSEN),
            help="The one algorithm it may do: 'ECDSA(SHA_256)'. Without it, all.",
        ),
        click.option("--provider", help="The store's provider that keeps the key."),
    ):
        command = option(command)
    return command


def hash_option(command: F) -> F:
    """Add ``--hash`` to a command."""
    choice = click.Choice(list(HASH_NAMES))
    option = click.option(
        "--hash", "hash_name", type=choice, default="sha256", show_default=True
    )
    return option(command)


def _checked(
    parse: Callable[[str], object], absent: object = None
) -> Callable[[click.Context, click.Parameter, str | None], object]:
    def check(
        context: click.Context, parameter: click.Parameter, value: str | None
    ) -> object:
        try:
            return absent if value is None else parse(value)
        except ValueError as e:
            raise click.BadParameter(str(e)) from None

    return check
