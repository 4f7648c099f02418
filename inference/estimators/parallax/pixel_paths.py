"""Where each pixel of a frame goes in the frames around it, by optical flow (DIS, Kroeger et al., ECCV 2016).

Dynamic objects are followed from frame to frame, by fine flow that is chained: each step is small, so that also what
moves far is followed, with its outline. The static scene is followed in one step by coarse flow, which is smoother.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...depth_maps import temporal

REACH = 4  # frames to either side
_ROUND_TRIP = 1.0  # pixels of forward-backward difference of a step at which its trust has fallen to 1/e


@dataclass(frozen=True)
class PixelPaths:
    """Where the pixels of a frame are in another.

    Attributes
    ----------
    frame : int
        The other frame.
    there : float32 [H, W, 2]
        Places in it, as x and y.
    trust : float32 [H, W]
        0..1: how well forward and backward flow agree in the step in which they agree least.
    """

    frame: int
    there: NDArray[np.float32]
    trust: NDArray[np.float32]

    def resized(self, width: int, height: int) -> PixelPaths:
        """The same for images of another size."""
        rows, columns = self.trust.shape
        if (columns, rows) == (width, height):
            return self
        size, ratio = (width, height), np.array([width / columns, height / rows], np.float32)
        # the ways are enlarged, not the places: beyond the outermost pixels' middles places would repeat
        way = cv2.resize(self.there - _places(columns, rows), size, interpolation=cv2.INTER_LINEAR)
        trust = cv2.resize(self.trust, size, interpolation=cv2.INTER_LINEAR)
        return PixelPaths(self.frame, _places(width, height) + way * ratio, trust)


def flow_pair(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Flow between two gray images [H, W], there and back: [2, H, W, 2]."""
    preset = cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    both = [temporal.flow(*pair, preset=preset, finest=0) for pair in ((before, after), (after, before))]
    return np.stack(both).astype(np.float16)


def pixel_paths(
    pair: Callable[[int], NDArray[np.float16]], frame: int, count: int, *, reach: int = REACH
) -> list[PixelPaths]:
    """Follow a frame's pixels to the frames around it.

    Parameters
    ----------
    pair : callable
        Frame to the `flow_pair` of it and the next one.
    frame : int
    count : int
        Of the frames.
    reach : int
        Frames to either side.
    """
    sides = {-1: min(reach, frame), 1: min(reach, count - 1 - frame)}
    return [path for sign, far in sides.items() for path in _side(pair, frame, sign, far)]


def direct_path(before: NDArray[np.uint8], after: NDArray[np.uint8], frame: int) -> PixelPaths:
    """Follow the static scene of one gray image [H, W] to another, that of `frame`, in one step."""
    forth, back = temporal.flow(before, after), temporal.flow(after, before)
    there = _places(*before.shape[::-1]) + forth
    return PixelPaths(frame, there, _agreement(forth, back, there))


def _places(width: int, height: int) -> NDArray[np.float32]:
    """The pixels [H, W, 2] of an image, as x and y."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([x, y], axis=-1)


def _agreement(step: NDArray[np.float32], back: NDArray[np.float32], there: NDArray[np.float32]) -> NDArray[np.float32]:
    """How well a step [H, W, 2] and the flow back from where it ends agree, 0..1."""
    outside = (1e3, 1e3)
    u, v = there[..., 0], there[..., 1]
    returned = cv2.remap(back, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=outside)
    return np.exp(-np.sum((returned + step) ** 2, axis=-1) / np.float32(_ROUND_TRIP**2))


def _side(pair: Callable[[int], NDArray[np.float16]], frame: int, sign: int, reach: int) -> list[PixelPaths]:
    """So many frames to one side, nearest first."""
    found: list[PixelPaths] = []
    for other in range(frame + sign, frame + sign * (reach + 1), sign):
        pairs = pair(min(other, other - sign)).astype(np.float32)
        forth, back = pairs if sign > 0 else pairs[::-1]
        height, width = forth.shape[:2]
        if found:
            there, trust = found[-1].there, found[-1].trust
        else:
            there, trust = _places(width, height), np.ones((height, width), np.float32)
        u, v = there[..., 0], there[..., 1]
        inside = (u > -0.5) & (v > -0.5) & (u < width - 0.5) & (v < height - 0.5)
        step = cv2.remap(forth, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        there = there + step
        trust = np.minimum(trust, inside * _agreement(step, back, there))
        found.append(PixelPaths(other, there, trust))
    return found
