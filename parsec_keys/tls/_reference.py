"""Key references: PKCS#8 in form, and in it the URI of a key instead of a secret.

A PrivateKeyInfo (RFC 5208, section 5) of version 0 whose algorithm is our own object
identifier, without parameters, and whose octets are a UTF8String: the URI. What is
parsed here may come from an attacker, so that anything but exactly this is refused.
"""

from __future__ import annotations

import base64
from typing import Final

_ARC: Final = 297257334650313016934576527582501350106
RSA_OID: Final = f"2.25.{_ARC}.1"
EC_OID: Final = f"2.25.{_ARC}.2"
"""Object identifiers under ITU-T X.667's arc for UUIDs: nobody else has this one."""

_INTEGER: Final = 0x02
_OCTET_STRING: Final = 0x04
_OID: Final = 0x06
_UTF8_STRING: Final = 0x0C
_SEQUENCE: Final = 0x30
_VERSION_0: Final = b"\x00"
_LONGEST: Final = 64 * 1024


class NoReferenceError(ValueError):
    """These bytes are no key reference of ours."""


def encode(oid: str, uri: str) -> bytes:
    """The DER of a reference."""
    algorithm = _tlv(_SEQUENCE, _tlv(_OID, _oid_octets(oid)))
    octets = _tlv(_OCTET_STRING, _tlv(_UTF8_STRING, uri.encode()))
    return _tlv(_SEQUENCE, _tlv(_INTEGER, _VERSION_0) + algorithm + octets)


def encode_pem(oid: str, uri: str) -> bytes:
    """The PEM of a reference (RFC 7468, section 10)."""
    text = base64.b64encode(encode(oid, uri))
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    begin, end = b"-----BEGIN PRIVATE KEY-----", b"-----END PRIVATE KEY-----\n"
    return b"\n".join((begin, *lines, end))


def parse(data: bytes) -> tuple[str, str]:
    """The object identifier and the URI of a reference in DER.

    Raises:
        NoReferenceError: it is anything else.
    """
    if len(data) > _LONGEST:
        raise NoReferenceError("longer than any reference")
    info, rest = _read(data, _SEQUENCE)
    _end(rest)
    version, info = _read(info, _INTEGER)
    algorithm, info = _read(info, _SEQUENCE)
    octets, info = _read(info, _OCTET_STRING)
    _end(info)
    identifier, algorithm = _read(algorithm, _OID)
    _end(algorithm)
    if version != _VERSION_0 or identifier not in _OIDS:
        raise NoReferenceError("a private key of another kind")
    text, rest = _read(octets, _UTF8_STRING)
    _end(rest)
    try:
        return _OIDS[identifier], text.decode()
    except UnicodeDecodeError:
        raise NoReferenceError("a URI that is not UTF-8") from None


def _read(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of a value with a tag, and what follows it (X.690, section 10.1)."""
    if len(data) < 2 or data[0] != tag:
        raise NoReferenceError("another structure")
    length, start = data[1], 2
    if length & 0x80:
        count = length & 0x7F
        start += count
        octets = data[2:start]
        length = int.from_bytes(octets, "big")
        # DER: the shortest form, and never an indefinite one.
        if not octets or len(octets) != count or not octets[0] or length < 0x80:
            raise NoReferenceError("a length that is not DER")
    end = start + length
    if end > len(data):
        raise NoReferenceError("cut off")
    return data[start:end], data[end:]


def _end(rest: bytes) -> None:
    if rest:
        raise NoReferenceError("more than a reference")


def _tlv(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _oid_octets(oid: str) -> bytes:
    first, second, *rest = (int(arc) for arc in oid.split("."))
    return b"".join(_base128(arc) for arc in (40 * first + second, *rest))


def _base128(number: int) -> bytes:
    octets = [number & 0x7F]
    while number := number >> 7:
        octets.append(0x80 | number & 0x7F)
    return bytes(reversed(octets))


_OIDS: Final = {_oid_octets(oid): oid for oid in (RSA_OID, EC_OID)}
