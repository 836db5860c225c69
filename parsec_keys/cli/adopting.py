"""The command that takes over the keys of a Rust Parsec service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from parsec_keys.cli.output import as_json, rows, spinner, words
from parsec_keys.psa.words import algorithm_to_words, key_type_to_words

if TYPE_CHECKING:
    from parsec_keys.service.adoption.candidates import Candidate

_TITLES: Final = (
    *("application", "name", "provider", "type", "bits", "algorithm", "usage"),
    *("verdict", "reason"),
)
_path = click.Path(path_type=Path)


@click.command()
@click.option(
    "-c",
    "--config",
    "path",
    metavar="FILE",
    type=_path,
    default="config.toml",
    show_default=True,
    help="What serve will serve: the Rust Parsec service's own file, or a new one.",
)
@click.option(
    "--key-info",
    metavar="PATH",
    type=_path,
    help="The old SQLite file or folder, where FILE does not name it.",
)
@click.option(
    "--key-files",
    metavar="DIR",
    type=_path,
    help="Where the old service ran: MbedCrypto left its keys there, in *.psa_its.",
)
@click.option("--write", is_flag=True, help="Adopt them; without it, only look.")
@click.option("--json", "json_", is_flag=True, help="Write JSON.")
def adopt(
    path: Path, key_info: Path | None, key_files: Path | None, write: bool, json_: bool
) -> None:
    """Take over the keys of a Rust Parsec service.

    Without --write it shows each key and what would become of it. Nothing in the old
    service's files changes, and a second run adopts only what is new there.
    """
    from parsec_keys.service import Service
    from parsec_keys.service.adoption.sources import find_source
    from parsec_keys.service.config_toml import read_config

    path = path.absolute()
    source = find_source(path, key_info, key_files)
    service = Service(read_config(path))
    try:
        with spinner("looking at the old keys"):
            adoption = service.adoption(source)
            candidates = adoption.look()
            if write:
                candidates = adoption.adopt(candidates)
    finally:
        service.close()
    shown = [_described(candidate) for candidate in candidates]
    if json_:
        as_json(shown)
    else:
        rows(_TITLES, [[str(key[title]) for title in _TITLES] for key in shown])
    counts = Counter(candidate.verdict.value for candidate in candidates)
    words(
        ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) or "none"
    )
    if not write:
        words("nothing was written: give --write to adopt them")


def _described(candidate: Candidate) -> dict[str, object]:
    key, attributes = candidate.key, candidate.attributes
    described: dict[str, object] = dict.fromkeys(_TITLES, "")
    described.update(
        application=key.application,
        name=key.key_name,
        provider=candidate.provider,
        verdict=candidate.verdict.value,
        reason=candidate.reason,
    )
    if attributes is not None:
        described.update(
            type=_words(key_type_to_words, attributes.type),
            bits=attributes.bits,
            algorithm=_words(algorithm_to_words, attributes.policy.algorithm),
            usage=attributes.policy.usage.words,
        )
    return described


def _words(to_words: Callable[[Any], str], value: object) -> str:
    """A value in words, of which what no key class has has none."""
    try:
        return to_words(value)
    except ValueError:
        return str(value)
