"""A TPM's keys: their templates, and how they are made and imported.

Each has a random auth value, which only its key id remembers.
"""

from __future__ import annotations

import os
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from parsec_keys.errors import NotSupported
from parsec_keys.psa.attributes import EccKeyPair, KeyAttributes, RsaKeyPair
from parsec_keys.service.key_formats import (
    curve_of,
    decode_ecc_private_key,
    decode_rsa_private_key,
    encode_ecc_public_key,
    encode_rsa_public_key,
    scalar_length,
)
from parsec_keys.service.providers import CreatedKey
from parsec_keys.service.providers.tpm import _tss
from parsec_keys.service.providers.tpm._chip import Chip
from parsec_keys.service.providers.tpm._key_id import LoadableKey, encode_key_id
from parsec_keys.service.providers.tpm._slots import Displaced

_AUTH_LENGTH: Final = 32
DEFAULT_EXPONENT: Final = 65537
# Signing and decrypting, unrestricted and without a scheme, so that the bare RSA
# operation is there; and outside dictionary-attack protection, because an auth value of
# 32 random bytes needs none and nobody's mistake shall lock the TPM.
_USAGE: Final = (
    _tss.TPMA_OBJECT.USERWITHAUTH
    | _tss.TPMA_OBJECT.NODA
    | _tss.TPMA_OBJECT.SIGN_ENCRYPT
    | _tss.TPMA_OBJECT.DECRYPT
)
_GENERATED: Final = (
    _USAGE
    | _tss.TPMA_OBJECT.FIXEDTPM
    | _tss.TPMA_OBJECT.FIXEDPARENT
    | _tss.TPMA_OBJECT.SENSITIVEDATAORIGIN
)


def generate(chip: Chip, attributes: KeyAttributes) -> CreatedKey:
    """Make a key in the TPM (TPM2_Create)."""
    auth = os.urandom(_AUTH_LENGTH)
    template = _template(attributes)

    def create(esapi: Any, primary: Any, session: Any) -> tuple[bytes, bytes]:
        sensitive = _tss.TPM2B_SENSITIVE_CREATE(
            _tss.TPMS_SENSITIVE_CREATE(userAuth=auth)
        )
        created = esapi.create(primary, sensitive, template, session1=session)
        data = created[2]
        if bytes(data.creationData.parentName) != chip.primary_name:
            raise Displaced
        return created[0].marshal(), created[1].marshal()

    asked = f"generating an {attributes.type} of {attributes.bits} bits"
    private, public = chip.run_under_primary(asked, create)
    return _created(LoadableKey(chip.primary_name, public, private, auth))


def import_key(chip: Chip, attributes: KeyAttributes, data: bytes) -> CreatedKey:
    """Put a key into the TPM (TPM2_Import), wrapped to the primary on the way."""
    auth = os.urandom(_AUTH_LENGTH)
    private_key = _private_key(attributes, data)
    pem = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    sensitive = _tss.TPM2B_SENSITIVE.from_pem(pem)
    sensitive.sensitiveArea.authValue = auth
    public = _tss.TPM2B_PUBLIC.from_pem(pem, objectAttributes=_USAGE, symmetric=None)
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        _pad(public, sensitive, private_key.private_numbers())

    def import_(esapi: Any, primary: Any, session: Any) -> bytes:
        parent, name, _ = esapi.read_public(primary)
        if bytes(name) != chip.primary_name:
            raise Displaced
        key, duplicate, seed = _tss.wrap(parent.publicArea, public, sensitive)
        private = esapi.import_(
            primary, key, public, duplicate, seed, _NO_INNER_WRAPPER, session1=session
        )
        return bytes(private.marshal())

    asked = f"importing an {attributes.type} of {attributes.bits} bits"
    private = chip.run_under_primary(asked, import_)
    return _created(LoadableKey(chip.primary_name, public.marshal(), private, auth))


_NO_INNER_WRAPPER: Final = _tss.TPMT_SYM_DEF_OBJECT(algorithm=_tss.TPM2_ALG.NULL)


def check_exponent(public_exponent: int) -> None:
    """Pass for the one RSA exponent that every TPM has.

    Raises:
        NotSupported: another one.
    """
    if public_exponent != DEFAULT_EXPONENT:
        raise NotSupported(
            f"RSA keys of a TPM have the public exponent {DEFAULT_EXPONENT}, not "
            f"{public_exponent}"
        )


def _pad(public: Any, sensitive: Any, numbers: ec.EllipticCurvePrivateNumbers) -> None:
    # tpm2-pytss leaves leading zeros out. A TPM may insist on coordinates as long as
    # the field (TPM 2.0 part 1, C.8).
    point = numbers.public_numbers
    length = scalar_length(point.curve)
    x, y = point.x.to_bytes(length, "big"), point.y.to_bytes(length, "big")
    public.publicArea.unique.ecc = _tss.TPMS_ECC_POINT(x=x, y=y)
    private = numbers.private_value.to_bytes(length, "big")
    sensitive.sensitiveArea.sensitive.ecc = _tss.TPM2B_ECC_PARAMETER(private)


def public_key_data(public: Any) -> bytes:
    """PSA's public key of a ``TPM2B_PUBLIC``, which the caller holds."""
    area = public.publicArea
    if area.type == _tss.TPM2_ALG.RSA:
        modulus = bytes(area.unique.rsa)
        exponent = int(area.parameters.rsaDetail.exponent) or DEFAULT_EXPONENT
        return encode_rsa_public_key(int.from_bytes(modulus, "big"), exponent)
    x, y = bytes(area.unique.ecc.x), bytes(area.unique.ecc.y)
    curve = int(area.parameters.eccDetail.curveID)
    bits = next(bits for (_, bits), each in _tss.CURVES.items() if each == curve)
    return encode_ecc_public_key(
        int.from_bytes(x, "big"), int.from_bytes(y, "big"), bits
    )


def _created(key: LoadableKey) -> CreatedKey:
    public, _ = _tss.TPM2B_PUBLIC.unmarshal(key.public)
    return CreatedKey(encode_key_id(key), public_key_data(public))


def _template(attributes: KeyAttributes) -> Any:
    kind = "rsa" if isinstance(attributes.type, RsaKeyPair) else "ecc"
    words = f"{kind}{attributes.bits}:null:null"
    return _tss.TPM2B_PUBLIC.parse(words, objectAttributes=_GENERATED)


def _private_key(
    attributes: KeyAttributes, data: bytes
) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    if isinstance(attributes.type, EccKeyPair):
        return decode_ecc_private_key(data, curve_of(attributes)).private_key()
    numbers = decode_rsa_private_key(data)
    check_exponent(numbers.public_numbers.e)
    _check_primes(numbers, attributes.bits)
    return numbers.private_key()


def _check_primes(numbers: rsa.RSAPrivateNumbers, bits: int) -> None:
    # A TPM is given one prime, of half the modulus's length (TPM 2.0 part 2, 11.2.4.7).
    if {numbers.p.bit_length(), numbers.q.bit_length()} != {bits // 2}:
        raise NotSupported(
            f"a TPM takes RSA keys of {bits} bits with two primes of {bits // 2} bits "
            "only, which this key has not: import it into another provider"
        )
