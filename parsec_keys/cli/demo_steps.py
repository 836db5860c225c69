"""What the demo does with a key; each step is verified by somebody else.

The openssl command, PyJWT, or the public key.
"""

from __future__ import annotations

import datetime
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Final

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

import parsec_keys

_MESSAGE: Final = b"only the holder of the key reads this"
_OAEP: Final = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
_HPKE: Final = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_128_GCM)
_SUBJECT: Final = x509.Name.from_rfc4514_string("CN=device,O=Example")
_Key = parsec_keys.rsa.RSAPrivateKey | parsec_keys.ec.EllipticCurvePrivateKey

KINDS: Final = ("RSA-2048", "P-256")
"""The keys that each provider makes."""


class StepFailed(Exception):
    """A step that did not do what it should."""


def run(url: str, kind: str) -> tuple[list[str], str | None]:
    """Do all steps with one new key.

    Returns:
        The time of each step that was done, and what went wrong in the last, if so.
    """
    cells: list[str] = []
    state = _State(parsec_keys.open_store(url), url, kind)
    try:
        for title, step in _STEPS:
            start = time.perf_counter()
            try:
                step(state)
            except Exception as e:  # Whatever it is, the demo has failed here.
                return [*cells, "✗"], f"{kind}, {title}: {str(e) or type(e).__name__}"
            cells.append(_milliseconds(time.perf_counter() - start))
    finally:
        state.store.close()
    return cells, None


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
    claims = {"sub": "device"}
    algorithm = "RS256" if state.name.startswith("RSA") else "ES256"
    token = jwt.encode(claims, state.key, algorithm)
    if jwt.decode(token, state.key.public_key(), [algorithm]) != claims:
        raise StepFailed("the JWT says something else than what was signed")


def _decrypt(state: _State) -> None:
    key, public_key = state.key, state.key.public_key()
    if isinstance(key, parsec_keys.rsa.RSAPrivateKey):
        assert isinstance(public_key, rsa.RSAPublicKey)  # noqa: S101
        message = key.decrypt(public_key.encrypt(_MESSAGE, _OAEP), _OAEP)
    else:
        assert isinstance(public_key, ec.EllipticCurvePublicKey)  # noqa: S101
        message = _HPKE.decrypt(_HPKE.encrypt(_MESSAGE, public_key), key)
    if message != _MESSAGE:
        raise StepFailed("the message came out as another one")


def _reopen(state: _State) -> None:
    before = state.key.public_key()
    state.store.close()
    state.store = parsec_keys.open_store(state.url)
    state.key = state.store.load(state.name)
    if state.key.public_key() != before:
        raise StepFailed("the store gave another key after it was opened again")
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
TITLES: Final = tuple(title for title, _ in _STEPS)


def _milliseconds(seconds: float) -> str:
    milliseconds = 1000 * seconds
    return f"✓ {milliseconds:.{int(milliseconds < 100)}f}"


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
        raise StepFailed(f"openssl refuses it: {done.stderr.decode()}")
