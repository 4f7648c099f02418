"""Completing depth where it is unknown: planes are fitted locally, within the surfaces that the plate shows.

In a pinhole image, the inverse depth of a plane in space is an affine function of the pixel. So around each pixel one
such function is fitted to the known depth, weighted by confidence and by an edge-aware kernel (`edge_smoothing`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...depth_maps.edge_smoothing import edge_weights, smooth

_FINE = {"strength": 3000.0, "sigma": 2.0, "ridge": 2e-4}
_COARSE = {"strength": 20000.0, "sigma": 15.0, "ridge": 1e-3}
_ENOUGH = 0.003  # smoothed confidence at which the fine fit counts as much as the coarse one
_DETAIL = {"strength": 10.0, "sigma": 5.0, "ridge": 1e-4}
_KNOWN = 0.1  # smoothed squared confidence at which the detail counts by half


def fill(
    inverse_depth: NDArray[np.float32],
    confidence: NDArray[np.float32],
    image: NDArray[np.uint8],
    *,
    least: float,
    most: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit and evaluate a plane around each pixel.

    Parameters
    ----------
    inverse_depth : float32 [H, W]
    confidence : float32 [H, W]
        0..1; 0 where the depth is unknown.
    image : uint8 [H, W, 3]
    least, most : float
        Range of inverse depths that the result is clamped to.

    Returns
    -------
    inverse_depth : float32 [H, W]
        Finite everywhere.
    support : float32 [H, W]
        The smoothed confidence.

    Notes
    -----
    A coarse fit with a wide kernel, dominated by the most confident pixels, is corrected by a fine one where that has
    support, and that by the detail of a few pixels where these are confident themselves: what is measured is not
    smoothed away by what completes the rest.
    """
    sure = confidence**2
    coarse, _ = _fit(inverse_depth, sure, image, **_COARSE)
    coarse = np.clip(coarse, least, most)
    fine, support = _fit(inverse_depth - coarse, confidence, image, **_FINE)
    whole = coarse + support / (support + _ENOUGH) * fine
    detail, known = _fit(inverse_depth - whole, sure, image, **_DETAIL)
    whole += known / (known + _KNOWN) * detail
    return np.clip(whole, least, most).astype(np.float32), support.astype(np.float32)


def _fit(
    values: NDArray[np.floating],
    confidence: NDArray[np.float32],
    image: NDArray[np.uint8],
    *,
    strength: float,
    sigma: float,
    ridge: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted least-squares affine functions around each pixel, evaluated there, with their weights.

    The nine moments of the normal equations are smoothed over the image and solved for each pixel. `ridge` regularizes
    the slope of a patch known along one line only (pixels are in units of the image width).
    """
    height, width = confidence.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x = (x - width / 2) / width
    y = (y - height / 2) / width
    w = np.maximum(confidence, np.float32(1e-6))
    wd = w * values
    moments = np.stack([w, w * x, w * y, w * x * x, w * x * y, w * y * y, wd, wd * x, wd * y], axis=-1)
    smoothed = smooth(moments, edge_weights(image, sigma), strength=strength).astype(np.float64)
    weight = smoothed[..., 0]
    mean_x, mean_y, xx, xy, yy, mean, dx, dy = np.moveaxis(smoothed[..., 1:] / weight[..., None], -1, 0)
    xx, xy, yy = xx - mean_x**2 + ridge, xy - mean_x * mean_y, yy - mean_y**2 + ridge
    dx, dy = dx - mean * mean_x, dy - mean * mean_y
    determinant = xx * yy - xy * xy
    slope_x, slope_y = (yy * dx - xy * dy) / determinant, (xx * dy - xy * dx) / determinant
    return mean + slope_x * (x - mean_x) + slope_y * (y - mean_y), weight
