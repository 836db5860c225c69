"""The text of URLs and URIs: its pairs, its paths, and what a message may repeat."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from parsec_keys.errors import ConfigurationError


def split_query(rest: str) -> tuple[str, dict[str, str]]:
    """What stands before the question mark, and the pairs after it, decoded."""
    path, _, query = rest.partition("?")
    pairs = pairs_of(query, "&", rest)
    return unquote(path), {noun: unquote(value) for noun, value in pairs.items()}


def pairs_of(text: str, separator: str, whole: str) -> dict[str, str]:
    """``NAME=VALUE`` between separators, as they stand in the ``whole`` URI.

    Raises:
        ConfigurationError: a part is no such pair, or a name stands twice.
    """
    pairs: dict[str, str] = {}
    for part in filter(None, text.split(separator)):
        noun, equals, value = part.partition("=")
        if not equals:
            # The part itself may be the rest of a PIN with a separator in it.
            raise ConfigurationError(
                f"in '{without_secrets(whole)}' something is not NAME=VALUE: "
                "percent-encode what is no separator"
            )
        if noun in pairs:
            raise ConfigurationError(
                f"a name stands twice in '{without_secrets(whole)}': leave one out"
            )
        pairs[noun] = value
    return pairs


def check_known(
    pairs: Mapping[str, str], known: frozenset[str] | set[str], of: str
) -> None:
    for noun in pairs.keys() - known:
        # Beside a PIN, an unknown name may be the rest of that PIN.
        shown = "such part" if "pin-value" in pairs else f"'{noun}'"
        names = ", ".join(sorted(known))
        raise ConfigurationError(f"{of} has no {shown}; there are: {names}")


def with_query(path: str, settings: Mapping[str, str]) -> str:
    """A path with its settings, in the order of their names."""
    pairs = (f"{n}={quote(v, safe=':/,=')}" for n, v in sorted(settings.items()))
    query = "&".join(pairs)
    return f"{path}?{query}" if query else path


def without_secrets(text: str) -> str:
    """A URI as a message may quote it."""
    # All that follows, because a PIN may have a separator in it by mistake.
    return re.sub(r"(pin-value=).*", r"\1…", text, flags=re.DOTALL | re.IGNORECASE)


def absolute(path: str) -> Path:
    """A path from the root, ``~`` and ``~USER`` being their homes.

    Raises:
        ConfigurationError: it is no path, or that user has no home.
    """
    check_text(path)
    check_no_nul(path)
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise ConfigurationError(
            f"'{path}' begins with a user who has no home: write the whole path"
        ) from None


def check_text(text: str) -> None:
    """Pass for text that UTF-8 can say: what a URL is made of, once it is decoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"'{text}' has characters that UTF-8 cannot say: leave them out"
        ) from None


def check_no_nul(text: str) -> None:
    """Pass for text that C can hold."""
    if "\0" in text:
        raise ConfigurationError(
            f"'{text}' has a NUL in it, which no path and no TCTI has: leave it out"
        )
