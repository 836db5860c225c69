"""Bodies of results <-> what operations answer: one row for each opcode.

A wire knows providers by number and an engine by name: ``Numbering`` has both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from parsec_keys.errors import Error, ProtocolError
from parsec_keys.psa.attributes import KeyAttributes
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import KeyInfo, ProviderInfo
from parsec_keys.psa.operations.attestation import CredentialParameters
from parsec_keys.psa.operations.service import AuthenticatorInfo
from parsec_keys.service.wire.attributes import read_attributes, write_listed
from parsec_keys.service.wire.proto import key_attributes_pb2
from parsec_keys.service.wire.proto import operations_pb2 as pb
from parsec_keys.service.wire.requests import parse

_KEYS_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Numbering:
    """Providers' names by their numbers on the wire, and the other way."""

    names: Mapping[int, str]
    numbers: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        numbers = {name: number for number, name in self.names.items()}
        object.__setattr__(self, "numbers", numbers)


def encode_result(opcode: Opcode, result: Any, numbering: Numbering) -> bytes:
    """The body of a successful response."""
    write = _WRITERS.get(opcode)
    return b"" if write is None else write(result, numbering)


def decode_result(opcode: Opcode, body: bytes, numbering: Numbering) -> Any:
    """What a successful response's body answers.

    Raises:
        ProtocolError: these bytes are no such result.
    """
    read = _READERS.get(opcode)
    return None if read is None else read(body, numbering)


def _write_octets(result: bytes, numbering: Numbering) -> bytes:
    return pb.Octets(data=result).SerializeToString()


def _read_octets(body: bytes, numbering: Numbering) -> bytes:
    message: pb.Octets = parse(pb.Octets, body)
    return message.data


def _write_ping(result: tuple[int, int], numbering: Numbering) -> bytes:
    major, minor = result
    return pb.PingResult(
        wire_protocol_version_maj=major, wire_protocol_version_min=minor
    ).SerializeToString()


def _read_ping(body: bytes, numbering: Numbering) -> tuple[int, int]:
    message: pb.PingResult = parse(pb.PingResult, body)
    return message.wire_protocol_version_maj, message.wire_protocol_version_min


def _write_providers(result: tuple[ProviderInfo, ...], numbering: Numbering) -> bytes:
    message = pb.ListProvidersResult()
    for info in result:
        major, minor, revision = info.version
        message.providers.add(
            uuid=info.uuid,
            description=info.description,
            vendor=info.vendor,
            version_maj=major,
            version_min=minor,
            version_rev=revision,
            id=info.id,
        )
    return message.SerializeToString()


def _read_providers(body: bytes, numbering: Numbering) -> tuple[ProviderInfo, ...]:
    message: pb.ListProvidersResult = parse(pb.ListProvidersResult, body)
    return tuple(
        ProviderInfo(
            numbering.names.get(each.id, str(each.id)),
            each.id,
            each.uuid,
            each.description,
            each.vendor,
            (each.version_maj, each.version_min, each.version_rev),
        )
        for each in message.providers
    )


def _write_opcodes(result: frozenset[Opcode], numbering: Numbering) -> bytes:
    return pb.ListOpcodesResult(opcodes=sorted(result)).SerializeToString()


def _read_opcodes(body: bytes, numbering: Numbering) -> frozenset[Opcode]:
    message: pb.ListOpcodesResult = parse(pb.ListOpcodesResult, body)
    known = {int(opcode) for opcode in Opcode}
    return frozenset(Opcode(number) for number in message.opcodes if number in known)


def _write_authenticators(
    result: tuple[AuthenticatorInfo, ...], numbering: Numbering
) -> bytes:
    message = pb.ListAuthenticatorsResult()
    for info in result:
        major, minor, revision = info.version
        message.authenticators.add(
            description=info.description,
            version_maj=major,
            version_min=minor,
            version_rev=revision,
            id=info.id,
        )
    return message.SerializeToString()


def _read_authenticators(
    body: bytes, numbering: Numbering
) -> tuple[AuthenticatorInfo, ...]:
    message: pb.ListAuthenticatorsResult = parse(pb.ListAuthenticatorsResult, body)
    return tuple(
        AuthenticatorInfo(
            each.id,
            each.description,
            (each.version_maj, each.version_min, each.version_rev),
        )
        for each in message.authenticators
    )


def _write_keys(result: tuple[KeyInfo, ...], numbering: Numbering) -> bytes:
    # A long list is written piece by piece: messages of one type, one after another,
    # are the message of all, and between two pieces other threads have their turn.
    pieces = (
        result[start : start + _KEYS_AT_ONCE]
        for start in range(0, len(result), _KEYS_AT_ONCE)
    )
    return b"".join(_write_some_keys(piece, numbering) for piece in pieces)


def _write_some_keys(keys: tuple[KeyInfo, ...], numbering: Numbering) -> bytes:
    message = pb.ListKeysResult()
    for key in keys:
        each = message.keys.add(name=key.name)
        each.provider_id = numbering.numbers[key.provider]
        each.attributes.CopyFrom(_attributes_message(key.attributes))
    return message.SerializeToString()


@functools.lru_cache(maxsize=1024)
def _attributes_message(attributes: KeyAttributes) -> key_attributes_pb2.KeyAttributes:
    """Most keys of a store have the attributes of others."""
    message = key_attributes_pb2.KeyAttributes()
    write_listed(message, attributes)
    return message


def _read_keys(body: bytes, numbering: Numbering) -> tuple[KeyInfo, ...]:
    message: pb.ListKeysResult = parse(pb.ListKeysResult, body)
    return tuple(_read_key(each, numbering) for each in message.keys)


def _read_key(message: pb.KeyInfo, numbering: Numbering) -> KeyInfo:
    provider = numbering.names.get(message.provider_id, str(message.provider_id))
    try:
        attributes = _attributes_from(message.attributes.SerializeToString())
    except Error as e:
        raise ProtocolError(
            f"the service lists key '{message.name}' with attributes that mean nothing"
        ) from e
    return KeyInfo(message.name, provider, attributes)


@functools.lru_cache(maxsize=1024)
def _attributes_from(body: bytes) -> KeyAttributes:
    return read_attributes(key_attributes_pb2.KeyAttributes.FromString(body))


def _write_clients(result: tuple[str, ...], numbering: Numbering) -> bytes:
    return pb.ListClientsResult(clients=result).SerializeToString()


def _read_clients(body: bytes, numbering: Numbering) -> tuple[str, ...]:
    message: pb.ListClientsResult = parse(pb.ListClientsResult, body)
    return tuple(message.clients)


def _write_credential(result: bytes, numbering: Numbering) -> bytes:
    message = pb.AttestKeyResult()
    message.output.activate_credential.data = result
    return message.SerializeToString()


def _read_credential(body: bytes, numbering: Numbering) -> bytes:
    message: pb.AttestKeyResult = parse(pb.AttestKeyResult, body)
    return message.output.activate_credential.data


def _write_preparation(result: CredentialParameters, numbering: Numbering) -> bytes:
    message = pb.PrepareKeyAttestationResult()
    parameters = message.output.activate_credential
    parameters.name = result.name
    parameters.public = result.public
    parameters.attesting_key_pub = result.attesting_key_pub
    return message.SerializeToString()


def _read_preparation(body: bytes, numbering: Numbering) -> CredentialParameters:
    message: pb.PrepareKeyAttestationResult
    message = parse(pb.PrepareKeyAttestationResult, body)
    parameters = message.output.activate_credential
    return CredentialParameters(
        parameters.name, parameters.public, parameters.attesting_key_pub
    )


_OCTETS: Final = (
    Opcode.PSA_SIGN_HASH,
    Opcode.PSA_SIGN_MESSAGE,
    Opcode.PSA_EXPORT_PUBLIC_KEY,
    Opcode.PSA_EXPORT_KEY,
    Opcode.PSA_ASYMMETRIC_ENCRYPT,
    Opcode.PSA_ASYMMETRIC_DECRYPT,
    Opcode.PSA_GENERATE_RANDOM,
    Opcode.PSA_HASH_COMPUTE,
    Opcode.PSA_AEAD_ENCRYPT,
    Opcode.PSA_AEAD_DECRYPT,
    Opcode.PSA_RAW_KEY_AGREEMENT,
    Opcode.PSA_CIPHER_ENCRYPT,
    Opcode.PSA_CIPHER_DECRYPT,
    Opcode.PSA_MAC_COMPUTE,
)
"""The operations whose result is one field of octets, with the number 1."""
_WRITERS: Final[dict[Opcode, Callable[[Any, Numbering], bytes]]] = {
    **dict.fromkeys(_OCTETS, _write_octets),
    Opcode.PING: _write_ping,
    Opcode.LIST_PROVIDERS: _write_providers,
    Opcode.LIST_OPCODES: _write_opcodes,
    Opcode.LIST_AUTHENTICATORS: _write_authenticators,
    Opcode.LIST_KEYS: _write_keys,
    Opcode.LIST_CLIENTS: _write_clients,
    Opcode.ATTEST_KEY: _write_credential,
    Opcode.PREPARE_KEY_ATTESTATION: _write_preparation,
}
_READERS: Final[dict[Opcode, Callable[[bytes, Numbering], Any]]] = {
    **dict.fromkeys(_OCTETS, _read_octets),
    Opcode.PING: _read_ping,
    Opcode.LIST_PROVIDERS: _read_providers,
    Opcode.LIST_OPCODES: _read_opcodes,
    Opcode.LIST_AUTHENTICATORS: _read_authenticators,
    Opcode.LIST_KEYS: _read_keys,
    Opcode.LIST_CLIENTS: _read_clients,
    Opcode.ATTEST_KEY: _read_credential,
    Opcode.PREPARE_KEY_ATTESTATION: _read_preparation,
}
