"""What is done to finished depth maps before something is built from them: noise, the sky, the place of edges.

`Smoothing` works at the maps' own size, before they are brought to the plate's (`joint_upsampling`), `shifted` and
`below_sky` after that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..contract.camera import Camera
from . import temporal
from .along_flow import ComparedFrame, Window, aligned

STEP = 0.1
"""Values that differ by this share of the larger one are a step: another surface, not a slope."""
_CLOSE = 0.05
"""Distance from the median at which a value's weight is 1/e: a share of it, or of the shot's range if that is larger"""
_OUTLIER = 0.05
"""Residual at which a pixel's weight in the alignment of two frames is one half, as a share of the shot's range."""
_PULL = 0.02
"""Regularization of that alignment towards no change."""
_SMOOTH_SKY, _AROUND = 6.0, 5
"""Largest standard deviation of a sky's brightness in a window, of 255, and the window's side in pixels."""
_SURE = 0.5
"""Confidence from which on a measured depth says that something is no sky; parallax's is likelier right than wrong."""
_FAR = 0.25
"""Share of the shot's range of disparity, from its far end, that a sky lies in at most where nothing is measured."""
_SMALLEST_SKY = 0.002
"""Share of the image."""


class Smoothing:
    """Averages each map of a shot with its neighbors', along the optical flow; see `Window` for what is in memory.

    A sample is taken where its flow agrees forward and backward and its color is the same, and is never interpolated
    between two pixels, so edges stay as sharp as they are. What a frame's own depth is on average stays too: each
    neighbor's map is brought to it first, by the camera's poses, or by the scale and shift between the two.

    Parameters
    ----------
    numbers : sequence of int
        The shot's frames.
    look : callable
        Number of a frame to its `ComparedFrame`; called for frames within `reach` of the one that is smoothed.
    reach : int
        Frames to either side.
    value_range : float
        Of the shot's disparity, without its outermost percents.
    camera : Camera or None
        With a pose for each of the frames, at the size of the maps; then these are inverse depth in its units.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        look: Callable[[int], ComparedFrame],
        *,
        reach: int,
        value_range: float,
        camera: Camera | None,
    ) -> None:
        self._numbers, self._look, self._range = numbers, look, max(value_range, 1e-12)
        self._window = Window(numbers, look, deviation=value_range, threads=1, reach=reach)
        self._poses, self._calibration = _pinhole(numbers, camera)

    def smooth(self, index: int, *, check: Callable[[], None]) -> NDArray[np.float32]:
        """The smoothed map of one of the frames; `check` is called between steps."""
        own = self._look(self._numbers[index]).disparity
        values, weights = [own], [np.ones_like(own)]
        for there, (u, v), trusted in self._window.followed(index):
            check()
            other = self._look(self._numbers[there]).disparity
            if self._poses is not None:
                move = np.linalg.inv(self._poses[index]) @ self._poses[there]
                value, is_there = temporal.carry(
                    other, np.stack([u, v], axis=-1), move=(move[:3, :3], move[:3, 3]), matrix=self._calibration
                )
                weight = trusted * is_there
            else:
                seen = cv2.remap(other, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
                how = {"unit": self._range, "outlier": _OUTLIER, "pull": _PULL, "center": float(own.mean())}
                value, weight = aligned(seen, own, trusted, **how), trusted
            values.append(value)
            weights.append(weight.astype(np.float32))
        if len(values) == 1:
            return own
        stack, trust = np.stack(values), np.stack(weights)
        median = temporal.median(stack, trust)
        close = np.maximum(_CLOSE * np.abs(median), 0.0 if self._poses is not None else _CLOSE * self._range / 2)
        trust *= np.exp(-(((stack - median) / np.maximum(close, 1e-12)) ** 2))
        total = trust.sum(axis=0)
        return np.where(total > 1e-6, (stack * trust).sum(axis=0) / np.maximum(total, 1e-6), own).astype(np.float32)


def _pinhole(
    numbers: Sequence[int], camera: Camera | None
) -> tuple[list[NDArray[np.float64]] | None, NDArray[np.float64]]:
    """Camera to world [4, 4] of each frame, and the calibration [3, 3], where a pinhole camera filmed all of them.

    None where the lens distorts, zooms or has no square pixels: then the way from frame to frame is another.
    """
    poses = {pose.frame: pose for pose in camera.poses} if camera is not None else {}
    if camera is None or not poses.keys() >= set(numbers):
        return None, np.eye(3)
    own_lens = any(pose.focal_length is not None or pose.principal_point is not None for pose in poses.values())
    if own_lens or any(camera.distortion) or camera.pixel_aspect != 1.0:
        return None, np.eye(3)
    fx, fy, cx, cy = camera.intrinsics()
    calibration = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    return [np.array(poses[number].camera_to_world, np.float64) for number in numbers], calibration


def shifted(disparity: NDArray[np.float32], pixels: float, *, least: float = 0.0) -> NDArray[np.float32]:
    """Let the near side of every edge grow by so many pixels, or shrink where it is below 0.

    Slopes stay as they are: only what differs from a pixel within that distance by a step takes its value. `least` as
    for `joint_upsampling.upsample`.
    """
    reach = int(np.floor(abs(pixels)))
    if not reach and abs(pixels) < 0.5:
        return disparity
    reach = max(reach, 1)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (x * x + y * y <= max(abs(pixels), 1.0) ** 2).astype(np.uint8)
    other = cv2.dilate(disparity, disc) if pixels > 0 else cv2.erode(disparity, disc)
    step = np.maximum(STEP * np.maximum(np.abs(other), np.abs(disparity)), np.float32(least))
    return np.where(np.abs(other - disparity) > step, other, disparity)


def find_sky(
    image: NDArray[np.uint8],
    disparity: NDArray[np.float32],
    confidence: NDArray[np.float32] | None,
    *,
    far: float,
    near: float,
) -> NDArray[np.float32]:
    """Where a frame shows the sky, of a shot that has one.

    It is smooth in the image and reaches the image's upper border through what is smooth. Its depth is among the shot's
    farthest, or was not measured, by a confidence that says so.

    Parameters
    ----------
    image : uint8 [h, w, 3]
        The plate at the size of the maps.
    disparity, confidence : float32 [h, w]
        The frame's maps; no confidence: None.
    far, near : float
        The shot's disparity at its far and its near end, without outermost percents.

    Returns
    -------
    float32 [h, w]
        1 in the sky, else 0.
    """
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.blur(gray, (_AROUND, _AROUND))
    deviation = np.sqrt(np.maximum(cv2.blur(gray * gray, (_AROUND, _AROUND)) - mean * mean, 0))
    possible = disparity <= far + _FAR * (near - far)
    if confidence is not None:
        possible |= confidence < _SURE
    possible &= deviation < _SMOOTH_SKY
    count, labels = cv2.connectedComponents(possible.astype(np.uint8), connectivity=4)
    # by size for all at once: a noisy map has thousands of parts along its border
    is_sky = np.bincount(labels.ravel(), minlength=count) / labels.size >= _SMALLEST_SKY
    is_sky[np.setdiff1d(np.arange(count), labels[0])] = False
    is_sky[0] = False
    sky = is_sky[labels].astype(np.uint8)
    # the window of the deviation reaches over the sky's border
    around = cv2.dilate(sky, np.ones((_AROUND, _AROUND), np.uint8)) > 0
    alike = around & (np.abs(gray - cv2.dilate(np.where(sky > 0, mean, 0).astype(np.float32), None, iterations=3)) < 12)
    return np.where((sky > 0) | alike, np.float32(1), np.float32(0))


def below_sky(quantity: str, *, far: float, near: float) -> float:
    """The disparity of what is beyond every far limit: 0 of inverse depth; of relative disparity far below the range.

    Relative disparity is brought to distances with 1/Z linear in it from `far` to `near`, the shot's first and 99th
    percentile. Ten ranges below them 1/Z is below 0 unless the artist calls the nearest percent nearly as far as the
    farthest, and so it is at the limit.
    """
    return 0.0 if quantity == "inverse_depth" else far - 10.0 * (near - far)


def to_bytes(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A plate [H, W, 3] of 0 to 1 as an image of bytes at a size (width, height), averaged over each pixel."""
    smaller: Any = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(np.round(255 * np.clip(smaller, 0, 1)), np.uint8)
