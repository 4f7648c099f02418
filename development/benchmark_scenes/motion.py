"""Optical flow to the next frame, from depth, camera and the objects' own motion.

Objects move rigidly, so points are fixed in their object's axes. Pinhole cameras; pixel centers at integers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def flow(
    depth: NDArray[np.floating],
    index: NDArray[np.integer],
    *,
    calibration: Matrix,
    camera: Matrix,
    next_camera: Matrix,
    moves: Mapping[int, Matrix],
) -> NDArray[np.float32]:
    """Optical flow to the next frame, of every pixel, whether its point is occluded there or not.

    Parameters
    ----------
    depth : [H, W]
        Planar Z in meters; inf is the sky, which has no parallax.
    index : int [H, W]
        The moving object that each pixel shows; 0 for static regions.
    calibration : float64 [3, 3]
        In pixels.
    camera, next_camera : float64 [4, 4]
        Camera-to-world, OpenCV axes, of this frame and the next.
    moves : mapping from int to float64 [4, 4]
        Transform of each moving object's world points from this frame to the next.

    Returns
    -------
    float32 [H, W, 2]
        Pixels to the right and down; NaN where the point is then behind the camera.
    """
    height, width = depth.shape
    pixels = np.stack([*np.meshgrid(np.arange(width), np.arange(height)), np.ones((height, width))], axis=-1)
    rays = pixels.astype(np.float64) @ np.linalg.inv(calibration).T
    is_sky = ~np.isfinite(depth)
    points = rays * np.where(is_sky, 1.0, depth)[..., None]
    to_next = np.linalg.inv(next_camera) @ camera
    seen = points @ to_next[:3, :3].T + np.where(is_sky[..., None], 0.0, to_next[:3, 3])
    for number, move in moves.items():
        here = index == number
        path = np.linalg.inv(next_camera) @ move @ camera
        seen[here] = points[here] @ path[:3, :3].T + path[:3, 3]
    ahead = seen[..., 2] > 1e-6
    projected = seen @ calibration.T
    with np.errstate(divide="ignore", invalid="ignore"):
        positions = projected[..., :2] / projected[..., 2:]
    return np.where(ahead[..., None], positions - pixels[..., :2], np.nan).astype(np.float32)
