"""Keys of each engine and provider, beside pyca's own objects of the same keys.

The engine is in this process, or a daemon that this process speaks to over its socket.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import parsec_keys
from parsec_keys.emulators import SoftHsm, Swtpm
from parsec_keys.errors import KeyNotFound
from parsec_keys.psa.algorithms import PermittedAlgorithm
from tests.contract import wire
from tests.daemon import SOFTWARE, Daemon

ENGINES = ("embedded", "socket")
K = TypeVar("K", rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", ENGINES, scope="session")


@pytest.fixture(scope="session")
def daemon_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """A function from a provider to the URL of a new, empty store in a daemon.

    Each provider has one daemon, and each store is another application there.
    """
    with contextlib.ExitStack() as running:
        daemons: dict[str, Daemon] = {}
        numbers = itertools.count()

        def table(provider: str) -> str:
            if provider == "software":
                return SOFTWARE
            if provider == "tpm":
                folder = tmp_path_factory.mktemp("daemon-swtpm")
                swtpm = running.enter_context(Swtpm(folder))
                return (
                    f'[[provider]]\nprovider_type = "Tpm"\ntcti = "{swtpm.tcti}"\n'
                    'owner_hierarchy_auth = ""\n'
                )
            softhsm: SoftHsm = request.getfixturevalue("softhsm")
            return (
                '[[provider]]\nprovider_type = "Pkcs11"\ntoken_label = "shared"\n'
                f"library_path = '{softhsm.module}'\nuser_pin = \"1234\"\n"
            )

        def make(provider: str) -> str:
            if provider not in daemons:
                daemons[provider] = running.enter_context(
                    Daemon(
                        tmp_path_factory.mktemp(f"daemon-{provider}"),
                        table(provider),
                        authenticator='auth_type = "Direct"',
                    )
                )
            return f"{daemons[provider].url}?application={next(numbers)}"

        yield make


@pytest.fixture(scope="session")
def new_url(
    request: pytest.FixtureRequest, engine: str, embedded_url: Callable[[str], str]
) -> Callable[[str], str]:
    """A function from a provider to the URL of a new, empty store of it."""
    if engine == "socket":
        return cast(Callable[[str], str], request.getfixturevalue("daemon_url"))
    return embedded_url


@dataclass(frozen=True)
class Twins(Generic[K]):
    """One private key twice: in a provider, and as pyca's own object."""

    native: K
    provider: str
    engine: str
    store: parsec_keys.KeyStore = field(repr=False)

    @property
    def ours(self) -> K:
        """The key for what needs no algorithm, and for the default one."""
        return self.doing()

    def doing(self, *arguments: Any) -> K:
        """The key that permits what a call with these arguments does."""
        if self.engine == "embedded":
            return self._imported("twin")
        algorithm = wire.permitting(self.native, arguments)
        return self._imported(f"twin {algorithm}", algorithm=algorithm)

    def says(self, *arguments: Any) -> bool:
        """Whether the engine can be asked for exactly this."""
        return self.engine == "embedded" or wire.says(arguments)

    def words(self, why: str) -> str:
        """What a refusal says."""
        return wire.words(self.engine, why)

    def _imported(self, name: str, **policy: PermittedAlgorithm) -> K:
        name = f"{name} {self.native.key_size}"
        try:
            return cast(K, self.store.load(name))
        except KeyNotFound:
            return cast(K, self.store.import_key(name, self.native, **policy))


_RSA = rsa.generate_private_key(65537, 2048)
_EC: dict[str, ec.EllipticCurvePrivateKey] = {
    curve.name: ec.generate_private_key(curve)
    for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())
}


@pytest.fixture
def rsa_twins(
    provider: str, engine: str, shared_store: parsec_keys.KeyStore
) -> Twins[rsa.RSAPrivateKey]:
    return Twins(_RSA, provider, engine, shared_store)


@pytest.fixture(params=_EC)
def ec_twins(
    request: pytest.FixtureRequest,
    provider: str,
    engine: str,
    shared_store: parsec_keys.KeyStore,
) -> Twins[ec.EllipticCurvePrivateKey]:
    return Twins(_EC[request.param], provider, engine, shared_store)
