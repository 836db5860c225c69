from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Hash(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HASH_NONE: _ClassVar[Hash]
    MD2: _ClassVar[Hash]
    MD4: _ClassVar[Hash]
    MD5: _ClassVar[Hash]
    RIPEMD160: _ClassVar[Hash]
    SHA_1: _ClassVar[Hash]
    SHA_224: _ClassVar[Hash]
    SHA_256: _ClassVar[Hash]
    SHA_384: _ClassVar[Hash]
    SHA_512: _ClassVar[Hash]
    SHA_512_224: _ClassVar[Hash]
    SHA_512_256: _ClassVar[Hash]
    SHA3_224: _ClassVar[Hash]
    SHA3_256: _ClassVar[Hash]
    SHA3_384: _ClassVar[Hash]
    SHA3_512: _ClassVar[Hash]

class Cipher(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CIPHER_NONE: _ClassVar[Cipher]
    STREAM_CIPHER: _ClassVar[Cipher]
    CTR: _ClassVar[Cipher]
    CFB: _ClassVar[Cipher]
    OFB: _ClassVar[Cipher]
    XTS: _ClassVar[Cipher]
    ECB_NO_PADDING: _ClassVar[Cipher]
    CBC_NO_PADDING: _ClassVar[Cipher]
    CBC_PKCS7: _ClassVar[Cipher]

class AeadMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AEAD_NONE: _ClassVar[AeadMode]
    CCM: _ClassVar[AeadMode]
    GCM: _ClassVar[AeadMode]
    CHACHA20_POLY1305: _ClassVar[AeadMode]

class RawKeyAgreement(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RAW_NONE: _ClassVar[RawKeyAgreement]
    FFDH: _ClassVar[RawKeyAgreement]
    ECDH: _ClassVar[RawKeyAgreement]
HASH_NONE: Hash
MD2: Hash
MD4: Hash
MD5: Hash
RIPEMD160: Hash
SHA_1: Hash
SHA_224: Hash
SHA_256: Hash
SHA_384: Hash
SHA_512: Hash
SHA_512_224: Hash
SHA_512_256: Hash
SHA3_224: Hash
SHA3_256: Hash
SHA3_384: Hash
SHA3_512: Hash
CIPHER_NONE: Cipher
STREAM_CIPHER: Cipher
CTR: Cipher
CFB: Cipher
OFB: Cipher
XTS: Cipher
ECB_NO_PADDING: Cipher
CBC_NO_PADDING: Cipher
CBC_PKCS7: Cipher
AEAD_NONE: AeadMode
CCM: AeadMode
GCM: AeadMode
CHACHA20_POLY1305: AeadMode
RAW_NONE: RawKeyAgreement
FFDH: RawKeyAgreement
ECDH: RawKeyAgreement

class Empty(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OfHash(_message.Message):
    __slots__ = ("hash_alg",)
    HASH_ALG_FIELD_NUMBER: _ClassVar[int]
    hash_alg: Hash
    def __init__(self, hash_alg: _Optional[_Union[Hash, str]] = ...) -> None: ...

class FullLengthMac(_message.Message):
    __slots__ = ("hmac", "cbc_mac", "cmac")
    HMAC_FIELD_NUMBER: _ClassVar[int]
    CBC_MAC_FIELD_NUMBER: _ClassVar[int]
    CMAC_FIELD_NUMBER: _ClassVar[int]
    hmac: OfHash
    cbc_mac: Empty
    cmac: Empty
    def __init__(self, hmac: _Optional[_Union[OfHash, _Mapping]] = ..., cbc_mac: _Optional[_Union[Empty, _Mapping]] = ..., cmac: _Optional[_Union[Empty, _Mapping]] = ...) -> None: ...

class TruncatedMac(_message.Message):
    __slots__ = ("mac_alg", "mac_length")
    MAC_ALG_FIELD_NUMBER: _ClassVar[int]
    MAC_LENGTH_FIELD_NUMBER: _ClassVar[int]
    mac_alg: FullLengthMac
    mac_length: int
    def __init__(self, mac_alg: _Optional[_Union[FullLengthMac, _Mapping]] = ..., mac_length: _Optional[int] = ...) -> None: ...

class Mac(_message.Message):
    __slots__ = ("full_length", "truncated")
    FULL_LENGTH_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    full_length: FullLengthMac
    truncated: TruncatedMac
    def __init__(self, full_length: _Optional[_Union[FullLengthMac, _Mapping]] = ..., truncated: _Optional[_Union[TruncatedMac, _Mapping]] = ...) -> None: ...

class AeadWithShortenedTag(_message.Message):
    __slots__ = ("aead_alg", "tag_length")
    AEAD_ALG_FIELD_NUMBER: _ClassVar[int]
    TAG_LENGTH_FIELD_NUMBER: _ClassVar[int]
    aead_alg: AeadMode
    tag_length: int
    def __init__(self, aead_alg: _Optional[_Union[AeadMode, str]] = ..., tag_length: _Optional[int] = ...) -> None: ...

class Aead(_message.Message):
    __slots__ = ("aead_with_default_length_tag", "aead_with_shortened_tag")
    AEAD_WITH_DEFAULT_LENGTH_TAG_FIELD_NUMBER: _ClassVar[int]
    AEAD_WITH_SHORTENED_TAG_FIELD_NUMBER: _ClassVar[int]
    aead_with_default_length_tag: AeadMode
    aead_with_shortened_tag: AeadWithShortenedTag
    def __init__(self, aead_with_default_length_tag: _Optional[_Union[AeadMode, str]] = ..., aead_with_shortened_tag: _Optional[_Union[AeadWithShortenedTag, _Mapping]] = ...) -> None: ...

class SignHash(_message.Message):
    __slots__ = ("any", "specific")
    ANY_FIELD_NUMBER: _ClassVar[int]
    SPECIFIC_FIELD_NUMBER: _ClassVar[int]
    any: Empty
    specific: Hash
    def __init__(self, any: _Optional[_Union[Empty, _Mapping]] = ..., specific: _Optional[_Union[Hash, str]] = ...) -> None: ...

class OfSignHash(_message.Message):
    __slots__ = ("hash_alg",)
    HASH_ALG_FIELD_NUMBER: _ClassVar[int]
    hash_alg: SignHash
    def __init__(self, hash_alg: _Optional[_Union[SignHash, _Mapping]] = ...) -> None: ...

class AsymmetricSignature(_message.Message):
    __slots__ = ("rsa_pkcs1v15_sign", "rsa_pkcs1v15_sign_raw", "rsa_pss", "ecdsa", "ecdsa_any", "deterministic_ecdsa")
    RSA_PKCS1V15_SIGN_FIELD_NUMBER: _ClassVar[int]
    RSA_PKCS1V15_SIGN_RAW_FIELD_NUMBER: _ClassVar[int]
    RSA_PSS_FIELD_NUMBER: _ClassVar[int]
    ECDSA_FIELD_NUMBER: _ClassVar[int]
    ECDSA_ANY_FIELD_NUMBER: _ClassVar[int]
    DETERMINISTIC_ECDSA_FIELD_NUMBER: _ClassVar[int]
    rsa_pkcs1v15_sign: OfSignHash
    rsa_pkcs1v15_sign_raw: Empty
    rsa_pss: OfSignHash
    ecdsa: OfSignHash
    ecdsa_any: Empty
    deterministic_ecdsa: OfSignHash
    def __init__(self, rsa_pkcs1v15_sign: _Optional[_Union[OfSignHash, _Mapping]] = ..., rsa_pkcs1v15_sign_raw: _Optional[_Union[Empty, _Mapping]] = ..., rsa_pss: _Optional[_Union[OfSignHash, _Mapping]] = ..., ecdsa: _Optional[_Union[OfSignHash, _Mapping]] = ..., ecdsa_any: _Optional[_Union[Empty, _Mapping]] = ..., deterministic_ecdsa: _Optional[_Union[OfSignHash, _Mapping]] = ...) -> None: ...

class AsymmetricEncryption(_message.Message):
    __slots__ = ("rsa_pkcs1v15_crypt", "rsa_oaep")
    RSA_PKCS1V15_CRYPT_FIELD_NUMBER: _ClassVar[int]
    RSA_OAEP_FIELD_NUMBER: _ClassVar[int]
    rsa_pkcs1v15_crypt: Empty
    rsa_oaep: OfHash
    def __init__(self, rsa_pkcs1v15_crypt: _Optional[_Union[Empty, _Mapping]] = ..., rsa_oaep: _Optional[_Union[OfHash, _Mapping]] = ...) -> None: ...

class KeyDerivation(_message.Message):
    __slots__ = ("hkdf", "tls12_prf", "tls12_psk_to_ms")
    HKDF_FIELD_NUMBER: _ClassVar[int]
    TLS12_PRF_FIELD_NUMBER: _ClassVar[int]
    TLS12_PSK_TO_MS_FIELD_NUMBER: _ClassVar[int]
    hkdf: OfHash
    tls12_prf: OfHash
    tls12_psk_to_ms: OfHash
    def __init__(self, hkdf: _Optional[_Union[OfHash, _Mapping]] = ..., tls12_prf: _Optional[_Union[OfHash, _Mapping]] = ..., tls12_psk_to_ms: _Optional[_Union[OfHash, _Mapping]] = ...) -> None: ...

class WithKeyDerivation(_message.Message):
    __slots__ = ("ka_alg", "kdf_alg")
    KA_ALG_FIELD_NUMBER: _ClassVar[int]
    KDF_ALG_FIELD_NUMBER: _ClassVar[int]
    ka_alg: RawKeyAgreement
    kdf_alg: KeyDerivation
    def __init__(self, ka_alg: _Optional[_Union[RawKeyAgreement, str]] = ..., kdf_alg: _Optional[_Union[KeyDerivation, _Mapping]] = ...) -> None: ...

class KeyAgreement(_message.Message):
    __slots__ = ("raw", "with_key_derivation")
    RAW_FIELD_NUMBER: _ClassVar[int]
    WITH_KEY_DERIVATION_FIELD_NUMBER: _ClassVar[int]
    raw: RawKeyAgreement
    with_key_derivation: WithKeyDerivation
    def __init__(self, raw: _Optional[_Union[RawKeyAgreement, str]] = ..., with_key_derivation: _Optional[_Union[WithKeyDerivation, _Mapping]] = ...) -> None: ...

class Algorithm(_message.Message):
    __slots__ = ("none", "hash", "mac", "cipher", "aead", "asymmetric_signature", "asymmetric_encryption", "key_agreement", "key_derivation")
    NONE_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    CIPHER_FIELD_NUMBER: _ClassVar[int]
    AEAD_FIELD_NUMBER: _ClassVar[int]
    ASYMMETRIC_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    ASYMMETRIC_ENCRYPTION_FIELD_NUMBER: _ClassVar[int]
    KEY_AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    KEY_DERIVATION_FIELD_NUMBER: _ClassVar[int]
    none: Empty
    hash: Hash
    mac: Mac
    cipher: Cipher
    aead: Aead
    asymmetric_signature: AsymmetricSignature
    asymmetric_encryption: AsymmetricEncryption
    key_agreement: KeyAgreement
    key_derivation: KeyDerivation
    def __init__(self, none: _Optional[_Union[Empty, _Mapping]] = ..., hash: _Optional[_Union[Hash, str]] = ..., mac: _Optional[_Union[Mac, _Mapping]] = ..., cipher: _Optional[_Union[Cipher, str]] = ..., aead: _Optional[_Union[Aead, _Mapping]] = ..., asymmetric_signature: _Optional[_Union[AsymmetricSignature, _Mapping]] = ..., asymmetric_encryption: _Optional[_Union[AsymmetricEncryption, _Mapping]] = ..., key_agreement: _Optional[_Union[KeyAgreement, _Mapping]] = ..., key_derivation: _Optional[_Union[KeyDerivation, _Mapping]] = ...) -> None: ...
