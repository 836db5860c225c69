"""Proofs, one a library, that keys in hardware work where ``cryptography`` keys do."""
