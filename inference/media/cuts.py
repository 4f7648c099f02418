"""Hard cuts, found while the frames stream by (PySceneDetect's adaptive detector)."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

LONG_SIDE = 256
"""Pictures are compared at this size: grain and small motion average out, and every plate costs the same."""
FLASH = 2
"""A stretch of at most so many frames after which the picture is what it was before is a flash and no shot."""
_SAME = 0.5  # of the change that the flash made
_WINDOW = 2
_RATE = 25.0  # time codes need one; nothing is measured in seconds


class CutFinder:
    """Takes the frames of a clip in order and tells where shots begin.

    A frame begins a shot when it differs from the one before by `AdaptiveDetector`'s threshold and three times as
    much as the frames around do, so that a fast pan is no cut; a flash is none either.
    """

    def __init__(self) -> None:
        self._detector = AdaptiveDetector(min_scene_len=1, window_width=_WINDOW)
        self._recent: deque[tuple[int, NDArray[np.uint8]]] = deque(maxlen=4 * _WINDOW + FLASH)
        self._first: int | None = None
        self._fed = 0
        self._starts: list[int] = []

    def feed(self, number: int, picture: NDArray[np.uint8]) -> None:
        """Take the next frame: its number, one more than the last, and its picture, uint8 RGB [H, W, 3]."""
        small = _small(picture)
        if self._first is None:  # the detector looks at neighbours on both sides, which the first frame has not
            self._first = number
            self._process(small, times=_WINDOW)
        self._recent.append((number, small))
        self._process(small)

    def finish(self) -> tuple[int, ...]:
        """The first frames of all shots but the first, in order; no frame may be fed afterwards."""
        if self._recent:
            self._process(self._recent[-1][1], times=_WINDOW)
        return tuple(self._starts)

    def _process(self, small: NDArray[np.uint8], *, times: int = 1) -> None:
        for _ in range(times):
            for cut in self._detector.process_frame(FrameTimecode(self._fed, _RATE), small):
                self._cut((self._first or 0) + cut.frame_num - _WINDOW)
            self._fed += 1

    def _cut(self, start: int) -> None:
        recent = dict(self._recent)
        before = self._starts[-1] if self._starts else None
        if before is not None and start - before <= FLASH and before - 1 in recent:
            came, went = (_difference(recent[before - 1], recent[number]) for number in (before, start))
            if went < _SAME * came:
                self._starts.pop()
                return
        self._starts.append(start)


def shots(first: int, last: int, starts: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Shots (first, last), both included, of the range `first` to `last` with further shots at `starts`."""
    edges = [first, *starts, last + 1]
    return tuple((begin, end - 1) for begin, end in pairwise(edges))


def _difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(np.float32) - other).mean())


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = min(1.0, LONG_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)[..., ::-1])
