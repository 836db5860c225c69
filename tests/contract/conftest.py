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
from interop._parsec import Served, hardware, rust_service
from parsec_keys.emulators import SoftHsm, Swtpm
from parsec_keys.errors import KeyNotFound, ServiceUnavailable
from parsec_keys.psa.algorithms import PermittedAlgorithm
from tests.conftest import open_or_miss
from tests.contract import rust_gaps, wire
from tests.daemon import SOFTWARE, Daemon, pkcs11_table, tpm_table
from tests.want import missing

ENGINES = ("embedded", "socket", "rust")
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
                running.callback(_check_leftovers, swtpm)
                return tpm_table(swtpm.tcti)
            softhsm: SoftHsm = request.getfixturevalue("softhsm")
            return pkcs11_table("shared", softhsm.module)

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


def _check_leftovers(swtpm: Swtpm) -> None:
    from tests.leftovers import check_tpm

    check_tpm(swtpm)


@pytest.fixture(scope="session")
def rust_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """A function from a provider to the URL of an empty store in the Rust service.

    It knows one application here, this user. So each provider has two services: one
    for the store that is shared, and one that is emptied for each other store.
    """
    with contextlib.ExitStack() as running:
        services: dict[tuple[str, bool], Served] = {}

        def start(provider: str) -> Served:
            folder = tmp_path_factory.mktemp(f"rust-{provider}")
            try:
                emulators = running.enter_context(hardware(folder))
                service = rust_service(folder / "service", emulators, [provider])
                return running.enter_context(service)
            except ServiceUnavailable as e:
                missing("rust", str(e))

        def make(provider: str, shared: bool = False) -> str:
            service = services.get((provider, shared))
            if service is None:
                service = services[provider, shared] = start(provider)
            elif not shared:
                with parsec_keys.open_store(service.url) as store:
                    for key in store.keys():  # noqa: SIM118
                        store.delete(key.name)
            return service.url

        yield make


@pytest.fixture(scope="session")
def shared_store(
    request: pytest.FixtureRequest,
    provider: str,
    engine: str,
    new_url: Callable[[str], str],
) -> Iterator[parsec_keys.KeyStore]:
    """One store of a provider for all tests that only use keys."""
    if engine == "rust":
        url = request.getfixturevalue("rust_url")(provider, shared=True)
    else:
        url = new_url(provider)
    with open_or_miss(provider, url) as opened:
        yield opened


@pytest.fixture(scope="session")
def new_url(
    request: pytest.FixtureRequest, engine: str, embedded_url: Callable[[str], str]
) -> Callable[[str], str]:
    """A function from a provider to the URL of a new, empty store of it."""
    if engine == "embedded":
        return embedded_url
    others = {"socket": "daemon_url", "rust": "rust_url"}
    return cast(Callable[[str], str], request.getfixturevalue(others[engine]))


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


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    chosen, left_out = [], []
    for item in items:
        is_rust = isinstance(item, pytest.Function) and "rust" in _engine(item)
        if is_rust and (
            rust_gaps.lacks_twin(item) or rust_gaps.gap_of(item, rust_gaps.RACES)
        ):
            left_out.append(item)
            continue
        chosen.append(item)
        if is_rust and (gap := rust_gaps.gap_of(item)):
            item.add_marker(pytest.mark.xfail(reason=gap.why, strict=True))
    config.hook.pytest_deselected(items=left_out)
    items[:] = chosen


def _engine(item: pytest.Function) -> str:
    return item.callspec.params.get("engine", "") if hasattr(item, "callspec") else ""
