"""Hard cuts, found while the frames stream by (PySceneDetect's adaptive detector)."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

LONG_SIDE = 256
"""Pictures are compared at this size: grain and small motion average out, and every plate costs the same."""
_WINDOW = 2
_RATE = 25.0  # time codes need one; nothing is measured in seconds


class CutFinder:
    """Takes the frames of a clip in order and tells where shots begin.

    A frame begins a shot when it differs from the one before by `AdaptiveDetector`'s threshold and three times as
    much as the frames around do, so that a fast pan is no cut.
    """

    def __init__(self) -> None:
        self._detector = AdaptiveDetector(min_scene_len=1, window_width=_WINDOW)
        self._fed: list[int] = []
        self._last: NDArray[np.uint8] | None = None
        self._starts: list[int] = []

    def feed(self, number: int, picture: NDArray[np.uint8]) -> None:
        """Take the next frame: its number and its picture, uint8 RGB [H, W, 3]."""
        small = _small(picture)
        if not self._fed:  # the detector looks at neighbours on both sides, which the first frame has not
            for _ in range(_WINDOW):
                self._process(number, small)
        self._process(number, small)
        self._last = small

    def finish(self) -> tuple[int, ...]:
        """The first frames of all shots but the first, in order; no frame may be fed afterwards."""
        if self._last is not None:
            for _ in range(_WINDOW):
                self._process(self._fed[-1], self._last)
        first = self._fed[:1]
        return tuple(n for n in sorted(set(self._starts)) if [n] != first)

    def _process(self, number: int, small: NDArray[np.uint8]) -> None:
        self._fed.append(number)
        for cut in self._detector.process_frame(FrameTimecode(len(self._fed) - 1, _RATE), small):
            self._starts.append(self._fed[cut.frame_num])


def shots(first: int, last: int, starts: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Shots (first, last), both included, of the range `first` to `last` with further shots at `starts`."""
    edges = [first, *starts, last + 1]
    return tuple((begin, end - 1) for begin, end in pairwise(edges))


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = min(1.0, LONG_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)[..., ::-1])
