"""Stabilize depth maps over time along optical flow alone, where no camera is known.

First each frame's map is aligned with its neighbors' by scale and shift (`step`, `levels`), which a network chooses
for each frame independently. Real changes of depth under a moving camera look the same from one frame to the next, so
only fast changes are removed where the camera moves, and nearly all where it is locked.

Then (`Window`) each frame is averaged with a window of others. Each pixel is tracked through the window from frame to
frame (DIS flow, as in `temporal`); samples are weighted by the forward-backward consistency of the flow on the worst
step, by the similarity of the images, and by the distance in frames. Before averaging, the frame's own map is
aligned once more with the others' mean, since any remaining offset would flicker in pixels that cannot be
tracked. Values far from the weighted median have little weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

from . import temporal

REACH = 8
"""Frames to either side."""
_FALL = 5.0  # standard deviation of the weight over distance, in frames
_MISSED = 3.0  # pixels of forward-backward difference at which trust has fallen to 1/e
_ALIKE = 15.0  # difference of colors at which trust has fallen to 1/e
_BLUR = 1.5  # pixels; of the colors that are compared
_LEVEL = 110.0  # mean gray to which images are normalized before they are compared, so that fades do not matter
_GAIN = 8.0  # at most
_OUTLIER = 0.7  # distance from the median at which a value's weight is 1/e, in deviations of the shot's maps
_STANDING, _MOVING = 0.003, 0.3  # regularization towards no change of level, relative to the trust in a step
_MOVES = 0.003  # image widths per frame from which on the camera counts as moving
_OWN = 0.05  # regularization towards the frame's own scale and shift, relative to the mean trust in its neighbors


@dataclass(frozen=True, eq=False)
class ComparedFrame:
    """A frame for comparison with others: `color` [h, w, 3] of normalized brightness, and `disparity` [h, w]."""

    color: NDArray[np.uint8]
    disparity: NDArray[np.float32]

    @property
    def gray(self) -> NDArray[np.uint8]:
        """Input of optical flow."""
        return cv2.cvtColor(self.color, cv2.COLOR_RGB2GRAY)


def normalized_brightness(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image of normalized brightness."""
    gain = min(_LEVEL / max(float(image.mean()), 1e-3), _GAIN)
    return cv2.convertScaleAbs(image, alpha=gain)


@dataclass(frozen=True, kw_only=True)
class Step:
    """From a frame to the next: scale and shift of its disparity relative to the next one's, along the flow.

    Attributes
    ----------
    scale, shift : float
        ``disparity = scale * next + shift``, both minus the center and in units of the deviation.
    trust : float
        0..1.
    moved : float
        Median length of the flow, in image widths.
    """

    scale: float
    shift: float
    trust: float
    moved: float


def step(first: ComparedFrame, second: ComparedFrame, *, center: float, deviation: float) -> Step:
    """Compare a frame with the next, robustly, along the flow.

    `center` and `deviation` are the mean and standard deviation of the shot's maps.
    """
    forward, backward = temporal.flow(first.gray, second.gray), temporal.flow(second.gray, first.gray)
    height, width = first.disparity.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u, v = x + forward[..., 0], y + forward[..., 1]
    unlike = np.mean((_sampled(second.color, u, v).astype(np.float32) - first.color) ** 2, axis=-1)
    trust = _agreement(forward, backward) * np.exp(-unlike / np.float32(_ALIKE**2))
    one = (first.disparity - center) / deviation
    two = (_sampled(second.disparity, u, v) - center) / deviation
    scale, shift = 1.0, 0.0
    for _ in range(5):
        weight = trust / (1 + ((one - scale * two - shift) / _OUTLIER) ** 2)
        total = float(weight.sum())
        if total < 1e-3 * trust.size:
            return Step(scale=1.0, shift=0.0, trust=0.0, moved=1.0)
        means = [float((weight * each).sum()) / total for each in (one, two)]
        variances = [float((weight * (each - mean) ** 2).sum()) / total for each, mean in zip((one, two), means)]
        if min(variances) > 1e-6:  # symmetric: noise in the second frame would make a regression's slope too small
            scale = float(np.clip(np.sqrt(variances[0] / variances[1]), 0.5, 2.0))
        shift = means[0] - scale * means[1]
    moved = float(np.median(np.hypot(forward[..., 0], forward[..., 1]))) / width
    return Step(scale=scale, shift=shift, trust=float(trust.mean()), moved=moved)


def levels(steps: Sequence[Step]) -> NDArray[np.float64]:
    """Scale and shift [N, 2] of each of N frames, in the units of `Step`, that remove changes between them.

    They minimize the squared differences between neighbors, regularized towards scale 1 and shift 0.
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
    """Stabilizes the `frames` of a shot, in order; thread-safe, with no more in memory than the window needs.

    `deviation` is the standard deviation of the shot's disparity, `reach` the number of frames to either side.
    """

    def __init__(
        self,
        frames: Sequence[int],
        look: Callable[[int], ComparedFrame],
        *,
        deviation: float,
        threads: int,
        reach: int = REACH,
    ) -> None:
        self._frames, self._deviation, self._reach = frames, max(deviation, 1e-12), reach
        held = 2 * (2 * reach + 1) + 2 * threads
        self._look = lru_cache(held)(look)
        self._blurred = lru_cache(held)(lambda at: cv2.GaussianBlur(self._at(at).color, (0, 0), _BLUR))
        self._flow = lru_cache(2 * held)(lambda at, to: temporal.flow(self._at(at).gray, self._at(to).gray))
        self._trust = lru_cache(2 * held)(self._flow_trust)

    def steady(self, at: int, *, check: Callable[[], None]) -> NDArray[np.float32]:
        """The stabilized map of the `at`-th of the frames; `check` is called between steps."""
        own = self._at(at).disparity
        values, weights = [own], [np.ones_like(own)]
        for there, (u, v), weight in self.followed(at):
            check()
            values.append(_sampled(self._at(there).disparity, u, v))
            weights.append(weight)
        if len(values) == 1:
            return own
        values[0] = self._aligned(own, np.stack(values[1:]), np.stack(weights[1:]))
        check()
        return self._mean(np.stack(values), np.stack(weights))

    def _at(self, at: int) -> ComparedFrame:
        return self._look(self._frames[at])

    def followed(self, at: int) -> Iterator[tuple[int, tuple[NDArray[np.float32], NDArray[np.float32]], NDArray]]:
        """Track a frame's pixels into the frames before and after it, as far as the window reaches.

        Yields the index of each of these frames, the places (x and y, [h, w] each) that the pixels go to, and how much
        these are trusted, 0..1.
        """
        height, width = self._at(at).disparity.shape
        y, x = np.mgrid[:height, :width].astype(np.float32)
        mine = self._blurred(at).astype(np.float32)
        for side in (-1, 1):
            u, v, trust = x, y, np.ones((height, width), np.float32)
            for distance in range(1, self._reach + 1):
                there = at + side * distance
                if not 0 <= there < len(self._frames):
                    break
                before = there - side
                step = _sampled(self._flow(before, there), u, v)
                trust = np.minimum(trust, _sampled(self._trust(before, there), u, v, outside=0.0))
                u, v = u + step[..., 0], v + step[..., 1]
                unlike = np.mean((_sampled(self._blurred(there), u, v).astype(np.float32) - mine) ** 2, axis=-1)
                likeness = np.exp(-unlike / np.float32(_ALIKE**2))
                yield there, (u, v), trust * likeness * np.float32(np.exp(-0.5 * (distance / _FALL) ** 2))

    def _flow_trust(self, at: int, to: int) -> NDArray[np.float32]:
        return _agreement(self._flow(at, to), self._flow(to, at))

    def _aligned(
        self, own: NDArray[np.float32], others: NDArray[np.float32], weights: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """A frame's own map, robustly aligned with the others' mean where that is trusted."""
        trust = weights.sum(axis=0)
        mean = (others * weights).sum(axis=0) / np.maximum(trust, 1e-6)
        return aligned(own, mean, trust, unit=self._deviation, outlier=_OUTLIER, pull=_OWN)

    def _mean(self, values: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        median = temporal.median(values, weights)
        weights = weights * np.exp(-(((values - median) / (_OUTLIER * self._deviation)) ** 2))
        total = weights.sum(axis=0)
        mean = (values * weights).sum(axis=0) / np.maximum(total, 1e-9)
        return np.where(total > 1e-6, mean, median).astype(np.float32)


def _agreement(forward: NDArray[np.float32], backward: NDArray[np.float32]) -> NDArray[np.float32]:
    """Trust in a flow: 1 where forward and backward flow cancel out."""
    height, width = forward.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    returned = _sampled(backward, x + forward[..., 0], y + forward[..., 1], outside=1e3)
    missed = np.sum((returned + forward) ** 2, axis=-1)
    return np.exp(-np.minimum(missed / np.float32(_MISSED**2), 50)).astype(np.float32)


def _sampled(values: NDArray, u: NDArray[np.float32], v: NDArray[np.float32], *, outside: float | None = None):  # type: ignore[no-untyped-def]
    """Values sampled between pixels; beyond the image `outside`, or its border's value."""
    if outside is None:
        return cv2.remap(values, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    border = (outside,) * 4
    return cv2.remap(values, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=border)


def aligned(
    values: NDArray[np.float32],
    target: NDArray[np.float32],
    trust: NDArray[np.float32],
    *,
    unit: float,
    outlier: float,
    pull: float,
    center: float | None = None,
) -> NDArray[np.float32]:
    """A map [H, W] with the scale and shift that bring it to another, by weights [H, W], robustly.

    Both are taken from `center`, the map's own mean by default, in `unit`; a residual of `outlier` units halves a
    pixel's weight, and `pull` regularizes towards no change.
    """
    center = float(values.mean()) if center is None else center
    x, y = (values - center) / unit, (target - center) / unit
    scale, shift = 1.0, 0.0
    pull *= max(float(trust.mean()), 1e-6)
    for _ in range(4):
        weight = trust / (1 + ((scale * x + shift - y) / outlier) ** 2)
        w, wx, wy = (float(np.mean(weight * each)) for each in (np.float32(1), x, y))
        xx, xy = float(np.mean(weight * x * x)), float(np.mean(weight * x * y))
        matrix = np.array([[xx + pull, wx], [wx, w + pull]])
        scale, shift = np.linalg.solve(matrix, np.array([xy + pull, wy]))
    return (center + unit * (np.float32(scale) * x + np.float32(shift))).astype(np.float32)
