"""Symmetric keys of the software provider: their sizes, and what each kind can do."""

from __future__ import annotations

import os
from typing import Final

from cryptography.hazmat.primitives import cmac, hmac

from parsec_keys._pyca import HASHES
from parsec_keys.errors import NotSupported
from parsec_keys.psa.algorithms import PermittedAlgorithm
from parsec_keys.psa.attributes import KeyAttributes, UnstructuredKeyType
from parsec_keys.psa.symmetric import (
    Aead,
    AeadAlgorithm,
    AeadWithShortenedTag,
    BlockCipherMac,
    Cipher,
    Hmac,
    Mac,
    TruncatedMac,
)
from parsec_keys.service.key_info import KeyRecord
from parsec_keys.service.providers.software import _ciphers
from parsec_keys.service.providers.software._files import KeyFiles
from parsec_keys.service.public_operations import check_hashes

_SIZES: Final[dict[UnstructuredKeyType, tuple[int, ...]]] = {
    UnstructuredKeyType.AES: (128, 192, 256, 512),
    UnstructuredKeyType.CAMELLIA: (128, 192, 256),
    UnstructuredKeyType.CHACHA20: (256,),
    UnstructuredKeyType.DES: (64, 128, 192),
    UnstructuredKeyType.ARC4: (40, 56, 64, 80, 128, 160, 192, 256),
}
"""Sizes in bits. AES keys of 512 bits are for XTS; the other types have any octets."""
_ANY_OCTETS: Final = range(8, 65528 + 1, 8)
_SHORTEST_MAC: Final = 4
"""Of a truncated MAC, in bytes (PSA Crypto API 1.1, section 10.3.1)."""


class SymmetricKeys:
    """What symmetric keys do. Safe to use from any thread."""

    def __init__(self, files: KeyFiles) -> None:
        self._files = files

    def check_key(self, attributes: KeyAttributes) -> None:
        """Pass if keys of this type have this size.

        Raises:
            NotSupported: they have not, with the sizes they have.
        """
        key_type = _type(attributes)
        sizes = _SIZES.get(key_type)
        if attributes.bits in (sizes or _ANY_OCTETS):
            return
        possible = ", ".join(map(str, sizes)) if sizes else "whole bytes up to 65528"
        raise NotSupported(
            f"a key of type {key_type} has {possible} bits, not {attributes.bits}"
        )

    def check_algorithm(
        self, attributes: KeyAttributes, algorithm: PermittedAlgorithm
    ) -> None:
        """Pass if keys of this type and size can do an algorithm of this type.

        Raises:
            NotSupported: they cannot.
        """
        key_type, bits = _type(attributes), attributes.bits
        check_hashes(algorithm)
        if isinstance(algorithm, Cipher):
            _ciphers.check_mode(key_type, bits // 8, algorithm)
        elif isinstance(algorithm, (Aead, AeadWithShortenedTag)):
            aead, tag_length = _ciphers.aead_and_tag(algorithm)
            if key_type is UnstructuredKeyType.CAMELLIA or bits > 256:
                raise NotSupported(
                    f"cryptography has no {aead} with {key_type} of {bits}"
                )
            if tag_length not in _ciphers.TAG_LENGTHS[aead]:
                raise NotSupported(f"{aead} has no tags of {tag_length} bytes")
        elif isinstance(algorithm, (Hmac, BlockCipherMac, TruncatedMac)):
            _check_mac(key_type, bits, algorithm)

    def generate(self, attributes: KeyAttributes) -> bytes:
        """A random key."""
        octets = os.urandom(attributes.bits // 8)
        if attributes.type is UnstructuredKeyType.DES:
            return bytes(map(_with_odd_parity, octets))
        return octets

    def aead_encrypt(
        self,
        key: KeyRecord,
        algorithm: AeadAlgorithm,
        nonce: bytes,
        additional_data: bytes,
        plaintext: bytes,
    ) -> bytes:
        """The ciphertext, then the tag."""
        self.check_algorithm(key.attributes, algorithm)
        text = (nonce, additional_data, plaintext)
        return _ciphers.seal(self._files.symmetric_key(key), algorithm, *text)

    def aead_decrypt(
        self,
        key: KeyRecord,
        algorithm: AeadAlgorithm,
        nonce: bytes,
        additional_data: bytes,
        ciphertext: bytes,
    ) -> bytes:
        """The plaintext of a ciphertext and its tag."""
        self.check_algorithm(key.attributes, algorithm)
        text = (nonce, additional_data, ciphertext)
        return _ciphers.open_sealed(self._files.symmetric_key(key), algorithm, *text)

    def cipher_encrypt(
        self, key: KeyRecord, algorithm: Cipher, plaintext: bytes
    ) -> bytes:
        """A random IV, then the ciphertext."""
        octets = self._files.symmetric_key(key)
        return _ciphers.encrypt(_type(key.attributes), octets, algorithm, plaintext)

    def cipher_decrypt(
        self, key: KeyRecord, algorithm: Cipher, ciphertext: bytes
    ) -> bytes:
        """The plaintext of an IV and a ciphertext."""
        octets = self._files.symmetric_key(key)
        return _ciphers.decrypt(_type(key.attributes), octets, algorithm, ciphertext)

    def mac_compute(self, key: KeyRecord, algorithm: Mac, data: bytes) -> bytes:
        """The MAC, cut where the algorithm says so."""
        self.check_algorithm(key.attributes, algorithm)
        octets = self._files.symmetric_key(key)
        full, length = _full_length(algorithm)
        context: hmac.HMAC | cmac.CMAC
        if isinstance(full, Hmac):
            context = hmac.HMAC(octets, HASHES[full.hash])
        else:
            context = cmac.CMAC(_ciphers.block_cipher(_type(key.attributes), octets))
        context.update(data)
        return context.finalize()[:length]


def _check_mac(key_type: UnstructuredKeyType, bits: int, algorithm: Mac) -> None:
    full, length = _full_length(algorithm)
    too_long = bits > 256 and not isinstance(full, Hmac)
    if full is BlockCipherMac.CBC_MAC or too_long:
        raise NotSupported(f"cryptography has no {full} with {key_type} of {bits} bits")
    if isinstance(full, Hmac):
        check_hashes(full)
        longest = full.hash.size
    else:
        longest = 8 if key_type is UnstructuredKeyType.DES else 16
    if length is not None and not _SHORTEST_MAC <= length <= longest:
        raise NotSupported(
            f"{full} is cut to {_SHORTEST_MAC} to {longest} bytes, not to {length}"
        )


def _full_length(algorithm: Mac) -> tuple[Hmac | BlockCipherMac, int | None]:
    if isinstance(algorithm, TruncatedMac):
        return algorithm.mac, algorithm.mac_length
    return algorithm, None


def _type(attributes: KeyAttributes) -> UnstructuredKeyType:
    assert isinstance(attributes.type, UnstructuredKeyType)  # noqa: S101
    return attributes.type


def _with_odd_parity(octet: int) -> int:
    """A byte of a DES key, whose lowest bit makes the number of ones odd."""
    return octet ^ (octet.bit_count() + 1) & 1
