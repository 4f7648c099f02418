"""Depth of a frame that shows nothing itself: that of the frames around it, seen from where its camera stands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...depth_maps import temporal
from .fusion import Witness

CONFIDENCE = 0.5
"""By what the confidence of what is carried over is multiplied."""
_UNSEEN = 1e-3  # weight of a witness's own pixel where nothing of it is seen


def bridge(
    witnesses: Sequence[Witness], matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Inverse depth and confidence [H, W] of a frame from those of its witnesses.

    Parameters
    ----------
    witnesses : sequence of Witness
        With rotation and shift from their own camera coordinates to the frame's.
    matrix : float64 [3, 3]
    """
    seen = [_seen(witness, matrix) for witness in witnesses]
    inverse_depths = np.stack([inverse_depth for inverse_depth, _, _ in seen])
    weights = np.stack([weight for _, _, weight in seen])
    confidence = np.sum([weight * sure for _, sure, weight in seen], axis=0) / weights.sum(axis=0)
    return temporal.settle(inverse_depths, weights), (CONFIDENCE * confidence).astype(np.float32)


def _seen(
    witness: Witness, matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Inverse depth, confidence and weight [H, W] of what a witness knows, as the frame sees it; near hides far.

    Each pixel is drawn into the four around the place where it comes to lie, so that no gaps open between them.
    """
    height, width = witness.inverse_depth.shape
    y, x = np.mgrid[:height, :width]
    depth = 1 / witness.inverse_depth.astype(np.float64).ravel()
    rays = np.stack([x.ravel(), y.ravel(), np.ones(x.size)]) * depth
    moved = witness.rotation @ np.linalg.inv(matrix) @ rays + witness.shift[:, None]
    front = np.flatnonzero(moved[2] > 1e-9)
    u, v = (matrix @ moved[:, front])[:2] / moved[2, front]
    near = 1 / moved[2, front]
    columns = np.concatenate([np.floor(u) + i for i in (0, 1) for _ in (0, 1)])
    rows = np.concatenate([np.floor(v) + j for _ in (0, 1) for j in (0, 1)])
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    target = (rows[inside] * width + columns[inside]).astype(np.int64)
    source = np.tile(np.arange(len(front)), 4)[inside]
    order = np.argsort(near[source], kind="stable")  # of several drawn into one pixel the last stays
    target, source = target[order], source[order]
    inverse_depth = witness.inverse_depth.astype(np.float32).ravel().copy()
    confidence = witness.confidence.astype(np.float32).ravel() * 0
    weight = np.full(inverse_depth.shape, _UNSEEN, np.float32)
    inverse_depth[target] = near[source]
    confidence[target] = witness.confidence.ravel()[front[source]]
    weight[target] = 1
    shape = (height, width)
    return inverse_depth.reshape(shape), confidence.reshape(shape), weight.reshape(shape)
