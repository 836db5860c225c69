"""Commands that use a key: certificate signing request, signature, decryption."""

from __future__ import annotations

import base64
import binascii
import contextlib
import ipaddress
from collections.abc import Callable, Iterator
from typing import Any, Final

import click
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

import parsec_keys
from parsec_keys.cli.options import HASH_NAMES, hash_named, hash_option
from parsec_keys.cli.output import ENCODINGS, write_bytes
from parsec_keys.errors import InvalidArgument, NotSupported

_CHUNK: Final = 1 << 20
_SAN_TYPES: Final[dict[str, Callable[[str], x509.GeneralName]]] = {
    "DNS": x509.DNSName,
    "EMAIL": x509.RFC822Name,
    "IP": lambda text: x509.IPAddress(ipaddress.ip_address(text)),
    "URI": x509.UniformResourceIdentifier,
}
_hash_choice = click.Choice(list(HASH_NAMES))


@click.command()
@click.argument("name")
@click.option("--subject", metavar="RFC4514", help="As 'CN=device,O=Example'.")
@click.option(
    "--san", "sans", multiple=True, metavar="TYPE:VALUE", help="DNS, IP, EMAIL or URI."
)
@click.option("--pss", is_flag=True, help="Sign with RSA PSS.")
@hash_option
@click.option("-o", "--output", metavar="FILE", help="Instead of stdout.")
@click.pass_obj
def csr(
    store: str | None,
    /,
    name: str,
    subject: str | None,
    sans: tuple[str, ...],
    pss: bool,
    hash_name: str,
    output: str | None,
) -> None:
    """Write a certificate signing request (PKCS#10, PEM) for a key."""
    builder = _request(subject or f"CN={name}", sans)
    algorithm: Any = hash_named(hash_name)
    scheme = padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH)
    with parsec_keys.open_store(store) as keys:
        key = keys.load(name)
        if pss and isinstance(key, ec.EllipticCurvePrivateKey):
            raise InvalidArgument(f"key '{name}' is no RSA key: leave out --pss")
        with _refusals_of(name):
            request = builder.sign(key, algorithm, rsa_padding=scheme if pss else None)
    write_bytes(request.public_bytes(serialization.Encoding.PEM), output, "raw")


@click.command()
@click.argument("name")
@click.argument("file", type=click.File("rb"), default="-")
@hash_option
@click.option("--padding", "padding_name", type=click.Choice(["pkcs1", "pss"]))
@click.option("--salt", help="Of PSS: bytes, 'digest' or 'max'; 'digest' without it.")
@click.option("--mgf-hash", type=_hash_choice, help="Of PSS.")
@click.option("--prehashed", is_flag=True, help="FILE is the digest itself.")
@click.option("--deterministic", is_flag=True, help="ECDSA of RFC 6979.")
@click.option("--encoding", type=click.Choice(ENCODINGS))
@click.option("-o", "--output", metavar="FILE", help="Instead of stdout.")
@click.pass_obj
def sign(
    store: str | None,
    /,
    name: str,
    file: Any,
    hash_name: str,
    encoding: str | None,
    output: str | None,
    **scheme: Any,
) -> None:
    """Sign FILE, or stdin: DER for an EC key, raw for RSA."""
    algorithm = hash_named(hash_name)
    hashed = file.read() if scheme["prehashed"] else _digest(file, algorithm)
    prehashed = utils.Prehashed(algorithm)
    with parsec_keys.open_store(store) as keys, _refusals_of(name):
        key = keys.load(name)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            _refuse("an EC key has no", scheme, ("padding_name", "salt", "mgf_hash"))
            ecdsa = ec.ECDSA(prehashed, deterministic_signing=scheme["deterministic"])
            signature = key.sign(hashed, ecdsa)
        else:
            _refuse("an RSA key has no", scheme, ("deterministic",))
            rsa_padding = _signature_padding(scheme, algorithm)
            signature = key.sign(hashed, rsa_padding, prehashed)
    write_bytes(signature, output, encoding)


@click.command()
@click.argument("name")
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--padding", "padding_name", type=click.Choice(["oaep", "pkcs1"]), default="oaep"
)
@click.option(
    "--hash", "hash_name", type=_hash_choice, help="Of OAEP; sha256 without it."
)
@click.option(
    "--mgf-hash", type=_hash_choice, help="Of OAEP; that of --hash without it."
)
@click.option("--label", help="Of OAEP: text, or hex after 'hex:'.")
@click.option("--encoding", type=click.Choice(ENCODINGS), default="raw")
@click.option("-o", "--output", metavar="FILE", help="Instead of stdout.")
@click.pass_obj
def decrypt(
    store: str | None,
    /,
    name: str,
    file: Any,
    padding_name: str,
    encoding: str,
    output: str | None,
    **oaep: Any,
) -> None:
    """Decrypt FILE, or stdin, with an RSA key."""
    scheme = _encryption_padding(padding_name, oaep)
    ciphertext = _decoded(file.read(), encoding)
    with parsec_keys.open_store(store) as keys:
        key = keys.load(name)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            raise InvalidArgument(f"key '{name}' is an EC key, which decrypts nothing")
        with _refusals_of(name):
            plaintext = key.decrypt(ciphertext, scheme)
    write_bytes(plaintext, output, "raw")


@contextlib.contextmanager
def _refusals_of(name: str) -> Iterator[None]:
    """What pyca's own rules refuse, in a sentence that names the key."""
    try:
        yield
    except NotSupported:
        raise  # It names the key itself.
    except (ValueError, UnsupportedAlgorithm) as e:
        # A padding that does not fit is among them: nothing but the words goes on.
        raise InvalidArgument(f"key '{name}' cannot do this: {e}") from None


def _request(
    subject: str, sans: tuple[str, ...]
) -> x509.CertificateSigningRequestBuilder:
    try:
        name = x509.Name.from_rfc4514_string(subject)
        builder = x509.CertificateSigningRequestBuilder().subject_name(name)
        if not sans:
            return builder
        names = [_general_name(san) for san in sans]
    except ValueError as e:
        raise click.UsageError(
            str(e) or f"'{subject}' is no subject: write it as CN=device,O=Example"
        ) from None
    return builder.add_extension(x509.SubjectAlternativeName(names), critical=False)


def _general_name(san: str) -> x509.GeneralName:
    kind, _, value = san.partition(":")
    if kind.upper() not in _SAN_TYPES or not value:
        raise click.UsageError(f"--san is TYPE:VALUE with {', '.join(_SAN_TYPES)}")
    return _SAN_TYPES[kind.upper()](value)


def _digest(file: Any, algorithm: hashes.HashAlgorithm) -> bytes:
    context = hashes.Hash(algorithm)
    while chunk := file.read(_CHUNK):
        context.update(chunk)
    return context.finalize()


def _signature_padding(
    scheme: dict[str, Any], algorithm: hashes.HashAlgorithm
) -> padding.AsymmetricPadding:
    if scheme["padding_name"] != "pss":
        _refuse("only PSS has a", scheme, ("salt", "mgf_hash"))
        return padding.PKCS1v15()
    mgf = padding.MGF1(hash_named(scheme["mgf_hash"] or algorithm.name))
    salt: Any = {
        None: padding.PSS.DIGEST_LENGTH,
        "digest": padding.PSS.DIGEST_LENGTH,
        "max": padding.PSS.MAX_LENGTH,
    }.get(scheme["salt"])
    if salt is None:
        if not scheme["salt"].isdecimal():
            raise click.UsageError("--salt is a number of bytes, 'digest' or 'max'")
        salt = int(scheme["salt"])
    return padding.PSS(mgf, salt)


def _encryption_padding(
    padding_name: str, oaep: dict[str, Any]
) -> padding.AsymmetricPadding:
    if padding_name != "oaep":
        _refuse("only OAEP has a", oaep, ("hash_name", "mgf_hash", "label"))
        return padding.PKCS1v15()
    hash_name = oaep["hash_name"] or "sha256"
    mgf = padding.MGF1(hash_named(oaep["mgf_hash"] or hash_name))
    return padding.OAEP(mgf, hash_named(hash_name), _label(oaep["label"] or ""))


def _refuse(words: str, scheme: dict[str, Any], options: tuple[str, ...]) -> None:
    """An option that would be ignored is an error."""
    for option in options:
        if scheme[option]:
            flag = option.removesuffix("_name").replace("_", "-")
            raise click.UsageError(f"{words} --{flag}: leave it out")


def _label(text: str) -> bytes | None:
    if text.startswith("hex:"):
        return _decoded(text[4:].encode(), "hex")
    return text.encode() or None


def _decoded(data: bytes, encoding: str) -> bytes:
    try:
        if encoding == "base64":
            return base64.b64decode(b"".join(data.split()), validate=True)
        return bytes.fromhex(data.decode()) if encoding == "hex" else data
    except (ValueError, binascii.Error):
        raise InvalidArgument(f"the input is not {encoding}") from None
