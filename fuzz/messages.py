"""Bodies: any bytes are an operation, a result, or refused in one way.

What was understood is written again, and understood as the same.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["parsec_keys.service.wire"]):
    from parsec_keys.service.wire import requests, results

from parsec_keys.errors import NotSupported, ProtocolError
from parsec_keys.psa.algorithms import Ecdsa, Hash, RsaOaep
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
    PsaAsymmetricDecrypt,
    PsaGenerateKey,
    PsaSignHash,
)

NUMBERING = results.Numbering({1: "software", 2: "pkcs11", 3: "tpm"})
OPCODES: list[Opcode] = [
    opcode
    for opcode in Opcode
    if opcode is not Opcode.LIST_OPCODES  # Its body is read apart.
]
P256 = KeyAttributes(
    EccKeyPair(EccFamily.SECP_R1),
    256,
    KeyPolicy(UsageFlags.SIGN_HASH, Ecdsa(Hash.SHA_256)),
)
RSA = KeyAttributes(
    RsaKeyPair(), 2048, KeyPolicy(UsageFlags.DECRYPT, RsaOaep(Hash.SHA_256))
)
SEEDS = tuple(
    bytes([OPCODES.index(each.opcode)]) + requests.encode_request(each)
    for each in (
        PsaGenerateKey("ec", P256),
        PsaGenerateKey("rsa", RSA),
        PsaSignHash("ec", Ecdsa(Hash.SHA_256), bytes(32)),
        PsaAsymmetricDecrypt("rsa", RsaOaep(Hash.SHA_256), bytes(8), b"label"),
    )
)


def one_input(data: bytes) -> None:
    """Read a body as the request and as the result of an opcode."""
    opcode, body = OPCODES[data[0] % len(OPCODES)] if data else Opcode.PING, data[1:]
    _request(opcode, body)
    try:
        results.decode_result(opcode, body, NUMBERING)
        requests.decode_list_opcodes(body)
    except ProtocolError:
        return


def _request(opcode: Opcode, body: bytes) -> None:
    try:
        operation = requests.decode_request(opcode, body)
    except ProtocolError:
        return
    try:
        again = requests.encode_request(operation)
    except NotSupported:
        return
    assert requests.decode_request(opcode, again) == operation


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """A valid body with changes, or arbitrary bytes."""
    if seed % 3 == 0:
        data = SEEDS[seed % len(SEEDS)]
    return bytes(atheris.Mutate(data, max_size))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input, custom_mutator=lambda *a: mutated(*a))
    atheris.Fuzz()
