"""Complete depth from where it is known: planes fitted locally, within what the plate shows as one surface.

In a pinhole picture a plane in space is an affine function of the pixel in inverse depth. So around each pixel one
such function is fitted to what is known, weighted by confidence and by an edge-aware kernel (`smoother`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .smoother import edge_weights, smooth

_STRENGTH = 800.0
_SIGMA = 5.0
_RIDGE = 2e-3  # keeps the slope of a patch that is known along one line only from running away


def fill(
    inverse_depth: NDArray[np.float32],
    confidence: NDArray[np.float32],
    picture: NDArray[np.uint8],
    *,
    least: float,
    most: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit and evaluate a plane around each pixel.

    Parameters
    ----------
    inverse_depth : float32 [H, W]
    confidence : float32 [H, W]
        0..1; 0 where nothing is known.
    picture : uint8 [H, W, 3]
    least, most : float
        Inverse depths that the result keeps within.

    Returns
    -------
    inverse_depth : float32 [H, W]
        Finite everywhere.
    support : float32 [H, W]
        How much confidence stands behind each pixel: the smoothed confidence.
    """
    height, width = confidence.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x = (x - width / 2) / width
    y = (y - height / 2) / width
    w = np.maximum(confidence, 1e-6)
    wd = w * inverse_depth
    moments = np.stack([w, w * x, w * y, w * x * x, w * x * y, w * y * y, wd, wd * x, wd * y], axis=-1)
    m = smooth(moments, edge_weights(picture, _SIGMA), strength=_STRENGTH)
    weight = m[..., 0]
    m = m[..., 1:].astype(np.float64) / weight[..., None]
    mean_x, mean_y, xx, xy, yy, mean, dx, dy = np.moveaxis(m, -1, 0)
    xx, xy, yy = xx - mean_x**2, xy - mean_x * mean_y, yy - mean_y**2
    dx, dy = dx - mean * mean_x, dy - mean * mean_y
    xx, yy = xx + _RIDGE * 0.1, yy + _RIDGE * 0.1
    determinant = xx * yy - xy * xy
    slope_x = (yy * dx - xy * dy) / determinant
    slope_y = (xx * dy - xy * dx) / determinant
    fitted = mean + slope_x * (x - mean_x) + slope_y * (y - mean_y)
    return np.clip(fitted, least, most).astype(np.float32), weight
