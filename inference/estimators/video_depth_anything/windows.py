"""Which frames the windows of a clip are fed, and how a frame is brought to the network's size.

The rules are those of the published pipeline (Chen et al. 2025, section 3.3, and its code): windows of 32 frames every
22, whose first ten frames the window before has seen too. What a window is fed follows from frame numbers alone, so
windows can be estimated in any order.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

WINDOW = 32
"""Frames that the temporal modules see at once, and no more: their code of time has as many rows."""
OVERLAP, STEP = 10, 22
FROM_AFAR = 2
"""Frames that a window begins with and that lie elsewhere in the clip."""
KEY_FRAME = 12
"""Place in a window of the frame that the next window has in its second place."""
PATCH = 14
"""The network's input has sides that are multiples of this."""
INPUT_SIZE = 518
"""The shorter side of the images that the network was trained on."""
_WIDEST = 1.78  # ratio of the sides from which on the shorter one shrinks, so that the longer one does not grow
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


def window_count(frames: int) -> int:
    """How many windows a clip of some frames has."""
    return math.ceil(frames / STEP)


def joined_count(frames: int) -> int:
    """How many windows a clip's maps come from: the last one may hold nothing but frames of others, and padding."""
    return max(math.ceil((frames - FROM_AFAR) / STEP), 1)


def window_frames(window: int, frames: int) -> list[int]:
    """The frames, from 0, that a window of a clip is fed.

    Beyond the clip's end its last frame is repeated. From the second window on the first two come from afar: the
    clip's first frame, and the key frame of the window before.
    """
    start = STEP * window
    fed = [min(start + place, frames - 1) for place in range(WINDOW)]
    if window:
        fed[:FROM_AFAR] = [0, min(start - STEP + KEY_FRAME, frames - 1)]
    return fed


def network_size(width: int, height: int, input_size: int = INPUT_SIZE) -> tuple[int, int]:
    """The size (width, height) that frames of a size are brought to: multiples of `PATCH`, the shape nearly kept.

    Parameters
    ----------
    width, height : int
        Of the frames.
    input_size : int
        What the shorter side becomes, or a little more; less for shapes wider than 16:9.
    """
    ratio = max(width, height) / min(width, height)
    if ratio > _WIDEST:
        input_size = max(PATCH * round(int(input_size * 1.777 / ratio) / PATCH), PATCH)
    scale = max(input_size / height, input_size / width)

    def fitted(side: int) -> int:
        near = PATCH * round(scale * side / PATCH)
        return max(near if near >= input_size else PATCH * math.ceil(scale * side / PATCH), PATCH)

    return fitted(width), fitted(height)


def normalized(frame: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A frame as the network takes it.

    Parameters
    ----------
    frame : array [H, W, 3]
        float32, RGB, 0 to 1.
    size : (int, int)
        Width and height of the result.

    Returns
    -------
    array [3, height, width]
        float32. Cubic interpolation goes a little beyond 0 and 1 at edges, as it did in training.
    """
    resized = cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(((resized - _MEAN) / _DEVIATION).transpose(2, 0, 1), np.float32)
