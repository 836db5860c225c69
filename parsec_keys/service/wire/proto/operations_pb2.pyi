from parsec_keys.service.wire.proto import algorithm_pb2 as _algorithm_pb2
from parsec_keys.service.wire.proto import key_attributes_pb2 as _key_attributes_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CheckType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHECK_NONE: _ClassVar[CheckType]
    USE: _ClassVar[CheckType]
    GENERATE: _ClassVar[CheckType]
    IMPORT: _ClassVar[CheckType]
    DERIVE: _ClassVar[CheckType]
CHECK_NONE: CheckType
USE: CheckType
GENERATE: CheckType
IMPORT: CheckType
DERIVE: CheckType

class NoFields(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OfKey(_message.Message):
    __slots__ = ("key_name",)
    KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    key_name: str
    def __init__(self, key_name: _Optional[str] = ...) -> None: ...

class Octets(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class PingResult(_message.Message):
    __slots__ = ("wire_protocol_version_maj", "wire_protocol_version_min")
    WIRE_PROTOCOL_VERSION_MAJ_FIELD_NUMBER: _ClassVar[int]
    WIRE_PROTOCOL_VERSION_MIN_FIELD_NUMBER: _ClassVar[int]
    wire_protocol_version_maj: int
    wire_protocol_version_min: int
    def __init__(self, wire_protocol_version_maj: _Optional[int] = ..., wire_protocol_version_min: _Optional[int] = ...) -> None: ...

class ProviderInfo(_message.Message):
    __slots__ = ("uuid", "description", "vendor", "version_maj", "version_min", "version_rev", "id")
    UUID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    VENDOR_FIELD_NUMBER: _ClassVar[int]
    VERSION_MAJ_FIELD_NUMBER: _ClassVar[int]
    VERSION_MIN_FIELD_NUMBER: _ClassVar[int]
    VERSION_REV_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    description: str
    vendor: str
    version_maj: int
    version_min: int
    version_rev: int
    id: int
    def __init__(self, uuid: _Optional[str] = ..., description: _Optional[str] = ..., vendor: _Optional[str] = ..., version_maj: _Optional[int] = ..., version_min: _Optional[int] = ..., version_rev: _Optional[int] = ..., id: _Optional[int] = ...) -> None: ...

class ListProvidersResult(_message.Message):
    __slots__ = ("providers",)
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    providers: _containers.RepeatedCompositeFieldContainer[ProviderInfo]
    def __init__(self, providers: _Optional[_Iterable[_Union[ProviderInfo, _Mapping]]] = ...) -> None: ...

class ListOpcodes(_message.Message):
    __slots__ = ("provider_id",)
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    provider_id: int
    def __init__(self, provider_id: _Optional[int] = ...) -> None: ...

class ListOpcodesResult(_message.Message):
    __slots__ = ("opcodes",)
    OPCODES_FIELD_NUMBER: _ClassVar[int]
    opcodes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, opcodes: _Optional[_Iterable[int]] = ...) -> None: ...

class AuthenticatorInfo(_message.Message):
    __slots__ = ("description", "version_maj", "version_min", "version_rev", "id")
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    VERSION_MAJ_FIELD_NUMBER: _ClassVar[int]
    VERSION_MIN_FIELD_NUMBER: _ClassVar[int]
    VERSION_REV_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    description: str
    version_maj: int
    version_min: int
    version_rev: int
    id: int
    def __init__(self, description: _Optional[str] = ..., version_maj: _Optional[int] = ..., version_min: _Optional[int] = ..., version_rev: _Optional[int] = ..., id: _Optional[int] = ...) -> None: ...

class ListAuthenticatorsResult(_message.Message):
    __slots__ = ("authenticators",)
    AUTHENTICATORS_FIELD_NUMBER: _ClassVar[int]
    authenticators: _containers.RepeatedCompositeFieldContainer[AuthenticatorInfo]
    def __init__(self, authenticators: _Optional[_Iterable[_Union[AuthenticatorInfo, _Mapping]]] = ...) -> None: ...

class ListKeys(_message.Message):
    __slots__ = ("key_name",)
    KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    key_name: str
    def __init__(self, key_name: _Optional[str] = ...) -> None: ...

class KeyInfo(_message.Message):
    __slots__ = ("provider_id", "name", "attributes")
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    provider_id: int
    name: str
    attributes: _key_attributes_pb2.KeyAttributes
    def __init__(self, provider_id: _Optional[int] = ..., name: _Optional[str] = ..., attributes: _Optional[_Union[_key_attributes_pb2.KeyAttributes, _Mapping]] = ...) -> None: ...

class ListKeysResult(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[KeyInfo]
    def __init__(self, keys: _Optional[_Iterable[_Union[KeyInfo, _Mapping]]] = ...) -> None: ...

class ListClientsResult(_message.Message):
    __slots__ = ("clients",)
    CLIENTS_FIELD_NUMBER: _ClassVar[int]
    clients: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, clients: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteClient(_message.Message):
    __slots__ = ("client",)
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    client: str
    def __init__(self, client: _Optional[str] = ...) -> None: ...

class GenerateKey(_message.Message):
    __slots__ = ("key_name", "attributes")
    KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    key_name: str
    attributes: _key_attributes_pb2.KeyAttributes
    def __init__(self, key_name: _Optional[str] = ..., attributes: _Optional[_Union[_key_attributes_pb2.KeyAttributes, _Mapping]] = ...) -> None: ...

class ImportKey(_message.Message):
    __slots__ = ("key_name", "attributes", "data")
    KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    key_name: str
    attributes: _key_attributes_pb2.KeyAttributes
    data: bytes
    def __init__(self, key_name: _Optional[str] = ..., attributes: _Optional[_Union[_key_attributes_pb2.KeyAttributes, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Sign(_message.Message):
    __slots__ = ("key_name", "alg", "data")
    KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    ALG_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    key_name: str
    alg: _algorithm_pb2.AsymmetricSignature
    data: bytes
    def __init__(self, key_name: _Optional[str] = ..., alg: _Optional[_Union[_algorithm_pb2.AsymmetricSignature, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Verify(_message.Message):
    __slots__ = ("key_name", "alg", "data", "signature")
    KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    ALG_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    key_name: str
    alg: _algorithm_pb2.AsymmetricSignature
    data: bytes
    signature: bytes
    def __init__(self, key_name: _Optional[str] = ..., alg: _Optional[_Union[_algorithm_pb2.AsymmetricSignature, _Mapping]] = ..., data: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class AsymmetricCrypt(_message.Message):
    __slots__ = ("key_name", "alg", "data", "salt")
    KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    ALG_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    key_name: str
    alg: _algorithm_pb2.AsymmetricEncryption
    data: bytes
    salt: bytes
    def __init__(self, key_name: _Optional[str] = ..., alg: _Optional[_Union[_algorithm_pb2.AsymmetricEncryption, _Mapping]] = ..., data: _Optional[bytes] = ..., salt: _Optional[bytes] = ...) -> None: ...

class GenerateRandom(_message.Message):
    __slots__ = ("size",)
    SIZE_FIELD_NUMBER: _ClassVar[int]
    size: int
    def __init__(self, size: _Optional[int] = ...) -> None: ...

class HashCompute(_message.Message):
    __slots__ = ("alg", "input")
    ALG_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    alg: _algorithm_pb2.Hash
    input: bytes
    def __init__(self, alg: _Optional[_Union[_algorithm_pb2.Hash, str]] = ..., input: _Optional[bytes] = ...) -> None: ...

class HashCompare(_message.Message):
    __slots__ = ("alg", "input", "hash")
    ALG_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    alg: _algorithm_pb2.Hash
    input: bytes
    hash: bytes
    def __init__(self, alg: _Optional[_Union[_algorithm_pb2.Hash, str]] = ..., input: _Optional[bytes] = ..., hash: _Optional[bytes] = ...) -> None: ...

class AeadCrypt(_message.Message):
    __slots__ = ("key_name", "alg", "nonce", "additional_data", "data")
    KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    ALG_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    ADDITIONAL_DATA_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    key_name: str
    alg: _algorithm_pb2.Aead
    nonce: bytes
    additional_data: bytes
    data: bytes
    def __init__(self, key_name: _Optional[str] = ..., alg: _Optional[_Union[_algorithm_pb2.Aead, _Mapping]] = ..., nonce: _Optional[bytes] = ..., additional_data: _Optional[bytes] = ..., data: _Optional[bytes] = ...) -> None: ...

class AgreeOnKey(_message.Message):
    __slots__ = ("alg", "private_key_name", "peer_key")
    ALG_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    PEER_KEY_FIELD_NUMBER: _ClassVar[int]
    alg: _algorithm_pb2.RawKeyAgreement
    private_key_name: str
    peer_key: bytes
    def __init__(self, alg: _Optional[_Union[_algorithm_pb2.RawKeyAgreement, str]] = ..., private_key_name: _Optional[str] = ..., peer_key: _Optional[bytes] = ...) -> None: ...

class CipherCrypt(_message.Message):
    __slots__ = ("key_name", "alg", "data")
    KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    ALG_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    key_name: str
    alg: _algorithm_pb2.Cipher
    data: bytes
    def __init__(self, key_name: _Optional[str] = ..., alg: _Optional[_Union[_algorithm_pb2.Cipher, str]] = ..., data: _Optional[bytes] = ...) -> None: ...

class MacCompute(_message.Message):
    __slots__ = ("key_name", "alg", "input")
    KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    ALG_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    key_name: str
    alg: _algorithm_pb2.Mac
    input: bytes
    def __init__(self, key_name: _Optional[str] = ..., alg: _Optional[_Union[_algorithm_pb2.Mac, _Mapping]] = ..., input: _Optional[bytes] = ...) -> None: ...

class MacVerify(_message.Message):
    __slots__ = ("key_name", "alg", "input", "mac")
    KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    ALG_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    key_name: str
    alg: _algorithm_pb2.Mac
    input: bytes
    mac: bytes
    def __init__(self, key_name: _Optional[str] = ..., alg: _Optional[_Union[_algorithm_pb2.Mac, _Mapping]] = ..., input: _Optional[bytes] = ..., mac: _Optional[bytes] = ...) -> None: ...

class Credential(_message.Message):
    __slots__ = ("credential_blob", "secret")
    CREDENTIAL_BLOB_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    credential_blob: bytes
    secret: bytes
    def __init__(self, credential_blob: _Optional[bytes] = ..., secret: _Optional[bytes] = ...) -> None: ...

class AttestationParameters(_message.Message):
    __slots__ = ("activate_credential",)
    ACTIVATE_CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    activate_credential: Credential
    def __init__(self, activate_credential: _Optional[_Union[Credential, _Mapping]] = ...) -> None: ...

class AttestKey(_message.Message):
    __slots__ = ("attested_key_name", "parameters", "attesting_key_name")
    ATTESTED_KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    ATTESTING_KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    attested_key_name: str
    parameters: AttestationParameters
    attesting_key_name: str
    def __init__(self, attested_key_name: _Optional[str] = ..., parameters: _Optional[_Union[AttestationParameters, _Mapping]] = ..., attesting_key_name: _Optional[str] = ...) -> None: ...

class AttestationOutput(_message.Message):
    __slots__ = ("activate_credential",)
    ACTIVATE_CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    activate_credential: Octets
    def __init__(self, activate_credential: _Optional[_Union[Octets, _Mapping]] = ...) -> None: ...

class AttestKeyResult(_message.Message):
    __slots__ = ("output",)
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    output: AttestationOutput
    def __init__(self, output: _Optional[_Union[AttestationOutput, _Mapping]] = ...) -> None: ...

class AttestedKey(_message.Message):
    __slots__ = ("attested_key_name", "attesting_key_name")
    ATTESTED_KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    ATTESTING_KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    attested_key_name: str
    attesting_key_name: str
    def __init__(self, attested_key_name: _Optional[str] = ..., attesting_key_name: _Optional[str] = ...) -> None: ...

class PreparationParameters(_message.Message):
    __slots__ = ("activate_credential",)
    ACTIVATE_CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    activate_credential: AttestedKey
    def __init__(self, activate_credential: _Optional[_Union[AttestedKey, _Mapping]] = ...) -> None: ...

class PrepareKeyAttestation(_message.Message):
    __slots__ = ("parameters",)
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    parameters: PreparationParameters
    def __init__(self, parameters: _Optional[_Union[PreparationParameters, _Mapping]] = ...) -> None: ...

class CredentialParameters(_message.Message):
    __slots__ = ("name", "public", "attesting_key_pub")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_FIELD_NUMBER: _ClassVar[int]
    ATTESTING_KEY_PUB_FIELD_NUMBER: _ClassVar[int]
    name: bytes
    public: bytes
    attesting_key_pub: bytes
    def __init__(self, name: _Optional[bytes] = ..., public: _Optional[bytes] = ..., attesting_key_pub: _Optional[bytes] = ...) -> None: ...

class PreparationOutput(_message.Message):
    __slots__ = ("activate_credential",)
    ACTIVATE_CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    activate_credential: CredentialParameters
    def __init__(self, activate_credential: _Optional[_Union[CredentialParameters, _Mapping]] = ...) -> None: ...

class PrepareKeyAttestationResult(_message.Message):
    __slots__ = ("output",)
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    output: PreparationOutput
    def __init__(self, output: _Optional[_Union[PreparationOutput, _Mapping]] = ...) -> None: ...

class CanDoCrypto(_message.Message):
    __slots__ = ("check_type", "attributes")
    CHECK_TYPE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    check_type: CheckType
    attributes: _key_attributes_pb2.KeyAttributes
    def __init__(self, check_type: _Optional[_Union[CheckType, str]] = ..., attributes: _Optional[_Union[_key_attributes_pb2.KeyAttributes, _Mapping]] = ...) -> None: ...
