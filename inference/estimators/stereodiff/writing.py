"""A frame's finished maps at the size that the artist works at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..base import Shot
from ..depthcrafter import resolution
from .prior import Prior


def write(shot: Shot, prior: Prior, frame: int, disparity: NDArray[np.float32]) -> None:
    """Write a frame's map, with the prior's confidence where it has one.

    Parameters
    ----------
    shot : Shot
    prior : Prior
    frame : int
        Counted from the shot's first.
    disparity : array [h, w]
        Of any size. Resizing stays within its values.
    """
    shot.check()
    working = (shot.frames.width, shot.frames.height)
    confidence = None
    if prior.has_confidence:
        confidence = np.clip(resolution.to_working(prior.confidence(frame), working), 0, 1)
    shot.write(frame, resolution.to_working(disparity, working), confidence)
