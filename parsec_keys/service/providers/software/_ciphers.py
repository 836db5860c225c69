"""Ciphers and authenticated encryption of the software provider, over plain octets.

A cipher's ciphertext is a random IV, then the ciphertext; an AEAD's is the ciphertext,
then the tag.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers import algorithms as decrepit
from cryptography.hazmat.decrepit.ciphers import modes as decrepit_modes
from cryptography.hazmat.primitives import ciphers, padding
from cryptography.hazmat.primitives.ciphers import aead, algorithms, modes

from parsec_keys.errors import (
    DecryptionFailed,
    InvalidArgument,
    InvalidSignature,
    NotSupported,
)
from parsec_keys.psa.attributes import UnstructuredKeyType
from parsec_keys.psa.symmetric import (
    Aead,
    AeadAlgorithm,
    AeadWithShortenedTag,
    Cipher,
)

DEFAULT_TAG: Final = 16
TAG_LENGTHS: Final = {
    Aead.GCM: (4, 8, 12, 13, 14, 15, 16),  # NIST SP 800-38D, section 5.2.1.2.
    Aead.CCM: (4, 6, 8, 10, 12, 14, 16),  # NIST SP 800-38C, appendix A.1.
    Aead.CHACHA20_POLY1305: (16,),  # RFC 8439, section 2.8.
}
_CCM_NONCES: Final = range(7, 13 + 1)
_CHACHA20_NONCE: Final = 12
_CHACHA20_COUNTER: Final = bytes(4)
"""PSA's stream cipher counts from zero; pyca wants counter and nonce in one."""


def block_cipher(
    key_type: UnstructuredKeyType, octets: bytes
) -> ciphers.BlockCipherAlgorithm:
    """pyca's block cipher with a key."""
    if key_type is UnstructuredKeyType.AES:
        return algorithms.AES(octets)
    if key_type is UnstructuredKeyType.CAMELLIA:
        return decrepit.Camellia(octets)
    # pyca takes a DES key of any length as triple DES of 24 bytes, K1 K2 K3.
    return decrepit.TripleDES((octets + octets[:8] * 2)[:24])


_MODES: Final[dict[Cipher, Callable[[bytes], Any]]] = {
    Cipher.CTR: modes.CTR,
    Cipher.CFB: decrepit_modes.CFB,
    Cipher.OFB: decrepit_modes.OFB,
    Cipher.XTS: modes.XTS,
    Cipher.ECB_NO_PADDING: lambda iv: modes.ECB(),  # noqa: S305
    Cipher.CBC_NO_PADDING: modes.CBC,
    Cipher.CBC_PKCS7: modes.CBC,
}


@functools.lru_cache(maxsize=256)
def check_mode(key_type: UnstructuredKeyType, length: int, mode: Cipher) -> None:
    """Pass if pyca has a mode for keys of this type and length in bytes.

    Raises:
        NotSupported: it has not.
    """
    # Any key will do to ask, but XTS wants two different halves.
    key = bytes(range(length))
    try:
        _cipher(key_type, key, mode, bytes(iv_length(key_type, mode))).encryptor()
    except (ValueError, UnsupportedAlgorithm):
        raise NotSupported(
            f"cryptography has no {mode} with {key_type} of {8 * length} bits"
        ) from None


def iv_length(key_type: UnstructuredKeyType, mode: Cipher) -> int:
    """How many bytes of IV stand before a ciphertext."""
    if mode is Cipher.STREAM_CIPHER:
        return _CHACHA20_NONCE if key_type is UnstructuredKeyType.CHACHA20 else 0
    if mode is Cipher.ECB_NO_PADDING:
        return 0
    return 8 if key_type is UnstructuredKeyType.DES else 16


def encrypt(
    key_type: UnstructuredKeyType, octets: bytes, mode: Cipher, plaintext: bytes
) -> bytes:
    """A random IV, and the ciphertext.

    Raises:
        InvalidArgument: the mode does not take this length.
    """
    check_mode(key_type, len(octets), mode)
    iv = os.urandom(iv_length(key_type, mode))
    if mode is Cipher.CBC_PKCS7:
        padder = padding.PKCS7(8 * len(iv)).padder()
        plaintext = padder.update(plaintext) + padder.finalize()
    try:
        encryptor = _cipher(key_type, octets, mode, iv).encryptor()
        return iv + encryptor.update(plaintext) + encryptor.finalize()
    except ValueError:
        raise _wrong_length(mode, plaintext) from None


def decrypt(
    key_type: UnstructuredKeyType, octets: bytes, mode: Cipher, ciphertext: bytes
) -> bytes:
    """The plaintext of an IV and a ciphertext.

    Raises:
        InvalidArgument: the mode does not take this length.
        DecryptionFailed: the padding is broken, in a mode that has one.
    """
    check_mode(key_type, len(octets), mode)
    length = iv_length(key_type, mode)
    if len(ciphertext) < length:
        raise _wrong_length(mode, ciphertext)
    iv, ciphertext = ciphertext[:length], ciphertext[length:]
    try:
        decryptor = _cipher(key_type, octets, mode, iv).decryptor()
        plaintext = decryptor.update(ciphertext) + decryptor.finalize()
    except ValueError:
        raise _wrong_length(mode, ciphertext) from None
    if mode is not Cipher.CBC_PKCS7:
        return plaintext
    unpadder = padding.PKCS7(8 * length).unpadder()
    try:
        return unpadder.update(plaintext) + unpadder.finalize()
    except ValueError:
        raise DecryptionFailed from None


def seal(
    octets: bytes,
    algorithm: AeadAlgorithm,
    nonce: bytes,
    additional_data: bytes,
    plaintext: bytes,
) -> bytes:
    """The ciphertext and its tag.

    Raises:
        InvalidArgument, NotSupported: the algorithm does not take such a nonce.
    """
    name, tag_length = aead_and_tag(algorithm)
    _check_nonce(name, nonce)
    try:
        if name is Aead.CCM:
            ccm = aead.AESCCM(octets, tag_length)
            return ccm.encrypt(nonce, plaintext, additional_data)
        if name is Aead.CHACHA20_POLY1305:
            chacha = aead.ChaCha20Poly1305(octets)
            return chacha.encrypt(nonce, plaintext, additional_data)
        sealed = aead.AESGCM(octets).encrypt(nonce, plaintext, additional_data)
        return sealed[: len(plaintext) + tag_length]
    except (ValueError, OverflowError) as e:
        raise InvalidArgument(str(e)) from None


def open_sealed(
    octets: bytes,
    algorithm: AeadAlgorithm,
    nonce: bytes,
    additional_data: bytes,
    ciphertext: bytes,
) -> bytes:
    """The plaintext, after its tag proved right.

    Raises:
        InvalidSignature: ciphertext, tag or additional data are not the key's.
        InvalidArgument: it is shorter than a tag.
        InvalidArgument, NotSupported: the algorithm does not take such a nonce.
    """
    name, tag_length = aead_and_tag(algorithm)
    _check_nonce(name, nonce)
    if len(ciphertext) < tag_length:
        raise InvalidArgument(
            f"{len(ciphertext)} bytes are less than a tag, which has {tag_length}"
        )
    try:
        if name is Aead.CCM:
            ccm = aead.AESCCM(octets, tag_length)
            return ccm.decrypt(nonce, ciphertext, additional_data)
        if name is Aead.CHACHA20_POLY1305:
            chacha = aead.ChaCha20Poly1305(octets)
            return chacha.decrypt(nonce, ciphertext, additional_data)
        # pyca's AESGCM knows the default tag only.
        text, tag = ciphertext[:-tag_length], ciphertext[-tag_length:]
        gcm = modes.GCM(nonce, tag, min_tag_length=tag_length)
        decryptor = ciphers.Cipher(algorithms.AES(octets), gcm).decryptor()
        decryptor.authenticate_additional_data(additional_data)
        return decryptor.update(text) + decryptor.finalize()
    except InvalidTag:
        raise InvalidSignature(
            "the ciphertext, its tag or the additional data are not what was encrypted"
        ) from None
    except (ValueError, OverflowError) as e:
        raise InvalidArgument(str(e)) from None


def aead_and_tag(algorithm: AeadAlgorithm) -> tuple[Aead, int]:
    """An algorithm's parts, the tag's length in bytes written out."""
    if isinstance(algorithm, AeadWithShortenedTag):
        return algorithm.aead, algorithm.tag_length
    return algorithm, DEFAULT_TAG


def _cipher(
    key_type: UnstructuredKeyType, octets: bytes, mode: Cipher, iv: bytes
) -> ciphers.Cipher[Any]:
    if mode is not Cipher.STREAM_CIPHER:
        return ciphers.Cipher(block_cipher(key_type, octets), _MODES[mode](iv))
    if key_type is UnstructuredKeyType.CHACHA20:
        stream = algorithms.ChaCha20(octets, _CHACHA20_COUNTER + iv)
        return ciphers.Cipher(stream, None)
    return ciphers.Cipher(decrepit.ARC4(octets), None)


def _check_nonce(name: Aead, nonce: bytes) -> None:
    if name is Aead.CCM and len(nonce) not in _CCM_NONCES:
        raise InvalidArgument(f"a nonce of CCM has 7 to 13 bytes, not {len(nonce)}")
    # PSA has other lengths for these two, which pyca has not.
    if name is Aead.CHACHA20_POLY1305 and len(nonce) != _CHACHA20_NONCE:
        raise NotSupported(f"a nonce of {name} has 12 bytes here, not {len(nonce)}")
    if name is Aead.GCM and not 8 <= len(nonce) <= 128:
        raise NotSupported(f"a nonce of GCM has 8 to 128 bytes here, not {len(nonce)}")


def _wrong_length(mode: Cipher, text: bytes) -> InvalidArgument:
    return InvalidArgument(f"{mode} does not take {len(text)} bytes under this key")
