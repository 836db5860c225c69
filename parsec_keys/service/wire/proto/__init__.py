"""Parsec's messages. ``./dev proto`` generates the Python from the ``.proto`` files."""
