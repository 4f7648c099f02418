"""Consistency in space: whether a static point has the same position, estimated from different frames.

As StereoDiff measures it (Li et al., section 4.6, after Luo et al., Consistent Video Depth Estimation): the
estimated depth of a frame is unprojected to points by the true calibration, transformed by the true camera path to a
later frame, and compared with the points unprojected there, along optical flow and only in static regions. The mean
Euclidean distance between frames 10 apart is its table 8; the mean relative difference of Z between neighbors is the
warp error.

What the paper leaves open, and the choice made here: the pairs are (0, 10), (10, 20) ... of the ground truth's frames;
the mean is over all pairs of points of the shot; correspondences are the ground truth's own flow where it has any, else
forward-backward consistent DIS flow (the paper used CoTracker3). Points are used where ground truth is valid at both
ends and shows the same surface, which excludes occlusions. Without masks of dynamic objects, flow far from that of a
static scene with the true depth and camera is excluded as well. Measured flow has errors of a fraction of a pixel and
more, which alone cause a distance: `Distances.floor` is the score of the true depth itself on the same points.

In static regions, true depth and poses also measure how much an estimate changes from frame to frame (`flicker`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..datasets.ground_truth import GroundTruth
from ..datasets.protocols import PLAIN, MetricsError, Protocol
from . import optical_flow
from .optical_flow import FlowPair
from .point_pairs import Depth, Frame, Pair, Reader, Reason, chained, compare, finite, sharp, static_flow

SPACING = 10
"""Distance of a pair's two frames, as in the paper."""


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Distances of corresponding points in space, over all pairs of frames of one spacing.

    Attributes
    ----------
    distance : float or None
        Mean Euclidean distance in meters; None where nothing could be measured.
    relative : float or None
        Mean |Z there - Z expected there| / Z expected there.
    floor, relative_floor : float or None
        The same of the true depth, on the same points: errors of the correspondences and noise of the ground truth.
    by_pair : tuple of float
        Mean distance of each pair in meters, in order of time; NaN where it could not be measured.
    frames : tuple of int
        First frame of each pair.
    points : int
        Number of compared pairs of points.
    unusable : int
        Number of further pairs at which the estimate has no depth (NaN, infinite or not above 0).
    without_pose, without_depth, without_points : int
        Pairs of frames that could not be measured: no true pose, a frame without usable depth, no static
        point that both frames show.
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
        'given': the ground truth's own flow; 'measured': flow measured in the images.
    spacing : int
    spaced, neighbors : Distances
        Of frames `spacing` apart, and of neighboring frames.
    """

    correspondences: Literal["given", "measured"]
    spacing: int
    spaced: Distances
    neighbors: Distances


def consistency(
    depth: Depth,
    ground_truth: GroundTruth,
    frames: range | None = None,
    *,
    spacing: int = SPACING,
    protocol: Protocol = PLAIN,
) -> Consistency:
    """Measure a shot, with a few frames in memory at a time; `frames` are consecutive, None: all.

    Raises
    ------
    MetricsError
        The ground truth has no calibration, no pose, neither flow nor images, or images of another shape.
    """
    frames = range(len(ground_truth)) if frames is None else frames
    if spacing < 1:
        raise ValueError(f"frames of a pair lie at least 1 apart, not {spacing}")
    if ground_truth.matrix is None or all(ground_truth.poses[index] is None for index in frames):
        raise MetricsError(
            f"The ground truth of {ground_truth.name} has no camera path, so consistency cannot be measured; add poses "
            "and calibration, or leave consistency out."
        )
    given = len(frames) > 1 and ground_truth.flow(frames[0]) is not None
    reader = Reader(depth=depth, ground_truth=ground_truth, protocol=protocol, images=not given and len(frames) > 1)
    spaced: list[tuple[int, Pair | Reason]] = []
    neighbors: list[tuple[int, Pair | Reason]] = []
    start = before = reader.read(frames[0])
    flow: FlowPair | None = None
    for index in frames[1:]:
        after = reader.read(index)
        step = reader.given(before.index) if given else optical_flow.flow_pair(before.gray, after.gray)
        neighbors.append((before.index, compare(before, after, step, ground_truth)))
        onward = sharp(step) if given else step
        flow = onward if flow is None else chained(flow, onward)
        if index - start.index == spacing:
            if spacing == 1:
                flow = step
            elif not given:
                flow = optical_flow.flow_pair(start.gray, after.gray, start=finite(flow))
            spaced.append((start.index, compare(start, after, flow, ground_truth)))
            start, flow = after, None
        before = after
    return Consistency(
        correspondences="given" if given else "measured",
        spacing=spacing,
        spaced=_distances(spaced),
        neighbors=_distances(neighbors),
    )


def _distances(found: Sequence[tuple[int, Pair | Reason]]) -> Distances:
    """Combine all pairs of one spacing, each with its first frame."""
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


def flicker(depth: Depth, ground_truth: GroundTruth, frames: Sequence[int], protocol: Protocol = PLAIN) -> float | None:
    """Mean |next frame, warped - expected| / expected over static pixels; None where no pair of frames has poses.

    The true depth and poses give the correspondences; the expected depth is the estimate itself, transformed by the
    poses. Only consecutive frames of the ground truth are compared.
    """
    if ground_truth.matrix is None:
        return None
    reader = Reader(depth=depth, ground_truth=ground_truth, protocol=protocol, images=False)
    found: list[float] = []
    before: Frame | None = None
    for index in frames:
        after = reader.read(index)
        if before is not None and before.index == index - 1 and after.depth is not None:
            flow = static_flow(before, after, ground_truth)
            pair = compare(before, after, flow, ground_truth) if flow else "pose"
            found += [pair.relative / pair.points] if isinstance(pair, Pair) and pair.points else []
        before = after
    return float(np.mean(found)) if found else None
