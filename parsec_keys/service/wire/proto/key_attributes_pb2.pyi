from parsec_keys.service.wire.proto import algorithm_pb2 as _algorithm_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EccFamily(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ECC_FAMILY_NONE: _ClassVar[EccFamily]
    SECP_K1: _ClassVar[EccFamily]
    SECP_R1: _ClassVar[EccFamily]
    SECP_R2: _ClassVar[EccFamily]
    SECT_K1: _ClassVar[EccFamily]
    SECT_R1: _ClassVar[EccFamily]
    SECT_R2: _ClassVar[EccFamily]
    BRAINPOOL_P_R1: _ClassVar[EccFamily]
    FRP: _ClassVar[EccFamily]
    MONTGOMERY: _ClassVar[EccFamily]

class DhFamily(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RFC7919: _ClassVar[DhFamily]
ECC_FAMILY_NONE: EccFamily
SECP_K1: EccFamily
SECP_R1: EccFamily
SECP_R2: EccFamily
SECT_K1: EccFamily
SECT_R1: EccFamily
SECT_R2: EccFamily
BRAINPOOL_P_R1: EccFamily
FRP: EccFamily
MONTGOMERY: EccFamily
RFC7919: DhFamily

class OnCurve(_message.Message):
    __slots__ = ("curve_family",)
    CURVE_FAMILY_FIELD_NUMBER: _ClassVar[int]
    curve_family: EccFamily
    def __init__(self, curve_family: _Optional[_Union[EccFamily, str]] = ...) -> None: ...

class InGroup(_message.Message):
    __slots__ = ("group_family",)
    GROUP_FAMILY_FIELD_NUMBER: _ClassVar[int]
    group_family: DhFamily
    def __init__(self, group_family: _Optional[_Union[DhFamily, str]] = ...) -> None: ...

class KeyType(_message.Message):
    __slots__ = ("raw_data", "hmac", "derive", "aes", "des", "camellia", "arc4", "chacha20", "rsa_public_key", "rsa_key_pair", "ecc_key_pair", "ecc_public_key", "dh_key_pair", "dh_public_key")
    RAW_DATA_FIELD_NUMBER: _ClassVar[int]
    HMAC_FIELD_NUMBER: _ClassVar[int]
    DERIVE_FIELD_NUMBER: _ClassVar[int]
    AES_FIELD_NUMBER: _ClassVar[int]
    DES_FIELD_NUMBER: _ClassVar[int]
    CAMELLIA_FIELD_NUMBER: _ClassVar[int]
    ARC4_FIELD_NUMBER: _ClassVar[int]
    CHACHA20_FIELD_NUMBER: _ClassVar[int]
    RSA_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    RSA_KEY_PAIR_FIELD_NUMBER: _ClassVar[int]
    ECC_KEY_PAIR_FIELD_NUMBER: _ClassVar[int]
    ECC_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    DH_KEY_PAIR_FIELD_NUMBER: _ClassVar[int]
    DH_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    raw_data: _algorithm_pb2.Empty
    hmac: _algorithm_pb2.Empty
    derive: _algorithm_pb2.Empty
    aes: _algorithm_pb2.Empty
    des: _algorithm_pb2.Empty
    camellia: _algorithm_pb2.Empty
    arc4: _algorithm_pb2.Empty
    chacha20: _algorithm_pb2.Empty
    rsa_public_key: _algorithm_pb2.Empty
    rsa_key_pair: _algorithm_pb2.Empty
    ecc_key_pair: OnCurve
    ecc_public_key: OnCurve
    dh_key_pair: InGroup
    dh_public_key: InGroup
    def __init__(self, raw_data: _Optional[_Union[_algorithm_pb2.Empty, _Mapping]] = ..., hmac: _Optional[_Union[_algorithm_pb2.Empty, _Mapping]] = ..., derive: _Optional[_Union[_algorithm_pb2.Empty, _Mapping]] = ..., aes: _Optional[_Union[_algorithm_pb2.Empty, _Mapping]] = ..., des: _Optional[_Union[_algorithm_pb2.Empty, _Mapping]] = ..., camellia: _Optional[_Union[_algorithm_pb2.Empty, _Mapping]] = ..., arc4: _Optional[_Union[_algorithm_pb2.Empty, _Mapping]] = ..., chacha20: _Optional[_Union[_algorithm_pb2.Empty, _Mapping]] = ..., rsa_public_key: _Optional[_Union[_algorithm_pb2.Empty, _Mapping]] = ..., rsa_key_pair: _Optional[_Union[_algorithm_pb2.Empty, _Mapping]] = ..., ecc_key_pair: _Optional[_Union[OnCurve, _Mapping]] = ..., ecc_public_key: _Optional[_Union[OnCurve, _Mapping]] = ..., dh_key_pair: _Optional[_Union[InGroup, _Mapping]] = ..., dh_public_key: _Optional[_Union[InGroup, _Mapping]] = ...) -> None: ...

class UsageFlags(_message.Message):
    __slots__ = ("export", "copy", "cache", "encrypt", "decrypt", "sign_message", "verify_message", "sign_hash", "verify_hash", "derive")
    EXPORT_FIELD_NUMBER: _ClassVar[int]
    COPY_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    ENCRYPT_FIELD_NUMBER: _ClassVar[int]
    DECRYPT_FIELD_NUMBER: _ClassVar[int]
    SIGN_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    VERIFY_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SIGN_HASH_FIELD_NUMBER: _ClassVar[int]
    VERIFY_HASH_FIELD_NUMBER: _ClassVar[int]
    DERIVE_FIELD_NUMBER: _ClassVar[int]
    export: bool
    copy: bool
    cache: bool
    encrypt: bool
    decrypt: bool
    sign_message: bool
    verify_message: bool
    sign_hash: bool
    verify_hash: bool
    derive: bool
    def __init__(self, export: bool = ..., copy: bool = ..., cache: bool = ..., encrypt: bool = ..., decrypt: bool = ..., sign_message: bool = ..., verify_message: bool = ..., sign_hash: bool = ..., verify_hash: bool = ..., derive: bool = ...) -> None: ...

class KeyPolicy(_message.Message):
    __slots__ = ("key_usage_flags", "key_algorithm")
    KEY_USAGE_FLAGS_FIELD_NUMBER: _ClassVar[int]
    KEY_ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    key_usage_flags: UsageFlags
    key_algorithm: _algorithm_pb2.Algorithm
    def __init__(self, key_usage_flags: _Optional[_Union[UsageFlags, _Mapping]] = ..., key_algorithm: _Optional[_Union[_algorithm_pb2.Algorithm, _Mapping]] = ...) -> None: ...

class KeyAttributes(_message.Message):
    __slots__ = ("key_type", "key_bits", "key_policy")
    KEY_TYPE_FIELD_NUMBER: _ClassVar[int]
    KEY_BITS_FIELD_NUMBER: _ClassVar[int]
    KEY_POLICY_FIELD_NUMBER: _ClassVar[int]
    key_type: KeyType
    key_bits: int
    key_policy: KeyPolicy
    def __init__(self, key_type: _Optional[_Union[KeyType, _Mapping]] = ..., key_bits: _Optional[int] = ..., key_policy: _Optional[_Union[KeyPolicy, _Mapping]] = ...) -> None: ...
