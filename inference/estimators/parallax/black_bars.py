"""The black bars of a letterboxed or pillarboxed image: what is between them is estimated, as if there were none.

Their edges stand still while the scene moves behind them. To a camera solve, corners that they cut out of the scene are
static points at wrong places; to matching and to flow, black that stands still is part of the scene.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...contract.camera import Camera, Pose
from ..base import Frames, Shot

_LOOKED_AT = 24  # frames
_BLACK = 28  # gray level that bars hardly exceed: black of limited range, and what compression adds
_FEW = 0.005  # share of a line's pixels that may, such as burnt-in text
_LEAST, _MOST = 0.01, 0.4  # of the height or width: narrower ones are a frame's blanking
_MARGIN = 0.003  # of the long side: blur and ringing at the edge of a bar


@dataclass(frozen=True)
class Bars:
    """How many pixels of an image of so many rows and columns the bars cover at its edges."""

    height: int
    width: int
    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def inside(self, image: NDArray[Any]) -> NDArray[Any]:
        """What of an image or map [H, W, ...], of this size or another, is between the bars."""
        down, across = image.shape[0] / self.height, image.shape[1] / self.width
        rows = slice(round(self.top * down), round((self.height - self.bottom) * down))
        columns = slice(round(self.left * across), round((self.width - self.right) * across))
        return np.ascontiguousarray(image[rows, columns])

    def around(self, image: NDArray[Any], *, edge: bool) -> NDArray[Any]:
        """A map [h, w] of what is between the bars as one of all; in the bars the nearest value (`edge`) or 0."""
        sides = (self.top, self.bottom, self.left, self.right)
        return cv2.copyMakeBorder(image, *sides, cv2.BORDER_REPLICATE if edge else cv2.BORDER_CONSTANT, value=0)

    def camera_inside(self, camera: Camera) -> Camera:
        """The camera of what is between the bars, of one of all of the image."""
        size = self.width - self.left - self.right, self.height - self.top - self.bottom
        return _moved(camera, *size, -self.left, -self.top)

    def camera_around(self, camera: Camera) -> Camera:
        """The camera of all of the image, of one of what is between the bars."""
        return _moved(camera, self.width, self.height, self.left, self.top)


def find(frames: Frames, *, check: Callable[[], None] = lambda: None) -> Bars | None:
    """The bars of a shot; None where it has none. `check` as in `Shot`.

    A line of pixels belongs to a bar where it, and all up to the image's edge, are black in every frame that is looked
    at. What is seen of a night sky may be taken for one, but nothing could be matched there.
    """
    bright = [np.zeros(frames.height), np.zeros(frames.width)]  # largest share of each row and column
    for index in sorted({int(each) for each in np.linspace(0, len(frames) - 1, _LOOKED_AT)}):
        check()
        exceeds = frames[index].max(axis=2) > _BLACK
        bright = [np.maximum(most, exceeds.mean(axis=1 - axis)) for axis, most in enumerate(bright)]
    if max(most.max() for most in bright) <= _FEW:
        return None  # black all over
    margin = 1 + round(_MARGIN * max(frames.width, frames.height))
    sides = []
    for most in bright:
        seen = np.flatnonzero(most > _FEW)
        sides += [int(seen[0]), int(len(most) - 1 - seen[-1])]
    lines = (frames.height, frames.height, frames.width, frames.width)
    wide = [side + margin if side >= _LEAST * line else 0 for side, line in zip(sides, lines, strict=True)]
    if not any(wide) or any(side > _MOST * line for side, line in zip(wide, lines, strict=True)):
        return None
    return Bars(frames.height, frames.width, *wide)


def without(shot: Shot) -> tuple[Shot, Bars | None]:
    """The shot between its bars, whose maps are written as those of all of the image; itself where it has none."""
    camera = shot.camera
    if camera is not None and camera.distortion_model == "nuke" and any(camera.distortion):
        return shot, None  # the unit of such a lens is the size of its whole image
    bars = find(shot.frames, check=shot.check)
    if bars is None:
        return shot, None

    def write(index: int, disparity: NDArray[np.float32], confidence: NDArray[np.float32] | None = None) -> None:
        sure = None if confidence is None else bars.around(confidence, edge=False)
        shot.write(index, bars.around(disparity, edge=True), sure)

    frames = _Inside(shot.frames, bars)
    tag = shot.lens_tag
    longer = max(shot.frames.width, shot.frames.height) / max(frames.width, frames.height)
    inside = replace(
        shot,
        frames=frames,
        camera=None if camera is None else bars.camera_inside(camera),
        mattes=None if shot.mattes is None else _Mapped(shot.mattes, bars.inside),
        learned=None if shot.learned is None else _Mapped(shot.learned, bars.inside),
        lens_tag=None if tag is None else (tag[0] * longer, tag[1]),
        write=write,
    )
    return inside, bars


class _Mapped:
    """What a function makes of each image or map of a shot."""

    def __init__(self, images: Any, made: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        self._images, self._made = images, made

    def __getitem__(self, index: int) -> NDArray[Any]:
        return self._made(np.asarray(self._images[index]))


class _Inside(_Mapped):
    """The frames of a shot between its bars."""

    def __init__(self, frames: Frames, bars: Bars) -> None:
        super().__init__(frames, bars.inside)
        self.numbers: Sequence[int] = frames.numbers
        self.width, self.height = bars.width - bars.left - bars.right, bars.height - bars.top - bars.bottom

    def __len__(self) -> int:
        return len(self.numbers)


def _moved(camera: Camera, width: int, height: int, right: int, down: int) -> Camera:
    """A camera of an image of another size, whose pixels lie so far to the right and down."""

    def moved(pose: Pose) -> Pose:
        point = pose.principal_point
        return pose if point is None else replace(pose, principal_point=(point[0] + right, point[1] + down))

    point = camera.principal_point
    return replace(
        camera,
        width=width,
        height=height,
        principal_point=(point[0] + right, point[1] + down),
        poses=tuple(map(moved, camera.poses)),
    )
