"""The demo: keys in software, a TPM and a token, made, used and found again.

It starts its own emulators in folders of its own, which are gone afterwards.
"""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

import click
from rich import box
from rich.console import Console
from rich.table import Table

import parsec_keys
from parsec_keys.emulators import SoftHsm, Swtpm
from parsec_keys.errors import NotSupported, ServiceUnavailable

PROVIDERS: Final = ("software", "tpm", "pkcs11")
_WANT_VARIABLE: Final = "PARSEC_KEYS_WANT"
_CAPTION: Final = (
    "times in milliseconds; CSR and certificate verified by openssl, the JWT by PyJWT"
)
_WHAT_NEXT: Final = """
Next, with keys of your own:
  parsec-keys generate device                                 in your software store
  parsec-keys --store tpm:device:/dev/tpmrm0 generate device  in this machine's TPM
  parsec-keys csr device --subject CN=device                  a request for your CA
"""


class _NotHere(Exception):
    """A provider that this machine cannot run, and what to install."""


def _names(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> frozenset[str]:
    names = frozenset(filter(None, (value or "").split(",")))
    if unknown := names - {*PROVIDERS}:
        listed = ", ".join(sorted(unknown))
        raise click.BadParameter(f"{listed}: write some of {','.join(PROVIDERS)}")
    return names


@click.command()
@click.option(
    "--only", multiple=True, type=click.Choice(PROVIDERS), help="Leave out the others."
)
@click.option(
    "--require",
    metavar="NAMES",
    envvar=_WANT_VARIABLE,
    callback=_names,
    help="Fail where one of these cannot run: 'software,tpm,pkcs11'. "
    f"Also ${_WANT_VARIABLE}.",
)
@click.pass_context
def demo(context: click.Context, only: tuple[str, ...], require: set[str]) -> None:
    """Make keys in software, a TPM (swtpm) and a token (SoftHSM), and use them."""
    if importlib.util.find_spec("jwt") is None:
        raise NotSupported(
            "the demo verifies a token with PyJWT: run pip install parsec-keys[demo]"
        )
    # It comes with the extra 'demo', which the other commands do without.
    from parsec_keys.cli import demo_steps

    signal.signal(signal.SIGTERM, _end)
    console = Console(stderr=True)
    table = _table(demo_steps.TITLES)
    failures: list[str] = []
    notes: list[str] = []
    for provider in only or PROVIDERS:
        try:
            with console.status(f"{provider}: at work"):
                failures += _demonstrate(provider, table)
        except _NotHere as e:
            table.add_row(provider, "left out", style="yellow")
            required = provider in {"software", *only, *require}
            (failures if required else notes).append(
                f"{provider}: left out, because {e}"
            )
    Console().print(table)
    for line in (*notes, *failures):
        console.print(
            line, style="yellow", highlight=False, markup=False, soft_wrap=True
        )
    if failures:
        context.exit(1)
    console.print(_WHAT_NEXT, highlight=False, soft_wrap=True)


def _demonstrate(provider: str, table: Table) -> list[str]:
    """Add a provider's rows to the table, and say what failed.

    Raises:
        _NotHere: the provider cannot run on this machine.
    """
    from parsec_keys.cli import demo_steps

    failures = []
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(_store_url(provider))
            parsec_keys.open_store(url).close()
        except (NotSupported, ServiceUnavailable) as e:
            raise _NotHere(str(e)) from e
        for kind in demo_steps.KINDS:
            cells, failure = demo_steps.run(url, kind)
            table.add_row(provider, kind, *cells)
            if failure is not None:
                failures.append(f"{provider}: {failure}")
    return failures


@contextlib.contextmanager
def _store_url(provider: str) -> Iterator[str]:
    """A store of a provider in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="parsec-keys-demo-") as name:
        folder = Path(name)
        if provider == "software":
            yield f"software:{folder / 'store'}"
        elif provider == "tpm":
            with Swtpm(folder) as tpm:
                yield tpm.url
        else:
            yield SoftHsm(folder).add_token("demo")


def _table(steps: tuple[str, ...]) -> Table:
    return Table(
        *("provider", "key", *steps),
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        caption=_CAPTION,
    )


def _end(number: int, frame: FrameType | None) -> None:
    # Without this, what ends the demo would leave its emulators behind.
    sys.exit(128 + number)
