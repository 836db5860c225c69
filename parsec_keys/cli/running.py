"""The command that runs a Python program with our OpenSSL provider in it."""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import click

from parsec_keys import _startup
from parsec_keys.cli.output import words
from parsec_keys.errors import InvalidArgument, NotSupported
from parsec_keys.stores import STORE_VARIABLE

_CANNOT_EXECUTE: Final = 126
_NOT_FOUND: Final = 127
"""What shells end with."""
_PYTHON: Final = re.compile(r"(python|pypy)[0-9.t]*")
_NO_PYTHON: Final = frozenset({"node", "perl", "php", "Rscript", "ruby"})
_PROBE: Final = "import parsec_keys.tls; parsec_keys.tls.enable()"


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument(
    "command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND…"
)
@click.pass_context
def run(context: click.Context, command: tuple[str, ...]) -> None:
    """Run a Python program that takes a key reference for a key file.

    COMMAND is what a shell would run: python script.py, gunicorn, uvicorn, pip. Its
    child processes are served too. --store, before run, is their default store.
    """
    path = shutil.which(command[0])
    if path is None:
        context.exit(_not_there(command[0]))
    environment = _startup.environment()
    if context.obj is not None:
        environment[STORE_VARIABLE] = _lasting(context.obj)
    _check(path, command[1:], environment)
    # Python ignores it, and what is ignored stays so in what is executed.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execve(path, command, environment)  # noqa: S606
    except OSError as e:
        why = e.strerror
        if e.errno == errno.ENOEXEC:
            why = "it is neither a program nor a script with a #! line"
        words(f"parsec-keys: '{path}' cannot be run: {why}")
        context.exit(_CANNOT_EXECUTE)


def _not_there(command: str) -> int:
    """Say why a command is none, and answer the exit status."""
    path = Path(command)
    if os.sep not in command or not path.exists():
        words(f"parsec-keys: there is no command '{command}'")
        return _NOT_FOUND
    hint = f": run python {command}" if path.suffix == ".py" else ""
    words(f"parsec-keys: '{command}' is no executable file{hint}")
    return _CANNOT_EXECUTE


def _lasting(url: str) -> str:
    """A store's URL that means the same in another folder.

    Raises:
        ConfigurationError: it is none.
    """
    from parsec_keys.uri import parse_store_url

    absolute = parse_store_url(url).url
    # The canonical one has no PIN, and the program needs it.
    return url if "pin-value=" in url else absolute


def _check(path: str, arguments: Iterable[str], environment: Mapping[str, str]) -> None:
    """Pass if the program can be served, or what it is does not show.

    Raises:
        InvalidArgument: its Python is told not to look at the environment.
        NotSupported: its Python lacks what it needs.
    """
    python = _python_of(path, arguments)
    if python is None:
        return
    option = _hiding_option(python[1:])
    if option is not None:
        raise InvalidArgument(
            f"Python's option -{option} shuts out what parsec-keys run adds to "
            f"'{path}': leave it out, or call parsec_keys.tls.enable() in the program"
        )
    done = subprocess.run(  # noqa: S603
        [python[0], "-c", _PROBE],
        env={**environment, "PYTHONSAFEPATH": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        why = f"cannot use key references: {said.partition(': ')[2] or said}"
        if said.endswith("No module named 'parsec_keys'"):
            why = f"has no parsec-keys: run {python[0]} -m pip install parsec-keys"
        raise NotSupported(f"{python[0]}, which would run '{path}', {why}")


def _python_of(path: str, arguments: Iterable[str]) -> list[str] | None:
    """The Python that a program runs in, and its options; None if that is unclear.

    Raises:
        NotSupported: it is a script in another language.
    """
    if _PYTHON.fullmatch(Path(path).name):
        return [path, *arguments]
    try:
        with open(path, "rb") as file:
            lines = file.read(4096).decode(errors="replace").splitlines()
    except OSError:  # One may run it, and not read it.
        return None
    if not lines or not lines[0].startswith("#!"):
        return None
    interpreter = lines[0][2:].split()
    if interpreter and Path(interpreter[0]).name == "env":
        del interpreter[0]
        interpreter = [each for each in interpreter if each not in ("-S", "--")]
        interpreter[:1] = filter(None, map(shutil.which, interpreter[:1]))
    elif len(lines) > 1 and lines[1].startswith("'''exec' "):
        interpreter = shlex.split(lines[1])[1:-2]  # pip's, where the path is long.
    name = Path(interpreter[0]).name if interpreter else ""
    if name in _NO_PYTHON:
        raise NotSupported(
            f"'{path}' is a script for {name}, and key references are for Python "
            "programs: sign with parsec-keys sign instead"
        )
    return interpreter if _PYTHON.fullmatch(name) else None


def _hiding_option(options: Iterable[str]) -> str | None:
    """The option by which Python starts without $PYTHONPATH or ``sitecustomize``."""
    left = iter(options)
    for word in left:
        if not word.startswith("-") or word == "-":
            return None
        if word.startswith("--"):
            continue
        for end, letter in enumerate(word[1:], 2):
            if letter in "EIS":
                return letter
            if letter in "cm":
                return None
            if letter in "WX":
                if end == len(word):
                    next(left, None)  # Its value.
                break
    return None
