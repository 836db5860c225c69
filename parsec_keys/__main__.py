"""``python -m parsec_keys`` is the command line."""

from __future__ import annotations

import sys

from parsec_keys.cli import main

sys.exit(main())
