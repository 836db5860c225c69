"""PKCS#11's words: the one module that imports python-pkcs11, and its errors in ours.

Most exceptions of python-pkcs11 have no text: their class is what they say.
"""

from __future__ import annotations

from typing import Final

import pkcs11
from pkcs11 import exceptions
from pkcs11.constants import DEFAULT, Attribute, ObjectClass, SlotFlag, TokenFlag
from pkcs11.mechanisms import KDF, MGF, KeyType, Mechanism

from parsec_keys.errors import (
    AuthenticationError,
    Error,
    KeyNotFound,
    NotSupported,
    PinIncorrect,
    PinLocked,
    ProviderFailure,
    ServiceUnavailable,
)
from parsec_keys.psa.algorithms import Hash

__all__ = [
    "DEFAULT",
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
    exceptions.NoSuchToken,
    exceptions.NoSuchKey,  # SoftHSM, of a token that went and came back.
)
"""What a session says when it, its token or its objects are not what they were."""
SICK: Final = (
    exceptions.DeviceError,
    exceptions.FunctionFailed,
    exceptions.GeneralError,
    exceptions.SlotIDInvalid,
    exceptions.TokenNotRecognised,
)
"""What a module says when what is behind it went away, and at other times too."""
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
    exceptions.AnotherUserAlreadyLoggedIn: (
        AuthenticationError,
        "this process is logged in to the token as another user: log out there",
    ),
    exceptions.UserPinNotInitialized: (
        AuthenticationError,
        "the token has no user PIN yet: initialise it with the vendor's tool",
    ),
    exceptions.UserNotLoggedIn: (
        AuthenticationError,
        "the token wants a login: give the store a pin-value or pin-source",
    ),
    exceptions.NoSuchKey: (
        KeyNotFound,
        "the token does not have the key any more: restore it, or delete the key",
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
    exceptions.HostMemory: (
        ProviderFailure,
        "the token's module has no memory left: end what else this process does",
    ),
}
ALREADY_LOGGED_IN: Final = 0x100
_LOGIN_ERRORS: Final[dict[int, type[exceptions.PKCS11Error]]] = {
    0x05: exceptions.GeneralError,
    0x06: exceptions.FunctionFailed,
    0x30: exceptions.DeviceError,
    0x32: exceptions.DeviceRemoved,
    0xA0: exceptions.PinIncorrect,
    0xA1: exceptions.PinInvalid,
    0xA2: exceptions.PinLenRange,
    0xA3: exceptions.PinExpired,
    0xA4: exceptions.PinLocked,
    0xB3: exceptions.SessionHandleInvalid,
    0x102: exceptions.UserPinNotInitialized,
    0x104: exceptions.AnotherUserAlreadyLoggedIn,
}
"""C_Login's answers, as python-pkcs11 names them (PKCS#11 3.0, section 5.6)."""


def login_error(result: int) -> exceptions.PKCS11Error:
    """What python-pkcs11 would raise for what C_Login answered."""
    kind = _LOGIN_ERRORS.get(result)
    return (
        exceptions.PKCS11Error(f"C_Login says {result:#x}") if kind is None else kind()
    )


def translated(error: exceptions.PKCS11Error, asked: str) -> Error:
    """Our error for the token's, in a sentence that starts with what was asked."""
    if isinstance(error, exceptions.NoSuchToken):
        return ServiceUnavailable(str(error))
    for kind, (class_, words) in _SENTENCES.items():
        if isinstance(error, kind):
            return class_(f"{asked} failed: {words}")
    said = type(error).__name__
    if str(error):
        said += f", {error}"
    return ProviderFailure(
        f"{asked} failed in the token ({said}): see the log of its vendor's software"
    )
