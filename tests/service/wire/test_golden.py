"""Frames and bodies, byte for byte as the Rust service and its tools send them."""

from __future__ import annotations

import pytest

from parsec_keys.errors import NotSupported, ProtocolError
from parsec_keys.psa.algorithms import (
    ANY_ALGORITHM,
    RSA_PKCS1V15_CRYPT,
    Ecdsa,
    Hash,
    RsaOaep,
    RsaPkcs1v15Sign,
    RsaPss,
)
from parsec_keys.psa.attributes import (
    EccFamily,
    EccKeyPair,
    KeyAttributes,
    KeyPolicy,
    RsaKeyPair,
    UsageFlags,
)
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import (
    Operation,
    PsaAsymmetricEncrypt,
    PsaDestroyKey,
    PsaExportPublicKey,
    PsaGenerateKey,
    PsaGenerateRandom,
    PsaSignHash,
)
from parsec_keys.psa.operations.service import DeleteClient, Ping
from parsec_keys.psa.operations.symmetric import PsaHashCompute
from parsec_keys.psa.status import Status
from parsec_keys.service.wire.frames import (
    Request,
    RequestReader,
    Response,
    response_header,
)
from parsec_keys.service.wire.requests import (
    decode_request,
    encode_list_opcodes,
    encode_request,
)
from parsec_keys.service.wire.results import Numbering, decode_result, encode_result

NUMBERING = Numbering({1: "software"})
SIGN = (
    UsageFlags.SIGN_MESSAGE
    | UsageFlags.VERIFY_MESSAGE
    | UsageFlags.SIGN_HASH
    | UsageFlags.VERIFY_HASH
)
ENCRYPT = UsageFlags.ENCRYPT | UsageFlags.DECRYPT
P256 = KeyAttributes(
    EccKeyPair(EccFamily.SECP_R1), 256, KeyPolicy(SIGN, Ecdsa(Hash.SHA_256))
)
DIGEST = bytes(range(32))

FRAMES = {
    "10a7c05e1e00010000000000000000000000000000000000000000000100000000000000": Request(
        Opcode.PING, b""
    ),
    "10a7c05e1e000100000000000000000000000000000002000000000009000000000000000801": (
        Request(Opcode.LIST_OPCODES, encode_list_opcodes(1))
    ),
    "10a7c05e1e00010000000100000000000000000000030200000004000d000000000000000808"
    "00000000": Request(
        Opcode.PSA_GENERATE_RANDOM,
        encode_request(PsaGenerateRandom(8)),
        provider=1,
        authenticator=3,
        auth=bytes(4),
    ),
    "10a7c05e1e00010000000100000000000000000000000700000000000f0000000000000008071203"
    "616263": Request(
        Opcode.PSA_HASH_COMPUTE,
        encode_request(PsaHashCompute(Hash.SHA_256, b"abc")),
        provider=1,
    ),
}
ANSWERS = {
    "10a7c05e1e000100000000000000000000000000000002000000000001000000000000000801": (
        Response(Status.SUCCESS, encode_result(Opcode.PING, (1, 0), NUMBERING))
    ),
    "10a7c05e1e00010000000100000000000000000000000000000000000400000074040000": (
        Response(
            Status.PSA_ERROR_DOES_NOT_EXIST, opcode=Opcode.PSA_SIGN_HASH, provider=1
        )
    ),
    "10a7c05e1e00010000000000000000000000000000000000000000000100000009000000": (
        Response(Status.OPCODE_DOES_NOT_EXIST)
    ),
}


def _rsa(algorithm: object, usage: UsageFlags) -> KeyAttributes:
    return KeyAttributes(RsaKeyPair(), 2048, KeyPolicy(usage, algorithm))  # type: ignore[arg-type]


BODIES: dict[str, Operation[object]] = {
    "0a027465121f0a045a0208021080021a140a0830013801400148011208320622040a021007": (
        PsaGenerateKey("te", P256)
    ),
    "0a02747212150a0252001080101a0c0a042001280112043a020a00": PsaGenerateKey(
        "tr", _rsa(RSA_PKCS1V15_CRYPT, ENCRYPT)
    ),
    "0a0374726f12170a0252001080101a0e0a042001280112063a0412020807": PsaGenerateKey(
        "tro", _rsa(RsaOaep(Hash.SHA_256), ENCRYPT)
    ),
    "0a03747273121d0a0252001080101a140a083001380140014801120832060a040a021007": (
        PsaGenerateKey("trs", _rsa(RsaPkcs1v15Sign(Hash.SHA_256), SIGN))
    ),
    "0a027465120622040a0210071a20" + DIGEST.hex(): PsaSignHash(
        "te", Ecdsa(Hash.SHA_256), DIGEST
    ),
    "0a0374727312060a040a0210071a20" + DIGEST.hex(): PsaSignHash(
        "trs", RsaPkcs1v15Sign(Hash.SHA_256), DIGEST
    ),
    "0a02747212020a001a06736563726574": PsaAsymmetricEncrypt(
        "tr", RSA_PKCS1V15_CRYPT, b"secret"
    ),
    "0a027465": PsaExportPublicKey("te"),
    "0a0178": DeleteClient("x"),
    "": Ping(),
}


@pytest.mark.parametrize("expected", FRAMES)
def test_requests_are_the_rust_client_s(expected: str) -> None:
    request = FRAMES[expected]
    assert expected == request.encode().hex()
    assert request == RequestReader(1000).feed(bytes.fromhex(expected))


@pytest.mark.parametrize("expected", ANSWERS)
def test_responses_are_the_rust_service_s(expected: str) -> None:
    response = ANSWERS[expected]
    assert expected == response.encode().hex()
    header = response_header(bytes.fromhex(expected)[:36])
    assert (response.status, response.opcode, len(response.body)) == (
        header.status,
        header.opcode,
        header.body_length,
    )


@pytest.mark.parametrize("expected", BODIES)
def test_bodies_are_those_of_parsec_tool(expected: str) -> None:
    operation = BODIES[expected]
    assert expected == encode_request(operation).hex()
    assert operation == decode_request(operation.opcode, bytes.fromhex(expected))


def test_opcodes_come_packed_or_not() -> None:
    packed = bytes.fromhex("0a1003060c0f0b0d051104200a1002131207")
    expected = frozenset(Opcode(number) for number in packed[2:])
    assert expected == decode_result(Opcode.LIST_OPCODES, packed, NUMBERING)
    one_by_one = b"".join(bytes([8, opcode]) for opcode in expected)
    assert expected == decode_result(Opcode.LIST_OPCODES, one_by_one, NUMBERING)
    assert expected == frozenset(
        Opcode(n) for n in encode_result(Opcode.LIST_OPCODES, expected, NUMBERING)[2:]
    )


INEXACT = (
    PsaGenerateKey("k", _rsa(ANY_ALGORITHM, SIGN)),
    PsaGenerateKey("k", _rsa(RsaPss(Hash.SHA_256), SIGN), public_exponent=3),
    PsaSignHash("k", RsaPss(Hash.SHA_256, salt_length=20), DIGEST),
    PsaSignHash("k", RsaPss(Hash.SHA_256, mgf_hash=Hash.SHA_1), DIGEST),
    PsaSignHash("k", Ecdsa(Hash.SM3), DIGEST),
    PsaAsymmetricEncrypt("k", RsaOaep(Hash.SHA_256, mgf_hash=Hash.SHA_1), b"x"),
)


@pytest.mark.parametrize("operation", INEXACT, ids=str)
def test_what_the_wire_cannot_say_exactly_is_refused(
    operation: Operation[object],
) -> None:
    with pytest.raises(NotSupported):
        encode_request(operation)


def test_psa_s_own_pss_may_be_written_out() -> None:
    asked = RsaPss(Hash.SHA_256, mgf_hash=Hash.SHA_256, salt_length=32)
    body = encode_request(PsaSignHash("k", asked, DIGEST))
    assert body == encode_request(PsaSignHash("k", RsaPss(Hash.SHA_256), DIGEST))


BAD = {
    "ff": Status.DESERIALIZING_BODY_FAILED,
    "0a02fffe": Status.DESERIALIZING_BODY_FAILED,  # A name that is not UTF-8.
    "0a017812021200": Status.INVALID_ENCODING,
    "0a0178": Status.INVALID_ENCODING,  # No attributes.
    # A policy without usage flags; a hash that is none; a curve family that is none.
    "0a027465121d0a045a0208021080021a0a1208320622040a021007": (
        Status.DESERIALIZING_BODY_FAILED
    ),
    "0a027465121f0a045a0208021080021a140a0830013801400148011208320622040a021000": (
        Status.INVALID_ENCODING
    ),
    "0a027465121f0a045a0208631080021a140a0830013801400148011208320622040a021007": (
        Status.INVALID_ENCODING
    ),
}


@pytest.mark.parametrize("body", BAD)
def test_a_bad_body_has_the_rust_service_s_status(body: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_request(Opcode.PSA_GENERATE_KEY, bytes.fromhex(body))
    assert BAD[body] == caught.value.status


def test_unknown_fields_are_ignored() -> None:
    assert PsaDestroyKey("x") == decode_request(
        Opcode.PSA_DESTROY_KEY, bytes.fromhex("0a0178" + "c23e0161")
    )
