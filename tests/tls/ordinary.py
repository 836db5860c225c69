"""Ordinary work in a process with our provider, and how often libcrypto called us.

``python -m tests.tls.ordinary ORDER FOLDER``: the calls, by module, in JSON. With the
order ``later`` somebody loads the default provider again after us. With ``last`` our
keys are the first that libcrypto sees, and with ``forgotten`` since it forgot others.
"""

from __future__ import annotations

import collections
import ctypes
import functools
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from OpenSSL import crypto

import parsec_keys
from parsec_keys import tls
from parsec_keys.tls import _elf
from parsec_keys.tls._core import Core
from tests.tls import handshakes

SHA256 = hashes.SHA256()
TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL
_calls: collections.Counter[str] = collections.Counter()


def count_calls() -> None:
    """Count what libcrypto calls, from its registration on."""
    original = Core.callback

    def callback(self: Core, *types: Any) -> Callable[[Callable[..., Any]], int]:
        decorate = original(self, *types)

        def counted(function: Callable[..., Any]) -> int:
            where = function.__module__.rpartition(".")[2]

            @functools.wraps(function)
            def wrapper(*arguments: Any) -> Any:
                _calls[where] += 1
                return function(*arguments)

            return decorate(wrapper)

        return counted

    Core.callback = callback  # type: ignore[method-assign]


def load_provider(provider: bytes) -> None:
    """What another library may do at any time; a new one makes libcrypto forget."""
    from cryptography.hazmat.bindings import _rust

    name = b"OSSL_PROVIDER_load"
    prototype = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
    linked_in = _elf.function_addresses(Path(_rust.__file__ or "").resolve(), [name])
    shared = prototype((name.decode(), ctypes.CDLL("libcrypto.so.3")))
    for load in (shared, *(prototype(address) for address in linked_in.values())):
        assert load(None, provider)


def work(folder: Path) -> None:
    """Everything that pyca does with keys, and TLS in both libraries."""
    rsa_key = rsa.generate_private_key(65537, 2048)
    ec_key = ec.generate_private_key(ec.SECP256R1())
    data = b"data"
    for scheme in (
        padding.PKCS1v15(),
        padding.PSS(padding.MGF1(SHA256), padding.PSS.DIGEST_LENGTH),
    ):
        signature = rsa_key.sign(data, scheme, SHA256)
        rsa_key.public_key().verify(signature, data, scheme, SHA256)
    for wrap in (padding.PKCS1v15(), padding.OAEP(padding.MGF1(SHA256), SHA256, None)):
        ciphertext = rsa_key.public_key().encrypt(data, wrap)
        assert rsa_key.decrypt(ciphertext, wrap) == data
    signature = ec_key.sign(data, ec.ECDSA(SHA256))
    ec_key.public_key().verify(signature, data, ec.ECDSA(SHA256))
    other = ec.generate_private_key(ec.SECP256R1())
    one = ec_key.exchange(ec.ECDH(), other.public_key())
    assert one == other.exchange(ec.ECDH(), ec_key.public_key())
    for number, key in enumerate((rsa_key, ec_key)):
        pem = key.private_bytes(
            handshakes.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            handshakes.PLAIN,
        )
        assert serialization.load_pem_private_key(pem, None)
        cert = handshakes.certificate(key)
        cert.verify_directly_issued_by(cert)
        own = handshakes.files(key, folder / str(number), cert)
        shake_hands(key, own, cert)


def shake_hands(key: Any, own: Path, cert: x509.Certificate) -> None:
    """Be both ends, in both libraries, and sign with pyOpenSSL."""
    client, server = (handshakes.context(own, own, side) for side in (False, True))
    assert handshakes.shake(client, server) == "TLSv1.3"
    ends = [handshakes.pyopenssl_context(key, own / "cert.pem", cert) for _ in "xx"]
    assert handshakes.pyopenssl_shake(*ends) == "TLSv1.3"
    sign_with_pyopenssl(key, crypto.X509.from_cryptography(cert))


def sign_with_pyopenssl(key: Any, cert: crypto.X509) -> None:
    """Sign a certificate in the libcrypto of cryptography."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        pkey = crypto.PKey.from_cryptography_key(key)
        cert.set_pubkey(pkey)
        cert.sign(pkey, "sha256")


def main() -> None:
    order, folder = sys.argv[1], Path(sys.argv[2])
    store = parsec_keys.open_store(f"software:{folder}/store")
    count_calls()
    tls.enable()
    if order == "later":
        load_provider(b"default")
    if order == "forgotten":
        load_provider(b"null")
    ours = [store.generate_rsa("rsa"), store.generate_ec("ec", ec.SECP256R1())]
    if order in ("last", "forgotten"):
        # An empty certificate: nobody else has used a key yet.
        for key in ours:
            sign_with_pyopenssl(key, crypto.X509())
    _calls.clear()
    work(folder)
    ordinary = dict(_calls)
    _calls.clear()
    # They would be seen: a key of ours makes them.
    for key in ours:
        cert = handshakes.certificate(key)
        shake_hands(key, handshakes.files(key, folder / "ours", cert), cert)
    print(json.dumps({"ordinary": ordinary, "ours": dict(_calls)}))


if __name__ == "__main__":
    main()
