"""Clips with non-square pixels."""

from __future__ import annotations

import math
from fractions import Fraction

_SQUARE = 1.13
"""Ratios of 4:3 standard definition (0.89, 0.91, 1.07, 1.09) are ignored: a tenth is invisible in a scene."""


def warning(path: str, ratio: Fraction | float | None) -> str | None:
    """A warning if a clip is squeezed, by the width of a pixel over its height in the file."""
    if not ratio or not math.isfinite(ratio) or 1 / _SQUARE < ratio < _SQUARE:
        return None
    return (
        f"The pixels of {path} are {float(ratio):.3g} times as wide as high. Depth and camera fit the clip as it is "
        "stored, which is how Blender shows it; unsqueeze it first for a scene of true proportions."
    )
