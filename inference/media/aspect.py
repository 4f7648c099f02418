"""Pixels that are not as wide as they are high."""

from __future__ import annotations

import math
from fractions import Fraction

_SQUARE = 1.13
"""Standard definition of the 4:3 kind (0.89, 0.91, 1.07, 1.09) is passed over: a tenth is not seen in a scene."""


def warning(path: str, ratio: Fraction | float | None) -> str | None:
    """One sentence where a clip is squeezed.

    Parameters
    ----------
    path : str
    ratio : number or None
        Width of a pixel over its height, as the file says.
    """
    if not ratio or not math.isfinite(ratio) or 1 / _SQUARE < ratio < _SQUARE:
        return None
    return (
        f"The pixels of {path} are {float(ratio):.3g} times as wide as high. Depth and camera fit the clip as it is "
        "stored, which is how Blender shows it; unsqueeze it first for a scene of true proportions."
    )
