"""Any octets and any attributes get a status: nothing else ever comes out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parsec_keys.psa import algorithms as a
from parsec_keys.psa import symmetric as s
from parsec_keys.psa.attributes import (
    DhFamily,
    DhKeyPair,
    DhPublicKey,
    EccFamily,
    EccKeyPair,
    EccPublicKey,
    KeyAttributes,
    KeyPolicy,
    KeyType,
    RsaKeyPair,
    RsaPublicKey,
    UsageFlags,
)
from parsec_keys.psa.attributes import UnstructuredKeyType as Type
from parsec_keys.psa.operations import (
    Operation,
    PsaAsymmetricDecrypt,
    PsaAsymmetricEncrypt,
    PsaDestroyKey,
    PsaExportKey,
    PsaExportPublicKey,
    PsaGenerateKey,
    PsaImportKey,
    PsaRawKeyAgreement,
    PsaSignHash,
    PsaVerifyHash,
)
from parsec_keys.psa.operations.service import CanDoCrypto, CheckType
from parsec_keys.psa.operations.symmetric import (
    PsaAeadDecrypt,
    PsaAeadEncrypt,
    PsaCipherDecrypt,
    PsaCipherEncrypt,
    PsaHashCompare,
    PsaHashCompute,
    PsaMacCompute,
    PsaMacVerify,
    PsaSignMessage,
    PsaVerifyMessage,
)
from parsec_keys.psa.status import Status
from parsec_keys.service import Service
from parsec_keys.service.config import ServiceConfig, SoftwareConfig
from tests.service.operations.caller import EVERYTHING, Caller
from tests.service.operations.keys import ECC, PAIR, RSA, ecc_private, rsa_private

hashes, families = st.sampled_from(a.Hash), st.sampled_from(EccFamily)
sign_hashes = st.one_of(hashes, st.just(a.ANY_HASH))
lengths = st.integers(0, 70)
signatures: st.SearchStrategy[a.AsymmetricSignature] = st.one_of(
    st.builds(a.RsaPkcs1v15Sign, sign_hashes),
    st.builds(a.RsaPss, sign_hashes, st.none() | hashes, st.none() | lengths),
    st.builds(a.Ecdsa, sign_hashes),
    st.builds(a.DeterministicEcdsa, sign_hashes),
    st.sampled_from([a.ECDSA_ANY, a.RSA_PKCS1V15_SIGN_RAW]),
)
encryptions: st.SearchStrategy[a.AsymmetricEncryption] = st.one_of(
    st.just(a.RSA_PKCS1V15_CRYPT), st.builds(a.RsaOaep, hashes, st.none() | hashes)
)
agreements, ciphers = st.sampled_from(a.KeyAgreement), st.sampled_from(s.Cipher)
names = st.sampled_from(s.Aead)
aeads: st.SearchStrategy[s.AeadAlgorithm] = st.one_of(
    names, st.builds(s.AeadWithShortenedTag, names, lengths)
)
full_macs = st.one_of(st.builds(s.Hmac, hashes), st.sampled_from(s.BlockCipherMac))
macs = st.one_of(full_macs, st.builds(s.TruncatedMac, full_macs, lengths))
derivations = st.builds(
    s.KeyDerivation, st.sampled_from(s.KeyDerivationFunction), hashes
)
algorithms: st.SearchStrategy[Any] = st.one_of(
    st.just(a.ANY_ALGORITHM),
    st.none(),
    *(hashes, signatures, encryptions, agreements, ciphers, aeads, macs, derivations),
    st.builds(s.KeyAgreementWithDerivation, agreements, derivations),
)
key_types: st.SearchStrategy[KeyType] = st.one_of(
    st.sampled_from(Type),
    st.sampled_from([RsaKeyPair(), RsaPublicKey()]),
    st.builds(EccKeyPair, families),
    st.builds(EccPublicKey, families),
    st.sampled_from([DhKeyPair(DhFamily.RFC7919), DhPublicKey(DhFamily.RFC7919)]),
)
sizes = st.sampled_from([0, 1, 8, 40, 64, 128, 192, 255, 256, 384, 448, 512, 521, 1024])
attributes = st.builds(
    KeyAttributes,
    key_types,
    sizes,
    st.builds(KeyPolicy, st.integers(0, 1023).map(UsageFlags), algorithms),
)
octets = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([16, 32, 56, 65, 97, 133, 256]).flatmap(
        lambda length: st.binary(min_size=length, max_size=length)
    ),
)
new = st.just("new")
creations: st.SearchStrategy[Operation[Any]] = st.one_of(
    st.builds(PsaImportKey, new, attributes, octets),
    st.builds(PsaGenerateKey, new, attributes),
    st.builds(CanDoCrypto, st.sampled_from(CheckType), attributes),
)
KEYS: dict[str, tuple[KeyType, bytes]] = {
    "rsa": (RsaKeyPair(), rsa_private(RSA)),
    **{f"ecc {bits}": (PAIR, ecc_private(key)) for bits, key in ECC.items()},
    "x25519": (EccKeyPair(EccFamily.MONTGOMERY), bytes(range(32))),
    **{
        f"{each}": (each, bytes(range(16)))
        for each in Type
        if each not in (Type.CHACHA20, Type.DES)
    },
    "chacha20": (Type.CHACHA20, bytes(range(32))),
    "des": (Type.DES, bytes(range(24))),
    "xts": (Type.AES, bytes(range(64))),
}
existing = st.sampled_from(list(KEYS))
uses: st.SearchStrategy[Operation[Any]] = st.one_of(
    st.builds(PsaSignHash, existing, signatures, octets),
    st.builds(PsaVerifyHash, existing, signatures, octets, octets),
    st.builds(PsaSignMessage, existing, signatures, octets),
    st.builds(PsaVerifyMessage, existing, signatures, octets, octets),
    st.builds(PsaAsymmetricEncrypt, existing, encryptions, octets, octets),
    st.builds(PsaAsymmetricDecrypt, existing, encryptions, octets, octets),
    st.builds(PsaRawKeyAgreement, existing, agreements, octets),
    st.builds(PsaExportKey, existing),
    st.builds(PsaExportPublicKey, existing),
    st.builds(PsaAeadEncrypt, existing, aeads, octets, octets, octets),
    st.builds(PsaAeadDecrypt, existing, aeads, octets, octets, octets),
    st.builds(PsaCipherEncrypt, existing, ciphers, octets),
    st.builds(PsaCipherDecrypt, existing, ciphers, octets),
    st.builds(PsaMacCompute, existing, macs, octets),
    st.builds(PsaMacVerify, existing, macs, octets, octets),
    st.builds(PsaHashCompute, hashes, octets),
    st.builds(PsaHashCompare, hashes, octets, octets),
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """One key of each kind, which may do all that its kind can."""
    folder: Path = tmp_path_factory.mktemp("any")
    service = Service(ServiceConfig((SoftwareConfig(folder),), persistent=False))
    caller = Caller(service, "1")
    policy = KeyPolicy(EVERYTHING, a.ANY_ALGORITHM)
    for name, (key_type, data) in KEYS.items():
        caller.do(PsaImportKey(name, KeyAttributes(key_type, 0, policy), data))
    yield caller
    service.close()


frugal = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(operation=creations)
@frugal
def test_any_attributes(keys: Caller, operation: Operation[Any]) -> None:
    status = keys.status(operation)

    if status is Status.SUCCESS and not isinstance(operation, CanDoCrypto):
        keys.do(PsaDestroyKey("new"))


@given(operation=uses)
@frugal
def test_any_octets(keys: Caller, operation: Operation[Any]) -> None:
    keys.status(operation)
