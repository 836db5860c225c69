"""What each provider needs to open, each with a secret that nobody mistakes."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from parsec_keys.emulators import SoftHsm, Swtpm
from parsec_keys.service.providers.tpm import _tss
from tests.secrets.forms import Forms, forms_of_octets

UNIT = Path(__file__).parents[2] / "config" / "parsec-keys.service"


def _nothing() -> None:
    pass


@dataclass
class Facility:
    """What a provider needs to open, and what it does not like."""

    url: str
    """With the file of the secret, not the secret."""
    wrong: str
    table: str
    """The daemon's."""
    folder: Path
    secret: Forms
    lose: Callable[[], object] = _nothing
    find: Callable[[], object] = _nothing
    environment: dict[str, str] = field(default_factory=dict)


def _secret(folder: Path, name: str) -> tuple[Path, Forms]:
    """A file with an unmistakable secret, which a daemon's file names too."""
    octets = secrets.token_hex(16).encode()
    (folder / name).write_bytes(octets + b"\n")
    forms = forms_of_octets(octets)
    return folder / name, {f"{name}, {form}": text for form, text in forms.items()}


def _software(folder: Path) -> Iterator[Facility]:
    right, forms = _secret(folder, "right")
    store = f"software:{folder / 'store'}"
    table = f'[[provider]]\nprovider_type = "Software"\npassphrase_file = "{right}"\n'
    yield Facility(
        f"{store}?passphrase-file={right}",
        f"{store}?passphrase-file={folder / 'absent'}",
        *(table, folder, forms),
    )


def _tpm(folder: Path) -> Iterator[Facility]:
    right, forms = _secret(folder, "right")
    wrong, wrong_forms = _secret(folder, "wrong")
    with Swtpm(folder / "swtpm") as swtpm:
        esapi = _tss.ESAPI(swtpm.tcti)
        auth = right.read_bytes().rstrip()
        esapi.hierarchy_change_auth(_tss.ESYS_TR.OWNER, auth)
        esapi.close()
        store = f"tpm:{swtpm.tcti}?store={folder / 'store'}&owner-auth-file="
        table = (
            f'[[provider]]\nprovider_type = "Tpm"\ntcti = "{swtpm.tcti}"\n'
            f'owner_hierarchy_auth_file = "{right}"\n'
        )
        yield Facility(
            f"{store}{right}",
            f"{store}{wrong}",
            *(table, folder, forms | wrong_forms),
            swtpm.stop,
            swtpm.start,
        )


def _pkcs11(folder: Path) -> Iterator[Facility]:
    right, forms = _secret(folder, "right")
    wrong, wrong_forms = _secret(folder, "wrong")
    softhsm = SoftHsm(folder / "softhsm", for_this_process=False)
    softhsm.add_token("token", right.read_text().rstrip())
    tokens = folder / "softhsm" / "tokens"
    drawer = folder / "drawer"
    module = f"module-path={softhsm.module}&store={folder / 'store'}"
    table = (
        '[[provider]]\nprovider_type = "Pkcs11"\ntoken_label = "token"\n'
        f"library_path = '{softhsm.module}'\nuser_pin_file = \"{right}\"\n"
    )

    def lose() -> None:
        tokens.rename(drawer)
        tokens.mkdir()

    def find() -> None:
        tokens.rmdir()
        drawer.rename(tokens)

    yield Facility(
        f"pkcs11:token=token?{module}&pin-source={right}",
        f"pkcs11:token=token?{module}&pin-source={wrong}",
        *(table, folder, forms | wrong_forms),
        *(lose, find, softhsm.environment),
    )


FACILITIES = {"software": _software, "tpm": _tpm, "pkcs11": _pkcs11}
EMULATORS = {"tpm": "swtpm", "pkcs11": "softhsm"}


def unit_environment() -> dict[str, str]:
    """The environment that the unit in config/ gives the daemon."""
    found: dict[str, str] = {}
    for line in UNIT.read_text().splitlines():
        if line.startswith("Environment="):
            name, _, value = line.removeprefix("Environment=").partition("=")
            found[name] = value
    return found
