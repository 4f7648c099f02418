"""Depth of a frame without usable detail: that of the frames around it, reprojected to its camera."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...depth_maps import temporal
from .fusion import SourceDepth

CONFIDENCE = 0.5
"""Factor on the confidence of reprojected depth."""
_UNSEEN = 1e-3  # weight of a source frame's own pixel where none of its pixels is projected


def bridge(
    sources: Sequence[SourceDepth], matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Inverse depth and confidence [H, W] of a frame from those of other frames.

    Parameters
    ----------
    sources : sequence of SourceDepth
        With rotation and shift from their own camera coordinates to the frame's.
    matrix : float64 [3, 3]
    """
    seen = [_seen(source, matrix) for source in sources]
    inverse_depths = np.stack([inverse_depth for inverse_depth, _, _ in seen])
    weights = np.stack([weight for _, _, weight in seen])
    confidence = np.sum([weight * sure for _, sure, weight in seen], axis=0) / weights.sum(axis=0)
    return temporal.settle(inverse_depths, weights), (CONFIDENCE * confidence).astype(np.float32)


def _seen(
    source: SourceDepth, matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """A source frame's inverse depth, confidence and weight [H, W] as the frame sees them; near pixels hide far ones.

    Each pixel is drawn into the four pixels around its projection, so that no gaps open.
    """
    height, width = source.inverse_depth.shape
    y, x = np.mgrid[:height, :width]
    depth = 1 / source.inverse_depth.astype(np.float64).ravel()
    rays = np.stack([x.ravel(), y.ravel(), np.ones(x.size)]) * depth
    moved = source.rotation @ np.linalg.inv(matrix) @ rays + source.shift[:, None]
    front = np.flatnonzero(moved[2] > 1e-9)
    u, v = (matrix @ moved[:, front])[:2] / moved[2, front]
    near = 1 / moved[2, front]
    columns = np.concatenate([np.floor(u) + i for i in (0, 1) for _ in (0, 1)])
    rows = np.concatenate([np.floor(v) + j for _ in (0, 1) for j in (0, 1)])
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    target = (rows[inside] * width + columns[inside]).astype(np.int64)
    drawn = np.tile(np.arange(len(front)), 4)[inside]
    order = np.argsort(near[drawn], kind="stable")  # the last one drawn into a pixel stays
    target, drawn = target[order], drawn[order]
    inverse_depth = source.inverse_depth.astype(np.float32).ravel().copy()
    confidence = source.confidence.astype(np.float32).ravel() * 0
    weight = np.full(inverse_depth.shape, _UNSEEN, np.float32)
    inverse_depth[target] = near[drawn]
    confidence[target] = source.confidence.ravel()[front[drawn]]
    weight[target] = 1
    shape = (height, width)
    return inverse_depth.reshape(shape), confidence.reshape(shape), weight.reshape(shape)
