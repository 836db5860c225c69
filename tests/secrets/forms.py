"""The forms that a secret can have in a text, a file or a memory, and who has them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Forms = dict[str, bytes]
"""By what a message calls each."""

_NOT_MEMORY: Final = ("[vvar", "[vsyscall]", "[vdso]")
_PLAIN: Final = serialization.NoEncryption()
_FORMATS: Final = {
    serialization.PrivateFormat.PKCS8: slice(50, 64),
    serialization.PrivateFormat.TraditionalOpenSSL: slice(12, 48),
}
"""Where a file's first line has octets of a P-256 key, and nothing else."""


def forms_of_octets(octets: bytes) -> Forms:
    """Octets as they are, and as programs write them."""
    # Where the octets stand in a longer text decides what Base64 makes of them.
    shifted = (
        base64.b64encode(bytes(n) + octets)[4 if n else 0 : -4] for n in range(3)
    )
    return {
        "octets": octets,
        "reversed": octets[::-1],
        "hex": octets.hex().encode(),
        "HEX": octets.hex().upper().encode(),
        "escaped": repr(octets)[2:-1].encode(),
        "percent": "".join(f"%{each:02x}" for each in octets).encode(),
        **{f"Base64, {n}": text for n, text in enumerate(shifted)},
    }


def forms_of_number(number: int) -> Forms:
    """A number of a private key: as octets of either order, and as programs say it.

    Without its ends, because they may be cut off, padded or in another form's word.
    """
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    digits = [
        number >> 30 * n & (1 << 30) - 1 for n in range(number.bit_length() // 30)
    ]
    return {
        **forms_of_octets(octets[3:-3]),
        "decimal": str(number)[:-1].encode(),
        "Python's": b"".join(digit.to_bytes(4, "little") for digit in digits),
    }


def forms_of_key(key: PrivateKey) -> Forms:
    """The secret numbers of a private key, and the lines of its PEM files."""
    numbers = key.private_numbers()
    if isinstance(numbers, rsa.RSAPrivateNumbers):
        names = ("d", "p", "q", "dmp1", "dmq1", "iqmp")
        secrets = {name: getattr(numbers, name) for name in names}
    else:
        secrets = {"d": numbers.private_value}
    forms = {
        f"{name}, {form}": text
        for name, number in secrets.items()
        for form, text in forms_of_number(number).items()
    }
    for kind, scalar in _FORMATS.items():
        pem = key.private_bytes(serialization.Encoding.PEM, kind, _PLAIN).splitlines()
        # The first third of an RSA key is public.
        is_rsa = isinstance(key, rsa.RSAPrivateKey)
        forms[f"PEM, {kind}"] = pem[len(pem) // 2] if is_rsa else pem[1][scalar]
    return forms


def found_in(text: bytes, forms: Forms) -> set[str]:
    """The forms that are in a text or a file."""
    return {name for name, form in forms.items() if form in text}


def found_in_files(folder: Path, forms: Forms) -> dict[Path, set[str]]:
    """The forms that are in each file of a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    found = {path: found_in(path.read_bytes(), forms) for path in files}
    return {path: names for path, names in found.items() if names}


def found_in_memory(process: int, forms: Forms) -> set[str]:
    """The forms that are in a process's memory, read as root or its parent may."""
    found: set[str] = set()
    with (
        open(f"/proc/{process}/maps") as maps,
        open(f"/proc/{process}/mem", "rb", buffering=0) as memory,
    ):
        for line in maps:
            span, rights, *_, name = (*line.split(), "")
            if rights[0] != "r" or name.startswith(_NOT_MEMORY):
                continue
            start, end = (int(each, 16) for each in span.split("-"))
            try:
                memory.seek(start)
                found |= found_in(memory.read(end - start), forms)
            except OSError:
                continue  # It is gone since, or a device's.
    return found
