"""How far the still background has drifted from one frame to a later one, followed along its motion.

Where the camera stands, the background's disparity should not change at all. Where it moves, disparity changes with
it, and without truth a slow drift cannot be told from that in general. At a border of windows it can: the camera's
part is smooth, and the drift is what goes beyond the change that the frames just before and just after let expect. This
takes the camera's part as even in between, which it is not quite for what comes near: perfect depth has some drift then
as well. A drift between windows is real where it is well beyond that over as many frames within one window, which is
measured alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .optical_flow import at
from .warping import sampled
from .window_borders import Span

_REST = 6
"""Frames before and after that tell how fast disparity changes with the camera."""
_STANDS = 1.0  # pixels that the picture of the background moves in all, where the camera counts as standing
_FEWEST, _LEAST_SHARE = 50, 0.005  # of the pixels, that must be followed to the end


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
