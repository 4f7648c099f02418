"""Accuracy and steadiness of a depth sequence.

One scale and one shift for a whole clip bring disparity to the truth's inverse depth (least squares); errors are then
taken in depth, as in the evaluation of MiDaS (Ranftl et al., PAMI 2022, section 4) and DepthCrafter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .truth import Truth

NEAREST, FARTHEST = 1e-3, 80.0
"""Metres; truth outside is not measured, estimates are clipped to it."""
_OCCLUDED = 0.05  # relative difference of true depth beyond which a warped pixel shows something else

Disparity = Callable[[int], NDArray[np.floating]]
"""Frame index, from 0, to the estimated disparity [H, W] of any size."""


class MetricsError(ValueError):
    """Nothing can be measured; the message is one sentence with the cure."""


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """What brings disparity to inverse depth in 1/metres: ``scale * disparity + shift``."""

    scale: float
    shift: float

    def depth(self, disparity: NDArray[np.floating]) -> NDArray[np.float64]:
        """Z in metres, clipped to what is measured."""
        inverse = self.scale * np.asarray(disparity, np.float64) + self.shift
        return np.clip(1 / np.maximum(inverse, 1 / FARTHEST), NEAREST, FARTHEST)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Errors over all measured pixels of a clip.

    Attributes
    ----------
    absolute_relative : float
        AbsRel: mean of |Z - Z*| / Z*.
    delta1 : float
        Share of pixels where max(Z / Z*, Z* / Z) < 1.25.
    root_mean_square : float
        RMSE in metres.
    flicker : float or None
        Mean |next frame, warped - expected| / expected over static pixels; None without poses.
    absolute_relative_static, absolute_relative_moving : float or None
        AbsRel where nothing moves and where something does; None without such pixels.
    alignment : Alignment
    pixels, frames : int
        How much was measured.
    """

    absolute_relative: float
    delta1: float
    root_mean_square: float
    flicker: float | None
    absolute_relative_static: float | None
    absolute_relative_moving: float | None
    alignment: Alignment
    pixels: int
    frames: int


def align(disparity: Disparity, truth: Truth, frames: range) -> Alignment:
    """One scale and shift for a clip: least squares of disparity against true inverse depth, in float64.

    Raises
    ------
    MetricsError
        Where no pixel has a true depth.
    """
    normal, right = np.zeros((2, 2)), np.zeros(2)
    for frame in frames:
        depth = truth.depth(frame)
        valid = _measured(depth)
        x = _fitted(disparity(frame), depth.shape)[valid]
        y = 1 / depth[valid].astype(np.float64)
        normal += np.array([[np.sum(x * x), np.sum(x)], [np.sum(x), len(x)]])
        right += np.array([np.sum(x * y), np.sum(y)])
    if not normal[1, 1]:
        raise MetricsError(f"The truth has no depth between {NEAREST} and {FARTHEST} m; check its unit (millimetres).")
    scale, shift = np.linalg.lstsq(normal, right, rcond=None)[0]
    return Alignment(scale=float(scale), shift=float(shift))


def score(disparity: Disparity, truth: Truth, frames: range | None = None) -> Scores:
    """Measure a clip, a frame or two in memory at a time.

    Parameters
    ----------
    disparity : callable
        Frame index of the truth to disparity [H, W]; larger is nearer.
    truth : Truth
    frames : range or None
        Frames of the truth to measure; None: all.

    Raises
    ------
    MetricsError
    """
    frames = range(len(truth)) if frames is None else frames
    alignment = align(disparity, truth, frames)
    sums = np.zeros(3)
    parts = {True: np.zeros(2), False: np.zeros(2)}
    flicker: list[float] = []
    before: NDArray[np.float64] | None = None
    for frame in frames:
        true = truth.depth(frame)
        valid = _measured(true)
        depth = alignment.depth(_fitted(disparity(frame), true.shape))
        z, reference = depth[valid], true[valid].astype(np.float64)
        relative = np.abs(z - reference) / reference
        close = np.maximum(z / reference, reference / z) < 1.25
        sums += [relative.sum(), close.sum(), np.sum((z - reference) ** 2)]
        moving = _moving(truth, frame, true.shape)[valid]
        for state in (True, False):
            chosen = moving == state
            parts[state] += [relative[chosen].sum(), chosen.sum()]
        if before is not None:
            change = _flicker(truth, frame - 1, before, depth)
            flicker += [] if change is None else [change]
        before = depth
    pixels = int(parts[True][1] + parts[False][1])
    return Scores(
        absolute_relative=float(sums[0] / pixels),
        delta1=float(sums[1] / pixels),
        root_mean_square=float(np.sqrt(sums[2] / pixels)),
        flicker=float(np.mean(flicker)) if flicker else None,
        absolute_relative_static=_mean(parts[False]),
        absolute_relative_moving=_mean(parts[True]),
        alignment=alignment,
        pixels=pixels,
        frames=len(frames),
    )


def _flicker(truth: Truth, frame: int, depth: NDArray[np.float64], after: NDArray[np.float64]) -> float | None:
    """How much the estimate after `frame` differs from what the estimate at `frame` lets expect there.

    The true depth and poses tell which pixel of the next frame shows a pixel's place, and whether it is hidden there;
    the estimate itself, moved by the poses, tells the depth to expect.
    """
    first, second = truth.poses[frame], truth.poses[frame + 1]
    if first is None or second is None or truth.matrix is None:
        return None
    move = np.linalg.inv(second) @ first
    true, true_after = truth.depth(frame), truth.depth(frame + 1)
    height, width = true.shape
    (fx, _, cx), (_, fy, cy) = truth.matrix[0], truth.matrix[1]
    y, x = np.mgrid[:height, :width]
    rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones((height, width))], axis=-1)
    there = (rays * true[..., None]) @ move[:3, :3].T + move[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.nan_to_num(fx * there[..., 0] / there[..., 2] + cx, nan=-9, posinf=-9, neginf=-9).astype(np.float32)
        v = np.nan_to_num(fy * there[..., 1] / there[..., 2] + cy, nan=-9, posinf=-9, neginf=-9).astype(np.float32)
    shown = cv2.remap(true_after, u, v, cv2.INTER_NEAREST, borderValue=0)
    warped = 1 / np.maximum(cv2.remap(1 / after, u, v, cv2.INTER_LINEAR, borderValue=0), 1e-9)
    expected = ((rays * depth[..., None]) @ move[:3, :3].T + move[:3, 3])[..., 2]
    static = _measured(true) & ~_moving(truth, frame, true.shape) & _measured(shown) & (expected > 0)
    static &= (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
    static &= np.abs(shown - there[..., 2]) < _OCCLUDED * there[..., 2]
    if not static.any():
        return None
    return float(np.mean(np.abs(warped[static] - expected[static]) / expected[static]))


def _measured(depth: NDArray[np.floating]) -> NDArray[np.bool_]:
    return (depth > NEAREST) & (depth < FARTHEST)


def _moving(truth: Truth, frame: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    moving = truth.moving(frame)
    return np.zeros(shape, bool) if moving is None else moving


def _fitted(disparity: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Disparity at the truth's size."""
    if disparity.shape == shape:
        return np.asarray(disparity, np.float64)
    return cv2.resize(np.asarray(disparity, np.float64), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)


def _mean(part: NDArray[np.float64]) -> float | None:
    return float(part[0] / part[1]) if part[1] else None
