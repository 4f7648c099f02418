"""The frames of a shot for stereo: small, undistorted, and cached in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict

import cv2
import numpy as np
from numpy.typing import NDArray

from ..base import Frames
from .view import Views

LONG_SIDE, _PIXELS = 416, 100_000  # of the images for stereo, at most, where they have detail that fine
_MOTION_SIDE = 320  # of those for motion, and for stereo elsewhere: windows on weak texture reach farther there
_KEPT = 336  # cached small frames, 140 MB at most: what `keeping_pace` looks at
_LOOKED_AT = 8  # frames at which detail is looked for
_LOST, _DETAILED = 8.0, 0.05  # gray levels that a pixel loses by reduction; share of such pixels that is detail
_MAPS = 8  # cached maps of undistortion, where each frame has its own: 2 MB each


class UndistortedFrames:
    """Undistorted small images of a shot's frames by index; safe to use from several threads.

    Parameters
    ----------
    frames : Frames
    views : Views
        At the size of the images.
    """

    def __init__(self, frames: Frames, views: Views) -> None:
        self.views, self._frames = views, frames
        self._size = (views.width, views.height)
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, tuple[NDArray[np.uint8], NDArray[np.float32]]] = OrderedDict()
        self._full = views.resized(frames.width, frames.height)
        self._shared = views.filmed is None or views.filmed.is_constant
        self._maps: OrderedDict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = OrderedDict()

    def color(self, index: int) -> NDArray[np.uint8]:
        """RGB [H, W, 3]."""
        return self._get(index)[0]

    def gray(self, index: int) -> NDArray[np.float32]:
        """Gray levels [H, W], 0..255."""
        return self._get(index)[1]

    def reduced(self, values: NDArray[np.float32], index: int) -> NDArray[np.float32]:
        """A map of a frame's whole distorted image, of any size, undistorted and brought to the size of the images."""
        if not self._full.bends:
            shrinks = values.shape[0] >= self._size[1]
            return cv2.resize(values, self._size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        size = (self._full.width, self._full.height)
        return self.undistorted(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), index)

    def undistorted(self, image: NDArray, index: int) -> NDArray:
        """A frame's image, mask or map of working size, undistorted and reduced."""
        if self._full.bends:
            # undistorted at working size, so that the reduction averages as it does without distortion
            image = cv2.remap(image, *self._straightening(index), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)

    def _straightening(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Where each pixel of a frame's undistorted image is in the distorted one, both of working size."""
        key = 0 if self._shared else index
        with self._lock:
            found = self._maps.get(key)
        if found is None:
            found = _straightening(self._full, index)
            with self._lock:
                self._maps[key] = found
                while len(self._maps) > _MAPS:
                    self._maps.popitem(last=False)
        return found

    def _get(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
            image = self._frames[index]
        small = self.undistorted(image, index)
        made = (small, cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32))
        with self._lock:
            self._kept[index] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


def sizes(frames: Frames, full: Views) -> tuple[UndistortedFrames, UndistortedFrames]:
    """The images for stereo, and those for motion, which may be the same; `full` has the size of the frames."""
    motion = UndistortedFrames(frames, _reduced(full, _MOTION_SIDE))
    if not is_detailed(frames, motion.views.width, motion.views.height):
        return motion, motion
    side = min(LONG_SIDE, max(full.width, full.height) * np.sqrt(_PIXELS / (full.width * full.height)))
    return UndistortedFrames(frames, _reduced(full, max(side, _MOTION_SIDE))), motion


def _reduced(full: Views, long_side: float) -> Views:
    scale = min(1.0, long_side / max(full.width, full.height))
    return full.resized(max(1, round(full.width * scale)), max(1, round(full.height * scale)))


def resized(values: NDArray, views: Views) -> NDArray:
    """Masks, labels or depth [H, W] at another size: of the nearest pixel, so that nothing comes between two."""
    if values.shape == (views.height, views.width):
        return values
    rows, columns = (
        ((np.arange(size) + 0.5) * old / size).astype(np.intp)
        for size, old in zip((views.height, views.width), values.shape, strict=True)
    )
    return np.ascontiguousarray(values[np.ix_(rows, columns)])


def is_detailed(frames: Frames, width: int, height: int) -> bool:
    """Whether frames lose detail where they are reduced to a size: in many places, and not noise alone."""
    shares = []
    for index in sorted({int(each) for each in np.linspace(0, len(frames) - 1, _LOOKED_AT)}):
        gray = cv2.cvtColor(frames[index], cv2.COLOR_RGB2GRAY).astype(np.float32)
        small = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
        again = cv2.resize(small, (frames.width, frames.height), interpolation=cv2.INTER_CUBIC)
        shares.append(np.mean(np.abs(gray - again) > _LOST))
    return float(np.mean(shares)) > _DETAILED


def _straightening(full: Views, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where each pixel of a frame's undistorted image is in the distorted one; `full` has the size of both."""
    x, y = np.meshgrid(np.arange(full.width), np.arange(full.height))
    with np.errstate(all="ignore"):  # outside of the filmed image, where a model may have no answer
        at = np.nan_to_num(full.bent(np.stack([x, y], axis=-1), index), nan=-1.0, posinf=-1.0, neginf=-1.0)
    x_there, y_there = (np.clip(at[..., axis], -1e6, 1e6).astype(np.float32) for axis in (0, 1))
    return x_there, y_there
