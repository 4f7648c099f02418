"""What lenses do to an image, by the models of `Camera`; for numbers and NumPy's arrays alike. Standard library only.

Coordinates are normalized: a pixel less the principal point, over the focal length. Each model is a formula for one of
the two directions; the other one is found by Newton's method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .camera import MOST_COEFFICIENTS, DistortionModel

_ROUNDS = 12
_STEP = 1e-6
"""Of the difference quotients, where coordinates are about 1."""

Point = tuple[Any, Any]
"""x and y: two numbers, or two arrays of one shape."""


def distort(model: DistortionModel, coefficients: Sequence[float], x: Any, y: Any, *, unit: float = 1.0) -> Point:
    """Where the lens shows what an undistorted image has at ``(x, y)``.

    Parameters
    ----------
    model, coefficients
        As in `Camera`.
    x, y : floats or arrays
    unit : float
        Normalized length that is 1 in the ``nuke`` model: half the image's longer side over the focal length.

    Returns
    -------
    (x, y) : as given
        Beyond where the model can be inverted, as far outside of some lenses' images, arbitrary.
    """
    formula, undistorts = _formula(model, coefficients, unit)
    return _inverse(formula, x, y) if undistorts else formula(x, y)


def undistort(model: DistortionModel, coefficients: Sequence[float], x: Any, y: Any, *, unit: float = 1.0) -> Point:
    """Where an undistorted image has what the lens shows at ``(x, y)``; as `distort`."""
    formula, undistorts = _formula(model, coefficients, unit)
    return formula(x, y) if undistorts else _inverse(formula, x, y)


def _formula(
    model: DistortionModel, coefficients: Sequence[float], unit: float
) -> tuple[Callable[[Any, Any], Point], bool]:
    """A model's formula, and whether it undistorts instead of distorting."""
    k = (*coefficients, *(0.0,) * (MOST_COEFFICIENTS[model] - len(coefficients)))

    def polynomial(x: Any, y: Any) -> Point:
        square = x * x + y * y
        factor = 1 + square * (k[0] + square * (k[1] + square * k[2]))
        return x * factor, y * factor

    def division(x: Any, y: Any) -> Point:
        square = x * x + y * y
        factor = 1 + square * (k[0] + square * k[1])
        return x / factor, y / factor

    def nuke(x: Any, y: Any) -> Point:
        across, down = (x / unit) * (x / unit), (y / unit) * (y / unit)
        square = across + down
        factor = 1 + square * (k[0] + square * k[1])
        return x / (factor + k[2] * down), y / (factor + k[3] * across)

    def brown(x: Any, y: Any) -> Point:
        square = x * x + y * y
        factor = 1 + square * (k[0] + square * (k[1] + square * (k[2] + square * k[3])))
        across = 2 * k[4] * x * y + k[5] * (square + 2 * x * x)
        down = k[4] * (square + 2 * y * y) + 2 * k[5] * x * y
        return x * factor + across, y * factor + down

    return {"polynomial": (polynomial, False), "division": (division, False), "nuke": (nuke, True)}.get(
        model, (brown, False)
    )


def _inverse(formula: Callable[[Any, Any], Point], x: Any, y: Any) -> Point:
    """The point that a formula takes to ``(x, y)``, by Newton's method from there."""
    u, v = x, y
    for _ in range(_ROUNDS):
        here, right, below = formula(u, v), formula(u + _STEP, v), formula(u, v + _STEP)
        a, c = (right[0] - here[0]) / _STEP, (right[1] - here[1]) / _STEP
        b, d = (below[0] - here[0]) / _STEP, (below[1] - here[1]) / _STEP
        over = 1 / (a * d - b * c)
        off_x, off_y = x - here[0], y - here[1]
        u, v = u + over * (d * off_x - b * off_y), v + over * (a * off_y - c * off_x)
    return u, v
