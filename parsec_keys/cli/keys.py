"""Commands by which keys come and go."""

from __future__ import annotations

import sys
from typing import Any

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import parsec_keys
from parsec_keys.cli.options import curve_named, policy_options
from parsec_keys.cli.output import spinner, words, write_bytes
from parsec_keys.errors import InvalidArgument, NotSupported

_PUBLIC_FORMATS = {
    "pem": (
        serialization.Encoding.PEM,
        serialization.PublicFormat.SubjectPublicKeyInfo,
    ),
    "der": (
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo,
    ),
    "ssh": (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
    "pkcs1": (serialization.Encoding.PEM, serialization.PublicFormat.PKCS1),
}


@click.command()
@click.argument("name")
@click.option(
    "--type",
    "key_type",
    type=click.Choice(["ec", "rsa"]),
    default="ec",
    show_default=True,
)
@click.option("--bits", type=int, help="Of an RSA key; 2048 without it.")
@click.option("--curve", help="Of an EC key; P-256 without it.")
@policy_options
@click.pass_obj
def generate(
    store: str | None,
    /,
    name: str,
    key_type: str,
    bits: int | None,
    curve: str | None,
    **policy: Any,
) -> None:
    """Make a key named NAME inside a provider, and print its URI."""
    if key_type == "rsa" and curve is not None:
        raise click.UsageError("an RSA key has no curve: leave out --curve")
    if key_type == "ec" and bits is not None:
        raise click.UsageError("an EC key's curve says its bits: leave out --bits")
    chosen = curve_named(curve or "P-256")
    with parsec_keys.open_store(store) as keys, spinner(f"making '{name}'"):
        key: parsec_keys.rsa.RSAPrivateKey | parsec_keys.ec.EllipticCurvePrivateKey
        if key_type == "rsa":
            key = keys.generate_rsa(name, 2048 if bits is None else bits, **policy)
        else:
            key = keys.generate_ec(name, chosen, **policy)
    words(f"made key '{name}' in provider '{key.provider}'")
    click.echo(key.uri)


@click.command("import")
@click.argument("name")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--passphrase-file",
    type=click.File("rb"),
    help="Its first line opens an encrypted FILE; without it, it is asked for.",
)
@policy_options
@click.pass_obj
def import_key(
    store: str | None, /, name: str, file: Any, passphrase_file: Any, **policy: Any
) -> None:
    """Put the private key in FILE (PEM or DER, - for stdin) into a provider."""
    key = _private_key(file.read(), passphrase_file)
    if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        raise NotSupported("FILE is neither an RSA key nor one on a curve of SEC 2")
    with parsec_keys.open_store(store) as keys:
        imported = keys.import_key(name, key, **policy)
    words(
        f"imported key '{name}' into provider '{imported.provider}'; FILE is as it was"
    )
    click.echo(imported.uri)


@click.command("export-public")
@click.argument("name")
@click.option(
    "--format", "format_name", type=click.Choice(list(_PUBLIC_FORMATS)), default="pem"
)
@click.option("-o", "--output", metavar="FILE", help="Instead of stdout.")
@click.pass_obj
def export_public(
    store: str | None, name: str, format_name: str, output: str | None
) -> None:
    """Write the public half of a key."""
    with parsec_keys.open_store(store) as keys:
        public_key = keys.load(name).public_key()
    try:
        data = public_key.public_bytes(*_PUBLIC_FORMATS[format_name])
    except (ValueError, UnsupportedAlgorithm) as e:
        raise InvalidArgument(f"key '{name}' has no format {format_name}: {e}") from e
    write_bytes(
        data.rstrip(b"\n") + b"\n" if format_name == "ssh" else data, output, "raw"
    )


@click.command("export-reference")
@click.argument("name")
@click.option(
    "--format", "format_name", type=click.Choice(["pem", "der"]), default="pem"
)
@click.option("-o", "--output", metavar="FILE", help="Instead of stdout.")
@click.pass_obj
def export_reference(
    store: str | None, name: str, format_name: str, output: str | None
) -> None:
    """Write the reference of a key, which is its key file for TLS.

    It says where the key is and has no secret. See parsec-keys run.
    """
    from parsec_keys.tls import _reference

    with parsec_keys.open_store(store) as keys:
        key = keys.load(name)
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    encode = _reference.encode_pem if format_name == "pem" else _reference.encode
    data = encode(_reference.RSA_OID if is_rsa else _reference.EC_OID, key.uri)
    # libpq and others take a key file only if nobody else can read it.
    write_bytes(data, output, "raw", mode=0o600)


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(store: str | None, name: str, yes: bool) -> None:
    """Destroy a key for ever."""
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody is there to ask: give --yes")
        if not click.confirm(f"destroy key '{name}' for ever?", err=True):
            raise click.ClickException(f"key '{name}' is as it was")
    with parsec_keys.open_store(store) as keys:
        keys.delete(name)
    words(f"key '{name}' is destroyed")


def _private_key(data: bytes, passphrase_file: Any) -> Any:
    load = serialization.load_der_private_key
    if b"-----BEGIN" in data:
        load = serialization.load_pem_private_key
    passphrase = None
    if passphrase_file is not None:
        passphrase = passphrase_file.read().partition(b"\n")[0]
    try:
        return load(data, passphrase)
    except TypeError:
        # It is encrypted and there is no passphrase, or the other way round.
        if passphrase is not None:
            return load(data, None)
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidArgument(
            "FILE is no private key that cryptography reads, or its passphrase is wrong"
        ) from None
    if not sys.stdin.isatty():
        raise click.UsageError("FILE is encrypted: give --passphrase-file")
    asked = click.prompt("passphrase", hide_input=True, err=True)
    try:
        return load(data, asked.encode())
    except ValueError:
        raise InvalidArgument("the passphrase does not open FILE") from None
