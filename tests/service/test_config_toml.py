"""A TOML file: several providers in one store, and nothing in it is ignored."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.emulators import PIN, SoftHsm, Swtpm
from parsec_keys.errors import ConfigurationError
from parsec_keys.service.config import (
    OtherConfig,
    Pkcs11Config,
    ServiceConfig,
    SoftwareConfig,
    TpmConfig,
)
from parsec_keys.service.config_toml import read_config
from parsec_keys.service.secret import Secret

WHOLE = """
store = "keys"

[[provider]]
provider_type = "Tpm"
tcti = "device:/dev/tpmrm0"
owner_hierarchy_auth = "owner"
protect_bus = false

[[provider]]
provider_type = "Pkcs11"
name = "hsm"
library_path = "/usr/lib/softhsm/libsofthsm2.so"
token_label = "lab"
serial_number = "42"
slot_number = 7
user_pin_file = "pin"

[[provider]]
provider_type = "Software"
passphrase = "open sesame"

[[provider]]
provider_type = "Cloud"
region = "here"
"""


def read(folder: Path, text: str) -> ServiceConfig:
    (folder / "config.toml").write_text(text)
    return read_config(folder / "config.toml")


def test_everything(tmp_path: Path) -> None:
    (tmp_path / "pin").write_text("1234\n")

    config = read(tmp_path, WHOLE)

    module = Path("/usr/lib/softhsm/libsofthsm2.so")
    assert config == ServiceConfig(
        (
            TpmConfig("device:/dev/tpmrm0", Secret(b"owner"), "tpm", False),
            Pkcs11Config(module, "lab", "42", None, Secret(b"1234"), "hsm"),
            SoftwareConfig(tmp_path / "keys", Secret(b"open sesame"), "software"),
            OtherConfig("Cloud", "cloud", {"region": "here"}),
        ),
        tmp_path / "keys",
    )
    for secret in ("owner'", "1234", "sesame"):
        assert secret not in repr(config)


SOFTWARE = 'store = "x"\n[[provider]]\nprovider_type = "Software"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no provider"),
        ("x = ", "not TOML"),
        (SOFTWARE + "color = 1", "provider 1: nothing here reads 'color'"),
        ("color = 1\n" + SOFTWARE, "nothing here reads 'color'"),
        ("store = 1\n[[provider]]", "'store' is a string"),
        ('provider = "tpm"', "[[provider]]"),
        ("[[provider]]\n", "'provider_type' is missing"),
        ('[[provider]]\nprovider_type = "Software"', "say where keys are kept"),
        ('[[provider]]\nprovider_type = "Tpm"', "'tcti' is missing"),
        ('[[provider]]\nprovider_type = "Pkcs11"', "'library_path' is missing"),
        (
            '[[provider]]\nprovider_type = "Tpm"\ntcti = "x"\nprotect_bus = 1',
            "'protect_bus' is true or false",
        ),
        (
            '[[provider]]\nprovider_type = "Pkcs11"\nlibrary_path = "/x"\n'
            "slot_number = true",
            "'slot_number' is a number",
        ),
        (SOFTWARE + 'passphrase = "a"\npassphrase_file = "b"', "not both"),
        (SOFTWARE + "passphrase = 123456", "'passphrase' is a string"),
        (SOFTWARE + 'passphrase_file = "absent"', "cannot be read"),
    ],
)
def test_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, text)

    assert words in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "123456" not in str(caught.value)


def test_a_pin_of_any_bytes(tmp_path: Path) -> None:
    table = '[[provider]]\nprovider_type = "Pkcs11"\nlibrary_path = "/x"\n'

    config = read(tmp_path, table + 'user_pin = "hex:ff00fe"\n')

    (provider,) = config.providers
    assert isinstance(provider, Pkcs11Config)
    assert provider.pin == Secret(b"\xff\x00\xfe")


def test_two_providers_of_one_name(tmp_path: Path) -> None:
    read(tmp_path, SOFTWARE + SOFTWARE.partition("\n")[2])

    with pytest.raises(ConfigurationError, match="its own name"):
        parsec_keys.open_store(str(tmp_path / "config.toml"))


def test_a_provider_nobody_ships(tmp_path: Path) -> None:
    read(tmp_path, '[[provider]]\nprovider_type = "Cloud"\n')

    with pytest.raises(ConfigurationError, match=r"under parsec_keys\.providers"):
        parsec_keys.open_store(str(tmp_path / "config.toml"))


def test_three_providers_in_one_store(
    tmp_path: Path, swtpm: Swtpm, softhsm: SoftHsm
) -> None:
    (tmp_path / "config.toml").write_text(
        f"""
        store = "keys"
        [[provider]]
        provider_type = "Software"
        [[provider]]
        provider_type = "Tpm"
        tcti = "{swtpm.tcti}"
        [[provider]]
        provider_type = "Pkcs11"
        library_path = "{softhsm.module}"
        token_label = "shared"
        user_pin = "{PIN}"
        """
    )
    url = str(tmp_path / "config.toml")
    providers = ("software", "tpm", "pkcs11")
    with parsec_keys.open_store(url) as store:
        assert tuple(info.name for info in store.providers()) == providers
        for provider in providers:
            store.generate_ec(f"in-{provider}", ec.SECP256R1(), provider=provider)
        default = store.generate_ec("default", ec.SECP256R1())
        with pytest.raises(parsec_keys.errors.KeyExists, match="'tpm'"):
            store.generate_ec("in-tpm", ec.SECP256R1(), provider="software")

    assert default.provider == "software"
    for provider in providers:
        uri = f"parsec:in-{provider}?store={url}"
        assert parsec_keys.load_key(uri).provider == provider
