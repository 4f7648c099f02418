"""How far the static background drifts from one frame to a later one, and where an estimate jumps.

Drift is measured along the background's motion. Under a locked camera its disparity should not change at all. A moving
camera changes disparity, and without ground truth a slow drift cannot be distinguished from that in general. At a
border of windows it can: the camera's contribution is smooth, and the drift is what exceeds the change extrapolated
from the frames just before and just after. This assumes a uniform change in between, which is inexact for approaching
objects: even perfect depth has some drift there. A drift between windows is real where it is well above the drift over
as many frames within one window, which is measured in the same way.

A long shot is estimated in windows, and an estimate is most likely to jump or to drift at their borders. A jump is an
outlier among the steps from frame to frame, which are never quite 0.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...contract.depth_sequence import DepthSequence
from .optical_flow import at
from .warping import sampled

_REST = 6
"""Frames before and after, from which the camera's change of disparity is extrapolated."""
_STANDS = 1.0  # pixels of total background motion below which the camera counts as locked
_FEWEST, _LEAST_SHARE = 50, 0.005  # number and share of the pixels that must be tracked to the end
_AROUND = 12  # steps on either side that define the typical size
_BESIDE = 1  # neighboring steps that a jump affects
_AT_ENDS = 1.5  # factor by which a shot's first and last step must exceed its neighbor, whose jump affects it
_OUTLIER = 6.0  # standard deviations, estimated from the median of the deviations
_VISIBLE = 1 / 256  # of the shot's disparity range: one level of an 8-bit image
_TO_DEVIATION = 1.4826  # of a normal distribution, from its median absolute deviation
STRETCH = 25
"""Frames over which drift is measured in a shot without windows: the usual overlap of windows."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Change of the static background between two frames.

    Attributes
    ----------
    first, last : int
        The frames.
    size : float or None
        Median of the absolute drift of the tracked pixels, as a share of the shot's disparity range; None where too
        few could be tracked, or where the camera moves in a shot without windows.
    shift : float or None
        Median of the signed drift: above 0, everything has come nearer.
    followed : float
        Share of the image's pixels that could be tracked from before the first frame to after the last.
    border : bool
        Whether a border of windows lies between the frames.
    camera_moves : bool
        Whether the background moves in the image; the camera's change of disparity was then subtracted, at the cost
        of more noise.
    """

    first: int
    last: int
    size: float | None
    shift: float | None
    followed: float
    border: bool
    camera_moves: bool


class _Slope:
    """Change per frame of every pixel, by least squares over consecutive frames."""

    def __init__(self, first: int, last: int) -> None:
        self._frames = range(first, last + 1)
        self._sum: NDArray[np.float64] | float = 0.0

    def add(self, frame: int, values: NDArray[np.float64]) -> None:
        if frame in self._frames:
            self._sum = self._sum + (frame - self._middle) * values

    def result(self) -> NDArray[np.float64] | float | None:
        value_range = sum((frame - self._middle) ** 2 for frame in self._frames)
        return self._sum / value_range if value_range else None

    @property
    def _middle(self) -> float:
        return (self._frames[0] + self._frames[-1]) / 2


class Follower:
    """Tracks the static region from some frames before a span to some frames after it.

    It starts with the disparity [H, W] of its first frame; None where that has none.
    """

    def __init__(self, span: Span, disparity: NDArray[np.floating] | None, shape: tuple[int, ...]) -> None:
        self.span = span
        self.begin, self.end = self.start(span), min(span.last + _REST, span.end)
        self._before, self._after = _Slope(self.begin, span.first), _Slope(span.last, self.end)
        self._v, self._u = (grid.astype(np.float64) for grid in np.mgrid[: shape[0], : shape[1]])
        self._followed = np.full(shape, disparity is not None)
        self._kept: dict[int, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]] = {}
        if disparity is not None:
            self._add(self.begin, disparity)

    @staticmethod
    def start(span: Span) -> int:
        """The first frame to track from."""
        return max(span.first - _REST, span.begin)

    def advance(
        self, frame: int, disparity: NDArray[np.floating], flow: NDArray[np.floating], static: NDArray[np.bool_]
    ) -> None:
        """Track to the next frame, whose disparity [H, W] is NaN where invalid.

        `flow` [H, W, 2] leads from the previous frame to this one; `static` [H, W] is True where the previous frame is
        static and visible in this one.
        """
        self._followed &= at(static, self._u.astype(np.float32), self._v.astype(np.float32))
        along, down = (sampled(flow[..., axis], self._u, self._v) for axis in (0, 1))
        self._u, self._v = self._u + along, self._v + down
        self._add(frame, disparity)

    def stop(self) -> None:
        """Give up tracking."""
        self._followed = np.zeros_like(self._followed)

    def result(self, value_range: float) -> Drift:
        """The drift, as a share of the shot's disparity range."""
        chosen, share = self._followed, float(self._followed.mean())
        span = self.span
        lost = Drift(
            first=span.first,
            last=span.last,
            size=None,
            shift=None,
            followed=share,
            border=span.border,
            camera_moves=False,
        )
        few = np.count_nonzero(chosen) < _FEWEST or share < _LEAST_SHARE
        if few or not {span.first, span.last} <= set(self._kept):
            return lost
        (u, v, before), (u_after, v_after, after) = self._kept[span.first], self._kept[span.last]
        camera_moves = bool(np.median(np.hypot(u_after - u, v_after - v)[chosen]) > _STANDS)
        change = after - before
        if camera_moves:
            slopes = [slope for slope in (self._before.result(), self._after.result()) if slope is not None]
            if not span.windows or not slopes:
                return replace(lost, camera_moves=True)
            change = change - (span.last - span.first) * sum(slopes) / len(slopes)
        change = change[chosen] / value_range
        return replace(
            lost, size=float(np.median(np.abs(change))), shift=float(np.median(change)), camera_moves=camera_moves
        )

    def _add(self, frame: int, disparity: NDArray[np.floating]) -> None:
        values = sampled(disparity, self._u, self._v)
        self._followed &= np.isfinite(values)
        self._before.add(frame, values)
        self._after.add(frame, values)
        if frame in {self.span.first, self.span.last}:
            self._kept[frame] = self._u, self._v, values


@dataclass(frozen=True, kw_only=True)
class Step:
    """A change of the whole static background from one frame to the next, beyond that of a smooth motion.

    Attributes
    ----------
    frame : int
        The first frame after it.
    size : float or None
        Mean absolute step of the static region, as a share of the shot's disparity range; None where it could not be
        measured.
    shift : float or None
        Mean of the signed step: above 0, everything comes nearer.
    typical : float or None
        Median size of the neighboring steps.
    border : bool
        Whether a window begins or ends with this frame.
    jump : bool
        Whether it is an outlier among the neighboring steps, and large enough to be seen.
    """

    frame: int
    size: float | None
    shift: float | None
    typical: float | None
    border: bool
    jump: bool


def notable_steps(
    frames: Sequence[int], sizes: Sequence[float], shifts: Sequence[float], borders: Collection[int]
) -> tuple[Step, ...]:
    """The steps at borders of windows, and the jumps, in order.

    `frames` are the first frames after each step, consecutive; `sizes` and `shifts` are NaN where they could not be
    measured (see `Step`); with the frames in `borders` a window begins or ends.
    """
    values = np.asarray(sizes, np.float64)
    rivals = values.copy()
    if len(rivals):
        rivals[[0, -1]] /= _AT_ENDS
    found = []
    for index, frame in enumerate(frames):
        typical, jump = _assess(values, rivals, index)
        if jump or frame in borders:
            measured = np.isfinite(values[index])
            found.append(
                Step(
                    frame=frame,
                    size=float(values[index]) if measured else None,
                    shift=float(shifts[index]) if measured else None,
                    typical=typical,
                    border=frame in borders,
                    jump=jump,
                )
            )
    return tuple(found)


def _assess(values: np.ndarray, rivals: np.ndarray, index: int) -> tuple[float | None, bool]:
    """Typical size of the steps around one, and whether it is a jump; `rivals`: `values`, lower at both ends."""
    around = np.concatenate(
        [values[max(index - _AROUND, 0) : max(index - _BESIDE, 0)], values[index + _BESIDE + 1 : index + _AROUND + 1]]
    )
    around = around[np.isfinite(around)]
    if not len(around) or not np.isfinite(values[index]):
        return (float(np.median(around)) if len(around) else None), False
    typical = float(np.median(around))
    usual = _OUTLIER * _TO_DEVIATION * float(np.median(np.abs(around - typical)))
    largest = np.nanmax(rivals[max(index - _BESIDE, 0) : index + _BESIDE + 1])
    return typical, bool(values[index] > typical + max(usual, _VISIBLE) and rivals[index] >= largest)


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows of `length` frames, which overlap by `overlap` frames."""

    length: int
    overlap: int

    def starts(self, first: int, last: int) -> list[int]:
        """First frame of every window of a shot, whose frames are `first` to `last`."""
        if last - first < self.length:
            return [first]
        return list(range(first, last + 1 - self.overlap, self.length - self.overlap))

    def borders(self, first: int, last: int) -> list[int]:
        """Frames whose windows differ from those of the previous frame: one begins, or one has ended."""
        later_starts = self.starts(first, last)[1:]
        return sorted({frame for start in later_starts for frame in (start, start + self.overlap)})


def windows_of(sequence: DepthSequence) -> Windows | None:
    """The windows of a depth sequence by its parameters; None where its estimator has none."""
    if sequence.parameters.get("stage") == "1":  # stereo matching alone, without windows
        return None
    length, overlap = (sequence.parameters.get(name) for name in ("window", "overlap"))
    if not isinstance(length, int) or not isinstance(overlap, int) or not 0 <= overlap < length:
        return None
    return Windows(length=length, overlap=overlap)


@dataclass(frozen=True, kw_only=True)
class Span:
    """Two frames between which the background is compared.

    Attributes
    ----------
    first, last : int
        The frames.
    border : bool
        Whether a border of windows lies in between.
    windows : bool
        Whether the shot has several windows.
    begin, end : int
        From `begin` to `first` and from `last` to `end` there is no border of windows.
    """

    first: int
    last: int
    border: bool
    windows: bool
    begin: int
    end: int


def spans(first: int, last: int, windows: Windows | None) -> list[Span]:
    """The frames of a shot between which drift of the background is measured.

    Across a border: from the last frame of one window alone to the first frame of the next one alone. For comparison,
    as many frames of a single window in the middle between two borders, where there is room. In a shot without windows,
    or with a single one: from every `STRETCH`-th frame to the next.
    """
    later_starts = [] if windows is None else windows.starts(first, last)[1:]
    if windows is None or not later_starts:
        firsts = range(first, last + 1 - STRETCH, STRETCH)
        return [Span(first=at, last=at + STRETCH, border=False, windows=False, begin=first, end=last) for at in firsts]
    shared, length = windows.overlap, windows.overlap + 1
    alone = list(
        zip([first, *(start + shared for start in later_starts)], [*(start - 1 for start in later_starts), last])
    )
    found = []
    for index, (begin, end) in enumerate(alone):  # frames of a single window, if there are any
        middle = begin + (end - begin - length) // 2
        if begin <= middle:
            found.append(Span(first=middle, last=middle + length, border=False, windows=True, begin=begin, end=end))
        if index + 1 < len(alone):
            after, last_after = alone[index + 1]
            around = {"begin": min(begin, end), "end": max(after, last_after)}
            found.append(Span(first=end, last=after, border=True, windows=True, **around))
    return found
