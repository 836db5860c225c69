"""What commands write with: results on stdout, words on stderr, a spinner, tables."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Final

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

ENCODINGS: Final = ("raw", "base64", "hex")


def words(text: str) -> None:
    """Say something to whoever watches."""
    click.echo(text, err=True)


def as_json(value: object) -> None:
    """Write a JSON document to stdout."""
    click.echo(json.dumps(value, indent=2))


def rows(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Write a table: drawn on a terminal, else a line with tabs for each row."""
    shown = [[_printable(cell) for cell in row] for row in cells]
    if not sys.stdout.isatty():
        for row in shown:
            click.echo("\t".join(row))
        return
    table = Table()
    for title in titles:
        table.add_column(title, overflow="fold")  # A path is there to be copied.
    for row in shown:
        table.add_row(*map(escape, row))
    Console().print(table)


@contextlib.contextmanager
def spinner(text: str) -> Iterator[None]:
    """Turn a spinner on the terminal while something takes its time."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(escape(_printable(text))):
        yield


def write_bytes(
    data: bytes, path: str | None, encoding: str | None, mode: int = 0o666
) -> None:
    """Write a result to a file, or to stdout; a terminal gets base64.

    ``mode`` is that of a new file, before the umask.

    Raises:
        click.FileError: the file cannot be written.
    """
    if path is None and encoding is None and sys.stdout.isatty():
        encoding = "base64"
    if encoding == "base64":
        data = base64.b64encode(data) + b"\n"
    elif encoding == "hex":
        data = data.hex().encode() + b"\n"
    if path is None or path == "-":
        stdout = sys.stdout.buffer
        stdout.write(data)
        stdout.flush()  # A broken pipe shows here, not when Python ends.
        return
    try:
        with open(path, "wb", opener=lambda p, flags: os.open(p, flags, mode)) as file:
            file.write(data)
    except OSError as e:
        raise click.FileError(path, e.strerror) from e


def _printable(text: str) -> str:
    # A key name may hold a line's end, or what makes a terminal do something.
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
