"""Pairs of points that should be one: places that stand still, found again in a later frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..alignment import known
from ..datasets.ground_truth import Truth
from ..datasets.protocols import MetricsError, Protocol
from . import optical_flow, warping
from .optical_flow import Link

_SAME_SURFACE = 0.05  # relative difference of true depth
_STILL_PIXELS, _STILL_SHARE = 3.0, 0.05  # of the way, by which measured flow may miss a still scene's
_SAME_SHAPE = 0.02  # by which aspect ratios of picture and depth may differ
_DENSE = 0.5  # of the truth's pixels that have truth all around, from which on holes are edges of things

Depth = Callable[[int], "NDArray[np.floating] | None"]
"""Frame of the truth to Z [H, W] in metres at the truth's size, aligned; None where the estimate lacks the frame."""


Reason = Literal["pose", "depth", "points"]
"""What a pair of frames lacks: a true pose, an estimate, or points to compare."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What is needed of one frame.

    Attributes
    ----------
    index : int
        In the truth.
    depth : float64 [H, W] or None
        Estimated Z in metres, NaN where it is of no use; None where the estimate lacks the frame.
    true : float32 [H, W]
        Z in metres, NaN where it is not measured.
    moving : bool [H, W] or None
        None where nobody says.
    grey : uint8 [H, W]
        The picture; empty where flow is given.
    """

    index: int
    depth: NDArray[np.float64] | None
    true: NDArray[np.float32]
    moving: NDArray[np.bool_] | None
    grey: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Sums over the pairs of points of one pair of frames.

    Attributes
    ----------
    points, unusable : int
        Pairs of points that were compared, and that could not be since the estimate has no depth there.
    distance, relative : float
        Sum of Euclidean distances in metres, and of |Z there - Z expected there| / Z expected there.
    true_points : int
    true_distance, true_relative : float
        The same of the true depth, where it can be sampled on both sides.
    """

    points: int
    unusable: int
    distance: float
    relative: float
    true_points: int
    true_distance: float
    true_relative: float


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads the frames of an estimate and its truth.

    Attributes
    ----------
    depth : callable
        See `Depth`.
    truth : Truth
    protocol : Protocol
        Says which truth counts as measured.
    pictures : bool
        Whether flow is measured and pictures are needed.
    """

    depth: Depth
    truth: Truth
    protocol: Protocol
    pictures: bool

    def read(self, index: int) -> Frame:
        """Read one frame.

        Raises
        ------
        MetricsError
            Sizes or shapes do not fit, or a picture is needed and there is none.
        """
        true = self.truth.depth(index)
        estimate = self.depth(index)
        if estimate is not None and estimate.shape != true.shape:
            raise MetricsError(
                f"The estimate of frame {index} of {self.truth.name} has {_size(estimate.shape)} pixels and the truth "
                f"{_size(true.shape)}; bring it to the truth's size first."
            )
        return Frame(
            index=index,
            depth=None if estimate is None else _usable(estimate),
            true=known(true, self.protocol),
            moving=self.truth.moving(index),
            grey=self._grey(index, true.shape) if self.pictures else np.zeros((0, 0), np.uint8),
        )

    def given(self, index: int) -> Link:
        """The truth's own flow from a frame to the next, without a way back.

        Raises
        ------
        MetricsError
            It is missing.
        """
        flow = self.truth.flow(index)
        if flow is None:
            raise MetricsError(
                f"The truth of {self.truth.name} has flow for some frames and none for frame {index}; give it for all "
                "but the last, or remove it to have it measured."
            )
        known = np.asarray(np.isfinite(flow).all(axis=-1), bool)
        return Link(forth=flow, back=np.full_like(flow, np.nan), seen=known, seen_back=np.zeros_like(known))

    def _grey(self, index: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        picture = self.truth.picture(index)
        if picture is None:
            raise MetricsError(
                f"The truth of {self.truth.name} has neither flow nor pictures, so no place can be found again in a "
                "later frame; add one of them, or leave consistency out."
            )
        shades = optical_flow.grey(picture)
        if abs(shades.shape[1] * shape[0] / (shades.shape[0] * shape[1]) - 1) > _SAME_SHAPE:
            raise MetricsError(
                f"Picture {index} of {self.truth.name} has {_size(shades.shape)} pixels and its true depth "
                f"{_size(shape)}, another shape; crop both alike."
            )
        if max(shape) < optical_flow.SMALLEST:
            raise MetricsError(
                f"The truth of {self.truth.name} has {_size(shape)} pixels, too few to measure flow in; give "
                "its true flow."
            )
        return np.asarray(cv2.resize(shades, (shape[1], shape[0]), interpolation=cv2.INTER_AREA), np.uint8)


def compare(
    before: Frame,
    after: Frame,
    way: Link,
    *,
    poses: tuple[NDArray[np.float64] | None, ...],
    matrix: NDArray[np.float64],
) -> Pair | Reason:
    """Compare the places that two frames show both, in the second one's camera coordinates.

    Parameters
    ----------
    before, after : Frame
    way : Link
        Flow from the first to the second.
    poses : float64 [4, 4] or None
        Camera-to-world, of every frame of the truth.
    matrix : float64 [3, 3]
        Calibration.

    Returns
    -------
    Pair, or what is missing
    """
    first, second = poses[before.index], poses[after.index]
    if first is None or second is None:
        return "pose"
    if before.depth is None or after.depth is None:
        return "depth"
    motion = np.linalg.inv(second) @ first
    rows, columns = np.nonzero(_comparable(before, after, way, motion=motion, matrix=matrix))
    if not len(rows):
        return "points"
    x, y = columns.astype(np.float64), rows.astype(np.float64)
    u, v = (at + way.forth[rows, columns, axis] for axis, at in enumerate((x, y)))

    def differences(one: NDArray[np.floating], other: NDArray[np.floating]) -> tuple[int, float, float]:
        expected = warping.moved(warping.lift(one[rows, columns], x, y, matrix), motion)
        found = warping.lift(1 / warping.sampled(1 / other, u, v), u, v, matrix)
        usable = np.isfinite(expected).all(axis=-1) & np.isfinite(found).all(axis=-1) & (expected[:, 2] > 0)
        expected, found = expected[usable], found[usable]
        away = found - expected
        distance = np.sqrt(np.einsum("ij,ij->i", away, away))
        return len(found), float(distance.sum()), float(np.sum(np.abs(away[:, 2]) / expected[:, 2]))

    points, distance, relative = differences(before.depth, after.depth)
    true_points, true_distance, true_relative = differences(before.true, after.true)
    return Pair(
        points=points,
        unusable=len(rows) - points,
        distance=distance,
        relative=relative,
        true_points=true_points,
        true_distance=true_distance,
        true_relative=true_relative,
    )


def still_way(
    before: Frame, after: Frame, *, poses: tuple[NDArray[np.float64] | None, ...], matrix: NDArray[np.float64]
) -> Link | None:
    """Flow from a frame to another as the true depth and camera make it of a still scene; None without poses."""
    first, second = poses[before.index], poses[after.index]
    if first is None or second is None:
        return None
    forth = _still(before, motion=np.linalg.inv(second) @ first, matrix=matrix)[1]
    known = np.asarray(np.isfinite(forth).all(axis=-1), bool)
    return Link(forth=forth, back=np.full_like(forth, np.nan), seen=known, seen_back=np.zeros_like(known))


def chained(way: Link, step: Link) -> Link:
    """The way to a frame and the step from there to the next as one way."""
    forth = optical_flow.chained(way.forth, step.forth)
    seen = way.seen & np.isfinite(forth).all(axis=-1) & optical_flow.at(step.seen, *optical_flow.positions(way.forth))
    return Link(forth=forth, back=optical_flow.chained(step.back, way.back), seen=seen, seen_back=step.seen_back)


def sharp(step: Link) -> Link:
    """True flow as it may be chained: not sampled across edges of motion, between which nothing moves."""
    forth = np.where(optical_flow.edges(step.forth)[..., None], np.nan, step.forth)
    return replace(step, forth=forth, seen=step.seen & np.isfinite(forth).all(axis=-1))


def finite(way: Link) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flow forth and back, zero where it is not known."""
    return np.nan_to_num(way.forth).astype(np.float32), np.nan_to_num(way.back).astype(np.float32)


def _comparable(
    before: Frame, after: Frame, way: Link, *, motion: NDArray[np.float64], matrix: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Where a pixel of the first frame shows what stands still and is seen in the second as well [H, W]."""
    z, still = _still(before, motion=motion, matrix=matrix)
    u, v = optical_flow.positions(way.forth)
    chosen = way.seen & same_surface(after.true, z, u, v)
    if before.moving is not None and after.moving is not None:
        return chosen & ~before.moving & away_from(after.moving, u, v)
    with np.errstate(invalid="ignore"):
        missed = np.linalg.norm(way.forth - still, axis=-1)
        return chosen & (missed < _STILL_PIXELS + _STILL_SHARE * np.linalg.norm(still, axis=-1))


def _still(
    frame: Frame, *, motion: NDArray[np.float64], matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """True Z [H, W] of a frame's pixels after a camera's motion, and how far they go in the picture [H, W, 2]."""
    y, x = np.mgrid[: frame.true.shape[0], : frame.true.shape[1]].astype(np.float64)
    there = warping.moved(warping.lift(frame.true, x, y, matrix), motion)
    return there[..., 2], warping.projected(there, matrix) - np.stack([x, y], axis=-1)


def same_surface(
    true: NDArray[np.float32], z: NDArray[np.float64], u: NDArray[np.float32], v: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Where the truth around columns `u` and rows `v` is close to Z; False where Z is NaN.

    `true` is NaN where it is not measured. Where truth is dense, such as a rendering's or a depth camera's, all pixels
    that are sampled there must have it, since the edge of what has none (the sky) is an edge of things. A laser's
    single points are no such edge: there, one of the 3x3 pixels around is enough.
    """
    known = np.isfinite(true)
    if np.count_nonzero(cv2.erode(known.astype(np.uint8), np.ones((3, 3)))) > _DENSE * np.count_nonzero(known):
        low, high = warping.bounds_of_sampled(true, u, v)
    else:
        low, high = (
            cv2.remap(bound, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan)
            for bound in warping.bounds_around(true)
        )
    with np.errstate(invalid="ignore"):
        found = np.isfinite(low) & (low > (1 - _SAME_SURFACE) * z) & (high < (1 + _SAME_SURFACE) * z)
    return np.asarray(found, bool)


def away_from(moving: NDArray[np.bool_], u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where nothing that moves is among the pixels that are sampled at columns `u` and rows `v`."""
    near = cv2.dilate(moving.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return optical_flow.at(~near, u, v)


def _usable(depth: NDArray[np.floating]) -> NDArray[np.float64]:
    values = np.asarray(depth, np.float64)
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
