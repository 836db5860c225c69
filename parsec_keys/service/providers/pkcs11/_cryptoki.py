"""PKCS#11's words: the one module that imports python-pkcs11, and its errors in ours.

Most exceptions of python-pkcs11 have no text: their class is what they say.
"""

from __future__ import annotations

from typing import Final

import pkcs11
from pkcs11 import exceptions
from pkcs11.constants import Attribute, ObjectClass, SlotFlag, TokenFlag
from pkcs11.mechanisms import KDF, MGF, KeyType, Mechanism

from parsec_keys.errors import (
    AuthenticationError,
    Error,
    NotSupported,
    PinIncorrect,
    PinLocked,
    ProviderFailure,
    ServiceUnavailable,
)
from parsec_keys.psa.algorithms import Hash

__all__ = [
    "KDF",
    "MGF",
    "Attribute",
    "KeyType",
    "Mechanism",
    "ObjectClass",
    "SlotFlag",
    "TokenFlag",
    "exceptions",
    "pkcs11",
]

PSS_HASHES: Final[dict[Hash, tuple[Mechanism, MGF]]] = {
    Hash.SHA_1: (Mechanism.SHA_1, MGF.SHA1),
    Hash.SHA_224: (Mechanism.SHA224, MGF.SHA224),
    Hash.SHA_256: (Mechanism.SHA256, MGF.SHA256),
    Hash.SHA_384: (Mechanism.SHA384, MGF.SHA384),
    Hash.SHA_512: (Mechanism.SHA512, MGF.SHA512),
}
"""The hashes that the parameters of PSS and OAEP can name (PKCS#11 3.0, 2.1.7)."""

LOST: Final = (
    exceptions.SessionHandleInvalid,
    exceptions.SessionClosed,
    exceptions.DeviceRemoved,
    exceptions.TokenNotPresent,
    exceptions.KeyHandleInvalid,
    exceptions.ObjectHandleInvalid,
    exceptions.OperationActive,
    exceptions.UserNotLoggedIn,
)
"""What a session says when it, its token or its objects are not what they were."""
REFUSED_MECHANISM: Final = (
    exceptions.MechanismInvalid,
    exceptions.MechanismParamInvalid,
    exceptions.ArgumentsBad,
    exceptions.FunctionNotSupported,
)
"""What tokens say of a mechanism, or of parameters, that they do not have."""
REFUSED_KEY: Final = (
    exceptions.DomainParamsInvalid,
    exceptions.KeySizeRange,
    exceptions.AttributeValueInvalid,
    exceptions.TemplateInconsistent,
    exceptions.MechanismInvalid,
    exceptions.MechanismParamInvalid,
)
"""What tokens say of a curve or a size that they do not have."""

_SENTENCES: Final[dict[type[Exception], tuple[type[Error], str]]] = {
    exceptions.PinIncorrect: (
        PinIncorrect,
        "the token refuses the PIN, which was tried once: correct pin-value or "
        "pin-source before its counter runs out",
    ),
    exceptions.PinLenRange: (
        PinIncorrect,
        "the PIN is shorter or longer than the token's PINs are",
    ),
    exceptions.PinInvalid: (PinIncorrect, "the PIN has characters the token refuses"),
    exceptions.PinLocked: (
        PinLocked,
        "the token's PIN is locked: have its security officer unlock it",
    ),
    exceptions.PinExpired: (AuthenticationError, "the PIN has expired: change it"),
    exceptions.UserPinNotInitialized: (
        AuthenticationError,
        "the token has no user PIN yet: initialise it with the vendor's tool",
    ),
    exceptions.UserNotLoggedIn: (
        AuthenticationError,
        "the token wants a login: give the store a pin-value or pin-source",
    ),
    exceptions.TokenWriteProtected: (
        NotSupported,
        "the token is read-only: keys on it can be used, not made or removed",
    ),
    exceptions.SessionReadOnly: (
        NotSupported,
        "the token is read-only: keys on it can be used, not made or removed",
    ),
    exceptions.DeviceMemory: (
        ProviderFailure,
        "the token is full: remove keys that are not needed",
    ),
    exceptions.MechanismInvalid: (NotSupported, "the token does not have it"),
    exceptions.FunctionNotSupported: (NotSupported, "the token does not have it"),
    exceptions.SessionCount: (
        ServiceUnavailable,
        "the token has no session left: close other programs that use it",
    ),
    exceptions.DeviceRemoved: (ServiceUnavailable, "the token was removed: insert it"),
    exceptions.TokenNotPresent: (ServiceUnavailable, "the token is gone: insert it"),
}


def translated(error: exceptions.PKCS11Error, asked: str) -> Error:
    """Our error for the token's, in a sentence that starts with what was asked."""
    for kind, (class_, words) in _SENTENCES.items():
        if isinstance(error, kind):
            return class_(f"{asked} failed: {words}")
    said = type(error).__name__
    if str(error):
        said += f", {error}"
    return ProviderFailure(f"{asked} failed in the token: {said}")
