"""OpenSSL's structures and numbers for providers (openssl-core.h(7), 64 bit)."""

from __future__ import annotations

import ctypes
import enum


class Dispatch(ctypes.Structure):
    """OSSL_DISPATCH: what a function is for, and the function."""

    _fields_ = (("id", ctypes.c_int), ("function", ctypes.c_void_p))


class Algorithm(ctypes.Structure):
    """OSSL_ALGORITHM: names, properties and functions of one implementation."""

    _fields_ = (
        ("names", ctypes.c_char_p),
        ("properties", ctypes.c_char_p),
        ("dispatch", ctypes.c_void_p),
        ("description", ctypes.c_char_p),
    )


class Param(ctypes.Structure):
    """OSSL_PARAM: a named value that one side reads or writes."""

    _fields_ = (
        ("key", ctypes.c_char_p),
        ("type", ctypes.c_uint),
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("return_size", ctypes.c_size_t),
    )


class Item(ctypes.Structure):
    """OSSL_ITEM: a number and a pointer."""

    _fields_ = (("id", ctypes.c_uint), ("pointer", ctypes.c_void_p))


class ParamType(enum.IntEnum):
    """The type of a parameter's value."""

    INTEGER = 1
    UNSIGNED_INTEGER = 2
    UTF8_STRING = 4
    OCTET_STRING = 5
    UTF8_POINTER = 6
    OCTET_POINTER = 7


class Operation(enum.IntEnum):
    """What a provider is asked to implement (provider-base(7))."""

    KEYMGMT = 10
    SIGNATURE = 12
    ASYM_CIPHER = 13
    DECODER = 21


class CoreFunction(enum.IntEnum):
    """What libcrypto offers a provider."""

    NEW_ERROR = 5
    SET_ERROR_DEBUG = 6
    VSET_ERROR = 7
    BIO_READ_EX = 42


class ProviderFunction(enum.IntEnum):
    """What a provider offers libcrypto. No teardown: nothing of ours ever ends."""

    QUERY_OPERATION = 1027
    GET_REASON_STRINGS = 1029


class KeymgmtFunction(enum.IntEnum):
    """provider-keymgmt(7). No NEW and no IMPORT: foreign keys cannot come in."""

    LOAD = 8
    FREE = 10
    GET_PARAMS = 11
    GETTABLE_PARAMS = 12
    QUERY_OPERATION_NAME = 20
    HAS = 21
    EXPORT = 42
    EXPORT_TYPES = 43


class SignatureFunction(enum.IntEnum):
    """provider-signature(7)."""

    NEWCTX = 1
    SIGN_INIT = 2
    SIGN = 3
    DIGEST_SIGN_INIT = 8
    DIGEST_SIGN_UPDATE = 9
    DIGEST_SIGN_FINAL = 10
    DIGEST_SIGN = 11
    FREECTX = 16
    DUPCTX = 17
    GET_CTX_PARAMS = 18
    GETTABLE_CTX_PARAMS = 19
    SET_CTX_PARAMS = 20
    SETTABLE_CTX_PARAMS = 21


class AsymCipherFunction(enum.IntEnum):
    """provider-asym_cipher(7)."""

    NEWCTX = 1
    DECRYPT_INIT = 4
    DECRYPT = 5
    FREECTX = 6
    DUPCTX = 7
    SET_CTX_PARAMS = 10
    SETTABLE_CTX_PARAMS = 11


class DecoderFunction(enum.IntEnum):
    """provider-decoder(7)."""

    NEWCTX = 1
    FREECTX = 2
    DOES_SELECTION = 10
    DECODE = 11


SELECT_PRIVATE_KEY = 1
OBJECT_PKEY = 2
RSA_PKCS1_PADDING = 1
RSA_PKCS1_OAEP_PADDING = 4
RSA_PKCS1_PSS_PADDING = 6
