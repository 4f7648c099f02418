"""Shot detection: hard cuts (PySceneDetect's adaptive detector) and blank ranges."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice, pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

from . import light
from .repeats import RepeatFinder

LONG_SIDE = 256
"""Images are compared at this size: grain and small motion average out, and every plate costs the same."""
FLASH = 2
"""Largest number of frames of a flash, after which the scene is the same as before."""
BRIDGED = 8
"""Largest number of blank frames within a shot."""
_NEAR = (1, 3, 6)  # frames compared before and after a blank range; several, since fades end in dark ones
_AHEAD = max(_NEAR) + FLASH
_WINDOW = 2
_RATE = 25.0  # time codes need one; nothing is measured in seconds


@dataclass(frozen=True)
class _Frame:
    """A frame that repeats no other: its number, its image scaled down, and its color if it is blank."""

    number: int
    small: NDArray[np.uint8]
    blank: str | None


class CutFinder:
    """Takes the frames of a clip in order and finds where shots begin.

    Repeated frames are ignored. Any other frame begins a shot if it differs from the one before by `AdaptiveDetector`'s
    threshold and three times as much as the frames around it do (so a fast pan is not a cut), and if it shows another
    scene (otherwise only the light has changed, as in a flash).

    Attributes
    ----------
    repeats : list of int
        Numbers of the frames that repeat the frame before them.
    blank : dict of int to str
        First frames of blank shots, and their colors (see `light.blank`).
    """

    def __init__(self) -> None:
        self.repeats: list[int] = []
        self.blank: dict[int, str] = {}
        self._finder = RepeatFinder()
        self._detector = AdaptiveDetector(min_scene_len=1, window_width=_WINDOW)
        self._fed = 0
        self._first, self._last = 0, 0
        self._candidates: set[int] = set()  # by how many frames were new before them
        self._ahead: deque[_Frame] = deque()  # fed, and not decided on
        self._decided = 0
        self._before: deque[_Frame] = deque(maxlen=max(_NEAR))  # that show something, the last first
        self._nothing: list[_Frame] = []  # the first frame of the stretch without an image that goes on
        self._starts: list[int] = []

    def feed(self, number: int, image: NDArray[np.uint8]) -> None:
        """Process the next frame: its number, one more than the last, and its image, uint8 RGB [H, W, 3]."""
        self._last = number
        if self._finder.feed(image):
            self.repeats.append(number)
            return
        small = _small(image)
        if not self._fed:  # the detector looks at neighbors on both sides, which the first frame has not
            self._first = number
            self._process(small, times=_WINDOW)
        self._process(small)
        self._ahead.append(_Frame(number, small, light.blank(small)))
        while len(self._ahead) > _AHEAD + _WINDOW:
            self._decide()

    def finish(self) -> tuple[int, ...]:
        """The first frames of all shots but the first, in order; no frame may be fed afterwards."""
        if self._ahead:
            self._process(self._ahead[-1].small, times=_WINDOW)
        while self._ahead:
            self._decide()
        if self._nothing:
            self._end_of_nothing(self._last + 1, after=[])
        return tuple(self._starts)

    def _process(self, small: NDArray[np.uint8], *, times: int = 1) -> None:
        image = np.ascontiguousarray(small[..., ::-1])
        for _ in range(times):
            for cut in self._detector.process_frame(FrameTimecode(self._fed, _RATE), image):
                self._candidates.add(cut.frame_num - _WINDOW)
            self._fed += 1

    def _decide(self) -> None:
        """Decide whether the oldest undecided frame begins a shot."""
        after = [frame for frame in self._ahead if frame.blank is None]
        frame = self._ahead.popleft()
        if frame.blank is not None:
            self._nothing = self._nothing or [frame]
        else:
            if self._nothing:
                self._end_of_nothing(frame.number, after=after)
            elif self._decided in self._candidates and not self._goes_on(after):
                self._starts.append(frame.number)
            self._before.appendleft(frame)
        self._candidates.discard(self._decided)
        self._decided += 1

    def _goes_on(self, after: list[_Frame]) -> bool:
        """Whether one of the next frames within the length of a flash shows what a frame before does."""
        return any(
            light.same_scene(before.small, later.small)
            for back, before in enumerate(islice(self._before, FLASH + 1))
            for later in after[: FLASH + 1 - back]
        )

    def _end_of_nothing(self, end: int, *, after: list[_Frame]) -> None:
        """Decide on a blank range, which ends before the frame `end`."""
        first = self._nothing.pop()
        length = end - first.number
        near = [frames[i - 1] for i in _NEAR for frames in [list(self._before)] if i <= len(frames)]
        far = [after[i - 1] for i in _NEAR if i <= len(after)]
        if near and far:
            if length <= BRIDGED and any(light.same_scene(one.small, other.small) for one in near for other in far):
                return
            self._starts.append(first.number)
        elif length <= FLASH and (near or far):
            return
        elif near:
            self._starts.append(first.number)
        if length > FLASH or not (near or far):
            self.blank[first.number] = first.blank or light.PLAIN
            if far:
                self._starts.append(end)


def shots(first: int, last: int, starts: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Shots (first, last), both included, of the range `first` to `last` with further shots at `starts`."""
    edges = [first, *starts, last + 1]
    return tuple((begin, end - 1) for begin, end in pairwise(edges))


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = min(1.0, LONG_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
