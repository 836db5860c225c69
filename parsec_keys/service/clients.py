"""Clients: the applications that have keys, for an administrator of theirs.

An administrator's word counts for applications that are authenticated as it is: a uid
says nothing about a name that another authenticator knows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from parsec_keys.errors import Error, KeyNotFound
from parsec_keys.service.authenticators import ApplicationIdentity
from parsec_keys.service.key_info import KeyInfoManager, KeyRecord

logger = logging.getLogger(__name__)


def list_clients(
    key_info: KeyInfoManager, administrator: ApplicationIdentity
) -> tuple[str, ...]:
    """The names of the applications that have keys, in order."""
    authenticator = administrator.authenticator
    known = key_info.applications()
    return tuple(each.name for each in known if each.authenticator is authenticator)


def delete_client(
    key_info: KeyInfoManager,
    client: ApplicationIdentity,
    destroy: Callable[[KeyRecord], None],
) -> None:
    """Destroy an application's keys, all that can be destroyed.

    Raises:
        Error: a key stays; of the status of the first one. Whoever takes over the
            application's name would own it.
    """
    records = key_info.records(client)
    failures: list[Error] = []
    for record in records:
        try:
            destroy(record)
        except KeyNotFound:
            continue  # Its owner was faster.
        except Error as e:
            # Whose key it is is not for every log: that is in what is raised.
            logger.warning("a key of a deleted client stays: %s", e.status.name)
            failures.append(e)
    if failures:
        raise Error.of(
            failures[0].status,
            f"{len(failures)} of {len(records)} keys of client '{client.name}' stay; "
            f"of the first: {failures[0]}",
        ) from failures[0]
