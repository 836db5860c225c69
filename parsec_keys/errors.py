"""One class for each status that a caller can act on.

Which of them are ``ValueError`` is a security decision: PKCS#7 decryption swallows a
``ValueError`` as an attacker's input, so only bad input is one. None is an ``OSError``:
HTTP libraries retry those.
"""

from __future__ import annotations

from typing import ClassVar, Final

from cryptography import exceptions
from cryptography.exceptions import UnsupportedAlgorithm

from parsec_keys.psa.status import Status


class Error(Exception):
    """What went wrong, in a sentence that says what to do.

    Attributes:
        status: Parsec's or PSA Crypto's number for it.
    """

    status: Status = Status.PSA_ERROR_GENERIC_ERROR
    _classes: ClassVar[dict[Status, type[Error]]] = {}

    def __init__(self, message: str = "") -> None:
        super().__init__(_one_line(message))

    def __init_subclass__(cls, status: Status | None = None) -> None:
        super().__init_subclass__()
        if status is not None:
            cls.status = status
            Error._classes.setdefault(status, cls)

    @staticmethod
    def of(status: Status, message: str) -> Error:
        """An error of the class that belongs to a status."""
        error = Error._classes.get(status, ProviderFailure)(message)
        error.status = status
        return error


_MOST_CHARACTERS: Final = 2000


def _one_line(message: str) -> str:
    """A message that stays one line and one sentence, whatever names are in it.

    A name may be ten million characters long, and may have line breaks or characters
    that write from right to left. What to do is at the end, so the end is kept.
    """
    if len(message) > _MOST_CHARACTERS:
        half = _MOST_CHARACTERS // 2
        message = f"{message[:half]} … {message[-half:]}"
    if message.isprintable():
        return message
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)


class NotSupported(Error, UnsupportedAlgorithm, status=Status.PSA_ERROR_NOT_SUPPORTED):
    """This provider or this key cannot do it."""


class DeprecatedPrimitive(NotSupported, status=Status.DEPRECATED_PRIMITIVE):
    """The service makes no keys for algorithms that are no longer safe."""


class InvalidArgument(Error, ValueError, status=Status.PSA_ERROR_INVALID_ARGUMENT):
    """A wrong value, where pyca also says ``ValueError``."""


class DecryptionFailed(InvalidArgument, status=Status.PSA_ERROR_INVALID_PADDING):
    """The ciphertext does not decrypt. Always the same words, never a cause."""

    def __init__(self, message: str = "Decryption failed") -> None:
        super().__init__(message)


class InvalidSignature(
    Error, exceptions.InvalidSignature, status=Status.PSA_ERROR_INVALID_SIGNATURE
):
    """The signature, MAC or tag is not the key's, or the hash not the input's."""


class NotPermitted(Error, status=Status.PSA_ERROR_NOT_PERMITTED):
    """The key's policy forbids it."""


class NotExportable(NotPermitted, TypeError):
    """The secret stays where it is."""


class KeyNotFound(Error, LookupError, status=Status.PSA_ERROR_DOES_NOT_EXIST):
    """No key of this name, or no longer the key that was loaded."""


class KeyExists(Error, status=Status.PSA_ERROR_ALREADY_EXISTS):
    """The name is taken."""


class AuthenticationError(Error, status=Status.AUTHENTICATION_ERROR):
    """The service or the hardware does not accept who asks."""


class PinIncorrect(AuthenticationError):
    """The token refused the PIN. It was tried once and will not be tried again."""


class PinLocked(AuthenticationError):
    """The token refuses every PIN until its security officer unlocks it."""


class ProviderFailure(Error, status=Status.PSA_ERROR_HARDWARE_FAILURE):
    """The hardware or its library failed; the original error is the cause."""


class StorageFailure(ProviderFailure, status=Status.PSA_ERROR_STORAGE_FAILURE):
    """The key store on disk cannot be read or written as it is."""


class ServiceUnavailable(Error, status=Status.PSA_ERROR_COMMUNICATION_FAILURE):
    """The TPM, the token or the service does not answer."""


class ProtocolError(Error, status=Status.DESERIALIZING_BODY_FAILED):
    """The peer does not speak the Parsec wire protocol."""


class ConfigurationError(InvalidArgument):
    """A store URL, a key URI or a configuration file that cannot be used as it is."""
