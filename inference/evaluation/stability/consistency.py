"""Whether a place that stands still has one position in space, seen from frame after frame.

As StereoDiff measures it (Li et al., section 4.6, after Luo et al., Consistent Video Depth Estimation): the
estimated depth of a frame is lifted to points by the true calibration, carried by the true camera path to a later
frame, and compared with the points lifted there, along optical flow and only where nothing moves. The mean Euclidean
distance between frames 10 apart is its table 8; the mean relative difference of Z between neighbours is the warp
error.

What the paper leaves open, and what is done here: the pairs are (0, 10), (10, 20) ... of the truth's frames; the mean
is over all pairs of points of the shot; correspondences are the truth's own flow where it has any, else DIS flow that
agrees forth and back (the paper took CoTracker3's). Points count where the truth is measured at both ends and shows
the same surface there, so that what is hidden at one end is left out; where nobody says what moves, so does flow that
is far from what the true depth and camera make of a still scene. Measured flow is wrong by parts of a pixel and more,
which alone makes a distance: `Distances.floor` says how much, as the score of the true depth itself on the same points.

Where nothing moves, true depth and poses also tell how much an estimate changes from frame to frame (`flicker`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..alignment import Alignment, Disparity, known
from ..datasets.ground_truth import Truth
from ..datasets.protocols import PLAIN, MetricsError, Protocol, fitted
from . import optical_flow
from .optical_flow import Link
from .point_pairs import Depth, Pair, Reader, Reason, away_from, chained, compare, finite, same_surface, sharp
from .warping import lift, moved, projected, sampled

SPACING = 10
"""Frames between the two of a pair, as in the paper."""


@dataclass(frozen=True, kw_only=True)
class Distances:
    """How far points that should be one lie apart, over all pairs of frames of one spacing.

    Attributes
    ----------
    distance : float or None
        Mean Euclidean distance in metres; None where nothing could be measured.
    relative : float or None
        Mean |Z there - Z expected there| / Z expected there.
    floor, relative_floor : float or None
        The same of the true depth, on the same points: what the correspondences and the truth's own noise add.
    by_pair : tuple of float
        Mean distance of each pair in metres, in order of time; NaN where it could not be measured.
    frames : tuple of int
        First frame of each pair.
    points : int
        How many pairs of points were compared.
    unusable : int
        How many more there would be, had the estimate a depth there (NaN, infinite or not above 0).
    without_pose, without_depth, without_points : int
        Pairs of frames that could not be measured: no true pose, a frame in which the estimate has
        nothing of use, no point that stands still and is seen twice.
    """

    distance: float | None
    relative: float | None
    floor: float | None
    relative_floor: float | None
    by_pair: tuple[float, ...]
    frames: tuple[int, ...]
    points: int
    unusable: int
    without_pose: int
    without_depth: int
    without_points: int


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """Consistency of a shot in space.

    Attributes
    ----------
    correspondences : 'given' or 'measured'
        Whether the flow is the truth's own, or was measured in the pictures.
    spacing : int
    spaced, neighbours : Distances
        Of frames `spacing` apart, and of each frame and the next.
    """

    correspondences: Literal["given", "measured"]
    spacing: int
    spaced: Distances
    neighbours: Distances


def consistency(
    depth: Depth,
    truth: Truth,
    frames: range | None = None,
    *,
    spacing: int = SPACING,
    protocol: Protocol = PLAIN,
) -> Consistency:
    """Measure a shot, with a few frames in memory at a time.

    Parameters
    ----------
    depth : callable
        See `Depth`.
    truth : Truth
        With calibration and poses, and flow or pictures.
    frames : range or None
        Frames of the truth to measure, one after the other; None: all.
    spacing : int
        Frames between the two of a pair.
    protocol : Protocol
        Says which truth counts as measured.

    Raises
    ------
    MetricsError
        The truth has no calibration, no pose at all, or neither flow nor pictures; or pictures of another shape.
    """
    frames = range(len(truth)) if frames is None else frames
    if spacing < 1:
        raise ValueError(f"frames of a pair lie at least 1 apart, not {spacing}")
    if truth.matrix is None or all(truth.poses[index] is None for index in frames):
        raise MetricsError(
            f"The truth of {truth.name} has no camera path, so nothing can be placed in space; give poses and "
            "calibration, or leave consistency out."
        )
    given = len(frames) > 1 and truth.flow(frames[0]) is not None
    reader = Reader(depth=depth, truth=truth, protocol=protocol, pictures=not given and len(frames) > 1)
    spaced, neighbours = _Sums(), _Sums()
    start = before = reader.read(frames[0])
    way: Link | None = None
    for index in frames[1:]:
        after = reader.read(index)
        step = reader.given(before.index) if given else optical_flow.link(before.grey, after.grey)
        neighbours.add(before.index, compare(before, after, step, poses=truth.poses, matrix=truth.matrix))
        onward = sharp(step) if given else step
        way = onward if way is None else chained(way, onward)
        if index - start.index == spacing:
            if spacing == 1:
                way = step
            elif not given:
                way = optical_flow.link(start.grey, after.grey, start=finite(way))
            spaced.add(start.index, compare(start, after, way, poses=truth.poses, matrix=truth.matrix))
            start, way = after, None
        before = after
    return Consistency(
        correspondences="given" if given else "measured",
        spacing=spacing,
        spaced=spaced.result(),
        neighbours=neighbours.result(),
    )


class _Sums:
    """Pairs of frames of one spacing, as they come."""

    def __init__(self) -> None:
        self._pairs: list[Pair | Reason] = []
        self._frames: list[int] = []

    def add(self, frame: int, pair: Pair | Reason) -> None:
        self._frames.append(frame)
        self._pairs.append(pair)

    def result(self) -> Distances:
        measured = [pair for pair in self._pairs if isinstance(pair, Pair)]
        points = sum(pair.points for pair in measured)
        true_points = sum(pair.true_points for pair in measured)
        reasons = [_reason(pair) for pair in self._pairs]
        return Distances(
            distance=_mean(sum(pair.distance for pair in measured), points),
            relative=_mean(sum(pair.relative for pair in measured), points),
            floor=_mean(sum(pair.true_distance for pair in measured), true_points),
            relative_floor=_mean(sum(pair.true_relative for pair in measured), true_points),
            by_pair=tuple(
                pair.distance / pair.points if isinstance(pair, Pair) and pair.points else float("nan")
                for pair in self._pairs
            ),
            frames=tuple(self._frames),
            points=points,
            unusable=sum(pair.unusable for pair in measured),
            without_pose=reasons.count("pose"),
            without_depth=reasons.count("depth"),
            without_points=reasons.count("points"),
        )


def _reason(pair: Pair | Reason) -> Reason | None:
    if not isinstance(pair, Pair):
        return pair
    return None if pair.points else "depth"


def _mean(total: float, count: int) -> float | None:
    return total / count if count else None


def flicker(
    disparity: Disparity,
    truth: Truth,
    frames: Sequence[int],
    alignment: Alignment,
    protocol: Protocol = PLAIN,
) -> float | None:
    """Mean |next frame, warped - expected| / expected over static pixels; None where no pair of frames has poses.

    Only frames that follow each other in the truth are compared.
    """
    found: list[float] = []
    before: tuple[int, NDArray[np.float64]] | None = None
    for frame in frames:
        estimate = disparity(frame)
        if estimate is None:
            before = None
            continue
        depth = alignment.depth(fitted(estimate, truth.depth(frame).shape, protocol))
        if before is not None and before[0] == frame - 1:
            change = _change(truth, frame - 1, before[1], depth, protocol)
            found += [] if change is None else [change]
        before = frame, depth
    return float(np.mean(found)) if found else None


def _change(
    truth: Truth, frame: int, depth: NDArray[np.float64], after: NDArray[np.float64], protocol: Protocol
) -> float | None:
    """How much the estimate after `frame` differs from what the estimate at `frame` lets expect there.

    The true depth and poses tell where the next frame shows a pixel's place, and whether it is hidden there or lies at
    the edge of something else, whose depth would be mixed with its own; the estimate itself, moved by the poses, tells
    the depth to expect.
    """
    first, second = truth.poses[frame], truth.poses[frame + 1]
    if first is None or second is None or truth.matrix is None:
        return None
    move = np.linalg.inv(second) @ first
    true, true_after = (known(truth.depth(each), protocol) for each in (frame, frame + 1))
    y, x = np.mgrid[: true.shape[0], : true.shape[1]]
    there = moved(lift(true, x, y, truth.matrix), move)
    place = projected(there, truth.matrix)
    u, v = place[..., 0], place[..., 1]
    warped = 1 / sampled(1 / after, u, v)
    expected = moved(lift(depth, x, y, truth.matrix), move)[..., 2]
    moving, moving_after = truth.moving(frame), truth.moving(frame + 1)
    with np.errstate(invalid="ignore"):
        static = np.isfinite(true) & (expected > 0) & np.isfinite(warped)
    column, row = (np.nan_to_num(at, nan=-9).astype(np.float32) for at in (u, v))
    static &= same_surface(true_after, there[..., 2], column, row)
    if moving is not None and moving_after is not None:
        static &= ~moving & away_from(moving_after, column, row)
    if not static.any():
        return None
    return float(np.mean(np.abs(warped[static] - expected[static]) / expected[static]))
