"""Disparity of neighbouring frames, brought together along the motion of what stands still."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..datasets.protocols import MetricsError
from . import optical_flow, warping
from .optical_flow import Lacking, Link, at, positions, still_part
from .warping import sampled

_EDGE = 0.05  # of the spread, by which disparity differs around a pixel
_MOVES = 0.1  # pixels of flow from which on disparity is sampled between pixels
_FEWEST, _LEAST_SHARE = 50, 0.005  # pixels, and of the picture's, that a mean needs


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What is needed of a frame.

    Attributes
    ----------
    number : int
    grey : uint8 [H, W]
    disparity : float64 [H, W] or None
        NaN where it is of no use; None where there is none.
    smooth : bool [H, W]
        Where it is no edge of disparity.
    unusable : int
        Pixels whose disparity is no finite number.
    """

    number: int
    grey: NDArray[np.uint8]
    disparity: NDArray[np.float64] | None
    smooth: NDArray[np.bool_]
    unusable: int


@dataclass(frozen=True, kw_only=True)
class Bond:
    """Two frames that follow each other.

    Attributes
    ----------
    link : Link
    still : bool [H, W]
        Where the first one stands still and is seen in the second.
    """

    link: Link
    still: NDArray[np.bool_]

    def still_back(self) -> NDArray[np.bool_]:
        """Where the second one stands still and is seen in the first."""
        return self.link.seen_back & at(self.still, *positions(self.link.back))


@dataclass(frozen=True, kw_only=True)
class Change:
    """Mean over what stands still, of absolute values and of values with their sign; NaN where it is too little."""

    size: float
    shift: float


NO_CHANGE = Change(size=float("nan"), shift=float("nan"))


def frame(number: int, picture: NDArray, disparity: NDArray[np.floating] | None, spread: float) -> Frame:
    """Prepare a frame: its disparity brought to the picture's size.

    Raises
    ------
    MetricsError
        The picture is too small to measure flow in.
    """
    grey = optical_flow.grey(picture)
    height, width = grey.shape
    if max(height, width) < optical_flow.SMALLEST:
        raise MetricsError(
            f"Frame {number} has {width}x{height} pixels, too few to measure motion in; estimate at a larger size."
        )
    if disparity is None:
        return Frame(number=number, grey=grey, disparity=None, smooth=np.zeros((height, width), bool), unusable=0)
    values = np.asarray(disparity, np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    if values.shape != grey.shape:
        smaller = height <= values.shape[0] and width <= values.shape[1]
        how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        values = np.asarray(cv2.resize(values, (width, height), interpolation=how), np.float64)
    known = np.isfinite(values)
    low, high = (np.where(known, values, side * np.inf).astype(np.float32) for side in (1, -1))
    kernel = np.ones((3, 3), np.uint8)
    with np.errstate(invalid="ignore", over="ignore"):
        smooth = cv2.dilate(high, kernel) - cv2.erode(low, kernel) <= _EDGE * spread
    return Frame(
        number=number,
        grey=grey,
        disparity=values,
        smooth=np.asarray(smooth, bool),
        unusable=int(np.count_nonzero(~known)),
    )


def bond(before: Frame, after: Frame, moving: NDArray[np.bool_] | None = None) -> Bond | Lacking | Literal["depth"]:
    """How a frame and the next belong together, or why that cannot be told."""
    if before.disparity is None or after.disparity is None:
        return "depth"
    link = optical_flow.link(before.grey, after.grey)
    still = still_part(link, before.grey, after.grey, moving)
    return still if isinstance(still, str) else Bond(link=link, still=still)


def second_difference(frames: Sequence[Frame], bonds: Sequence[Bond | None], spread: float) -> Change:
    """d(1) - (d(0) + d(2)) / 2 along the motion of frames 0, 1, 2, as shares of the spread."""
    (before, middle, after), (back, forth) = frames, bonds
    if back is None or forth is None:
        return NO_CHANGE
    came, goes = back.link.back, forth.link.forth
    bend = _own(middle) - (_elsewhere(middle, before, came) + _elsewhere(middle, after, goes)) / 2
    return _mean(bend / spread, back.still_back() & forth.still)


def third_difference(frames: Sequence[Frame], bonds: Sequence[Bond | None], spread: float) -> Change:
    """(3 (d(2) - d(1)) - (d(3) - d(0))) / 2 along the motion of frames 0 to 3, as shares of the spread."""
    zero, one, two, three = frames
    back, forth, onward = bonds
    if back is None or forth is None or onward is None:
        return NO_CHANGE
    came, goes = back.link.back, forth.link.forth
    goes_on = optical_flow.chained(goes, onward.link.forth)
    step = 3 * (_elsewhere(one, two, goes) - _own(one)) - (
        _elsewhere(one, three, goes_on) - _elsewhere(one, zero, came)
    )
    still = back.still_back() & forth.still & at(onward.still, *positions(goes))
    return _mean(step / 2 / spread, still)


def _own(here: Frame) -> NDArray[np.float64]:
    return np.full(here.smooth.shape, np.nan) if here.disparity is None else here.disparity


def _elsewhere(here: Frame, there: Frame, flow: NDArray[np.floating]) -> NDArray[np.float64]:
    """Disparity of another frame where flow leads from this one's pixels; NaN at edges, unless nothing moves."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float64)
    values = sampled(_own(there), x + flow[..., 0], y + flow[..., 1])
    warping.keep_smooth(here.smooth, there.smooth, flow, _MOVES, values)
    return values


def _mean(values: NDArray[np.float64], chosen: NDArray[np.bool_]) -> Change:
    found = values[chosen & np.isfinite(values)]
    if len(found) < max(_FEWEST, _LEAST_SHARE * values.size):
        return NO_CHANGE
    return Change(size=float(np.abs(found).mean()), shift=float(found.mean()))
