"""A PKCS#11 module in this process: initialised once, with OS locking, for all stores.

Rule: C_Initialize and C_Finalize belong to the whole process. A module that somebody
else initialised is used as it is, one call at a time, and never finalised here.
"""

from __future__ import annotations

import ctypes
import os
import time
import weakref
from pathlib import Path
from typing import Any, Final, NamedTuple

from pkcs11 import _pkcs11

from parsec_keys._fork import fork_safe_lock
from parsec_keys.errors import ServiceUnavailable
from parsec_keys.service.call_gate import CallGate, nobody_in
from parsec_keys.service.providers.pkcs11._function_list import (
    ALREADY_INITIALIZED,
    OK,
    FunctionList,
)
from parsec_keys.service.providers.pkcs11._logins import Logins
from parsec_keys.service.shared_files import one_process_at_a_time

RESTART_SECONDS: Final = 10.0
"""How long a module that works since it was started again is not started once more."""


class Era(NamedTuple):
    """What handles of sessions and objects belong to: a process, a start in it."""

    process: int
    start: int


class _OsLockedLibrary(_pkcs11.lib):
    """python-pkcs11's library, which does not initialise the module by itself.

    Its own C_Initialize has no flag, and a module so initialised may be used by one
    thread only, while python-pkcs11 calls it from many.
    """

    def initialize(self) -> None:
        pass


class Module:
    """A module that is loaded and initialised. Get one from ``load``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.functions = FunctionList(path)
        self.logins = Logins(self.functions)
        self.turns = CallGate(1)
        """Who opens, reconnects or closes a token, and every call of a module or a
        token that bears one at a time."""
        self._gates: weakref.WeakSet[CallGate] = weakref.WeakSet([self.turns])
        self.stores = 0
        """How many stores have it open."""
        self.works = False
        """Whether anything worked since it was started."""
        self._restarted = -RESTART_SECONDS
        self._initialize()
        self._era = Era(os.getpid(), 0)
        self.library: Any = _library(path)

    def new_gate(self, most: int) -> CallGate:
        """A gate for calls of this module, which a restart of it waits for."""
        gate = CallGate(most)
        self._gates.add(gate)
        return gate

    def era(self) -> Era:
        """What handles belong to now; in a child, after initialising it there."""
        if self._era.process != os.getpid():
            # A SoftHSM that starts while another process is starting on the same token
            # may read it as one without a PIN, for as long as it runs.
            with one_process_at_a_time("pkcs11", str(self.path)), _loading:
                if self._era.process != os.getpid():
                    self._start_in_a_child()
        return self._era

    def restart(self, era: Era, seconds: float, *, at_once: bool) -> None:
        """Start the module again, if nobody has done so since ``era``.

        That ends the sessions of everybody in this process. It is not done to a module
        that somebody else started, nor soon again while other operations work, unless
        it is wanted ``at_once``: what fails then is the fault of a key.

        Raises:
            ServiceUnavailable: it does not start, or other threads do not come back.
        """
        with (
            one_process_at_a_time("pkcs11", str(self.path)),
            nobody_in(list(self._gates), seconds) as alone,
        ):
            if self._era != era:
                return
            if self.functions.is_initialized():
                recently = time.monotonic() < self._restarted + RESTART_SECONDS
                if self.is_shared or (self.works and recently and not at_once):
                    return
                if not alone:
                    raise ServiceUnavailable(
                        f"the PKCS#11 module {self.path} fails, and cannot be started "
                        "again while it keeps other threads busy: start the program "
                        "again"
                    )
                self.functions.finalize()
            self.logins.forget_all(self.functions)
            self._initialize()
            self._restarted, self.works = time.monotonic(), False
            self._era = Era(era.process, era.start + 1)

    def _start_in_a_child(self) -> None:
        """Initialise the module for a child of its own (PKCS#11 3.0, section 5.4)."""
        was_shared = self.is_shared
        self._initialize()
        # A module that noticed the fork has begun anew; one that is not ours may have
        # been initialised again by its owner.
        if self.is_shared and not was_shared:
            self._forget_the_parent()
        self.logins.forget_all(self.functions)
        self._era = Era(os.getpid(), self._era.start)

    def _forget_the_parent(self) -> None:
        """Begin anew in a child with a module that has not noticed the fork.

        With a copy of it: the C_Finalize of some ends what is their parent's, and
        tpm2-pkcs11's locks the TPM so. One that does not load as a copy is finalised.
        """
        try:
            copy = _copy(self.path)
            functions = FunctionList(copy)
        except (OSError, ServiceUnavailable):
            self.functions.finalize()
            self._initialize()
        else:
            self.functions = functions
            self._initialize()
            self.library = _library(copy)

    def _initialize(self) -> None:
        result = self.functions.initialize()
        if result not in (OK, ALREADY_INITIALIZED):
            raise ServiceUnavailable(
                f"the PKCS#11 module {self.path} does not start (C_Initialize says "
                f"{result:#x}): see its vendor's set-up"
            )
        self.is_shared = result == ALREADY_INITIALIZED


def _library(path: Path) -> Any:
    library = _OsLockedLibrary(str(path))
    # Never freed: when Python ends, freeing it would look for methods of a class that
    # is gone by then, and print so.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))
    return library


def _copy(path: Path) -> Path:
    """A copy of a module, which the loader takes for another one."""
    descriptor = os.memfd_create(path.name)
    with open(descriptor, "wb", closefd=False) as copy:  # Its number is its name.
        copy.write(path.read_bytes())
    return Path(f"/proc/self/fd/{descriptor}")


_loading: Final = fork_safe_lock()
_modules: Final[dict[Path, Module]] = {}


def load(path: Path) -> Module:
    """The module of a path, loaded on first use and kept as long as the process.

    Raises:
        ServiceUnavailable: there is no such file, or it is no PKCS#11 module.
    """
    path = path.absolute()
    with _loading:
        module = _modules.get(path)
        if module is None:
            module = _modules[path] = Module(path)
        return module
