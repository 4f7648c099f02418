"""How far a shot's distances reach where nobody has said it, for node groups and exports. Standard library only."""

from __future__ import annotations

SCALE_LIMIT = 200.0
"""Farthest distance of a shot by its nearest, at most."""


def reach(least: float, most: float) -> tuple[float, float]:
    """The nearest distance of a shot and its far limit, from the 1 % and 99 % percentiles of 1 / Z.

    The far limit is four times as far as 99 % of the image, at most 200 times the distance of what is nearest, so that
    a sky, which has 1 / Z of 0, stays at hand.

    >>> reach(0.1, 1.0), reach(0.0, 1.0)
    ((1.0, 40.0), (1.0, 200.0))
    """
    nearest = 1.0 / most if most > 0 else 1.0
    return nearest, min(4.0 / least, SCALE_LIMIT * nearest) if least > 0 else SCALE_LIMIT * nearest


def percentiles(p1: float, p99: float) -> tuple[float, float]:
    """A shot's percentiles with a range between them that can be divided by."""
    return p1, max(p99, p1 + 1e-6 * max(abs(p1), 1e-6))
