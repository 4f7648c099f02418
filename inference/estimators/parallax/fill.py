"""Completing depth where it is unknown: planes are fitted locally, within the surfaces that the plate shows.

In a pinhole image, the inverse depth of a plane in space is an affine function of the pixel. So around each pixel one
such function is fitted to the known depth, weighted by confidence and by an edge-aware kernel (`edge_smoothing`).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ...depth_maps.edge_smoothing import edge_weights, smooth

_FINE = {"strength": 3000.0, "sigma": 2.0, "ridge": 2e-4}
_COARSE = {"strength": 20000.0, "sigma": 15.0, "ridge": 1e-3}
_ENOUGH = 0.003  # smoothed confidence at which the fine fit counts as much as the coarse one
_DETAIL = {"strength": 10.0, "sigma": 5.0, "ridge": 1e-4}
_BEHIND = 0.2  # of the image's width: the surroundings whose farthest surface is what a pixel may stand before
_BEFORE = 2.0  # times nearer than that: such depth competes with it for what lies between
_SEEN = 0.1  # confidence of the pixels that show what is behind
_KNOWN = 0.05  # smoothed squared confidence at which the detail counts by half


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

    Matching makes the foreground too fat, never the background, and a foreground that is many times nearer outweighs
    it by its size alone. So where surfaces compete, the errors of the foreground are compared relative to its depth.
    """
    sure = confidence**2
    share = _share(inverse_depth, confidence)
    coarse, _ = _fit(inverse_depth, sure, share, image, **_COARSE)
    coarse = np.clip(coarse, least, most)
    fine, support = _fit(inverse_depth - coarse, confidence, share, image, **_FINE)
    whole = coarse + support / (support + _ENOUGH) * fine
    detail, known = _fit(inverse_depth - whole, sure, np.ones_like(share), image, **_DETAIL)
    whole += known / (known + _KNOWN) * detail
    return np.clip(whole, least, most).astype(np.float32), support.astype(np.float32)


def _share(inverse_depth: NDArray[np.float32], confidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """By how much each pixel's weight [H, W] is reduced, 1 being not at all, for what is behind it.

    Weights of inverse depth are those of errors that are alike everywhere. Where what is known around a pixel includes
    a surface at least twice as far, they are those of errors that are a share of the inverse depth: 1 / its square.
    """
    known = cv2.medianBlur(np.where(confidence >= _SEEN, inverse_depth, inverse_depth.max()), 5)
    side = 2 * round(_BEHIND * inverse_depth.shape[1] / 2) + 1
    behind = cv2.erode(known, np.ones((side, side), np.uint8))
    return np.asarray(np.minimum(1, _BEFORE * (behind / inverse_depth)) ** 2, np.float32)


def _fit(
    values: NDArray[np.floating],
    confidence: NDArray[np.float32],
    share: NDArray[np.float32],
    image: NDArray[np.uint8],
    *,
    strength: float,
    sigma: float,
    ridge: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted least-squares affine functions around each pixel, evaluated there, with the smoothed confidence.

    The nine moments of the normal equations are smoothed over the image and solved for each pixel; a pixel weighs its
    `share` of its confidence. `ridge` regularizes the slope of a patch known along one line only (pixels are in units
    of the image width).
    """
    height, width = confidence.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x = (x - width / 2) / width
    y = (y - height / 2) / width
    known = np.maximum(confidence, np.float32(1e-6))
    w = known * share
    wd = w * values
    moments = np.stack([known, w, w * x, w * y, w * x * x, w * x * y, w * y * y, wd, wd * x, wd * y], axis=-1)
    smoothed = smooth(moments, edge_weights(image, sigma), strength=strength).astype(np.float64)
    weight = smoothed[..., 1]
    mean_x, mean_y, xx, xy, yy, mean, dx, dy = np.moveaxis(smoothed[..., 2:] / weight[..., None], -1, 0)
    xx, xy, yy = xx - mean_x**2 + ridge, xy - mean_x * mean_y, yy - mean_y**2 + ridge
    dx, dy = dx - mean * mean_x, dy - mean * mean_y
    determinant = xx * yy - xy * xy
    slope_x, slope_y = (yy * dx - xy * dy) / determinant, (xx * dy - xy * dx) / determinant
    return mean + slope_x * (x - mean_x) + slope_y * (y - mean_y), smoothed[..., 0]
