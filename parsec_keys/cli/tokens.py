"""What tokens a PKCS#11 module has: a process of its own for each module.

``python -m parsec_keys.cli.tokens MODULE`` writes their labels as JSON. A module can
hang, crash, and change the process that loads it; nothing logs in here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PATTERNS: Final = (
    "usr/lib/softhsm/libsofthsm2.so",
    "usr/lib64/pkcs11/libsofthsm2.so",
    "usr/lib/*/opensc-pkcs11.so",
    "usr/lib64/pkcs11/opensc-pkcs11.so",
    "usr/lib/*/libykcs11.so",
    "usr/lib/*/pkcs11/yubihsm_pkcs11.so",
    "opt/cloudhsm/lib/libcloudhsm_pkcs11.so",
    "opt/nfast/toolkits/pkcs11/libcknfast.so",
    "usr/safenet/lunaclient/lib/libCryptoki2_64.so",
)
"""Where distributions and vendors put their modules."""
_LONGEST_SECONDS: Final = 20


def modules() -> Iterator[Path]:
    """The PKCS#11 modules at the usual places."""
    for pattern in PATTERNS:
        yield from sorted(Path("/").glob(pattern))


def labels(module: Path) -> list[str] | None:
    """The labels of a module's tokens; None where it does not answer."""
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", __name__, str(module)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        return None
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def _labels_here(module: str) -> list[str]:
    import pkcs11

    library = pkcs11.lib(module)
    tokens = (slot.get_token() for slot in library.get_slots(token_present=True))
    initialized = pkcs11.TokenFlag.TOKEN_INITIALIZED
    return [token.label for token in tokens if token.flags & initialized]


if __name__ == "__main__":
    print(json.dumps(_labels_here(sys.argv[1])))
