"""A TOML file whose reader knows what was asked of it, and where things stand in it.

Rule: a key that nothing reads is an error. Whoever wrote it believed that it does
something.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from parsec_keys.errors import ConfigurationError
from parsec_keys.service.secret import Secret, read_secret

_HEADER: Final = re.compile(r"\s*\[\[?\s*([\w.-]+)\s*\]\]?\s*(?:#.*)?$")


class Table:
    """A table of the file. ``number`` counts the tables of one name, from 1."""

    def __init__(
        self, path: Path, lines: list[str], name: str, number: int, values: Any
    ) -> None:
        self.path = path
        self._lines = lines
        self._name = name
        self._number = number
        self._values: dict[str, Any] = dict(values)

    def error(self, words: str, key: str | None = None) -> ConfigurationError:
        """An error that says where in the file."""
        place = f", {self._name} {self._number}" if self._number else ""
        place = f", {self._name}" if self._name and not self._number else place
        line = self._line(key)
        return ConfigurationError(
            f"{self.path}{f', line {line}' if line else ''}{place}: {words}"
        )

    def text(self, key: str) -> str | None:
        value = self._values.pop(key, None)
        if value is not None and not isinstance(value, str):
            raise self.error(f"'{key}' is a string, not {value!r}", key)
        return value

    def number(self, key: str) -> int | None:
        value = self._values.pop(key, None)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int)
        ):
            raise self.error(f"'{key}' is a number, not {value!r}", key)
        return value

    def count(self, key: str) -> int | None:
        """A number above zero."""
        value = self.number(key)
        if value is not None and value < 1:
            raise self.error(f"'{key}' is at least 1, not {value}", key)
        return value

    def flag(self, key: str) -> bool | None:
        value = self._values.pop(key, None)
        if value is not None and not isinstance(value, bool):
            raise self.error(f"'{key}' is true or false, not {value!r}", key)
        return value

    def file(self, key: str) -> Path | None:
        """A path; a relative one starts at the file's folder."""
        text = self.text(key)
        if text is None:
            return None
        if "\0" in text:
            raise self.error(f"'{key}' has a NUL in it, which no path has", key)
        try:
            return self.path.parent / Path(text).expanduser()
        except RuntimeError:
            words = f"'{key}' begins with a user who has no home: write the whole path"
            raise self.error(words, key) from None

    def needed(self, key: str) -> str:
        text = self.text(key)
        if text is None:
            raise self.error(f"'{key}' is missing")
        return text

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """One of a few words.

        Raises:
            ConfigurationError: none of them, with all of them.
        """
        text = self.needed(key)
        if text not in choices:
            raise self.error(f"'{key}' is one of {', '.join(choices)}, not {text}", key)
        return text

    def secret(self, key: str) -> Secret | None:
        """``key``, or the first line of the file that ``key_file`` names."""
        value, file = self._values.pop(key, None), self.file(f"{key}_file")
        if value is not None and file is not None:
            raise self.error(f"give '{key}' or '{key}_file', not both", key)
        if file is not None:
            return read_secret(file)
        if value is not None and not isinstance(value, str):
            # Its value is nobody's business.
            raise self.error(f"'{key}' is a string", key)
        return None if value is None else Secret(value.encode())

    def table(self, key: str) -> Table | None:
        """A table of its own: ``[key]``."""
        value = self._values.pop(key, None)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(f"write {key} as a table of its own: [{key}]", key)
        return Table(self.path, self._lines, key, 0, value)

    def tables(self, key: str) -> list[Table]:
        """Tables of one name: ``[[key]]``, each."""
        values = self._values.pop(key, [])
        if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
            raise self.error(f"write each {key} as a table of its own: [[{key}]]", key)
        return [
            Table(self.path, self._lines, key, number, value)
            for number, value in enumerate(values, 1)
        ]

    def inline(self, key: str) -> list[Table]:
        """A list of inline tables: ``key = [{ … }, { … }]``."""
        values = self._values.pop(key, [])
        if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
            raise self.error(f"'{key}' is a list of tables: [{{ … }}]", key)
        return [Table(self.path, self._lines, key, n, v) for n, v in enumerate(values)]

    def rest(self) -> Mapping[str, Any]:
        """All that was not asked for."""
        values, self._values = self._values, {}
        return values

    def has(self, key: str) -> bool:
        """Whether a key is there and was not asked for."""
        return key in self._values

    def finish(self) -> None:
        """Pass if everything was asked for."""
        for key in self._values:
            words = f"nothing here reads '{key}': mend its name or remove it"
            raise self.error(words, key)

    def _line(self, key: str | None) -> int:
        """The line of a key of this table, from 1, or of the table; 0 of neither."""
        wanted = re.compile(
            rf"\s*(?:\[\[?\s*)?[\"']?{re.escape(key)}[\"']?\s*(?:=|\])"
            if key is not None
            else "(?!)"
        )
        name, seen, start = "", 0, 0
        for number, line in enumerate(self._lines, 1):
            header = _HEADER.match(line)
            if header is not None:
                name = header[1]
                seen += name == self._name
            is_here = name == self._name and self._number in (0, seen)
            if is_here and header is not None:
                start = number
            if (is_here or not self._name) and wanted.match(line):
                return number
        return start


def read_toml(path: Path) -> Table:
    """The whole of a file, as its outermost table.

    Raises:
        ConfigurationError: it cannot be read, or is not TOML.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise ConfigurationError(f"{path} cannot be read: {e.strerror}") from e
    try:
        text = data.decode()
        return Table(path, text.splitlines(), "", 0, tomllib.loads(text))
    except ValueError as e:  # Also of a number with too many digits.
        why = f"is not TOML: {e}"
    except RecursionError:
        why = "is nested too deeply: write it flat"
    # Not in a handler: those errors hold the file, with its PINs.
    raise ConfigurationError(f"{path} {why}")
