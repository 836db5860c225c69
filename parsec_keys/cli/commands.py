"""The group of subcommands, and what they share: the store option and the output."""

from __future__ import annotations

import click

import parsec_keys
from parsec_keys.cli.adopting import adopt
from parsec_keys.cli.demo import demo
from parsec_keys.cli.doctor import doctor
from parsec_keys.cli.keys import (
    delete,
    export_public,
    export_reference,
    generate,
    import_key,
)
from parsec_keys.cli.listing import list_keys, providers, show
from parsec_keys.cli.running import run
from parsec_keys.cli.serving import serve
from parsec_keys.cli.using import csr, decrypt, sign


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--store",
    metavar="URL",
    help="The key store; without it $PARSEC_KEYS_STORE, else the user's software "
    "store. As software:[DIR], tpm:TCTI, pkcs11:…, unix:[SOCKET] or a .toml file.",
)
@click.version_option(parsec_keys.__version__, prog_name="parsec-keys")
@click.pass_context
def commands(context: click.Context, store: str | None) -> None:
    """Private keys in a TPM, an HSM or software that are cryptography keys."""
    context.obj = store


for command in (
    demo,
    doctor,
    providers,
    generate,
    import_key,
    list_keys,
    show,
    export_public,
    export_reference,
    csr,
    sign,
    decrypt,
    delete,
    run,
    serve,
    adopt,
):
    commands.add_command(command)
