"""Private keys in a TPM, an HSM or software that are ``cryptography`` keys.

``open_store`` gives a ``KeyStore``, which makes and loads keys; ``load_key`` gives one
key from one string. Everything that signs or decrypts with a key of pyca's does so with
these.

The names are loaded on first use: a program that imports this package and opens no
store pays nothing for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
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

_MODULES: Final = {
    "Error": "errors",
    "KeyInfo": "psa.operations",
    "KeyStore": "keystore",
    "ProviderInfo": "psa.operations",
    "ec": "ec",
    "errors": "errors",
    "load_key": "stores",
    "open_store": "stores",
    "rsa": "rsa",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'parsec_keys' has no attribute '{name}'")
    module = importlib.import_module(f"parsec_keys.{_MODULES[name]}")
    value: object = module if name == _MODULES[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
