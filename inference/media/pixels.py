"""Decoded FFmpeg frames as RGB arrays."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation
from numpy.typing import NDArray

# What Blender asks of FFmpeg's scaler: chroma at full resolution, exact rounding.
_SCALER = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND


def rgb(frame: av.VideoFrame) -> NDArray[np.uint8 | np.uint16]:
    """The stored picture of a frame.

    Returns
    -------
    [H, W, 3] uint8, or uint16 where the codec has more than 8 bits
        Full range, whatever the range of the codec's values.
    """
    deep = any(component.bits > 8 for component in frame.format.components)
    full = frame.color_range == ColorRange.JPEG
    converted = frame.reformat(
        format="rgb48le" if deep else "rgb24",
        interpolation=_SCALER,
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    return converted.to_ndarray().astype(np.uint16 if deep else np.uint8, copy=False)


def as_float(picture: NDArray) -> NDArray[np.float32]:
    """Integers to [0, 1]; floats as they are."""
    if np.issubdtype(picture.dtype, np.integer):
        return picture.astype(np.float32) * np.float32(1 / np.iinfo(picture.dtype).max)
    return picture.astype(np.float32, copy=False)
