"""Numbers as they are typed on a command line."""

from __future__ import annotations

import argparse

_DIGITS = 18
"""More than any option needs, and few enough for every library."""


def whole_number(text: str) -> int:
    """A whole number, for the parser; `argparse.ArgumentTypeError` for other text, or too many digits."""
    digits = text.strip().removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS):
        raise argparse.ArgumentTypeError(f"it must be a whole number of at most {_DIGITS} digits, not '{text}'")
    return int(text)
