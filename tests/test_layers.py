"""Imports point down: each module imports its own floor and those below."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "parsec_keys"
MODULES = sorted(PACKAGE.rglob("*.py"))
FLOORS = (
    ("psa",),
    ("errors", "_pyca", "_fork"),
    ("service",),
    ("engine", "client", "_wire", "_translate", "uri"),
    (
        *("_key", "_key_data", "rsa", "ec", "keystore", "stores", "tls", "emulators"),
        "_startup",
    ),
    ("", "cli", "__main__"),
)
"""Bottom first. The package's own ``__init__`` is the empty name."""
# A pickled key is loaded by what is above it; a listing is made of what users import.
EXCEPTIONS = {("_key", ""), ("emulators", "")}


def room(parts: tuple[str, ...]) -> str:
    """The first name below the package."""
    return parts[1] if len(parts) > 1 else ""


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def module_parts(path: Path) -> tuple[str, ...]:
    parts = ("parsec_keys", *path.relative_to(PACKAGE).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """Every module of ours that a file imports, at run time or for types."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (tuple(name.split(".")) for name in names)


def own(name: tuple[str, ...]) -> bool:
    return name[0] == "parsec_keys"


def test_every_room_has_a_floor() -> None:
    for path in MODULES:
        assert floor(room(module_parts(path))) >= 0


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    here = room(module_parts(path))
    if here == "":
        return  # The list of names is of what is below it.
    for name in filter(own, imports(path)):
        there = room(name)
        if there not in {each for rooms in FLOORS for each in rooms}:
            there = ""  # A name of the package itself.
        if (here, there) not in EXCEPTIONS:
            assert floor(there) <= floor(here), f"{here} imports {'.'.join(name)}"


def test_psa_is_the_standard_library_only() -> None:
    for path in (PACKAGE / "psa").rglob("*.py"):
        for name in imports(path):
            if own(name):
                assert name[1] == "psa"
            else:
                assert name[0] in sys.stdlib_module_names


def test_providers_do_not_import_each_other() -> None:
    folder = ("parsec_keys", "service", "providers")
    for path in (PACKAGE / "service" / "providers").rglob("*.py"):
        here = module_parts(path)[3:4]
        for name in filter(own, imports(path)):
            if name[:3] == folder and name[3][0].islower() and here:
                known = {p.stem for p in (PACKAGE.joinpath(*folder[1:])).iterdir()}
                assert name[3] not in known - {*here, "registry"}, f"{path}: {name}"


def test_only_the_software_provider_is_made_of_pycas_private_keys() -> None:
    for path in (PACKAGE / "service").rglob("*.py"):
        if "software" in path.parts or path.name == "key_formats.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                bases = [ast.unparse(base) for base in node.bases]
                assert not any("PrivateKey" in base for base in bases)


def test_importing_the_package_loads_no_library_of_a_provider() -> None:
    heavy = {"tpm2_pytss", "pkcs11", "google.protobuf", "sqlite3", "click", "rich"}
    code = f"import sys, parsec_keys; print(sorted({heavy!r} & set(sys.modules)))"

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "[]\n"


def test_a_program_that_signs_loads_no_symmetric_words() -> None:
    code = """
import sys, tempfile, parsec_keys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
with tempfile.TemporaryDirectory() as folder:
    with parsec_keys.open_store(f"software:{folder}") as store:
        key = store.generate_ec("key", ec.SECP256R1())
        key.sign(b"message", ec.ECDSA(hashes.SHA256()))
        store.delete("key")
print([name for name in sys.modules if "parsec" in name and "symmetric_" in name])
print("parsec_keys.psa.symmetric" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\nFalse\n"


def test_all_public_names_are_there() -> None:
    import parsec_keys

    for name in parsec_keys.__all__:
        assert getattr(parsec_keys, name) is not None
    assert set(parsec_keys.__all__) <= set(dir(parsec_keys))
    with pytest.raises(AttributeError, match="'absent'"):
        _ = parsec_keys.absent
