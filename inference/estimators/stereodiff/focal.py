"""The focal length that a map of points implies (DUSt3R, section 3.3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

ITERATIONS = 10
_WIDEST = math.tan(math.radians(80))
"""Rays further off the axis are no pinhole camera's: single points beside the camera would otherwise decide."""
_CLOSEST = 1e-8
"""Pixels; a residual below it counts as much as this one."""


def focal_length(points: Tensor) -> float | None:
    """The focal length for which points fall onto their pixels, by Weiszfeld's iteration.

    Minimises the sum over pixels of ‖p - f (x, y) / z‖, p from the middle of the picture.

    Parameters
    ----------
    points : Tensor [H, W, 3]
        Of each pixel, in the axes of the camera that filmed it; those that are not finite, or not before the camera,
        do not count. On any device that computes in float64.

    Returns
    -------
    float or None
        In pixels; None where the points imply none.
    """
    height, width = points.shape[:2]
    down = torch.arange(height, device=points.device, dtype=torch.float64) - (height - 1) / 2
    right = torch.arange(width, device=points.device, dtype=torch.float64) - (width - 1) / 2
    x, y, z = points.double().unbind(-1)
    u, v = x / z, y / z
    square = u * u + v * v
    usable = (z > 0) & (square <= _WIDEST**2)  # False for what is not finite
    u, v, square = (torch.where(usable, values, 0) for values in (u, v, square))
    along = u * right + v * down[:, None]
    focal = _ratio(along, square)
    from_middle = torch.where(usable, right.square() + down.square()[:, None], 0)
    for _ in range(ITERATIONS):
        # ‖p - f q‖² from what is at hand; rounding may leave it below 0
        off = (from_middle - 2 * focal * along + focal * focal * square).clamp_min(_CLOSEST**2)
        weight = off.rsqrt()
        focal = _ratio(weight * along, weight * square)
    return focal if math.isfinite(focal) and focal > 0 else None


def _ratio(above: Tensor, below: Tensor) -> float:
    top, bottom = torch.stack([above.sum(), below.sum()]).tolist()
    return top / bottom if bottom > 0 else math.nan
