"""What a TCTI's text says of the way to its TPM."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from parsec_keys.errors import ServiceUnavailable

_EMULATORS: Final = ("swtpm", "mssim", "libtpms")
_WITHOUT_MANAGER: Final = (*_EMULATORS, "cmd")
_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def check(tcti: str) -> None:
    """Pass if a TCTI says which TPM, and opening it can do no harm.

    Raises:
        ServiceUnavailable: it does not.
    """
    if not tcti:
        # The C library would take whichever TPM answers first.
        raise ServiceUnavailable("no TCTI says which TPM: write one, as 'device:…'")
    # The C library writes its commands over any file that it is given, also where
    # "device" stands behind another word, as in pcap:device:PATH.
    kind, _, path = tcti.rpartition(":")
    if "device" in kind and path and not _is_device(Path(path)):
        raise ServiceUnavailable(
            f"no TPM answers at '{tcti}': {path} is not a device; write that of the "
            "TPM, as device:/dev/tpmrm0"
        )


def is_private(tcti: str) -> bool:
    """Whether nobody can probe the way to the TPM: an emulator on this machine.

    Whatever else there is, as ``cmd``, may lead anywhere.
    """
    name, _, settings = tcti.partition(":")
    if name not in _EMULATORS:
        return False
    for setting in settings.split(","):
        noun, _, value = setting.partition("=")
        if noun == "host" and value not in _THIS_MACHINE:
            return False
    return True


def has_manager(tcti: str) -> bool:
    """Whether a resource manager gives each store a TPM of its own, or only one opens.

    ``device:/dev/tpm0`` is the one that only one process opens.
    """
    return tcti.partition(":")[0] not in _WITHOUT_MANAGER


def _is_device(path: Path) -> bool:
    try:
        return stat.S_ISCHR(path.stat().st_mode)
    except OSError:
        return True  # Why it cannot be opened, the C library says better.
