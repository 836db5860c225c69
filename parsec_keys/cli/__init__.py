"""The command line ``parsec-keys``: results on stdout, words on stderr.

Exit 1 with one sentence for an ``Error``, 2 for wrong usage, 130 for Ctrl-C.
"""

from __future__ import annotations

import os
import sys


def main(arguments: list[str] | None = None) -> int:
    """Run the command line, and answer the exit status."""
    try:
        from parsec_keys.cli.commands import commands
    except ImportError as e:
        if (e.name or "").partition(".")[0] not in {"click", "rich"}:
            raise
        print("the command line needs: pip install parsec-keys[cli]", file=sys.stderr)
        return 1
    from parsec_keys.errors import Error

    try:
        commands.main(arguments, prog_name="parsec-keys", standalone_mode=True)
    except Error as e:
        print(f"parsec-keys: {e}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has enough of it; Python must not flush it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else 1
    return 0
