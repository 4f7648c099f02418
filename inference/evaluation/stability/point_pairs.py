"""Pairs of corresponding points: static points, tracked to a later frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..alignment import known
from ..datasets.ground_truth import GroundTruth
from ..datasets.protocols import MetricsError, Protocol
from . import optical_flow, warping
from .optical_flow import FlowPair

_SAME_SURFACE = 0.05  # relative difference of true depth
_STATIC_PIXELS, _STATIC_SHARE = (
    3.0,
    0.05,
)  # and share of its length, by which measured flow may differ from a static scene's
_SAME_SHAPE = 0.02  # by which aspect ratios of image and depth may differ
_DENSE = 0.5  # share of the valid pixels whose neighbors are all valid, from which on holes count as depth edges

Depth = Callable[[int], "NDArray[np.floating] | None"]
"""Frame of the ground truth to aligned Z [H, W] in meters at its size; None where there is no estimate."""


Reason = Literal["pose", "depth", "points"]
"""What is missing to compare a pair of frames: a true pose, an estimate, or points."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A frame to compare.

    Attributes
    ----------
    index : int
        In the ground truth.
    depth : float64 [H, W] or None
        Estimated Z in meters, NaN where invalid; None where there is no estimate.
    true : float32 [H, W]
        Z in meters, NaN where there is no ground truth.
    moving : bool [H, W] or None
        Dynamic objects; None where they are unknown.
    gray : uint8 [H, W]
        The image; empty where the ground truth has flow.
    """

    index: int
    depth: NDArray[np.float64] | None
    true: NDArray[np.float32]
    moving: NDArray[np.bool_] | None
    gray: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Sums over the pairs of points of one pair of frames.

    Attributes
    ----------
    points, unusable : int
        Pairs of points that were compared, and further ones at which the estimate has no depth.
    distance, relative : float
        Sum of Euclidean distances in meters, and of |Z there - Z expected there| / Z expected there.
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
    """Reads the frames of an estimate and its ground truth, with `images` where flow is measured in them."""

    depth: Depth
    ground_truth: GroundTruth
    protocol: Protocol
    images: bool

    def read(self, index: int) -> Frame:
        """Read one frame; a `MetricsError` if sizes do not match, or if there is no image where one is needed."""
        true = self.ground_truth.depth(index)
        estimate = self.depth(index)
        if estimate is not None and estimate.shape != true.shape:
            raise MetricsError(
                f"The estimate of frame {index} of {self.ground_truth.name} has {_size(estimate.shape)} pixels and the "
                f"ground truth {_size(true.shape)}; resize it first."
            )
        return Frame(
            index=index,
            depth=None if estimate is None else _usable(estimate),
            true=known(true, self.protocol),
            moving=self.ground_truth.moving(index),
            gray=self._gray(index, true.shape) if self.images else np.zeros((0, 0), np.uint8),
        )

    def given(self, index: int) -> FlowPair:
        """The ground truth's own flow from a frame to the next, which it must have, without backward flow."""
        flow = self.ground_truth.flow(index)
        if flow is None:
            raise MetricsError(
                f"The ground truth of {self.ground_truth.name} has flow for some frames and none for frame {index}; "
                "add it for all but the last, or remove it to have flow measured."
            )
        return _one_way(flow)

    def _gray(self, index: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        image = self.ground_truth.image(index)
        if image is None:
            raise MetricsError(
                f"The ground truth of {self.ground_truth.name} has neither flow nor images, so points cannot be "
                "tracked; add one of them, or leave consistency out."
            )
        shades = optical_flow.gray(image)
        if abs(shades.shape[1] * shape[0] / (shades.shape[0] * shape[1]) - 1) > _SAME_SHAPE:
            raise MetricsError(
                f"Image {index} of {self.ground_truth.name} has {_size(shades.shape)} pixels and its true depth "
                f"{_size(shape)}, another shape; crop both alike."
            )
        if max(shape) < optical_flow.SMALLEST:
            raise MetricsError(
                f"The ground truth of {self.ground_truth.name} has {_size(shape)} pixels, too few to measure flow; add "
                "its true flow."
            )
        return np.asarray(cv2.resize(shades, (shape[1], shape[0]), interpolation=cv2.INTER_AREA), np.uint8)


def compare(before: Frame, after: Frame, flow: FlowPair, ground_truth: GroundTruth) -> Pair | Reason:
    """Compare the static points that two frames share, in the second one's camera coordinates, or say what is missing.

    `flow` leads from the first frame to the second.
    """
    motion, matrix = _camera_motion(before, after, ground_truth), ground_truth.matrix
    if motion is None or matrix is None:
        return "pose"
    if before.depth is None or after.depth is None:
        return "depth"
    rows, columns = np.nonzero(_comparable(before, after, flow, motion=motion, matrix=matrix))
    if not len(rows):
        return "points"
    x, y = columns.astype(np.float64), rows.astype(np.float64)
    u, v = (at + flow.forward[rows, columns, axis] for axis, at in enumerate((x, y)))

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


def static_flow(before: Frame, after: Frame, ground_truth: GroundTruth) -> FlowPair | None:
    """Flow of a static scene from a frame to another, by true depth and camera; None without poses."""
    motion, matrix = _camera_motion(before, after, ground_truth), ground_truth.matrix
    if motion is None or matrix is None:
        return None
    return _one_way(_static_motion(before, motion=motion, matrix=matrix)[1])


def _camera_motion(before: Frame, after: Frame, ground_truth: GroundTruth) -> NDArray[np.float64] | None:
    """From the first frame's camera coordinates to the second's [4, 4]; None without poses."""
    first, second = (ground_truth.poses[frame.index] for frame in (before, after))
    return None if first is None or second is None else np.linalg.inv(second) @ first


def _one_way(forward: NDArray[np.floating]) -> FlowPair:
    """Known flow [H, W, 2], NaN where unknown, without backward flow."""
    known = np.asarray(np.isfinite(forward).all(axis=-1), bool)
    return FlowPair(
        forward=forward, backward=np.full_like(forward, np.nan), reliable=known, reliable_backward=np.zeros_like(known)
    )


def chained(flow: FlowPair, step: FlowPair) -> FlowPair:
    """Concatenate flow to a frame and the step from there to the next."""
    forward = optical_flow.chained(flow.forward, step.forward)
    reliable = (
        flow.reliable
        & np.isfinite(forward).all(axis=-1)
        & optical_flow.at(step.reliable, *optical_flow.positions(flow.forward))
    )
    return FlowPair(
        forward=forward,
        backward=optical_flow.chained(step.backward, flow.backward),
        reliable=reliable,
        reliable_backward=step.reliable_backward,
    )


def sharp(step: FlowPair) -> FlowPair:
    """True flow prepared for chaining: invalid at motion boundaries, across which it must not be interpolated."""
    forward = np.where(optical_flow.edges(step.forward)[..., None], np.nan, step.forward)
    return replace(step, forward=forward, reliable=step.reliable & np.isfinite(forward).all(axis=-1))


def finite(flow: FlowPair) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Forward and backward flow, 0 where unknown."""
    return np.nan_to_num(flow.forward).astype(np.float32), np.nan_to_num(flow.backward).astype(np.float32)


def _comparable(
    before: Frame, after: Frame, flow: FlowPair, *, motion: NDArray[np.float64], matrix: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Where the first frame is static and visible in the second [H, W]."""
    z, static = _static_motion(before, motion=motion, matrix=matrix)
    u, v = optical_flow.positions(flow.forward)
    chosen = flow.reliable & same_surface(after.true, z, u, v)
    if before.moving is not None and after.moving is not None:
        return chosen & ~before.moving & away_from(after.moving, u, v)
    with np.errstate(invalid="ignore"):
        missed = np.linalg.norm(flow.forward - static, axis=-1)
        return chosen & (missed < _STATIC_PIXELS + _STATIC_SHARE * np.linalg.norm(static, axis=-1))


def _static_motion(
    frame: Frame, *, motion: NDArray[np.float64], matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """True Z [H, W] of a frame's pixels after a camera's motion, and their motion in the image [H, W, 2]."""
    y, x = np.mgrid[: frame.true.shape[0], : frame.true.shape[1]].astype(np.float64)
    there = warping.moved(warping.lift(frame.true, x, y, matrix), motion)
    return there[..., 2], warping.projected(there, matrix) - np.stack([x, y], axis=-1)


def same_surface(
    true: NDArray[np.float32], z: NDArray[np.float64], u: NDArray[np.float32], v: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Where the ground truth around columns `u` and rows `v` is close to Z; False where Z is NaN.

    `true` is NaN where there is no ground truth. Where it is dense, as of a rendering or a depth camera, all sampled
    pixels must be valid, since the border of invalid regions (the sky) is a depth edge. For the sparse points of a
    laser, one valid pixel of the surrounding 3x3 is enough.
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
    """Where no dynamic object is among the pixels sampled at columns `u` and rows `v`."""
    near = cv2.dilate(moving.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return optical_flow.at(~near, u, v)


def _usable(depth: NDArray[np.floating]) -> NDArray[np.float64]:
    values = np.asarray(depth, np.float64)
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
