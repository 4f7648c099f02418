"""Which frames are looked at together, and what the network says of a frame in a pair (StereoDiff, section 3.2).

A pair is directed: in ``(i, j)`` the points of both frames are in the axes of camera i, in a unit of length of the
pair's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Pair = tuple[int, int]
"""Two frames, counted from the shot's first; the first one's camera gives the axes."""


@dataclass(frozen=True)
class PointMap:
    """What the network says of one frame of a pair.

    Attributes
    ----------
    points : Tensor [H, W, 3]
        Where each pixel's surface is, in the axes of the pair's first camera (OpenCV's: z is depth).
    confidence : Tensor [H, W]
        1 or more.
    """

    points: Tensor
    confidence: Tensor


def pairs(count: int, reach: int) -> list[Pair]:
    """The pairs of a shot: each frame with the next `reach` ones, in both directions.

    Parameters
    ----------
    count : int
        Frames of the shot. A single frame is paired with itself.
    reach : int
        The paper's n, 1 or more.

    Returns
    -------
    list of Pair
        By the later frame, so that whoever computes them one after the other needs `reach` frames besides the newest.
        Twice n T - n (n + 1) / 2 pairs for T > n frames.
    """
    if count == 1:
        return [(0, 0)]
    return [
        pair
        for later in range(count)
        for earlier in range(max(later - reach, 0), later)
        for pair in ((earlier, later), (later, earlier))
    ]


def scores(first: Tensor, second: Tensor) -> Tensor:
    """How far pairs are to be trusted: the product of both frames' mean confidences (DUSt3R, "mst" initialisation).

    Parameters
    ----------
    first, second : Tensor [..., H, W]
        Confidences of both frames; 0 where there is no point, see `known`.

    Returns
    -------
    Tensor [...]
        float64.
    """
    means = (each.mean(dim=(-2, -1), dtype=torch.float64) for each in (first, second))
    return next(means) * next(means)


def score(first: Tensor, second: Tensor) -> float:
    """The same of one pair."""
    return float(scores(first, second))


def known(points: Tensor, confidence: Tensor) -> Tensor:
    """The confidence [H, W], 0 where it or the point [H, W, 3] is not finite."""
    usable = torch.isfinite(confidence) & torch.isfinite(points).all(-1)
    return torch.where(usable, confidence, torch.zeros_like(confidence))


def order(scores: Mapping[Pair, float], pair: Pair) -> tuple[float, int, int]:
    """Sorts pairs by strength; of equal ones, the pair of earlier frames is the stronger. No two pairs are equal."""
    return (scores[pair], -pair[0], -pair[1])
