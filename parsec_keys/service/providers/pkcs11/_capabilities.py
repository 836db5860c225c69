"""What one token can do: its mechanisms and their key sizes, asked once."""

from __future__ import annotations

from typing import Any, Final

from parsec_keys.errors import NotSupported
from parsec_keys.psa.algorithms import (
    DeterministicEcdsa,
    Ecdsa,
    EcdsaAny,
    Hash,
    KeyAgreement,
    PermittedAlgorithm,
    RsaOaep,
    RsaPkcs1v15Crypt,
    RsaPkcs1v15Sign,
    RsaPkcs1v15SignRaw,
)
from parsec_keys.psa.attributes import EccKeyPair, KeyAttributes, RsaKeyPair
from parsec_keys.service.key_formats import curve_of
from parsec_keys.service.providers.pkcs11._cryptoki import (
    PSS_HASHES,
    Mechanism,
    exceptions,
)

_RSA: Final = (Mechanism.RSA_PKCS_KEY_PAIR_GEN, Mechanism.RSA_X_509, Mechanism.RSA_PKCS)
_EC: Final = (Mechanism.EC_KEY_PAIR_GEN, Mechanism.ECDSA)
_ONE_OF: Final[dict[type, tuple[Mechanism, ...]]] = {
    Ecdsa: (Mechanism.ECDSA,),
    EcdsaAny: (Mechanism.ECDSA,),
    KeyAgreement: (Mechanism.ECDH1_DERIVE,),
    RsaPkcs1v15Sign: (Mechanism.RSA_PKCS, Mechanism.RSA_X_509),
    RsaPkcs1v15SignRaw: (Mechanism.RSA_PKCS, Mechanism.RSA_X_509),
    RsaPkcs1v15Crypt: (Mechanism.RSA_X_509, Mechanism.RSA_PKCS),
    RsaOaep: (Mechanism.RSA_X_509, Mechanism.RSA_PKCS_OAEP),
}
"""What an algorithm needs. PSS is not here: tokens have it and do not list it."""


class Capabilities:
    """A token's mechanisms, and which parameters it turned out not to take."""

    def __init__(self, slot: Any) -> None:
        """Ask the module, for the only time: later another thread may restart it."""
        self.mechanisms = frozenset(slot.get_mechanisms())
        self._sizes = {
            first: _sizes(slot, first)
            for kind in (_RSA, _EC)
            for first in [each for each in kind if each in self.mechanisms][:1]
        }
        self._refused_pss: set[tuple[Hash, Hash, int]] = set()

    def check_key(self, attributes: KeyAttributes) -> None:
        """Pass if the token's mechanisms take keys of this type and size.

        Raises:
            NotSupported: they do not.
        """
        if isinstance(attributes.type, RsaKeyPair):
            self._check_size(_RSA, attributes)
        elif isinstance(attributes.type, EccKeyPair):
            curve_of(attributes)
            self._check_size(_EC, attributes)
        else:
            raise NotSupported(f"a token keeps no {attributes.type} for us")

    def check_algorithm(self, algorithm: PermittedAlgorithm) -> None:
        """Pass if the token has a mechanism that does an algorithm.

        Raises:
            NotSupported: it has none.
        """
        if isinstance(algorithm, DeterministicEcdsa):
            raise NotSupported("a token chooses ECDSA's nonce by itself: no RFC 6979")
        needed = _ONE_OF.get(type(algorithm))
        if needed is not None and self.mechanisms.isdisjoint(needed):
            names = " nor ".join(f"CKM_{each.name}" for each in needed)
            raise NotSupported(f"the token cannot do {algorithm}: it has no {names}")

    def may_have_pss(self, parameters: tuple[Hash, Hash, int]) -> bool:
        """Whether CKM_RSA_PKCS_PSS is worth a try with these parameters.

        Some tokens have it and do not list it, so that the list is not asked.
        """
        hash_, mgf_hash, _ = parameters
        known = hash_ in PSS_HASHES and mgf_hash in PSS_HASHES
        return known and parameters not in self._refused_pss

    def lacks_pss(self, parameters: tuple[Hash, Hash, int]) -> None:
        """Remember that the token does not do these."""
        self._refused_pss.add(parameters)

    def _check_size(
        self, mechanisms: tuple[Mechanism, ...], attributes: KeyAttributes
    ) -> None:
        there = [each for each in mechanisms if each in self.mechanisms]
        if not there:
            raise NotSupported(f"the token has no mechanism for an {attributes.type}")
        low, high = self._sizes[there[0]]
        if high and not low <= attributes.bits <= high:
            raise NotSupported(
                f"the token makes {attributes.type}s of {low} to {high} bits, not of "
                f"{attributes.bits}"
            )


def _sizes(slot: Any, mechanism: Mechanism) -> tuple[int, int]:
    """The shortest and the longest key, in bits; 0 where the token does not say."""
    try:
        info = slot.get_mechanism_info(mechanism)
    except exceptions.PKCS11Error:
        return 0, 0  # It will say so itself when it is asked for a key.
    return int(info.min_key_length), int(info.max_key_length)
