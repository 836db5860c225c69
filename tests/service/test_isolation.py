"""Each application sees and touches its own keys: real users, by their real uids."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.errors import Error, KeyNotFound, NotPermitted
from parsec_keys.psa.operations.service import DeleteClient, ListClients
from parsec_keys.psa.status import Status
from tests.daemon import Daemon, exchange
from tests.service.test_front import (
    GENERATE,
    LIST_KEYS,
    P256,
    SIGN,
    frame,
    signing,
    status_of,
)
from tests.users import as_user, open_folder

__all__ = ["open_folder"]

ANNA, BERT, ROOT = 20_001, 20_002, 0
ECDSA = ec.ECDSA(hashes.SHA256())
ADMIN = f'auth_type = "UnixPeerCredentials"\nadmins = [{{ name = "{ROOT}" }}]'


@pytest.fixture
def daemon(open_folder: Path) -> Iterator[Daemon]:
    with Daemon(open_folder, authenticator=ADMIN) as running:
        # Whoever becomes another user may be unable to read what it has not imported.
        make(running, "first")
        use(running, "first")
        delete(running, "first")
        yield running


def make(daemon: Daemon, name: str) -> bytes:
    """Make a key, and answer its public key."""
    with parsec_keys.open_store(daemon.url) as store:
        return point(store.generate_ec(name, ec.SECP256R1()))


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def names(daemon: Daemon) -> list[str]:
    with parsec_keys.open_store(daemon.url) as store:
        listed = store.keys()
        return [key.name for key in listed]


def use(daemon: Daemon, name: str) -> bytes:
    """Sign with a key, and answer its public key."""
    with parsec_keys.open_store(daemon.url) as store:
        key = store.load(name)
        key.public_key().verify(key.sign(b"data", ECDSA), b"data", ECDSA)
        return point(key)


def delete(daemon: Daemon, name: str) -> None:
    with parsec_keys.open_store(daemon.url) as store:
        store.delete(name)


def test_users_have_keys_of_their_own(daemon: Daemon) -> None:
    annas = as_user(ANNA, lambda: make(daemon, "key"))
    berts = as_user(BERT, lambda: make(daemon, "key"))
    as_user(ANNA, lambda: make(daemon, "of anna"))

    assert annas != berts
    assert as_user(ANNA, lambda: names(daemon)) == ["key", "of anna"]
    assert as_user(BERT, lambda: names(daemon)) == ["key"]
    assert names(daemon) == []  # Nor does an administrator see them.
    for user in (BERT, ROOT):
        for touch in (use, delete):
            with pytest.raises(KeyNotFound):
                as_user(user, lambda t=touch: t(daemon, "of anna"))  # type: ignore[misc]
    as_user(BERT, lambda: delete(daemon, "key"))
    assert as_user(ANNA, lambda: use(daemon, "key")) == annas
    with pytest.raises(KeyNotFound):
        as_user(BERT, lambda: use(daemon, "key"))


def test_a_name_is_no_way_to_another_s_key(daemon: Daemon) -> None:
    as_user(ANNA, lambda: make(daemon, "key"))
    for operation, body in (
        (SIGN, signing("key")),
        (0x03, b"\x0a\x03key"),  # PsaDestroyKey
        (0x07, b"\x0a\x03key"),  # PsaExportPublicKey
        (0x0C, b"\x0a\x03key"),  # PsaExportKey
    ):
        sent = frame(operation, body, uid(BERT), provider=1, authenticator=3)
        answer = as_user(BERT, lambda s=sent: exchange(daemon.socket, s))  # type: ignore[misc]
        assert status_of(answer) is Status.PSA_ERROR_DOES_NOT_EXIST
    as_user(ANNA, lambda: use(daemon, "key"))


def uid(number: int) -> bytes:
    return struct.pack("<I", number)


@pytest.mark.parametrize("claimed", [ROOT, BERT, 2**32 - 1])
def test_a_uid_in_the_request_that_is_another_s(daemon: Daemon, claimed: int) -> None:
    for opcode, body, provider in (
        (GENERATE, P256, 1),
        (LIST_KEYS, b"", 0),
        (0x1B, b"", 0),
    ):
        sent = frame(opcode, body, uid(claimed), provider=provider, authenticator=3)

        answer = as_user(ANNA, lambda s=sent: exchange(daemon.socket, s))  # type: ignore[misc]

        assert status_of(answer) is Status.AUTHENTICATION_ERROR
    assert as_user(BERT, lambda: names(daemon)) == []


def clients(daemon: Daemon) -> tuple[str, ...]:
    with parsec_keys.open_store(daemon.url) as store:
        return store._engine.execute(ListClients())


def delete_client(daemon: Daemon, name: str) -> None:
    with parsec_keys.open_store(daemon.url) as store:
        store._engine.execute(DeleteClient(name))


def test_an_administrator_lists_and_deletes_applications(daemon: Daemon) -> None:
    as_user(ANNA, lambda: make(daemon, "key"))
    annas = as_user(ANNA, lambda: make(daemon, "other"))
    as_user(BERT, lambda: make(daemon, "key"))
    make(daemon, "key")

    assert clients(daemon) == (str(ROOT), str(ANNA), str(BERT))
    delete_client(daemon, str(BERT))
    delete_client(daemon, "nobody")

    assert clients(daemon) == (str(ROOT), str(ANNA))
    assert as_user(BERT, lambda: names(daemon)) == []
    with pytest.raises(KeyNotFound):
        as_user(BERT, lambda: use(daemon, "key"))
    assert as_user(ANNA, lambda: use(daemon, "other")) == annas
    use(daemon, "key")


def test_who_is_no_administrator(daemon: Daemon) -> None:
    as_user(BERT, lambda: make(daemon, "key"))
    for ask in (
        lambda: clients(daemon),
        lambda: delete_client(daemon, str(BERT)),
        lambda: delete_client(daemon, str(ANNA)),
    ):
        with pytest.raises(NotPermitted, match="administrator") as caught:
            as_user(ANNA, ask)  # type: ignore[arg-type]
        assert caught.value.status is Status.ADMIN_OPERATION
    as_user(BERT, lambda: use(daemon, "key"))


def test_the_folder_keeps_others_out(daemon: Daemon) -> None:
    daemon.folder.chmod(0o700)

    with pytest.raises(Error, match="may you enter the socket's folder"):
        as_user(ANNA, lambda: names(daemon))


def test_names_that_are_believed(tmp_path: Path) -> None:
    """Direct: who says another's name has another's keys, and is meant to."""
    with Daemon(tmp_path, authenticator='auth_type = "Direct"') as daemon:
        one, two = f"{daemon.url}?application=one", f"{daemon.url}?application=two"
        with parsec_keys.open_store(one) as store:
            key = store.generate_ec("key", ec.SECP256R1())
        with parsec_keys.open_store(two) as store:
            assert store.keys() == ()
            with pytest.raises(KeyNotFound):
                store.load("key")
        with parsec_keys.open_store(one) as store:
            assert store.load("key").public_key() == key.public_key()
        # It is opt-in: a client that gives no name does not get in by its uid.
        with pytest.raises(Error, match="application=NAME"):
            parsec_keys.open_store(daemon.url)
        for auth in (b"", b"\xff"):
            sent = frame(LIST_KEYS, b"", auth, authenticator=1)
            assert status_of(exchange(daemon.socket, sent)) is (
                Status.AUTHENTICATION_ERROR
            )
        peer = frame(LIST_KEYS, b"", uid(os.geteuid()), authenticator=3)
        assert status_of(exchange(daemon.socket, peer)) is (
            Status.AUTHENTICATOR_NOT_REGISTERED
        )
