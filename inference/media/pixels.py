"""Decoded FFmpeg frames as RGB arrays."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation
from numpy.typing import NDArray

# What comes closest to Blender's own conversion (4.5 and later to 1.5 of 255 levels, 4.2 to 3): every pixel takes the
# colour sample next to it, and rounding happens at 16 bits.
_SCALER = Interpolation.POINT | Interpolation.ACCURATE_RND


def rgb(frame: av.VideoFrame) -> NDArray[np.uint8 | np.uint16]:
    """The stored picture of a frame.

    Returns
    -------
    [H, W, 3] uint8 where the codec keeps 8-bit RGB, else uint16
        Full range, whatever the range of the codec's values. The matrix from Y'CbCr is the one that the file names,
        BT.601 where it names none, as in Blender.
    """
    exact = frame.format.is_rgb and all(component.bits <= 8 for component in frame.format.components)
    full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    converted = frame.reformat(
        format="rgb24" if exact else "rgb48le",
        interpolation=_SCALER,
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    return converted.to_ndarray().astype(np.uint8 if exact else np.uint16, copy=False)


def as_float(picture: NDArray) -> NDArray[np.float32]:
    """Integers to [0, 1]; floats as they are."""
    if np.issubdtype(picture.dtype, np.integer):
        return picture.astype(np.float32) * np.float32(1 / np.iinfo(picture.dtype).max)
    return picture.astype(np.float32, copy=False)
