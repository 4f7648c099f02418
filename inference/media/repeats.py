"""Frames that repeat the frame before them: held drawings, dropped frames, variable frame rate made constant.

A repeated frame is rarely identical bit for bit: it was compressed again, or grain was added. It differs from a slowly
moving camera in that nothing *moves*: the difference of the two images is uncorrelated with their gradients, in which
any small motion shows (Lucas and Kanade 1981).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

LONG_SIDE = 512
"""Images are compared at this size; lengths below are pixels of it."""
_BLUR = 1.5
_GRID = 6  # cells along each side
_LEVEL = 1.5  # gray levels by which a cell's mean may differ,
_DIFFERENCE = 5.0  # and its pixels, root mean square: more is a subject that moves, or light that changes
_SHIFT = 0.04  # of the whole image, in which grain and compression show none
_SHARE_OF_MOTION = 0.04  # or this share of what frames around it move by: coarse compression moves edges a little
_LIKE_MOTION = 0.12  # share of a cell's difference, in the median, that a shift explains
_SIGMAS = 4.0  # grain in a small image passes these limits by chance: so many standard deviations are no sign
_ALIKE = 4 * np.pi * _BLUR**2  # pixels of smooth grain that tell as much as a single one of its own
_FLAT = 0.02  # added to squared gradients, lest a cell without any seem to move


class RepeatFinder:
    """Takes images in order and finds those that repeat the one before.

    Each is compared with the last new image, not with the last image, so that motion too slow to detect from frame to
    frame adds up until it is detected.
    """

    def __init__(self) -> None:
        self._new: NDArray[np.uint8] | None = None
        self._smooth: NDArray[np.float32] | None = None
        self._motion = 0.0

    def feed(self, image: NDArray[np.uint8]) -> bool:
        """Whether an image, uint8 RGB [H, W, 3], repeats the last new one."""
        if self._new is not None and np.array_equal(image, self._new):
            return True
        smooth = _smooth(image)
        if self._smooth is not None:
            change = _Change(self._smooth, smooth)
            if change.is_none(beside=self._motion):
                return True
            self._motion = change.shift if not self._motion else 0.5 * (self._motion + change.shift)
        self._new, self._smooth = image.copy(), smooth
        return False


class _Change:
    """How a smooth gray image differs from another.

    Attributes
    ----------
    shift : float
        By which the whole image moved, least squares.
    """

    def __init__(self, before: NDArray[np.float32], after: NDArray[np.float32]) -> None:
        difference = after - before
        both = before + after
        across = cv2.Sobel(both, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 16)
        down = cv2.Sobel(both, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 16)
        self._level = _cells(difference)
        self._square = _cells(difference * difference)
        xx, xy, yy = _cells(across * across), _cells(across * down), _cells(down * down)
        x, y = _cells(across * difference), _cells(down * difference)
        self.shift = float(np.hypot(*_shift(xx.mean(), xy.mean(), yy.mean(), x.mean(), y.mean())))
        dx, dy = _shift(xx, xy, yy, x, y)
        self._explained = -(dx * x + dy * y) / np.maximum(self._square, 1e-6)
        self._in_a_cell = difference.size / self._square.size / _ALIKE
        self._steepness = float(xx.mean() + yy.mean()) / 2 + _FLAT

    def is_none(self, *, beside: float) -> bool:
        """Whether nothing moved or changed; `beside`: by how much frames around it move."""
        grain = float(np.median(self._square))
        by_chance = _SIGMAS * np.sqrt(grain / self._in_a_cell)
        moved = by_chance / np.sqrt(self._steepness * self._square.size)
        return bool(
            np.abs(self._level).max() < max(_LEVEL, by_chance)
            and self._square.max() < _DIFFERENCE**2
            and self.shift < max(_SHIFT, moved, _SHARE_OF_MOTION * beside)
            and np.median(self._explained) < _LIKE_MOTION + _SIGMAS / self._in_a_cell
        )


def _shift(xx: NDArray, xy: NDArray, yy: NDArray, x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
    """The shift that explains a difference best, from sums of products of gradients, and of them with it."""
    xx, yy = xx + _FLAT, yy + _FLAT
    scale = -1 / (xx * yy - xy * xy)
    return scale * (yy * x - xy * y), scale * (xx * y - xy * x)


def _smooth(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = LONG_SIDE / max(gray.shape)
    if scale < 1:
        size = max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale))
        gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(gray.astype(np.float32), (0, 0), _BLUR)


def _cells(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Means over a grid of cells."""
    rows, columns = (min(_GRID, length) for length in values.shape)
    return cv2.resize(values, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float64)
