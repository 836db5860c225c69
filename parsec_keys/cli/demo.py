"""The demo: keys in software, a TPM and a token, made, used and found again.

Each step is verified by somebody else: the openssl command, PyJWT, or the public key.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes, hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from rich import box
from rich.console import Console
from rich.table import Table

import parsec_keys
from parsec_keys.emulators import SoftHsm, Swtpm
from parsec_keys.errors import Error

PROVIDERS: Final = ("software", "tpm", "pkcs11")
_WANT_VARIABLE: Final = "PARSEC_KEYS_WANT"
_MESSAGE: Final = b"only the holder of the key reads this"
_OAEP: Final = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
_HPKE: Final = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_128_GCM)
_SUBJECT: Final = x509.Name.from_rfc4514_string("CN=device,O=Example")
_CAPTION: Final = (
    "times in milliseconds; CSR and certificate verified by openssl, the JWT by PyJWT"
)
_WHAT_NEXT: Final = """
Next, with keys of your own:
  parsec-keys generate device                                 in your software store
  parsec-keys --store tpm:device:/dev/tpmrm0 generate device  in this machine's TPM
  parsec-keys csr device --subject CN=device                  a request for your CA
"""
_Key = parsec_keys.rsa.RSAPrivateKey | parsec_keys.ec.EllipticCurvePrivateKey


class _DemoFailed(click.ClickException):
    """A step that did not do what it should."""


@click.command()
@click.option(
    "--only", multiple=True, type=click.Choice(PROVIDERS), help="Leave out the others."
)
def demo(only: tuple[str, ...]) -> None:
    """Make keys in software, a TPM (swtpm) and a token (SoftHSM), and use them."""
    console = Console(stderr=True)
    wanted = only or tuple(filter(None, os.environ.get(_WANT_VARIABLE, "").split(",")))
    table = Table(
        *("provider", "key", *(title for title, _ in _STEPS)),
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        caption=_CAPTION,
    )
    missing = []
    for provider in only or PROVIDERS:
        try:
            with _store_url(provider) as url, console.status(f"{provider}: at work"):
                for kind in ("RSA-2048", "P-256"):
                    table.add_row(provider, kind, *_run(url, kind))
        except Error as e:
            if provider in wanted:
                raise
            missing.append(f"{provider}: left out, because {e}")
    Console().print(table)
    for line in missing:
        console.print(line, style="yellow", highlight=False, soft_wrap=True)
    console.print(_WHAT_NEXT, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _store_url(provider: str) -> Iterator[str]:
    """A store of a provider in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="parsec-keys-demo-") as name:
        folder = Path(name)
        if provider == "software":
            yield f"software:{folder / 'store'}"
        elif provider == "tpm":
            with Swtpm(folder) as tpm:
                yield tpm.url
        else:
            yield SoftHsm(folder).add_token("demo")


def _run(url: str, kind: str) -> list[str]:
    """All steps with one key; the cells of its row."""
    cells = []
    store = parsec_keys.open_store(url)
    state = _State(store, url, kind)
    try:
        for title, step in _STEPS:
            start = time.perf_counter()
            try:
                step(state)
            except (AssertionError, ValueError) as e:
                raise _DemoFailed(f"{kind}, {title}: {e!r}") from e
            cells.append(f"✓ {1000 * (time.perf_counter() - start):.1f}")
    finally:
        state.store.close()
    return cells


class _State:
    """What one step leaves for the next."""

    def __init__(self, store: parsec_keys.KeyStore, url: str, kind: str) -> None:
        self.store = store
        self.url = url
        self.name = kind
        self.key: _Key

    def sign(self, data: bytes) -> bytes:
        """A signature that the public key has accepted."""
        key, public_key = self.key, self.key.public_key()
        if isinstance(key, parsec_keys.rsa.RSAPrivateKey):
            signature = key.sign(data, padding.PKCS1v15(), hashes.SHA256())
            assert isinstance(public_key, rsa.RSAPublicKey)  # noqa: S101
            public_key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
            return signature
        signature = key.sign(data, ec.ECDSA(hashes.SHA256()))
        assert isinstance(public_key, ec.EllipticCurvePublicKey)  # noqa: S101
        public_key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        return signature


def _make(state: _State) -> None:
    if state.name.startswith("RSA"):
        state.key = state.store.generate_rsa(state.name)
    else:
        state.key = state.store.generate_ec(state.name, ec.SECP256R1())


def _sign(state: _State) -> None:
    state.sign(b"a message")


def _request(state: _State) -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(_SUBJECT)
    request = builder.sign(state.key, hashes.SHA256())
    _openssl(("req", "-verify", "-noout"), request)


def _certificate(state: _State) -> None:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_SUBJECT)
        .issuer_name(_SUBJECT)
        .public_key(state.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
    )
    certificate = builder.sign(state.key, hashes.SHA256())
    certificate.verify_directly_issued_by(certificate)
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
        file.flush()
        _openssl(("verify", "-check_ss_sig", "-CAfile", file.name), certificate)


def _token(state: _State) -> None:
    import jwt

    algorithm = "RS256" if state.name.startswith("RSA") else "ES256"
    claims = {"sub": "device"}
    token = jwt.encode(claims, state.key, algorithm)
    if jwt.decode(token, state.key.public_key(), [algorithm]) != claims:
        raise _DemoFailed("the JWT says something else than what was signed")


def _decrypt(state: _State) -> None:
    key, public_key = state.key, state.key.public_key()
    if isinstance(key, parsec_keys.rsa.RSAPrivateKey):
        assert isinstance(public_key, rsa.RSAPublicKey)  # noqa: S101
        message = key.decrypt(public_key.encrypt(_MESSAGE, _OAEP), _OAEP)
    else:
        assert isinstance(public_key, ec.EllipticCurvePublicKey)  # noqa: S101
        message = _HPKE.decrypt(_HPKE.encrypt(_MESSAGE, public_key), key)
    if message != _MESSAGE:
        raise _DemoFailed("the message came out as another one")


def _reopen(state: _State) -> None:
    before = state.key.public_key()
    state.store.close()
    state.store = parsec_keys.open_store(state.url)
    state.key = state.store.load(state.name)
    if state.key.public_key() != before:
        raise _DemoFailed("the store gave another key after it was opened again")
    state.sign(b"another message")


_STEPS: Final[tuple[tuple[str, Callable[[_State], None]], ...]] = (
    ("make", _make),
    ("sign", _sign),
    ("CSR", _request),
    ("cert", _certificate),
    ("JWT", _token),
    ("decrypt", _decrypt),
    ("reopen", _reopen),
)


def _openssl(
    command: tuple[str, ...],
    signed: x509.Certificate | x509.CertificateSigningRequest,
) -> None:
    done = subprocess.run(  # noqa: S603
        ["openssl", *command],  # noqa: S607
        input=signed.public_bytes(serialization.Encoding.PEM),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise _DemoFailed(f"openssl refuses it: {done.stderr.decode()}")
