"""The command line ``parsec-keys``: results on stdout, words on stderr.

Exit 1 with one sentence for an ``Error``, 2 for wrong usage, 130 for Ctrl-C. ``run``
ends as the program that it runs, or with 126 or 127 where there is none to run.
"""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> int:
    """Run the command line, and answer the exit status."""
    try:
        import click

        from parsec_keys.cli.commands import commands
    except ImportError as e:
        if (e.name or "").partition(".")[0] not in {"click", "rich"}:
            raise
        print("the command line needs: pip install parsec-keys[cli]", file=sys.stderr)
        return 1
    from parsec_keys.errors import Error

    try:
        status = commands.main(
            arguments, prog_name="parsec-keys", standalone_mode=False
        )
    except Error as e:
        print(f"parsec-keys: {e}", file=sys.stderr)
        return 1
    except click.ClickException as e:
        e.show()
        return e.exit_code
    except click.Abort:  # Ctrl-C, or the end of input where an answer was expected.
        return 130
    except SystemExit as e:  # Whoever read our output has enough of it.
        return e.code if isinstance(e.code, int) else 1
    return status if isinstance(status, int) else 0
