"""The codec under any bytes: what comes out is what went in, or one kind of refusal."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsec_keys.errors import NotSupported, ProtocolError
from parsec_keys.psa.algorithms import (
    ANY_ALGORITHM,
    ANY_HASH,
    DeterministicEcdsa,
    Ecdsa,
    Hash,
    KeyAgreement,
    PermittedAlgorithm,
    RsaOaep,
    RsaPkcs1v15Crypt,
    RsaPkcs1v15Sign,
    RsaPkcs1v15SignRaw,
    RsaPss,
)
from parsec_keys.psa.attributes import (
    EccFamily,
    EccKeyPair,
    KeyAttributes,
    KeyPolicy,
    KeyType,
    RsaKeyPair,
    UsageFlags,
)
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import (
    KeyInfo,
    ListKeys,
    PsaAsymmetricDecrypt,
    PsaGenerateKey,
    PsaImportKey,
    PsaSignHash,
)
from parsec_keys.service.wire.frames import FrameError, Request, RequestReader
from parsec_keys.service.wire.requests import decode_request, encode_request
from parsec_keys.service.wire.results import Numbering, decode_result, encode_result

NUMBERING = Numbering({1: "software", 3: "tpm"})
BODY_LIMIT = 300

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
hashes = st.sampled_from([hash_ for hash_ in Hash if hash_ is not Hash.SM3])
sign_hashes = st.one_of(hashes, st.just(ANY_HASH))
signatures = st.one_of(
    st.builds(RsaPkcs1v15Sign, sign_hashes),
    st.just(RsaPkcs1v15SignRaw()),
    st.builds(RsaPss, sign_hashes),
    st.builds(Ecdsa, sign_hashes),
    st.builds(DeterministicEcdsa, sign_hashes),
)
encryptions = st.one_of(st.just(RsaPkcs1v15Crypt()), st.builds(RsaOaep, hashes))
algorithms: st.SearchStrategy[PermittedAlgorithm] = st.one_of(
    st.none(), signatures, encryptions, st.sampled_from(KeyAgreement)
)
key_types: st.SearchStrategy[KeyType] = st.one_of(
    st.just(RsaKeyPair()), st.builds(EccKeyPair, st.sampled_from(EccFamily))
)
attributes = st.builds(
    KeyAttributes,
    key_types,
    st.integers(0, 2**32 - 1),
    st.builds(KeyPolicy, st.builds(UsageFlags, st.integers(0, 2**10 - 1)), algorithms),
)
operations = st.one_of(
    st.builds(PsaGenerateKey, names, attributes),
    st.builds(PsaImportKey, names, attributes, st.binary(max_size=50)),
    st.builds(PsaSignHash, names, signatures, st.binary(max_size=64)),
    st.builds(
        PsaAsymmetricDecrypt,
        *(names, encryptions, st.binary(max_size=50), st.binary(max_size=9)),
    ),
    st.builds(ListKeys, st.one_of(st.none(), names)),
)
requests = st.builds(
    Request,
    st.sampled_from(Opcode),
    st.binary(max_size=BODY_LIMIT),
    st.integers(0, 5),
    st.integers(0, 4),
    st.binary(max_size=100),
    st.integers(0, 2**64 - 1),
)


@given(operations)
def test_an_operation_comes_back(operation: PsaGenerateKey) -> None:
    body = encode_request(operation)

    assert operation == decode_request(operation.opcode, body)


@given(st.lists(st.builds(KeyInfo, names, st.just("tpm"), attributes), max_size=5))
def test_a_listing_comes_back(listed: list[KeyInfo]) -> None:
    body = encode_result(Opcode.LIST_KEYS, tuple(listed), NUMBERING)

    assert tuple(listed) == decode_result(Opcode.LIST_KEYS, body, NUMBERING)


def test_a_long_listing_comes_back() -> None:
    policy = KeyPolicy(UsageFlags.SIGN_HASH, Ecdsa(ANY_HASH))
    p256 = KeyAttributes(EccKeyPair(EccFamily.SECP_R1), 256, policy)
    listed = tuple(KeyInfo(str(number), "software", p256) for number in range(1201))

    body = encode_result(Opcode.LIST_KEYS, listed, NUMBERING)

    assert listed == decode_result(Opcode.LIST_KEYS, body, NUMBERING)


@pytest.mark.parametrize(
    ("key_type", "permitted", "said"),
    [
        (RsaKeyPair(), ANY_ALGORITHM, RsaPkcs1v15Sign(ANY_HASH)),
        (EccKeyPair(EccFamily.SECP_R1), ANY_ALGORITHM, Ecdsa(ANY_HASH)),
        (RsaKeyPair(), RsaPss(Hash.SHA_256, None, 20), None),
        (RsaKeyPair(), RsaOaep(Hash.SHA_256, Hash.SHA_1), None),
        (EccKeyPair(EccFamily.SECP_R1), Ecdsa(Hash.SM3), None),
    ],
    ids=str,
)
def test_what_a_listing_cannot_say(
    key_type: KeyType, permitted: PermittedAlgorithm, said: PermittedAlgorithm
) -> None:
    """It says less than the key permits, and never more; a request says nothing."""
    policy = KeyPolicy(UsageFlags.SIGN_HASH, permitted)
    made = KeyAttributes(key_type, 2048, policy)
    body = encode_result(Opcode.LIST_KEYS, (KeyInfo("k", "software", made),), NUMBERING)

    (listed,) = decode_result(Opcode.LIST_KEYS, body, NUMBERING)

    assert listed.attributes == replace(made, policy=replace(policy, algorithm=said))
    with pytest.raises(NotSupported):
        encode_request(PsaGenerateKey("k", made))


@given(requests, st.binary(max_size=10), st.lists(st.integers(0, 500), max_size=4))
def test_a_frame_in_any_pieces(request_: Request, more: bytes, cuts: list[int]) -> None:
    data, reader = request_.encode() + more, RequestReader(BODY_LIMIT)
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]

    for start, end in itertools.pairwise(bounds):
        read = reader.feed(data[start:end])
        if read is not None:
            assert request_ == read
            return
    raise AssertionError("the frame is whole")


@given(st.binary(max_size=100))
def test_any_bytes_are_no_more_than_refused(data: bytes) -> None:
    reader = RequestReader(BODY_LIMIT)
    try:
        read = reader.feed(data)
    except FrameError:
        return
    assert read is None or len(data) >= 36


@given(
    st.sampled_from([opcode for opcode in Opcode if opcode is not Opcode.LIST_OPCODES]),
    st.binary(max_size=60),
)
def test_any_body_is_no_more_than_refused(opcode: Opcode, body: bytes) -> None:
    try:
        operation = decode_request(opcode, body)
    except ProtocolError:
        return
    assert operation.opcode is opcode
    assert operation == decode_request(opcode, encode_request(operation))
