"""PSA Crypto's words: status, algorithms, key attributes, policy, operations.

Standard library only and no I/O: everything above speaks these words, and nothing
here knows who speaks them.
"""
