"""Boundary F1: how exactly the edges of depth lie where the ground truth has them.

From a pixel i to a neighbor j, to the right or left, above or below, there is an edge where Z(j) / Z(i) > 1 + t. Of
the estimate's edges some are also the ground truth's (precision), of the ground truth's some are also found (recall);
F1 is their harmonic mean. It is averaged over the thresholds t with the weights t, so that an edge counts the more,
the higher its step is (after Bochkovskii et al., "Depth Pro", 2024, section 3.3). Once an edge must lie between the
same two pixels; once another edge in the same direction one pixel beside it is enough.

Edges are counted over all frames together, between pixels that both have true depth within the protocol's limits.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

THRESHOLDS = (0.05, 0.10, 0.15, 0.20, 0.25)
"""The values of t."""
EDGE_COUNTS = (len(THRESHOLDS), 2, 4)
"""The shape of `edge_counts`."""
_BESIDE = np.ones((3, 3), np.uint8)


def edge_counts(depth: NDArray[np.floating], true: NDArray[np.floating]) -> NDArray[np.int64]:
    """The edges of one frame.

    Parameters
    ----------
    depth, true : float [H, W]
        Aligned estimate and ground truth, Z in one unit; NaN in either where a pixel does not count.

    Returns
    -------
    int64 [5, 2, 4]
        By threshold, and for edges met exactly or within one pixel: the estimate's edges, those of them that the ground
        truth has, the ground truth's edges, those of them that the estimate has.
    """
    counts = np.zeros(EDGE_COUNTS, np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        ours, theirs = (np.log(np.asarray(values, np.float64)) for values in (depth, true))
        for axis in (0, 1):
            steps, true_steps = np.diff(ours, axis=axis), np.diff(theirs, axis=axis)
            unknown = np.isnan(steps) | np.isnan(true_steps)
            steps[unknown] = true_steps[unknown] = 0
            for place, threshold in enumerate(np.log1p(THRESHOLDS)):
                for sign in (1, -1):
                    found, there = sign * steps > threshold, sign * true_steps > threshold
                    counts[place, 0] += _met(found, found, there, there)
                    counts[place, 1] += _met(found, _widened(found), there, _widened(there))
    return counts


def _met(
    found: NDArray[np.bool_], found_near: NDArray[np.bool_], there: NDArray[np.bool_], there_near: NDArray[np.bool_]
) -> tuple[int, ...]:
    return tuple(int(np.count_nonzero(each)) for each in (found, found & there_near, there, there & found_near))


def _widened(edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return cv2.dilate(edges.astype(np.uint8), _BESIDE) > 0 if edges.size else edges


def boundary_f1(counts: Iterable[NDArray[np.int64]], *, exact: bool) -> float | None:
    """F1 over frames, from their `edge_counts`; None where the ground truth has no edge at all."""
    total = sum(counts, np.zeros(EDGE_COUNTS, np.int64))[:, 0 if exact else 1]
    score, weight = 0.0, 0.0
    for threshold, (found, right, there, met) in zip(THRESHOLDS, total.tolist(), strict=True):
        if not there:
            continue  # nothing can be found of edges that high
        precision, recall = right / found if found else 0.0, met / there
        score += threshold * (2 * precision * recall / (precision + recall) if right and met else 0.0)
        weight += threshold
    return score / weight if weight else None
