"""The frames of a shot for stereo: small, undistorted, and cached in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict

import cv2
import numpy as np
from numpy.typing import NDArray

from ..base import Frames
from .view import Views, distort

_KEPT = 96  # cached small frames, about 30 MB


class UndistortedFrames:
    """Undistorted small images of a shot's frames by index; safe to use from several threads.

    Parameters
    ----------
    frames : Frames
    views : Views
        At the size of the images.
    """

    def __init__(self, frames: Frames, views: Views) -> None:
        self._frames = frames
        self._size = (views.width, views.height)
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, tuple[NDArray[np.uint8], NDArray[np.float32]]] = OrderedDict()
        self._map = None if not np.any(views.distortion) else _straightening(views, frames.width, frames.height)

    def colour(self, index: int) -> NDArray[np.uint8]:
        """RGB [H, W, 3]."""
        return self._get(index)[0]

    def grey(self, index: int) -> NDArray[np.float32]:
        """Grey levels [H, W], 0..255."""
        return self._get(index)[1]

    def reduced(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """A map of the whole distorted image, of any size, undistorted and brought to the size of the images."""
        if self._map is None:
            shrinks = values.shape[0] >= self._size[1]
            return cv2.resize(values, self._size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return self.undistorted(cv2.resize(values, self._map[0].shape[::-1], interpolation=cv2.INTER_LINEAR))

    def undistorted(self, image: NDArray) -> NDArray:
        """An image, mask or map of working size, undistorted and reduced."""
        if self._map is not None:
            # undistorted at working size, so that the reduction averages as it does without distortion
            image = cv2.remap(image, *self._map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)

    def _get(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
            image = self._frames[index]
        small = self.undistorted(image)
        made = (small, cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32))
        with self._lock:
            self._kept[index] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


def _straightening(views: Views, width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where each pixel of the undistorted image is in the distorted one, both of this size."""
    full = views.resized(width, height)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    at = distort(np.stack([x, y], axis=-1), focal=full.focal, centre=full.centre, distortion=full.distortion)
    return at[..., 0].astype(np.float32), at[..., 1].astype(np.float32)
