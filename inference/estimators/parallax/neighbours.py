"""Which frames to compare a frame with: far enough apart to see depth, near enough to see the same things."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .view import Views

_BASELINES = (0.04, 0.12)
"""Wanted distances between the cameras, as shares of the scene's median depth."""
_LEAST_OVERLAP = 0.4
_GOOD_OVERLAP = 0.85
_MOST_TURN = np.cos(np.radians(35.0))
_REACH = 60  # frames to either side that are looked at
_COUNT = 4


def choose(views: Views, frame: int, depth: float, *, baselines: Sequence[float] = _BASELINES) -> list[int]:
    """Neighbours of a frame, one on each side for each wanted baseline, others where a side has none.

    Parameters
    ----------
    views : Views
    frame : int
    depth : float
        Median depth of what the frame sees.
    """
    candidates = [f for f in range(max(0, frame - _REACH), min(len(views), frame + _REACH + 1)) if f != frame]
    costs = {f: _costs(views, frame, f, depth, baselines) for f in candidates}
    chosen: list[int] = []
    for index in range(len(baselines)):
        for side in (-1, 1):
            on_side = [f for f in candidates if (f - frame) * side > 0 and f not in chosen]
            best = min(on_side, key=lambda f: costs[f][index], default=None)
            if best is not None and costs[best][index] < 1.5:
                chosen.append(best)
    rest = sorted((f for f in candidates if f not in chosen), key=lambda f: min(costs[f]))
    while len(chosen) < _COUNT and rest and min(costs[rest[0]]) < 4:
        chosen.append(rest.pop(0))
    return sorted(chosen)


def _costs(views: Views, frame: int, other: int, depth: float, baselines: Sequence[float]) -> list[float]:
    """How ill-suited `other` is for each wanted baseline; infinite where it sees too little of the same."""
    rotation, shift = views.relative(frame, other)
    if rotation[2, 2] < _MOST_TURN:
        return [np.inf] * len(baselines)
    overlap = _overlap(views, frame, rotation, shift)
    if overlap < _LEAST_OVERLAP:
        return [np.inf] * len(baselines)
    share = max(float(np.linalg.norm(shift)) / depth, 1e-9)
    lost = 6 * max(_GOOD_OVERLAP - overlap, 0)
    return [abs(np.log(share / wanted)) + lost for wanted in baselines]


def _overlap(views: Views, frame: int, rotation: np.ndarray, shift: np.ndarray) -> float:
    """Share of the frame's points that fall inside the other picture."""
    _, points = views.sparse(frame)
    if not len(points):
        return 1.0
    moved = points @ rotation.T + shift
    front = moved[:, 2] > 0
    pixels = views.project(moved[front])
    inside = np.all((pixels >= 0) & (pixels <= [views.width - 1, views.height - 1]), axis=1)
    return float(inside.sum()) / len(points)
