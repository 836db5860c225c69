"""Fuzzers of what reads hostile bytes. Run them with ``./dev fuzz``."""
