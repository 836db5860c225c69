"""Emulators for the whole run, and a store of each provider."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from cryptography.hazmat.backends.openssl import backend
from hypothesis import settings

import parsec_keys
from parsec_keys.emulators import SoftHsm, Swtpm
from parsec_keys.errors import Error
from tests.service.hardware import Hardware, Software, Token, Tpm
from tests.want import missing

PROVIDERS = ("software", "tpm", "pkcs11")
PACKAGES = (
    *("parsec-keys", "cryptography", "tpm2-pytss", "python-pkcs11"),
    *("protobuf", "platformdirs", "click", "rich", "pyjwt", "hypothesis"),
)
DEBIAN_PACKAGES = (
    *("swtpm", "tpm2-abrmd", "softhsm2", "libtss2-dev", "openssl", "openssh-server"),
    *("libtpm2-pkcs11-1", "opencryptoki", "strace"),
)
settings.register_profile("any machine", deadline=None)  # However busy it is.
settings.load_profile("any machine")
TOKENS = ("shared", "pin", "without", "twin", "twin")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--provider",
        action="append",
        choices=PROVIDERS,
        help="run the contract tests on this provider only",
    )


def pytest_report_header() -> list[str]:
    return [
        f"OpenSSL: {backend.openssl_version_text()} (cryptography), "
        f"{ssl.OPENSSL_VERSION} (ssl)",
        f"packages: {_versions(PACKAGES, _package_version)}",
        f"Debian: {_versions(DEBIAN_PACKAGES, _debian_version)}",
    ]


def _versions(names: Iterable[str], version: Callable[[str], str]) -> str:
    return ", ".join(f"{name} {version(name)}" for name in names)


def _package_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def _debian_version(name: str) -> str:
    if shutil.which("dpkg-query") is None:
        return "unknown"
    done = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Version}", name],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout or "absent"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "provider" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--provider") or PROVIDERS
        metafunc.parametrize("provider", chosen, scope="session")


@pytest.fixture(scope="session")
def swtpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swtpm]:
    try:
        emulator = Swtpm(tmp_path_factory.mktemp("swtpm"))
    except Error as e:
        missing("tpm", str(e))
    with emulator:
        yield emulator
        if find_spec("tpm2_pytss"):
            from tests.leftovers import check_tpm

            check_tpm(emulator)


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    """SoftHSM with its tokens, which it looks for when it is loaded and not later."""
    try:
        emulator = SoftHsm(tmp_path_factory.mktemp("softhsm"))
        for label in TOKENS:
            emulator.add_token(label)
    except Error as e:
        missing("pkcs11", str(e))
    yield emulator
    if find_spec("tpm2_pytss"):
        from tests.leftovers import check_tokens

        check_tokens(emulator)


@pytest.fixture(scope="session")
def embedded_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """A function from a provider to the URL of a new, empty store in this process."""

    def make(provider: str) -> str:
        folder: Path = tmp_path_factory.mktemp("store")
        if provider == "software":
            return f"software:{folder}"
        if provider == "tpm":
            swtpm: Swtpm = request.getfixturevalue("swtpm")
            return f"tpm:{swtpm.tcti}?store={folder}"
        softhsm: SoftHsm = request.getfixturevalue("softhsm")
        return softhsm.url("shared", folder)

    return make


@pytest.fixture(scope="session")
def new_url(embedded_url: Callable[[str], str]) -> Callable[[str], str]:
    """A function from a provider to the URL of a new, empty store of it."""
    return embedded_url


@pytest.fixture(scope="session")
def shared_store(
    provider: str, new_url: Callable[[str], str]
) -> Iterator[parsec_keys.KeyStore]:
    """One store of a provider for all tests that only use keys."""
    with open_or_miss(provider, new_url(provider)) as opened:
        yield opened


@pytest.fixture
def store(
    provider: str, new_url: Callable[[str], str]
) -> Iterator[parsec_keys.KeyStore]:
    """An empty store of a provider, for a test that makes and deletes keys."""
    with open_or_miss(provider, new_url(provider)) as opened:
        yield opened


def open_or_miss(provider: str, url: str) -> parsec_keys.KeyStore:
    try:
        return parsec_keys.open_store(url)
    except parsec_keys.errors.NotSupported as e:
        missing(provider, str(e))


@pytest.fixture
def hardware(
    provider: str,
    tmp_path: Path,
    softhsm: SoftHsm,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Hardware]:
    """A provider's facility that no other test uses."""
    if provider == "software":
        yield Software()
    elif provider == "tpm":
        with Swtpm(tmp_path / "swtpm") as own:
            yield Tpm(own)
    else:
        monkeypatch.setenv("SOFTHSM2_CONF", "")  # Afterwards it is what it was.
        own_token = SoftHsm(tmp_path / "softhsm")
        # A copy, so that children begin with a module that no other test has loaded.
        own_token.module = Path(shutil.copy(own_token.module, tmp_path))
        yield Token(own_token, "its own")
