"""Keys that are a TPM's already: persistent handles, and TSS2 ``PRIVATE KEY`` files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from parsec_keys.errors import KeyNotFound, NotSupported
from parsec_keys.psa.attributes import (
    ECC_USAGE,
    RSA_USAGE,
    EccKeyPair,
    KeyAttributes,
    KeyPolicy,
    KeyType,
    RsaKeyPair,
    UsageFlags,
)
from parsec_keys.service.providers import AdoptedKey
from parsec_keys.service.providers.tpm import _tss
from parsec_keys.service.providers.tpm._chip import Chip
from parsec_keys.service.providers.tpm._key_id import (
    PERSISTENT_HANDLES,
    LoadableKey,
    PersistentKey,
    encode_key_id,
)
from parsec_keys.service.providers.tpm._keys import public_key_data

_OWNER_PARENTS: Final = frozenset({int(_tss.TPM2_RH.OWNER)})


def find(chip: Chip, reference: str) -> AdoptedKey:
    """The key of ``handle=0x81…`` or ``file=PATH``.

    Raises:
        KeyNotFound: there is no such handle or file.
        NotSupported: a key of a kind that no key class of ours is.
    """
    noun, _, value = reference.partition("=")
    if noun == "handle":
        return _persistent(chip, int(value, 16))
    return _file(chip, Path(value))


def _persistent(chip: Chip, handle: int) -> AdoptedKey:
    public, name = _read(chip, handle)
    attributes = _attributes(public)
    key_id = encode_key_id(PersistentKey(handle, name))
    return AdoptedKey(key_id, public_key_data(public), attributes)


def _read(chip: Chip, handle: int) -> tuple[Any, bytes]:
    """The public part and the name of a persistent key."""

    def read(esapi: Any) -> tuple[Any, bytes] | None:
        try:
            resource = esapi.tr_from_tpmpublic(handle)
        except _tss.TSS2_Exception as e:
            if _tss.code(e) != _tss.TPM2_RC.HANDLE:
                raise
            return None
        try:
            public, name, _ = esapi.read_public(resource)
            return public, bytes(name)
        finally:
            esapi.tr_close(resource)

    found = chip.run(f"reading the key at {handle:#010x}", read)
    if found is None:
        raise KeyNotFound(
            f"the TPM has no key at {handle:#010x}: tpm2_getcap handles-persistent "
            "lists those that it has"
        )
    return found


def _file(chip: Chip, path: Path) -> AdoptedKey:
    try:
        key = _tss.TSSPrivKey.from_pem(path.read_bytes())
    except OSError as e:
        raise KeyNotFound(f"the key file {path} cannot be read: {e.strerror}") from e
    except Exception as e:  # Whatever a parser makes of somebody else's file.
        raise NotSupported(f"{path} is no TSS2 PRIVATE KEY that is understood") from e
    if not key.empty_auth:
        raise NotSupported(
            f"the key in {path} has a password: only keys without one are used"
        )
    public = key.public
    attributes = _attributes(public)
    loadable = _loadable(chip, path, key)
    uid = os.urandom(16)
    # A key of another TPM shall be refused here, and not when it is used.
    chip.run_with_key(f"loading {path}", uid, loadable, lambda *_: None, secret=False)
    chip.forget(uid)
    return AdoptedKey(encode_key_id(loadable), public_key_data(public), attributes)


def _loadable(chip: Chip, path: Path, key: Any) -> LoadableKey:
    parent = int(key.parent)
    public, private = key.public.marshal(), key.private.marshal()
    if parent in _OWNER_PARENTS:
        return LoadableKey(chip.primary_name, public, private, b"")
    if parent in PERSISTENT_HANDLES:
        _, name = _read(chip, parent)
        return LoadableKey(name, public, private, b"", parent)
    raise NotSupported(
        f"the key in {path} has {parent:#010x} as its parent: only keys under the "
        "owner hierarchy or under a persistent key are used"
    )


def _attributes(public: Any) -> KeyAttributes:
    """PSA's attributes of a TPM key.

    Raises:
        NotSupported: restricted, with a scheme of its own, or on an unknown curve.
    """
    area = public.publicArea
    wanted = int(area.objectAttributes)
    if wanted & int(_tss.TPMA_OBJECT.RESTRICTED):
        raise NotSupported("a restricted key signs only what the TPM made: use another")
    key_type, bits, scheme = _type(area)
    if scheme != _tss.TPM2_ALG.NULL:
        raise NotSupported(
            "a key with a scheme of its own is not used: make one without"
        )
    usage = UsageFlags(0)
    whole = RSA_USAGE if isinstance(key_type, RsaKeyPair) else ECC_USAGE
    if wanted & int(_tss.TPMA_OBJECT.SIGN_ENCRYPT):
        usage |= whole & ~(UsageFlags.DECRYPT | UsageFlags.DERIVE)
    if wanted & int(_tss.TPMA_OBJECT.DECRYPT):
        usage |= whole & (UsageFlags.DECRYPT | UsageFlags.ENCRYPT | UsageFlags.DERIVE)
    return KeyAttributes(key_type, bits, KeyPolicy(usage))


def _type(area: Any) -> tuple[KeyType, int, int]:
    if area.type == _tss.TPM2_ALG.RSA:
        detail = area.parameters.rsaDetail
        return RsaKeyPair(), int(detail.keyBits), int(detail.scheme.scheme)
    detail = area.parameters.eccDetail
    for (family, bits), curve in _tss.CURVES.items():
        if curve == int(detail.curveID):
            return EccKeyPair(family), bits, int(detail.scheme.scheme)
    raise NotSupported(f"the TPM's key is on curve {int(detail.curveID):#06x}")
