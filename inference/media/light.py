"""Images with their lighting removed, blank images, and whether two images show the same scene under any lighting."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

BLACK, WHITE, PLAIN = "black", "white", "of one color"
_FLAT = 6.0  # gray levels between the darkest and the brightest parts of an image that shows nothing
_DARK, _BRIGHT = 40, 215
_AROUND = 40.0  # pixels at 640: the surroundings that a pixel is compared with
_CONTRAST, _FLOOR = 36.0, 2.0  # gray levels of the levelled image, and of what counts as grain in the original
_CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE = 200, 0.01, 6.0
_WINDOW, _LEVELS = (15, 15), 4
_ROUND_TRIP = 0.5
_FOUND = 0.25  # of the corners; one scene a few frames later has .4 and more, another one up to .1, of a few blocks .2
_TINTED = 2.0  # times that one channel rises more than another
_BLOWN = 200  # mean level above which an image loses its color


def normalized_brightness(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image [H, W] without its lighting: each pixel relative to the mean and the contrast around it."""
    values = gray.astype(np.float32)
    detail = values - _around(values)
    contrast = np.sqrt(_around(detail * detail))
    return np.clip(np.rint(128 + _CONTRAST * detail / (contrast + _FLOOR)), 0, 255).astype(np.uint8)


def _around(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean around each pixel of [H, W], Gaussian, computed on a small image, as it has no detail."""
    height, width = values.shape
    reach = _AROUND * max(height, width) / 640
    small = max(1, round(width * 4 / reach)), max(1, round(height * 4 / reach))
    blurred = cv2.GaussianBlur(cv2.resize(values, small, interpolation=cv2.INTER_AREA), (0, 0), 4.0)
    return cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR)


def blank(image: NDArray[np.uint8]) -> str | None:
    """The color of a blank image, RGB [H, W, 3]: black, white or of one color; None if the image is not blank."""
    smooth = cv2.GaussianBlur(image, (0, 0), max(image.shape) / 128)
    low, high = np.percentile(smooth, [1, 99], axis=(0, 1))
    if (high - low).max() >= _FLAT:
        return None
    return BLACK if high.max() < _DARK else WHITE if low.min() > _BRIGHT else PLAIN


def same_scene(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two small images, RGB [H, W, 3], show the same scene, under lighting of any brightness but one color.

    Corners of one are tracked to the other and back by pyramidal Lucas-Kanade on levelled images.
    """
    a, b = (normalized_brightness(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) for image in (one, other))
    corners = cv2.goodFeaturesToTrack(a, _CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE)
    if corners is None or _tinted(one, other):
        return False
    options = {"winSize": _WINDOW, "maxLevel": _LEVELS}
    there, ok, _ = cv2.calcOpticalFlowPyrLK(a, b, corners, None, **options)
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(b, a, there, None, **options)
    inside = np.all((there >= 0) & (there <= [a.shape[1] - 1, a.shape[0] - 1]), axis=(1, 2))
    missed = np.linalg.norm(back - corners, axis=2).ravel()
    found = (ok.ravel() == 1) & (ok_back.ravel() == 1) & inside & (missed < _ROUND_TRIP)
    return bool(found.mean() >= _FOUND)


def _tinted(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether all colors change, which no light does that only brightens or dims."""
    means = np.array([one.mean(axis=(0, 1)), other.mean(axis=(0, 1))]) + 4.0
    if means.mean(axis=1).max() > _BLOWN:
        return False
    gain = means[1] / means[0]
    return bool(gain.max() > _TINTED * gain.min())
