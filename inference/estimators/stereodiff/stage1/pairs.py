"""The pairs of frames that are matched, and the tree that joins them (StereoDiff, section 3.2).

A pair is directed: in ``(i, j)`` the points of both frames are in the axes of camera i, in a unit of length of the
pair's own. The pairs of the highest confidence make a tree that joins all frames. Pairs can be ruled out before all
scores are known.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import Tensor

Pair = tuple[int, int]
"""Two frames, counted from the shot's first; the axes are of the first one's camera."""
Scores = Mapping[Pair, float]


@dataclass(frozen=True)
class PointMap:
    """The network's result for one frame of a pair.

    Attributes
    ----------
    points : Tensor [H, W, 3]
        The surface point of each pixel, in the axes of the pair's first camera (OpenCV's: z is depth).
    confidence : Tensor [H, W]
        1 or more.
    """

    points: Tensor
    confidence: Tensor


def pairs(count: int, reach: int) -> list[Pair]:
    """The pairs of a shot: each frame with the next `reach` ones, the paper's n, in both directions.

    Sorted by the later frame, so that computing them in order needs `reach` frames besides the newest: twice
    n T - n (n + 1) / 2 pairs for T > n frames. A single frame is paired with itself.
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
    """Scores of pairs, float64: the product of both mean confidences [..., H, W] (DUSt3R, "mst" initialization)."""
    means = (each.mean(dim=(-2, -1), dtype=torch.float64) for each in (first, second))
    return next(means) * next(means)


def known(points: Tensor, confidence: Tensor) -> Tensor:
    """The confidence [H, W], 0 where it or the point [H, W, 3] is not finite."""
    usable = torch.isfinite(confidence) & torch.isfinite(points).all(-1)
    return torch.where(usable, confidence, torch.zeros_like(confidence))


def order(scores: Mapping[Pair, float], pair: Pair) -> tuple[float, int, int]:
    """Sort key of pairs by score; of equal scores, the pair of earlier frames is stronger. No two keys are equal."""
    return (scores[pair], -pair[0], -pair[1])


@dataclass(frozen=True)
class Placement:
    """A step from aligned frames to the next: `pair` holds the aligned `anchor`, and the `frame` that it aligns."""

    pair: Pair
    anchor: int
    frame: int


def spanning_tree(count: int, scores: Scores) -> list[Pair]:
    """The maximum spanning tree: pairs, of each two frames the better direction, that join all frames; strongest first.

    Of a single frame it is the pair of it with itself; a ValueError if the pairs do not join all frames.
    """
    strongest = _strongest_first(scores)
    if count == 1:
        return strongest
    better: dict[frozenset[int], Pair] = {}
    for pair in strongest:
        better.setdefault(frozenset(pair), pair)
    chosen = list(better.values())
    # Ranks instead of scores: the tree of the least sum of ranks has the greatest sum of scores, since only the order
    # matters (Kruskal). Ranks are never equal, so the tree does not depend on scipy's sorting, and never 0, which means
    # no edge to scipy.
    rows, columns = zip(*chosen) if chosen else ((), ())
    ranks = coo_matrix((np.arange(1, len(chosen) + 1), (rows, columns)), shape=(count, count))
    tree = sorted(int(rank) for rank in minimum_spanning_tree(ranks.tocsr()).data)
    if len(tree) != count - 1:
        raise ValueError(f"the pairs join the {count} frames into {count - len(tree)} separate groups")
    return [chosen[rank - 1] for rank in tree]


def placements(tree: list[Pair], scores: Scores) -> Iterator[Placement]:
    """The order of aligning a tree's pairs, from its strongest on: always the strongest that has an aligned frame."""
    at: dict[int, list[Pair]] = {}
    for pair in tree:
        for frame in pair:
            at.setdefault(frame, []).append(pair)
    placed: set[int] = set()
    waiting: list[tuple[tuple[float, int, int], Pair]] = []

    def place(frame: int) -> None:
        placed.add(frame)
        for pair in at[frame]:
            score, first, second = order(scores, pair)
            heapq.heappush(waiting, ((-score, -first, -second), pair))

    for frame in dict.fromkeys(tree[0]):
        place(frame)
    while waiting:
        _, (first, second) = heapq.heappop(waiting)
        if {first, second} <= placed:
            continue
        anchor, frame = (first, second) if first in placed else (second, first)
        yield Placement((first, second), anchor, frame)
        place(frame)


def strongest_starts(scores: Scores, among: Iterable[Pair]) -> dict[int, Pair]:
    """For every first frame of a pair, the strongest pair that starts there."""
    found: dict[int, Pair] = {}
    for pair in among:
        known = found.get(pair[0])
        if known is None or order(scores, pair) > order(scores, known):
            found[pair[0]] = pair
    return found


def may_join(scores: Scores, pair: Pair, reach: int) -> bool:
    """Whether a pair can still belong to the tree, whatever the scores of later pairs.

    It cannot if its reverse is stronger, or if both other sides of a triangle are: the weakest edge of a cycle is never
    in the tree.
    """
    first, second = pair
    mine = order(scores, pair)

    def beaten(a: int, b: int) -> bool:
        return any(other in scores and order(scores, other) > mine for other in ((a, b), (b, a)))

    if beaten(first, second):
        return False
    return not any(
        beaten(first, third) and beaten(third, second)
        for third in range(max(first, second) - reach, min(first, second) + reach + 1)
        if third not in pair
    )


def may_pose(scores: Scores, pair: Pair, reach: int) -> bool:
    """Whether a pair can still be the strongest of all that start at its first frame."""
    first = pair[0]
    others = ((first, other) for other in range(first - reach, first + reach + 1))
    return not any(other in scores and order(scores, other) > order(scores, pair) for other in others)


def _strongest_first(scores: Scores) -> list[Pair]:
    return sorted(scores, key=lambda pair: order(scores, pair), reverse=True)
