"""Decoded FFmpeg frames as RGB arrays."""

from __future__ import annotations

import functools
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation
from numpy.typing import NDArray

# What comes closest to Blender's own conversion (4.5 and later to 1.5 of 255 levels, 4.2 to 3): every pixel takes the
# color sample next to it, and rounding happens at 16 bits.
_SCALER = Interpolation.POINT | Interpolation.ACCURATE_RND
_MATRICES = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
"""Codes (ITU-T H.273) of the matrices to Y'CbCr that FFmpeg's scaler knows; with others it refuses to work."""
_CONSTANT_LUMINANCE = 10
_TICK = Fraction(1, 1000)  # a filter wants to know, and this one does not look at times


def rgb(frame: av.VideoFrame) -> NDArray[np.uint8 | np.uint16]:
    """The stored image of a frame [H, W, 3]: uint8 where the codec has 8-bit RGB, else uint16.

    Full range, whatever the range of the codec's values. The matrix from Y'CbCr is the one that the file names, BT.601
    where it names none or one that is no plain matrix (YCgCo, ICtCp), as in Blender. The color samples of two rows are
    taken as Blender takes them too: wherever the file says that they lie, and as in a progressive image.
    """
    exact = frame.format.is_rgb and all(component.bits <= 8 for component in frame.format.components)
    full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    converted = _plain(frame).reformat(
        format="rgb24" if exact else "rgb48le",
        interpolation=_SCALER,
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    return converted.to_ndarray().astype(np.uint8 if exact else np.uint16, copy=False)


def matrix_is_known(code: int) -> bool:
    """Whether Y'CbCr of a matrix, by its code in ITU-T H.273, is brought to RGB by that matrix."""
    return code in _MATRICES or code == _CONSTANT_LUMINANCE


def as_float(image: NDArray) -> NDArray[np.float32]:
    """Integers to [0, 1]; floats as they are."""
    if np.issubdtype(image.dtype, np.integer):
        return image.astype(np.float32) * np.float32(1 / np.iinfo(image.dtype).max)
    return image.astype(np.float32, copy=False)


def _plain(frame: av.VideoFrame) -> av.VideoFrame:
    """The same image without the metadata that FFmpeg's scaler uses and Blender does not: fields and chroma location.

    The scaler takes the fields of an interlaced image apart, so that each keeps its own colors.
    """
    if frame.format.is_rgb:
        return frame
    graph = _unmarking(frame.width, frame.height, frame.format.name, int(frame.colorspace))
    graph.vpush(frame)
    return graph.vpull()


@functools.lru_cache(maxsize=4)
def _unmarking(width: int, height: int, pixel_format: str, matrix: int) -> av.filter.Graph:
    """A filter that changes a frame's description and leaves its pixels alone."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat(pixel_format), time_base=_TICK)
    values = "field_mode=prog:chroma_location=unspecified"
    if matrix not in _MATRICES:
        values += f":colorspace={'bt2020nc' if matrix == _CONSTANT_LUMINANCE else 'unknown'}"
    mark, sink = graph.add("setparams", values), graph.add("buffersink")
    source.link_to(mark)
    mark.link_to(sink)
    graph.configure()
    return graph
