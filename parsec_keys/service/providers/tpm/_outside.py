"""A TCTI that does not survive a fork, used from a process of its own.

``tabrmd`` talks over D-Bus with GLib, whose threads are not there in a child. So a
child starts this file as a program, and its own TCTI is that program's input and
output (``cmd:``). It imports nothing of parsec_keys when it is one.
"""

from __future__ import annotations

import contextlib
import multiprocessing.spawn
import os
import shlex
import signal
import sys
from typing import Any, Final

_BREAKS_AT_FORK: Final = "tabrmd"
_HEADER: Final = 10
"""A tag, the length of all, and a code (TPM 2.0 part 1, section 18)."""
_users: set[int] = set()
"""The processes, this one and its parents, that have used such a TCTI."""


def usable(tcti: str) -> str:
    """The TCTI by which this process reaches the TPM of a TCTI."""
    if tcti.partition(":")[0] != _BREAKS_AT_FORK:
        return tcti
    _users.add(os.getpid())
    if len(_users) == 1:
        return tcti
    # An application that embeds Python has told multiprocessing where Python is.
    python = os.fsdecode(multiprocessing.spawn.get_executable())
    return f"cmd:exec {shlex.join([python, __file__, tcti])}"


def main(tcti: Any) -> None:
    """Pass on what comes in, and what the TPM answers, until nothing comes any more."""
    reader, writer = sys.stdin.buffer, sys.stdout.buffer
    while header := reader.read(_HEADER):
        rest = reader.read(int.from_bytes(header[2:6], "big") - _HEADER)
        tcti.transmit(header + rest)
        writer.write(tcti.receive())
        writer.flush()


if __name__ == "__main__":
    from tpm2_pytss import TCTILdr, TSS2_Exception

    # Ctrl-C is for the program that uses this one, and so is what went wrong: it finds
    # the connection cut.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with (
        contextlib.suppress(TSS2_Exception, BrokenPipeError),
        TCTILdr.parse(sys.argv[1]) as opened,
    ):
        main(opened)
