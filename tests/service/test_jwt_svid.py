"""Applications that are SPIFFE workloads: a daemon and an agent, both real."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.errors import AuthenticationError, KeyNotFound
from parsec_keys.psa.status import Status
from parsec_keys.service.jwt_svid import JwtSvid
from tests.daemon import Daemon, exchange
from tests.secrets.errors import all_said_by
from tests.service.test_daemon import refused_to_start
from tests.service.test_front import LIST_CLIENTS, LIST_KEYS, frame, status_of
from tests.workload_api import Agent

P256 = ec.SECP256R1()
ECDSA = ec.ECDSA(hashes.SHA256())
ENDPOINT = "SPIFFE_ENDPOINT_SOCKET"


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Agent, Agent]]:
    """An agent for each of two workloads of one trust domain."""
    folder = tmp_path_factory.mktemp("agents")
    key = ec.generate_private_key(P256)
    with (
        Agent(folder / "one.sock", "one", key) as one,
        Agent(folder / "two.sock", "two", key) as two,
    ):
        yield one, two


@pytest.fixture(scope="module")
def daemon(
    agents: tuple[Agent, Agent], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    """A daemon that has tokens validated, with the second workload as administrator."""
    one, two = agents
    authenticator = (
        f'auth_type = "JwtSvid"\nworkload_endpoint = "{one.endpoint}"\n'
        f'admins = [{{ name = "{two.spiffe_id}" }}]'
    )
    folder = tmp_path_factory.mktemp("daemon")
    with Daemon(folder, authenticator=authenticator) as running:
        yield running


def test_each_workload_has_its_own_keys(
    daemon: Daemon, agents: tuple[Agent, Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = agents
    monkeypatch.setenv(ENDPOINT, one.endpoint)
    with parsec_keys.open_store(daemon.url) as store:
        first = store.generate_ec("key", P256)
        asked = one.asked
        for _ in range(5):
            signature = first.sign(b"data", ECDSA)
            first.public_key().verify(signature, b"data", ECDSA)
        assert one.asked == asked  # A token serves until it expires.

    monkeypatch.setenv(ENDPOINT, two.endpoint)
    with parsec_keys.open_store(daemon.url) as store:
        assert store.keys() == ()
        with pytest.raises(KeyNotFound):
            store.load("key")
        assert store.generate_ec("key", P256).public_key() != first.public_key()

    monkeypatch.setenv(ENDPOINT, one.endpoint)
    with parsec_keys.open_store(daemon.url) as store:
        assert store.load("key").public_key() == first.public_key()


def ask(daemon: Daemon, token: bytes, opcode: int = LIST_KEYS) -> Status:
    sent = frame(opcode, b"", token, authenticator=4)
    return status_of(exchange(daemon.socket, sent))


def test_tokens(daemon: Daemon, agents: tuple[Agent, Agent]) -> None:
    one, two = agents
    good = one.token(["parsec"]).encode()
    stranger = ec.generate_private_key(P256)

    assert ask(daemon, good) is Status.SUCCESS
    assert ask(daemon, one.token(["x", "parsec"]).encode()) is Status.SUCCESS
    for bad in (
        one.token(["parsec"], key=stranger).encode(),
        one.token(["another"]).encode(),
        one.token(["parsec"], seconds=-60).encode(),
        good[:-4],
        good + b"A",
        b"",
        b"no token",
    ):
        assert ask(daemon, bad) is Status.AUTHENTICATION_ERROR, bad
    assert ask(daemon, b"\xff\xfe") is Status.INVALID_ENCODING
    # A uid proves nothing here.
    peer = frame(LIST_KEYS, b"", b"\0\0\0\0", authenticator=3)
    assert status_of(exchange(daemon.socket, peer)) is (
        Status.AUTHENTICATOR_NOT_REGISTERED
    )
    assert ask(daemon, good, LIST_CLIENTS) is Status.ADMIN_OPERATION
    admin = two.token(["parsec"]).encode()
    assert ask(daemon, admin, LIST_CLIENTS) is not Status.ADMIN_OPERATION
    assert good.decode() not in daemon.words()


def test_a_token_is_not_repeated(tmp_path: Path, agents: tuple[Agent, Agent]) -> None:
    one, _ = agents
    refused = one.token(["another"])
    authenticator = f'auth_type = "JwtSvid"\nworkload_endpoint = "{one.endpoint}"'
    core = "log_level = 'trace'\nlog_error_details = true"
    with Daemon(tmp_path, core=core, authenticator=authenticator) as daemon:
        assert ask(daemon, refused.encode()) is Status.AUTHENTICATION_ERROR
        assert "JWT-SVID is not valid" in daemon.words()
        for part in refused.split("."):
            assert part not in daemon.words()

    with pytest.raises(AuthenticationError) as caught:
        JwtSvid(one.endpoint).authenticate(refused.encode(), 0)
    words = all_said_by(caught.value)
    assert not [part for part in refused.split(".") if part in words]


def test_an_agent_that_is_gone(
    tmp_path: Path,
    daemon: Daemon,
    agents: tuple[Agent, Agent],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint = f"unix://{tmp_path}/agent.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as gone:
        gone.bind(f"{tmp_path}/agent.sock")
    authenticator = f'auth_type = "JwtSvid"\nworkload_endpoint = "{endpoint}"'
    core = "log_error_details = true"
    with Daemon(tmp_path, core=core, authenticator=authenticator) as alone:
        token = agents[0].token(["parsec"]).encode()
        assert ask(alone, token) is Status.AUTHENTICATION_ERROR
        assert "agent does not answer" in alone.words()

    monkeypatch.setenv(ENDPOINT, endpoint)
    with (
        parsec_keys.open_store(daemon.url) as store,
        pytest.raises(AuthenticationError, match="gave no JWT-SVID"),
    ):
        store.keys()


def test_an_endpoint_that_is_none(tmp_path: Path) -> None:
    daemon = Daemon(
        tmp_path, authenticator='auth_type = "JwtSvid"\nworkload_endpoint = "x"'
    )

    assert "is no SPIFFE Workload API" in refused_to_start(daemon)


def test_without_the_package(tmp_path: Path) -> None:
    daemon = Daemon(
        tmp_path, authenticator='auth_type = "JwtSvid"\nworkload_endpoint = "unix:/x"'
    )
    code = (
        "import sys; sys.modules['spiffe'] = None\n"
        "from parsec_keys.cli import main\n"
        f"sys.exit(main(['serve', '-c', {str(daemon.file)!r}]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "pip install parsec-keys[spiffe]" in done.stderr
