"""Steady maps over time along optical flow alone, where no camera is known.

First each frame's map gets the scale and shift of its neighbours' (`step`, `levels`): a network gives each frame some
of its own. Depth that a moving camera changes in truth looks the same from one frame to the next, so only what is
quick goes where it moves, and nearly all where it stands.

Then (`Window`) around each frame stands a window of others. Each pixel is followed through it from frame to frame (DIS
flow, as in `temporal`); what is met on the way counts by how far the flow agrees forth and back on the worst step,
whether the picture looks there as it does here, and how far away the frame is. Before the mean is taken, the frame's
own map is brought once more to what the others show in its places, since what is left would flicker wherever nothing
else can be followed. Values far from the weighted median count little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

from . import temporal

REACH = 8
"""Frames to either side."""
_FALL = 5.0  # frames of distance, as a standard deviation
_MISSED = 3.0  # pixels between forth and back at which trust has fallen to 1/e
_ALIKE = 15.0  # difference of colours at which it has
_BLUR = 1.5  # pixels; of the colours that are compared
_LEVEL = 110.0  # mean grey to which pictures are brought before they are compared, so that fades do not count
_GAIN = 8.0  # at most
_OUTLIER = 0.7  # distance from the median at which a value counts 1/e, in deviations of the shot's maps
_STANDING, _MOVING = 0.003, 0.3  # pull towards no change of level, against the trust in the step between two frames
_MOVES = 0.003  # picture widths a frame from which on the camera counts as moving
_OWN = 0.05  # pull towards the frame's own scale and shift, against the mean trust in its neighbours


@dataclass(frozen=True, eq=False)
class Look:
    """A frame as it is compared with others: `colour` [h, w, 3] of one brightness, and its `disparity` [h, w]."""

    colour: NDArray[np.uint8]
    disparity: NDArray[np.float32]

    @property
    def grey(self) -> NDArray[np.uint8]:
        """What flow is computed on."""
        return cv2.cvtColor(self.colour, cv2.COLOR_RGB2GRAY)


def levelled(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture at the common brightness."""
    gain = min(_LEVEL / max(float(picture.mean()), 1e-3), _GAIN)
    return cv2.convertScaleAbs(picture, alpha=gain)


@dataclass(frozen=True, kw_only=True)
class Step:
    """From a frame to the next: how much larger and higher its disparity is than the next one's in the same places.

    Attributes
    ----------
    scale, shift : float
        ``disparity = scale * next + shift``, both less the centre and in units of the deviation.
    trust : float
        0..1.
    moved : float
        Median length of the flow, in picture widths.
    """

    scale: float
    shift: float
    trust: float
    moved: float


def step(first: Look, second: Look, *, centre: float, deviation: float) -> Step:
    """Compare a frame with the next, robustly, along the flow.

    Parameters
    ----------
    first, second : Look
    centre, deviation : float
        Mean and standard deviation of the shot's maps.
    """
    forth, back = temporal.flow(first.grey, second.grey), temporal.flow(second.grey, first.grey)
    height, width = first.disparity.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u, v = x + forth[..., 0], y + forth[..., 1]
    unlike = np.mean((_sampled(second.colour, u, v).astype(np.float32) - first.colour) ** 2, axis=-1)
    trust = _agreement(forth, back) * np.exp(-unlike / np.float32(_ALIKE**2))
    one = (first.disparity - centre) / deviation
    two = (_sampled(second.disparity, u, v) - centre) / deviation
    scale, shift = 1.0, 0.0
    for _ in range(5):
        weight = trust / (1 + ((one - scale * two - shift) / _OUTLIER) ** 2)
        total = float(weight.sum())
        if total < 1e-3 * trust.size:
            return Step(scale=1.0, shift=0.0, trust=0.0, moved=1.0)
        means = [float((weight * each).sum()) / total for each in (one, two)]
        spread = [float((weight * (each - mean) ** 2).sum()) / total for each, mean in zip((one, two), means)]
        if min(spread) > 1e-6:  # of both alike, as noise in the second would make a regression's slope too small
            scale = float(np.clip(np.sqrt(spread[0] / spread[1]), 0.5, 2.0))
        shift = means[0] - scale * means[1]
    moved = float(np.median(np.hypot(forth[..., 0], forth[..., 1]))) / width
    return Step(scale=scale, shift=shift, trust=float(trust.mean()), moved=moved)


def levels(steps: Sequence[Step]) -> NDArray[np.float64]:
    """Scale and shift [N, 2] of each of N frames, in the units of `Step`, that take away what changes between them.

    The least squares of what is left between neighbours and of the pull towards scale 1 and shift 0.
    """
    if not steps:
        return np.array([[1.0, 0.0]])
    trust = np.array([max(each.trust, 1e-4) for each in steps])
    pulls = np.array([_STANDING + (_MOVING - _STANDING) * min(1.0, (each.moved / _MOVES) ** 2) for each in steps])
    pull = np.concatenate([pulls[:1], (pulls[1:] + pulls[:-1]) / 2, pulls[-1:]])
    diagonal = pull.copy()
    diagonal[:-1] += trust
    diagonal[1:] += trust
    banded = np.stack([np.concatenate([[0.0], -trust]), diagonal])

    def solved(changes: NDArray[np.float64]) -> NDArray[np.float64]:
        wanted = np.zeros(len(steps) + 1)
        wanted[1:] += trust * changes
        wanted[:-1] -= trust * changes
        found = solveh_banded(banded, wanted)
        return found - found.mean()

    scales = np.exp(solved(np.log([each.scale for each in steps])))
    return np.stack([scales, solved(scales[:-1] * [each.shift for each in steps])], axis=1)


class Window:
    """Steadies the frames of a shot; safe to use from several threads, and small: it holds what the window needs.

    Parameters
    ----------
    frames : sequence of int
        Those that take part, in order; each counts as the neighbour of the next.
    look : callable
        Frame to its `Look`.
    deviation : float
        Of the disparity of the shot's maps: its unit.
    """

    def __init__(self, frames: Sequence[int], look: Callable[[int], Look], *, deviation: float, threads: int) -> None:
        self._frames, self._deviation = frames, max(deviation, 1e-12)
        held = 2 * (2 * REACH + 1) + 2 * threads
        self._look = lru_cache(held)(look)
        self._blurred = lru_cache(held)(lambda at: cv2.GaussianBlur(self._at(at).colour, (0, 0), _BLUR))
        self._flow = lru_cache(2 * held)(lambda at, to: temporal.flow(self._at(at).grey, self._at(to).grey))
        self._trust = lru_cache(2 * held)(self._trusted)

    def steady(self, at: int, *, check: Callable[[], None]) -> NDArray[np.float32]:
        """The steady map of the `at`-th of the frames; `check` is called between steps."""
        own = self._at(at).disparity
        values, weights = [own], [np.ones_like(own)]
        for side in (-1, 1):
            for value, weight in self._followed(at, side):
                check()
                values.append(value)
                weights.append(weight)
        if len(values) == 1:
            return own
        values[0] = self._brought(own, np.stack(values[1:]), np.stack(weights[1:]))
        check()
        return self._mean(np.stack(values), np.stack(weights))

    def _at(self, at: int) -> Look:
        return self._look(self._frames[at])

    def _followed(self, at: int, side: int):  # type: ignore[no-untyped-def]  # (pairs of maps)
        """What the pixels of a frame meet in those before or after it: disparity and trust."""
        height, width = self._at(at).disparity.shape
        y, x = np.mgrid[:height, :width].astype(np.float32)
        u, v, trust = x, y, np.ones((height, width), np.float32)
        mine = self._blurred(at).astype(np.float32)
        for distance in range(1, REACH + 1):
            there = at + side * distance
            if not 0 <= there < len(self._frames):
                return
            before = there - side
            step = _sampled(self._flow(before, there), u, v)
            trust = np.minimum(trust, _sampled(self._trust(before, there), u, v, outside=0.0))
            u, v = u + step[..., 0], v + step[..., 1]
            unlike = np.mean((_sampled(self._blurred(there), u, v).astype(np.float32) - mine) ** 2, axis=-1)
            weight = (
                trust * np.exp(-unlike / np.float32(_ALIKE**2)) * np.float32(np.exp(-0.5 * (distance / _FALL) ** 2))
            )
            yield _sampled(self._at(there).disparity, u, v), weight

    def _trusted(self, at: int, to: int) -> NDArray[np.float32]:
        return _agreement(self._flow(at, to), self._flow(to, at))

    def _brought(
        self, own: NDArray[np.float32], others: NDArray[np.float32], weights: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """A frame's own map at the scale and shift of the others' mean, fitted robustly where they are trusted."""
        trust = weights.sum(axis=0)
        mean = (others * weights).sum(axis=0) / np.maximum(trust, 1e-6)
        centre = float(own.mean())
        mine, theirs = (own - centre) / self._deviation, (mean - centre) / self._deviation
        scale, shift = 1.0, 0.0
        pull = _OWN * max(float(trust.mean()), 1e-6)
        for _ in range(4):
            weight = trust / (1 + ((scale * mine + shift - theirs) / _OUTLIER) ** 2)
            w, wx, wy = (float(np.mean(weight * each)) for each in (np.float32(1), mine, theirs))
            xx, xy = float(np.mean(weight * mine * mine)), float(np.mean(weight * mine * theirs))
            matrix = np.array([[xx + pull, wx], [wx, w + pull]])
            scale, shift = np.linalg.solve(matrix, np.array([xy + pull, wy]))
        return (centre + self._deviation * (np.float32(scale) * mine + np.float32(shift))).astype(np.float32)

    def _mean(self, values: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        median = temporal.median(values, weights)
        weights = weights * np.exp(-(((values - median) / (_OUTLIER * self._deviation)) ** 2))
        total = weights.sum(axis=0)
        mean = (values * weights).sum(axis=0) / np.maximum(total, 1e-9)
        return np.where(total > 1e-6, mean, median).astype(np.float32)


def _agreement(forth: NDArray[np.float32], back: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far a flow is trusted: 1 where the way forth and back ends where it began."""
    height, width = forth.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    returned = _sampled(back, x + forth[..., 0], y + forth[..., 1], outside=1e3)
    missed = np.sum((returned + forth) ** 2, axis=-1)
    return np.exp(-np.minimum(missed / np.float32(_MISSED**2), 50)).astype(np.float32)


def _sampled(values: NDArray, u: NDArray[np.float32], v: NDArray[np.float32], *, outside: float | None = None):  # type: ignore[no-untyped-def]
    """Values at places between pixels; `outside` the picture, or what its border has."""
    if outside is None:
        return cv2.remap(values, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    border = (outside,) * 4
    return cv2.remap(values, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=border)
