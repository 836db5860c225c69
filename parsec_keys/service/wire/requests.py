"""Bodies of requests <-> operations: one row for each opcode.

Which provider a request is for is in its header, except for ``ListOpcodes``, whose
body names it; the client and the service treat that one apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError, Message

from parsec_keys.errors import NotSupported, ProtocolError
from parsec_keys.psa.algorithms import KeyAgreement
from parsec_keys.psa.opcodes import Opcode
from parsec_keys.psa.operations import (
    ListKeys,
    ListProviders,
    Operation,
    PsaAsymmetricDecrypt,
    PsaAsymmetricEncrypt,
    PsaDestroyKey,
    PsaExportKey,
    PsaExportPublicKey,
    PsaGenerateKey,
    PsaGenerateRandom,
    PsaImportKey,
    PsaRawKeyAgreement,
    PsaSignHash,
    PsaVerifyHash,
)
from parsec_keys.psa.operations.attestation import AttestKey, PrepareKeyAttestation
from parsec_keys.psa.operations.service import (
    CanDoCrypto,
    CheckType,
    DeleteClient,
    ListAuthenticators,
    ListClients,
    ListOpcodes,
    Ping,
)
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
from parsec_keys.service.wire import algorithms
from parsec_keys.service.wire.algorithms import invalid, to_number, variant
from parsec_keys.service.wire.attributes import read_attributes, write_attributes
from parsec_keys.service.wire.proto import algorithm_pb2
from parsec_keys.service.wire.proto import operations_pb2 as pb

MAXIMUM_RANDOM: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class _Row:
    operation: type
    message: type[Message]
    read: Callable[[Any], Operation[Any]]
    write: Callable[[Any, Any], None]


def encode_request(operation: Operation[Any]) -> bytes:
    """The body of a request.

    Raises:
        NotSupported: the message cannot say exactly this.
    """
    row = _BY_OPERATION.get(type(operation))
    if row is None:
        raise NotSupported(f"a Parsec service has no {type(operation).__name__}")
    message = row.message()
    row.write(message, operation)
    return message.SerializeToString()


def decode_request(opcode: Opcode, body: bytes) -> Operation[Any]:
    """The operation of a request.

    Raises:
        ProtocolError: status DESERIALIZING_BODY_FAILED where these bytes are no
            message, INVALID_ENCODING where the message lacks what it must have.
    """
    row = _BY_OPCODE[opcode]
    return row.read(parse(row.message, body))


def encode_list_opcodes(provider: int) -> bytes:
    """The body of ``ListOpcodes`` for a provider's number."""
    return pb.ListOpcodes(provider_id=provider).SerializeToString()


def decode_list_opcodes(body: bytes) -> int:
    """The provider's number in a body of ``ListOpcodes``; not cut to eight bits."""
    message: pb.ListOpcodes = parse(pb.ListOpcodes, body)
    return message.provider_id


def parse(message: type[Message], body: bytes) -> Any:
    """A message from its bytes.

    Raises:
        ProtocolError: these bytes are none.
    """
    try:
        return message.FromString(body)
    except (DecodeError, UnicodeDecodeError) as e:
        raise ProtocolError(f"{message.DESCRIPTOR.name} cannot be read: {e}") from e


def _nothing(operation: Callable[[], Operation[Any]]) -> _Row:
    return _Row(
        operation,  # type: ignore[arg-type]
        pb.NoFields,
        lambda _: operation(),
        lambda message, asked: None,
    )


def _of_key(operation: Callable[[str], Operation[Any]]) -> _Row:
    def write(message: pb.OfKey, asked: Any) -> None:
        message.key_name = asked.key_name

    return _Row(
        operation,  # type: ignore[arg-type]
        pb.OfKey,
        lambda message: operation(message.key_name),
        write,
    )


def _read_list_keys(message: pb.ListKeys) -> ListKeys:
    return ListKeys(message.key_name if message.HasField("key_name") else None)


def _write_list_keys(message: pb.ListKeys, asked: ListKeys) -> None:
    if asked.key_name is not None:
        message.key_name = asked.key_name


def _needed(message: Any, part: str) -> Any:
    if not message.HasField(part):
        raise invalid(part)
    return getattr(message, part)


def _read_generate(message: pb.GenerateKey) -> PsaGenerateKey:
    attributes = read_attributes(_needed(message, "attributes"))
    return PsaGenerateKey(message.key_name, attributes)


def _write_generate(message: pb.GenerateKey, asked: PsaGenerateKey) -> None:
    if asked.public_exponent != 65537:
        raise NotSupported(
            "a Parsec service makes RSA keys with the exponent 65537, not "
            f"{asked.public_exponent}"
        )
    message.key_name = asked.key_name
    write_attributes(message.attributes, asked.attributes)


def _read_import(message: pb.ImportKey) -> PsaImportKey:
    attributes = read_attributes(_needed(message, "attributes"))
    return PsaImportKey(message.key_name, attributes, message.data)


def _write_import(message: pb.ImportKey, asked: PsaImportKey) -> None:
    message.key_name = asked.key_name
    message.data = asked.data
    write_attributes(message.attributes, asked.attributes)


def _sign(operation: type[PsaSignHash] | type[PsaSignMessage], data: str) -> _Row:
    def read(message: pb.Sign) -> Operation[bytes]:
        algorithm = algorithms.read_signature(_needed(message, "alg"))
        return operation(message.key_name, algorithm, message.data)

    def write(message: pb.Sign, asked: PsaSignHash | PsaSignMessage) -> None:
        message.key_name = asked.key_name
        message.data = getattr(asked, data)
        algorithms.write_signature(message.alg, asked.alg)

    return _Row(operation, pb.Sign, read, write)


def _verify(operation: type[PsaVerifyHash] | type[PsaVerifyMessage], data: str) -> _Row:
    def read(message: pb.Verify) -> Operation[None]:
        algorithm = algorithms.read_signature(_needed(message, "alg"))
        return operation(message.key_name, algorithm, message.data, message.signature)

    def write(message: pb.Verify, asked: PsaVerifyHash | PsaVerifyMessage) -> None:
        message.key_name = asked.key_name
        message.data = getattr(asked, data)
        message.signature = asked.signature
        algorithms.write_signature(message.alg, asked.alg)

    return _Row(operation, pb.Verify, read, write)


def _crypt(
    operation: type[PsaAsymmetricEncrypt] | type[PsaAsymmetricDecrypt], data: str
) -> _Row:
    def read(message: pb.AsymmetricCrypt) -> Operation[bytes]:
        algorithm = algorithms.read_encryption(_needed(message, "alg"))
        return operation(message.key_name, algorithm, message.data, message.salt)

    def write(message: pb.AsymmetricCrypt, asked: Any) -> None:
        message.key_name = asked.key_name
        message.data = getattr(asked, data)
        message.salt = asked.salt
        algorithms.write_encryption(message.alg, asked.alg)

    return _Row(operation, pb.AsymmetricCrypt, read, write)


def _aead(operation: type[PsaAeadEncrypt] | type[PsaAeadDecrypt], data: str) -> _Row:
    def read(message: pb.AeadCrypt) -> Operation[bytes]:
        algorithm = algorithms.read_aead(_needed(message, "alg"))
        parts = (message.nonce, message.additional_data, message.data)
        return operation(message.key_name, algorithm, *parts)

    def write(message: pb.AeadCrypt, asked: Any) -> None:
        message.key_name = asked.key_name
        message.nonce = asked.nonce
        message.additional_data = asked.additional_data
        message.data = getattr(asked, data)
        algorithms.write_aead(message.alg, asked.alg)

    return _Row(operation, pb.AeadCrypt, read, write)


def _cipher(
    operation: type[PsaCipherEncrypt] | type[PsaCipherDecrypt], data: str
) -> _Row:
    def read(message: pb.CipherCrypt) -> Operation[bytes]:
        mode = algorithms.read_cipher(message.alg)
        return operation(message.key_name, mode, message.data)

    def write(message: pb.CipherCrypt, asked: Any) -> None:
        message.key_name = asked.key_name
        message.alg = to_number(algorithm_pb2.Cipher, asked.alg)  # type: ignore[assignment]
        message.data = getattr(asked, data)

    return _Row(operation, pb.CipherCrypt, read, write)


def _read_agreement(message: pb.AgreeOnKey) -> PsaRawKeyAgreement:
    algorithm: KeyAgreement = algorithms.read_agreement(message.alg)
    return PsaRawKeyAgreement(message.private_key_name, algorithm, message.peer_key)


def _write_agreement(message: pb.AgreeOnKey, asked: PsaRawKeyAgreement) -> None:
    message.alg = to_number(algorithm_pb2.RawKeyAgreement, asked.alg)  # type: ignore[assignment]
    message.private_key_name = asked.key_name
    message.peer_key = asked.peer_key


def _write_random(message: pb.GenerateRandom, asked: PsaGenerateRandom) -> None:
    if not 0 <= asked.size <= MAXIMUM_RANDOM:
        raise NotSupported(f"a Parsec service cannot make {asked.size} random bytes")
    message.size = asked.size


def _read_hash_compute(message: pb.HashCompute) -> PsaHashCompute:
    return PsaHashCompute(algorithms.hash_from(message.alg), message.input)


def _write_hash_compute(message: pb.HashCompute, asked: PsaHashCompute) -> None:
    message.alg = algorithms.hash_to(asked.alg)  # type: ignore[assignment]
    message.input = asked.input


def _read_hash_compare(message: pb.HashCompare) -> PsaHashCompare:
    hash_ = algorithms.hash_from(message.alg)
    return PsaHashCompare(hash_, message.input, message.hash)


def _write_hash_compare(message: pb.HashCompare, asked: PsaHashCompare) -> None:
    message.alg = algorithms.hash_to(asked.alg)  # type: ignore[assignment]
    message.input = asked.input
    message.hash = asked.hash


def _read_mac_compute(message: pb.MacCompute) -> PsaMacCompute:
    algorithm = algorithms.read_mac(_needed(message, "alg"))
    return PsaMacCompute(message.key_name, algorithm, message.input)


def _write_mac_compute(message: pb.MacCompute, asked: PsaMacCompute) -> None:
    message.key_name = asked.key_name
    message.input = asked.input
    algorithms.write_mac(message.alg, asked.alg)


def _read_mac_verify(message: pb.MacVerify) -> PsaMacVerify:
    algorithm = algorithms.read_mac(_needed(message, "alg"))
    return PsaMacVerify(message.key_name, algorithm, message.input, message.mac)


def _write_mac_verify(message: pb.MacVerify, asked: PsaMacVerify) -> None:
    message.key_name = asked.key_name
    message.input = asked.input
    message.mac = asked.mac
    algorithms.write_mac(message.alg, asked.alg)


def _read_delete_client(message: pb.DeleteClient) -> DeleteClient:
    return DeleteClient(message.client)


def _write_delete_client(message: pb.DeleteClient, asked: DeleteClient) -> None:
    message.client = asked.client


def _read_attest(message: pb.AttestKey) -> AttestKey:
    parameters = _needed(message, "parameters")
    variant(parameters, "mechanism")
    credential = parameters.activate_credential
    return AttestKey(
        message.attested_key_name,
        credential.credential_blob,
        credential.secret,
        message.attesting_key_name,
    )


def _write_attest(message: pb.AttestKey, asked: AttestKey) -> None:
    message.attested_key_name = asked.key_name
    message.attesting_key_name = asked.attesting_key_name
    credential = message.parameters.activate_credential
    credential.SetInParent()
    credential.credential_blob = asked.credential_blob
    credential.secret = asked.secret


def _read_prepare(message: pb.PrepareKeyAttestation) -> PrepareKeyAttestation:
    parameters = _needed(message, "parameters")
    variant(parameters, "mechanism")
    names = parameters.activate_credential
    return PrepareKeyAttestation(names.attested_key_name, names.attesting_key_name)


def _write_prepare(
    message: pb.PrepareKeyAttestation, asked: PrepareKeyAttestation
) -> None:
    names = message.parameters.activate_credential
    names.SetInParent()
    names.attested_key_name = asked.key_name
    names.attesting_key_name = asked.attesting_key_name


def _read_can_do(message: pb.CanDoCrypto) -> CanDoCrypto:
    check_type = algorithms.number_to(pb.CheckType, CheckType, message.check_type)
    return CanDoCrypto(check_type, read_attributes(_needed(message, "attributes")))


def _write_can_do(message: pb.CanDoCrypto, asked: CanDoCrypto) -> None:
    message.check_type = asked.check_type.value  # type: ignore[assignment]
    write_attributes(message.attributes, asked.attributes)


_ROWS: Final = (
    _nothing(Ping),
    _nothing(ListProviders),
    _nothing(ListAuthenticators),
    _Row(ListKeys, pb.ListKeys, _read_list_keys, _write_list_keys),
    _nothing(ListClients),
    _Row(DeleteClient, pb.DeleteClient, _read_delete_client, _write_delete_client),
    _Row(PsaGenerateKey, pb.GenerateKey, _read_generate, _write_generate),
    _Row(PsaImportKey, pb.ImportKey, _read_import, _write_import),
    _of_key(PsaDestroyKey),
    _of_key(PsaExportPublicKey),
    _of_key(PsaExportKey),
    _sign(PsaSignHash, "hash"),
    _sign(PsaSignMessage, "message"),
    _verify(PsaVerifyHash, "hash"),
    _verify(PsaVerifyMessage, "message"),
    _crypt(PsaAsymmetricEncrypt, "plaintext"),
    _crypt(PsaAsymmetricDecrypt, "ciphertext"),
    _aead(PsaAeadEncrypt, "plaintext"),
    _aead(PsaAeadDecrypt, "ciphertext"),
    _cipher(PsaCipherEncrypt, "plaintext"),
    _cipher(PsaCipherDecrypt, "ciphertext"),
    _Row(PsaRawKeyAgreement, pb.AgreeOnKey, _read_agreement, _write_agreement),
    _Row(
        PsaGenerateRandom,
        pb.GenerateRandom,
        lambda message: PsaGenerateRandom(message.size),
        _write_random,
    ),
    _Row(PsaHashCompute, pb.HashCompute, _read_hash_compute, _write_hash_compute),
    _Row(PsaHashCompare, pb.HashCompare, _read_hash_compare, _write_hash_compare),
    _Row(PsaMacCompute, pb.MacCompute, _read_mac_compute, _write_mac_compute),
    _Row(PsaMacVerify, pb.MacVerify, _read_mac_verify, _write_mac_verify),
    _Row(AttestKey, pb.AttestKey, _read_attest, _write_attest),
    _Row(
        PrepareKeyAttestation, pb.PrepareKeyAttestation, _read_prepare, _write_prepare
    ),
    _Row(CanDoCrypto, pb.CanDoCrypto, _read_can_do, _write_can_do),
)
_BY_OPERATION: Final = {row.operation: row for row in _ROWS}
_BY_OPCODE: Final = {row.operation.opcode: row for row in _ROWS}  # type: ignore[attr-defined]
DECODED_APART: Final = frozenset({ListOpcodes.opcode})
"""The opcodes whose body ``decode_request`` does not read."""
