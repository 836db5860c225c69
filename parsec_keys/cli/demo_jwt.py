"""A JSON Web Token for the demo: by PyJWT, or by hand where that is not installed."""

from __future__ import annotations

import base64
import importlib.util
import json
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

HAS_PYJWT: Final = importlib.util.find_spec("jwt") is not None
VERIFIER: Final = "PyJWT" if HAS_PYJWT else "the public key"
_HALF: Final = 32  # Bytes of r, and of s, on P-256.


def encode(claims: dict[str, Any], key: PrivateKey) -> str:
    """A token of these claims: RS256, or ES256 with a key on P-256 (RFC 7518)."""
    if HAS_PYJWT:
        import jwt

        token: str = jwt.encode(claims, key, _algorithm(key))
        return token
    return encode_by_hand(claims, key)


def decode(token: str, public_key: PublicKey) -> Any:
    """The claims of a token, once its signature is verified.

    Raises:
        Exception: PyJWT's or pyca's own, for a signature that is not the key's.
    """
    if HAS_PYJWT:
        import jwt

        return jwt.decode(token, public_key, [_algorithm(public_key)])
    return decode_by_hand(token, public_key)


def encode_by_hand(claims: dict[str, Any], key: PrivateKey) -> str:
    """The same in RFC 7515's compact serialization, with pyca alone."""
    header = {"alg": _algorithm(key), "typ": "JWT"}
    parts = [_to_text(json.dumps(part).encode()) for part in (header, claims)]
    signed = ".".join(parts).encode()
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    else:
        r_and_s = utils.decode_dss_signature(
            key.sign(signed, ec.ECDSA(hashes.SHA256()))
        )
        signature = b"".join(number.to_bytes(_HALF, "big") for number in r_and_s)
    return ".".join((*parts, _to_text(signature)))


def decode_by_hand(token: str, public_key: PublicKey) -> Any:
    """The claims of such a token.

    Raises:
        InvalidSignature: the signature is not the key's.
        ValueError: no token of the algorithm that belongs to the key.
    """
    header, claims, signature = map(_to_bytes, token.split("."))
    if json.loads(header).get("alg") != _algorithm(public_key):
        raise ValueError("the token is of another algorithm than its key")
    signed = token.rpartition(".")[0].encode()
    if isinstance(public_key, rsa.RSAPublicKey):
        public_key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    else:
        halves = signature[:_HALF], signature[_HALF:]
        der = utils.encode_dss_signature(*(int.from_bytes(h, "big") for h in halves))
        public_key.verify(der, signed, ec.ECDSA(hashes.SHA256()))
    return json.loads(claims)


def _algorithm(key: PrivateKey | PublicKey) -> str:
    is_rsa = isinstance(key, (rsa.RSAPrivateKey, rsa.RSAPublicKey))
    return "RS256" if is_rsa else "ES256"


def _to_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _to_bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
