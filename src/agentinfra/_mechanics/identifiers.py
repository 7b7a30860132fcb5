"""Random identifiers: unique, no secrets."""

from __future__ import annotations

import os
import random

__all__ = ["random_bits", "random_hex"]

# A generator of our own: a program that seeds Python's would repeat its identifiers, and so would
# a forked one. Asking the system for each costs three times as much.
_GENERATOR = random.Random()  # noqa: S311 - identifiers are no secrets
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_GENERATOR.seed)
random_bits = _GENERATOR.getrandbits
"""Returns a number of so many random bits."""


def random_hex(size: int) -> str:
    """Return ``size`` random bytes as hexadecimal digits."""
    return random_bits(8 * size).to_bytes(size, "big").hex()
