"""Depth fusion: averaging depth on which neighboring frames agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...common.compiled import compiled

_TOLERANCE = 0.03  # relative difference of depth at which agreement has fallen to 1/e
_STEP = 0.3  # of the planes' spacing, added to the tolerance: far depth is not known better than that
# times nearer, and steps as above at least: what is so much nearer in a source frame is no other opinion, but hides the
# point
_HIDES, _HIDING = 3.0, 10.0
_JITTER = 1.5  # planes, where a depth need not be exact: on weak texture one beside the right one wins


@dataclass(frozen=True)
class SourceDepth:
    """Depth of another frame.

    Attributes
    ----------
    inverse_depth, confidence : float32 [H, W]
    rotation, shift : float64 [3, 3], [3]
        From the reference frame's camera coordinates to this frame's (in `bridge`: the other way); see
        `Views.relative`.
    """

    inverse_depth: NDArray[np.float32]
    confidence: NDArray[np.float32]
    rotation: NDArray[np.float64]
    shift: NDArray[np.float64]


@compiled
def _hear(mine, theirs, sure, to, shift, back, focal, cx, cy, tolerance, step, jitter, total, weight, votes, seen):  # type: ignore[no-untyped-def]  # noqa: PLR0917  (compiled)
    """Accumulate one source frame's depth at every pixel; ``back`` is the inverse rotation."""
    height, width = mine.shape
    for y in range(height):
        for x in range(width):
            z = 1.0 / mine[y, x]
            px, py = (x - cx) / focal * z, (y - cy) / focal * z
            qx = to[0, 0] * px + to[0, 1] * py + to[0, 2] * z + shift[0]
            qy = to[1, 0] * px + to[1, 1] * py + to[1, 2] * z + shift[1]
            qz = to[2, 0] * px + to[2, 1] * py + to[2, 2] * z + shift[2]
            if qz <= 0:
                continue
            u = int(np.floor(focal * qx / qz + cx + 0.5))
            v = int(np.floor(focal * qy / qz + cy + 0.5))
            if u < 0 or u >= width or v < 0 or v >= height:
                continue
            other = 1.0 / theirs[v, u]
            if other * _HIDES < qz and 1 / other - 1 / qz > _HIDING * step:
                seen[y, x] += 1 - min(sure[v, u], 1.0)
                continue
            seen[y, x] += 1
            exact = (other - qz) / qz / (tolerance + step * qz)
            about = (1 / other - 1 / qz) / (tolerance / qz + jitter)  # in planes: what is nearer is no closer
            agreement = np.exp(-about * about)
            if agreement < 1e-3:
                continue
            # the source's depth along its ray through the same point, transformed back
            rx, ry, rz = qx / qz * other - shift[0], qy / qz * other - shift[1], other - shift[2]
            depth = back[2, 0] * rx + back[2, 1] * ry + back[2, 2] * rz
            if depth <= 0:
                continue
            share = agreement * sure[v, u]
            total[y, x] += share / depth
            weight[y, x] += share
            votes[0, y, x] += np.exp(-exact * exact)
            votes[1, y, x] += agreement


def fuse(
    inverse_depth: NDArray[np.float32],
    confidence: NDArray[np.float32],
    sources: Sequence[SourceDepth],
    *,
    focal: float,
    center: NDArray[np.float64],
    spacing: float = 0.0,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Fuse a frame's depth with that of its source frames.

    Parameters
    ----------
    inverse_depth, confidence : float32 [H, W]
        The frame's own.
    sources : sequence of SourceDepth
    focal : float
        In pixels.
    center : float64 [2]
        Principal point.
    spacing : float
        Between the planes of the sweep, in inverse depth.

    Returns
    -------
    inverse_depth : float32 [H, W]
        Mean of the depths that agree with the frame's own, weighted by confidence and agreement.
    support : float32 [H, W]
        Share of the source frames that see the point and agree, 0..1. Frames in which something that is surely much
        nearer hides it do not count: what is between the bars of a fence is hidden in many.
    about : float32 [H, W]
        The share that agrees within about a plane, as what is far does at best.
    """
    total = confidence.astype(np.float64) * inverse_depth + 1e-9 * inverse_depth
    weight = confidence.astype(np.float64) + 1e-9
    votes, seen = np.zeros((2, *weight.shape)), np.zeros(weight.shape)
    for source in sources:
        back = np.ascontiguousarray(np.linalg.inv(source.rotation))
        to = np.ascontiguousarray(source.rotation)
        _hear(
            inverse_depth,
            source.inverse_depth,
            source.confidence,
            to,
            source.shift,
            back,
            float(focal),
            float(center[0]),
            float(center[1]),
            _TOLERANCE,
            float(_STEP * spacing),
            float(_JITTER * spacing),
            total,
            weight,
            votes,
            seen,
        )
    support, about = (votes / np.maximum(seen, 2)).astype(np.float32)
    return (total / weight).astype(np.float32), support, about
