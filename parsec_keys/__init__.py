"""Private keys in a TPM, an HSM or software that are ``cryptography`` keys.

``open_store`` gives a ``KeyStore``, which makes and loads keys; ``load_key`` gives one
key from one string. Everything that signs or decrypts with a key of pyca's does so with
these.
"""

from __future__ import annotations

from parsec_keys import ec, errors, rsa
from parsec_keys.errors import Error
from parsec_keys.keystore import KeyStore
from parsec_keys.psa.operations import KeyInfo, ProviderInfo
from parsec_keys.stores import load_key, open_store

__all__ = [
    "Error",
    "KeyInfo",
    "KeyStore",
    "ProviderInfo",
    "ec",
    "errors",
    "load_key",
    "open_store",
    "rsa",
]
__version__ = "0.1.0"
