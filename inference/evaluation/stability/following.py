"""Disparity of neighboring frames, compared along the motion of the static region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..datasets.protocols import MetricsError
from . import optical_flow, warping
from .optical_flow import FlowPair, NoStaticRegion, at, positions, static_region
from .warping import sampled

_EDGE = 0.05  # of the disparity range: the difference around a pixel from which on it is an edge
_MOVES = 0.1  # pixels of flow from which on disparity is sampled between pixels
_FEWEST, _LEAST_SHARE = 50, 0.005  # number and share of the image's pixels that a mean needs


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A frame to compare.

    Attributes
    ----------
    number : int
    gray : uint8 [H, W]
    disparity : float64 [H, W] or None
        NaN where invalid; None where there is none.
    smooth : bool [H, W]
        True off the edges of disparity.
    unusable : int
        Pixels whose disparity is not finite.
    """

    number: int
    gray: NDArray[np.uint8]
    disparity: NDArray[np.float64] | None
    smooth: NDArray[np.bool_]
    unusable: int


@dataclass(frozen=True, kw_only=True)
class FramePair:
    """Two consecutive frames, and where the first one is static and visible in the second [H, W]."""

    flow_pair: FlowPair
    static: NDArray[np.bool_]

    def static_in_second(self) -> NDArray[np.bool_]:
        """Where the second one is static and visible in the first."""
        return self.flow_pair.reliable_backward & at(self.static, *positions(self.flow_pair.backward))


@dataclass(frozen=True, kw_only=True)
class Change:
    """Mean of absolute and of signed values over the static region; NaN where that is too small."""

    size: float
    shift: float


NO_CHANGE = Change(size=float("nan"), shift=float("nan"))


def frame(number: int, image: NDArray, disparity: NDArray[np.floating] | None, value_range: float) -> Frame:
    """Prepare a frame; its disparity is resized to the image, which must be large enough to measure flow in."""
    gray = optical_flow.gray(image)
    height, width = gray.shape
    if max(height, width) < optical_flow.SMALLEST:
        raise MetricsError(
            f"Frame {number} has {width}x{height} pixels, too few to measure motion in; estimate at a larger size."
        )
    if disparity is None:
        return Frame(number=number, gray=gray, disparity=None, smooth=np.zeros((height, width), bool), unusable=0)
    values = np.asarray(disparity, np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    if values.shape != gray.shape:
        smaller = height <= values.shape[0] and width <= values.shape[1]
        how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        values = np.asarray(cv2.resize(values, (width, height), interpolation=how), np.float64)
    known = np.isfinite(values)
    low, high = (np.where(known, values, side * np.inf).astype(np.float32) for side in (1, -1))
    kernel = np.ones((3, 3), np.uint8)
    with np.errstate(invalid="ignore", over="ignore"):
        smooth = cv2.dilate(high, kernel) - cv2.erode(low, kernel) <= _EDGE * value_range
    return Frame(
        number=number,
        gray=gray,
        disparity=values,
        smooth=np.asarray(smooth, bool),
        unusable=int(np.count_nonzero(~known)),
    )


def frame_pair(
    before: Frame, after: Frame, moving: NDArray[np.bool_] | None = None
) -> FramePair | NoStaticRegion | Literal["depth"]:
    """Correspondences of a frame and the next, or the reason why there are none."""
    if before.disparity is None or after.disparity is None:
        return "depth"
    flow_pair = optical_flow.flow_pair(before.gray, after.gray)
    static = static_region(flow_pair, before.gray, after.gray, moving)
    return static if isinstance(static, str) else FramePair(flow_pair=flow_pair, static=static)


def second_difference(frames: Sequence[Frame], frame_pairs: Sequence[FramePair | None], value_range: float) -> Change:
    """d(1) - (d(0) + d(2)) / 2 along the motion of frames 0, 1, 2, as shares of the disparity range."""
    (before, middle, after), (backward, forward) = frames, frame_pairs
    if backward is None or forward is None:
        return NO_CHANGE
    came, goes = backward.flow_pair.backward, forward.flow_pair.forward
    curvature = _own(middle) - (_elsewhere(middle, before, came) + _elsewhere(middle, after, goes)) / 2
    return _mean(curvature / value_range, backward.static_in_second() & forward.static)


def third_difference(frames: Sequence[Frame], frame_pairs: Sequence[FramePair | None], value_range: float) -> Change:
    """(3 (d(2) - d(1)) - (d(3) - d(0))) / 2 along the motion of frames 0 to 3, as shares of the disparity range."""
    zero, one, two, three = frames
    backward, forward, onward = frame_pairs
    if backward is None or forward is None or onward is None:
        return NO_CHANGE
    came, goes = backward.flow_pair.backward, forward.flow_pair.forward
    goes_on = optical_flow.chained(goes, onward.flow_pair.forward)
    step = 3 * (_elsewhere(one, two, goes) - _own(one)) - (
        _elsewhere(one, three, goes_on) - _elsewhere(one, zero, came)
    )
    static = backward.static_in_second() & forward.static & at(onward.static, *positions(goes))
    return _mean(step / 2 / value_range, static)


def _own(here: Frame) -> NDArray[np.float64]:
    return np.full(here.smooth.shape, np.nan) if here.disparity is None else here.disparity


def _elsewhere(here: Frame, there: Frame, flow: NDArray[np.floating]) -> NDArray[np.float64]:
    """Disparity of another frame, sampled along the flow from this one; NaN at edges, unless nothing moves."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float64)
    values = sampled(_own(there), x + flow[..., 0], y + flow[..., 1])
    warping.keep_smooth(here.smooth, there.smooth, flow, _MOVES, values)
    return values


def _mean(values: NDArray[np.float64], chosen: NDArray[np.bool_]) -> Change:
    found = values[chosen & np.isfinite(values)]
    if len(found) < max(_FEWEST, _LEAST_SHARE * values.size):
        return NO_CHANGE
    return Change(size=float(np.abs(found).mean()), shift=float(found.mean()))
