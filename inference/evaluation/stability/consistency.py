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

from ..datasets.ground_truth import Truth
from ..datasets.protocols import PLAIN, MetricsError, Protocol
from . import optical_flow
from .optical_flow import Link
from .point_pairs import Depth, Frame, Pair, Reader, Reason, chained, compare, finite, sharp, still_way

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
    spaced: list[tuple[int, Pair | Reason]] = []
    neighbours: list[tuple[int, Pair | Reason]] = []
    start = before = reader.read(frames[0])
    way: Link | None = None
    for index in frames[1:]:
        after = reader.read(index)
        step = reader.given(before.index) if given else optical_flow.link(before.grey, after.grey)
        neighbours.append((before.index, compare(before, after, step, poses=truth.poses, matrix=truth.matrix)))
        onward = sharp(step) if given else step
        way = onward if way is None else chained(way, onward)
        if index - start.index == spacing:
            if spacing == 1:
                way = step
            elif not given:
                way = optical_flow.link(start.grey, after.grey, start=finite(way))
            spaced.append((start.index, compare(start, after, way, poses=truth.poses, matrix=truth.matrix)))
            start, way = after, None
        before = after
    return Consistency(
        correspondences="given" if given else "measured",
        spacing=spacing,
        spaced=_distances(spaced),
        neighbours=_distances(neighbours),
    )


def _distances(found: Sequence[tuple[int, Pair | Reason]]) -> Distances:
    """All pairs of one spacing together; of each, its first frame and what was found."""
    pairs = [pair for _, pair in found if isinstance(pair, Pair)]
    points, true_points = (sum(getattr(pair, name) for pair in pairs) for name in ("points", "true_points"))
    reasons = [pair if not isinstance(pair, Pair) else None if pair.points else "depth" for _, pair in found]
    return Distances(
        distance=_mean(sum(pair.distance for pair in pairs), points),
        relative=_mean(sum(pair.relative for pair in pairs), points),
        floor=_mean(sum(pair.true_distance for pair in pairs), true_points),
        relative_floor=_mean(sum(pair.true_relative for pair in pairs), true_points),
        by_pair=tuple(
            pair.distance / pair.points if isinstance(pair, Pair) and pair.points else float("nan") for _, pair in found
        ),
        frames=tuple(frame for frame, _ in found),
        points=points,
        unusable=sum(pair.unusable for pair in pairs),
        without_pose=reasons.count("pose"),
        without_depth=reasons.count("depth"),
        without_points=reasons.count("points"),
    )


def _mean(total: float, count: int) -> float | None:
    return total / count if count else None


def flicker(depth: Depth, truth: Truth, frames: Sequence[int], protocol: Protocol = PLAIN) -> float | None:
    """Mean |next frame, warped - expected| / expected over static pixels; None where no pair of frames has poses.

    The true depth and poses say where the next frame shows what a pixel shows; the estimate itself, moved by the poses,
    says the depth to expect there. Only frames that follow each other in the truth are compared.

    Parameters
    ----------
    depth : callable
        See `Depth`.
    truth : Truth
    frames : sequence of int
        Of the truth.
    protocol : Protocol
        Says which truth counts as measured.
    """
    if truth.matrix is None:
        return None
    reader = Reader(depth=depth, truth=truth, protocol=protocol, pictures=False)
    found: list[float] = []
    before: Frame | None = None
    for index in frames:
        after = reader.read(index)
        if before is not None and before.index == index - 1 and after.depth is not None:
            way = still_way(before, after, poses=truth.poses, matrix=truth.matrix)
            pair = compare(before, after, way, poses=truth.poses, matrix=truth.matrix) if way else "pose"
            found += [pair.relative / pair.points] if isinstance(pair, Pair) and pair.points else []
        before = after
    return float(np.mean(found)) if found else None
