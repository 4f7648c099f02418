"""How far the still background has drifted from one frame to a later one, and where an estimate jumps.

Drift is followed along the background's motion. Where the camera stands, its disparity should not change at all. Where
it moves, disparity changes with it, and without truth a slow drift cannot be told from that in general. At a border of
windows it can: the camera's part is smooth, and the drift is what goes beyond the change that the frames just before
and just after let expect. This takes the camera's part as even in between, which it is not quite for what comes near:
perfect depth has some drift then as well. A drift between windows is real where it is well beyond that over as many
frames within one window, which is measured alike.

A long shot is estimated in windows: at their borders an estimate is most likely to jump or to drift. Jumps are told
among steps from frame to frame that are never quite nothing.
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
"""Frames before and after that tell how fast disparity changes with the camera."""
_STANDS = 1.0  # pixels that the picture of the background moves in all, where the camera counts as standing
_FEWEST, _LEAST_SHARE = 50, 0.005  # of the pixels, that must be followed to the end
_AROUND = 12  # steps on either side that say what is typical
_BESIDE = 1  # steps next to one that a jump there disturbs
_AT_ENDS = 1.5  # by which a shot's first and last step must exceed its neighbour, since that one's jump shows in it
_OUTLIER = 6.0  # standard deviations, estimated from the median of the deviations
_VISIBLE = 1 / 256  # of the shot's spread: one level of an 8-bit picture
_TO_DEVIATION = 1.4826  # of a normal distribution, from its median absolute deviation
STRETCH = 25
"""Frames over which drift is measured in a shot that was estimated as a whole: as many as windows usually share."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Change of the still background between two frames.

    Attributes
    ----------
    first, last : int
        The frames.
    size : float or None
        Median over what was followed of the absolute drift, as a share of the shot's spread; None where too little
        could be followed, or where the camera moves in a shot without windows.
    shift : float or None
        Median of the drift with its sign: above 0, all has come nearer.
    followed : float
        Share of the picture's pixels that could be followed from before the first frame to after the last.
    border : bool
        Whether windows change between the frames, or one window made all of them.
    camera_moves : bool
        Whether the background moves in the picture; the change that goes with it was then taken off, at the cost of
        more noise.
    """

    first: int
    last: int
    size: float | None
    shift: float | None
    followed: float
    border: bool
    camera_moves: bool


class _Slope:
    """Change a frame of every pixel, by least squares over frames that follow each other."""

    def __init__(self, first: int, last: int) -> None:
        self._frames = range(first, last + 1)
        self._sum: NDArray[np.float64] | float = 0.0

    def add(self, frame: int, values: NDArray[np.float64]) -> None:
        if frame in self._frames:
            self._sum = self._sum + (frame - self._middle) * values

    def result(self) -> NDArray[np.float64] | float | None:
        spread = sum((frame - self._middle) ** 2 for frame in self._frames)
        return self._sum / spread if spread else None

    @property
    def _middle(self) -> float:
        return (self._frames[0] + self._frames[-1]) / 2


class Follower:
    """Follows what stands still from some frames before a span to some frames after it.

    Parameters
    ----------
    span : Span
    disparity : [H, W] or None
        Of the frame that it begins with; NaN where it is of no use.
    shape : (height, width)
    """

    def __init__(self, span: Span, disparity: NDArray[np.floating] | None, shape: tuple[int, ...]) -> None:
        self.span = span
        self.begin, self.end = self.start(span), min(span.last + _REST, span.end)
        self._before, self._after = _Slope(self.begin, span.first), _Slope(span.last, self.end)
        self._v, self._u = (grid.astype(np.float64) for grid in np.mgrid[: shape[0], : shape[1]])
        self._followed = np.full(shape, disparity is not None)
        self._kept: dict[int, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]] = {}
        if disparity is not None:
            self._take(self.begin, disparity)

    @staticmethod
    def start(span: Span) -> int:
        """The frame to begin with."""
        return max(span.first - _REST, span.begin)

    def go_on(
        self, frame: int, disparity: NDArray[np.floating], flow: NDArray[np.floating], still: NDArray[np.bool_]
    ) -> None:
        """Follow to the next frame.

        Parameters
        ----------
        frame : int
        disparity : [H, W]
            Of this frame; NaN where it is of no use.
        flow : [H, W, 2]
            From the frame before to this one.
        still : bool [H, W]
            Where the frame before stands still and is seen in this one.
        """
        self._followed &= at(still, self._u.astype(np.float32), self._v.astype(np.float32))
        along, down = (sampled(flow[..., axis], self._u, self._v) for axis in (0, 1))
        self._u, self._v = self._u + along, self._v + down
        self._take(frame, disparity)

    def stop(self) -> None:
        """Nothing can be followed any further."""
        self._followed = np.zeros_like(self._followed)

    def result(self, spread: float) -> Drift:
        """The drift, as a share of the shot's spread of disparity."""
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
        change = change[chosen] / spread
        return replace(
            lost, size=float(np.median(np.abs(change))), shift=float(np.median(change)), camera_moves=camera_moves
        )

    def _take(self, frame: int, disparity: NDArray[np.floating]) -> None:
        values = sampled(disparity, self._u, self._v)
        self._followed &= np.isfinite(values)
        self._before.add(frame, values)
        self._after.add(frame, values)
        if frame in {self.span.first, self.span.last}:
            self._kept[frame] = self._u, self._v, values


@dataclass(frozen=True, kw_only=True)
class Step:
    """A change of the whole still background from one frame to the next, beyond the change of a smooth motion.

    Attributes
    ----------
    frame : int
        The first frame after it.
    size : float or None
        Mean over what stands still of the absolute step, as a share of the shot's spread; None where it could not be
        measured.
    shift : float or None
        Mean of the step with its sign: above 0, all comes nearer.
    typical : float or None
        Median size of the steps around.
    border : bool
        Whether a window begins or ends with this frame.
    jump : bool
        Whether it is far beyond the steps around it, and large enough to be seen.
    """

    frame: int
    size: float | None
    shift: float | None
    typical: float | None
    border: bool
    jump: bool


def remarkable_steps(
    frames: Sequence[int], sizes: Sequence[float], shifts: Sequence[float], borders: Collection[int]
) -> tuple[Step, ...]:
    """The steps that are at the border of a window or that are jumps, in order.

    Parameters
    ----------
    frames : ints
        The first frame after each step, one after the other.
    sizes, shifts : floats
        See `Step`; NaN where they could not be measured.
    borders : ints
        Frames with which a window begins or ends.
    """
    values = np.asarray(sizes, np.float64)
    rivals = values.copy()
    if len(rivals):
        rivals[[0, -1]] /= _AT_ENDS
    found = []
    for index, frame in enumerate(frames):
        typical, jump = _judged(values, rivals, index)
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


def _judged(values: np.ndarray, rivals: np.ndarray, index: int) -> tuple[float | None, bool]:
    """What is typical around a step, and whether it is a jump; `rivals` as `values`, both ends weighed less."""
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
    """Windows of `length` frames, each beginning `length` - `overlap` frames after the one before."""

    length: int
    overlap: int

    def starts(self, first: int, last: int) -> list[int]:
        """First frame of every window of a shot, whose frames are `first` to `last`."""
        if last - first < self.length:
            return [first]
        return list(range(first, last + 1 - self.overlap, self.length - self.overlap))

    def borders(self, first: int, last: int) -> list[int]:
        """Frames from which on other windows count than in the frame before: one comes in, or one ends."""
        came_in = self.starts(first, last)[1:]
        return sorted({frame for start in came_in for frame in (start, start + self.overlap)})


def windows_of(sequence: DepthSequence) -> Windows | None:
    """The windows of a depth sequence by its parameters; None where its estimator has none."""
    if sequence.parameters.get("stage") == "1":  # stereo matching alone, which takes a shot as a whole
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
        Whether windows change in between.
    windows : bool
        Whether the shot has several windows at all.
    begin, end : int
        Frames around, from `begin` to `first` and from `last` to `end`, within which no window changes.
    """

    first: int
    last: int
    border: bool
    windows: bool
    begin: int
    end: int


def spans(first: int, last: int, windows: Windows | None) -> list[Span]:
    """Between which frames of a shot the background is compared, to see whether it drifts.

    Across a border: from the last frame that only one window made to the first that only the next one made. For
    comparison, as many frames in the middle between two borders where there is room, which one window made alone. In a
    shot without windows, or within a single one: from every `STRETCH`-th frame to the next.
    """
    came_in = [] if windows is None else windows.starts(first, last)[1:]
    if windows is None or not came_in:
        firsts = range(first, last + 1 - STRETCH, STRETCH)
        return [Span(first=at, last=at + STRETCH, border=False, windows=False, begin=first, end=last) for at in firsts]
    shared, length = windows.overlap, windows.overlap + 1
    alone = list(zip([first, *(start + shared for start in came_in)], [*(start - 1 for start in came_in), last]))
    found = []
    for index, (begin, end) in enumerate(alone):  # frames that one window made alone, if there are any
        middle = begin + (end - begin - length) // 2
        if begin <= middle:
            found.append(Span(first=middle, last=middle + length, border=False, windows=True, begin=begin, end=end))
        if index + 1 < len(alone):
            after, last_after = alone[index + 1]
            around = {"begin": min(begin, end), "end": max(after, last_after)}
            found.append(Span(first=end, last=after, border=True, windows=True, **around))
    return found
