"""Rows of the key info's one table, and the records that they stand for.

STRICT binds SQLite, and not who writes to its file past it: every value is checked.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from parsec_keys.errors import StorageFailure
from parsec_keys.psa.attributes import KeyAttributes, KeyPolicy, Lifetime, UsageFlags
from parsec_keys.psa.operations import KeyInfo
from parsec_keys.psa.words import (
    algorithm_from_words,
    algorithm_to_words,
    key_type_from_words,
    key_type_to_words,
    usage_from_words,
)
from parsec_keys.service.authenticators import ApplicationIdentity, AuthenticatorType
from parsec_keys.service.key_info import KeyIdentity, KeyRecord

COLUMNS: Final = (
    "authenticator, application, provider, key_name, uid, key_id, attributes, "
    "public_key"
)
"""Of a record, as ``record_of`` wants them and ``row_of`` gives them."""
_TYPES: Final = (int, str, str, str, bytes, bytes, str, bytes)
_MOST_OF_UID: Final = 16
"""One of a key that a Rust Parsec service made on a token is shorter."""
_UNREADABLE: Final = (ValueError, KeyError, TypeError, RecursionError)


def row_of(record: KeyRecord) -> tuple[object, ...]:
    """The values of a record."""
    application, provider, key_name = record.identity
    return (
        *(*application, provider, key_name, record.uid, record.key_id),
        *(attributes_to_json(record.attributes), record.public_key),
    )


def record_of(row: tuple[Any, ...], path: Path) -> KeyRecord:
    """The record of a row in the file ``path``.

    Raises:
        StorageFailure: the row is damaged.
    """
    authenticator, application, provider, key_name, uid, key_id, text, public = row
    with _readable(key_name, path):
        if tuple(map(type, row)) != _TYPES or not is_uid(uid):
            raise TypeError("a value is of another type than its column")
        identity = KeyIdentity(
            ApplicationIdentity(AuthenticatorType(authenticator), application),
            provider,
            key_name,
        )
        return KeyRecord(identity, uid, key_id, _attributes_from_json(text), public)


def key_info_of(row: tuple[Any, ...], path: Path) -> KeyInfo:
    """What a list of keys says of a row: its name, its provider, its attributes.

    Raises:
        StorageFailure: the row is damaged.
    """
    key_name, provider, text = row
    with _readable(key_name, path):
        return KeyInfo(key_name, provider, _attributes_from_json(text))


def application_of(row: tuple[Any, ...], path: Path) -> ApplicationIdentity:
    """The application of a row's first two values.

    Raises:
        StorageFailure: it is of no kind that is known here.
    """
    authenticator, application = row
    try:
        return ApplicationIdentity(AuthenticatorType(authenticator), application)
    except ValueError as e:
        raise StorageFailure(
            f"{path} has keys of a kind of application that is unknown here ({e}): "
            "restore the key info from a backup"
        ) from e


def is_uid(value: object) -> bool:
    """Whether a value may be a key's uid."""
    return isinstance(value, bytes) and 0 < len(value) <= _MOST_OF_UID


def attributes_to_json(attributes: KeyAttributes) -> str:
    """Attributes in words."""
    policy = attributes.policy
    return json.dumps(
        {
            "type": key_type_to_words(attributes.type),
            "bits": attributes.bits,
            "usage": policy.usage.words,
            "algorithm": algorithm_to_words(policy.algorithm),
            "lifetime": attributes.lifetime.value,
        }
    )


@functools.lru_cache(maxsize=1024)
def _attributes_from_json(text: str) -> KeyAttributes:
    fields = json.loads(text)
    usage: UsageFlags = usage_from_words(fields["usage"])
    return KeyAttributes(
        key_type_from_words(fields["type"]),
        int(fields["bits"]),
        KeyPolicy(usage, algorithm_from_words(fields["algorithm"])),
        Lifetime(fields["lifetime"]),
    )


@contextmanager
def _readable(key_name: str, path: Path) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as e:
        raise StorageFailure(
            f"the record of key '{key_name}' in {path} cannot be read ({e}): restore "
            "the key info from a backup, or delete this row"
        ) from e
