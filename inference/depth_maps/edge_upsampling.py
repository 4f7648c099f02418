"""Upsample small maps to the working size, with edges where the plate has them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .edge_smoothing import edge_weights, smooth

_STRENGTH = 30.0
_SIGMA = 8.0
_EDGE = 0.05  # relative change of inverse depth within a small pixel's surroundings at which a map counts as an edge


def upsample(inverse_depth: NDArray[np.float32], image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Enlarge inverse depth [h, w] to the image's size [H, W, 3].

    Pixels near a depth edge take their value from either side of it, guided by the plate's edge.
    """
    height, width = image.shape[:2]
    if (height, width) == inverse_depth.shape:
        return inverse_depth
    large = cv2.resize(inverse_depth, (width, height), interpolation=cv2.INTER_LINEAR)
    kernel = np.ones((3, 3), np.uint8)
    span = cv2.dilate(inverse_depth, kernel) - cv2.erode(inverse_depth, kernel)
    sure = np.exp(-((span / (_EDGE * np.abs(inverse_depth) + 1e-12)) ** 2)) + 1e-3
    weight = cv2.resize(sure.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    both = np.stack([weight * large, weight], axis=-1)
    both = smooth(both, edge_weights(image, _SIGMA), strength=_STRENGTH)
    smoothed = both[..., 0] / both[..., 1]
    keep = weight / (weight + 0.1)  # flat parts are unchanged
    return (keep * large + (1 - keep) * smoothed).astype(np.float32)
