"""Images as NumPy arrays: reading, writing, coloring and labeling, with what Blender's development side has."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

# Near to far: from warm light to deep blue, so that a depth image reads without a legend.
_DEPTH_COLORS = np.array(
    [(255, 244, 196), (255, 190, 96), (238, 106, 82), (176, 48, 110), (92, 30, 118), (30, 20, 66)], np.float64
)


def write_png(path: Path, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write a PNG: uint8 [H, W, 3] as color, uint8 or uint16 [H, W] as gray."""
    kinds = {(3, "uint8"): "rgb24", (2, "uint8"): "gray", (2, "uint16"): "gray16be"}
    kind = kinds[image.ndim, image.dtype.name]
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt, encoder.time_base = kind, Fraction(1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=kind)
    path.write_bytes(b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None))))


def write_jpg(path: Path, image: NDArray[np.uint8], *, width: int | None = None, quality: int = 70) -> None:
    """Write uint8 [H, W, 3] as a JPG, at another width where one is given."""
    import bpy

    made = bpy.data.images.new("picture", image.shape[1], image.shape[0])
    rgba = np.ones((*image.shape[:2], 4), np.float32)
    rgba[..., :3] = image[::-1] / np.float32(255.0)
    made.pixels.foreach_set(rgba.ravel())
    if width is not None:
        made.scale(width, round(image.shape[0] * width / image.shape[1]))
    made.filepath_raw, made.file_format = str(path.absolute()), "JPEG"
    made.save(quality=quality)
    bpy.data.images.remove(made)


def read_png(path: Path) -> NDArray[np.uint8]:
    """Read any 8-bit image as uint8 [H, W, 3]."""
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def read_gray16(path: Path) -> NDArray[np.uint16]:
    """Read a 16-bit gray image as uint16 [H, W]."""
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="gray16le")


def resize(image: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """The image [H, W, 3] at another width, its aspect kept, by area or bicubic sampling."""
    height = round(image.shape[0] * width / image.shape[1])
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    return frame.reformat(width=width, height=height, interpolation="BICUBIC").to_ndarray(format="rgb24")


def color_depth(nearness: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Color [...] in 0 (far) to 1 (near) as uint8 [..., 3]; NaN, which is no depth, is black."""
    position = (1.0 - np.clip(np.nan_to_num(nearness), 0.0, 1.0)) * (len(_DEPTH_COLORS) - 1)
    low = np.minimum(position.astype(int), len(_DEPTH_COLORS) - 2)
    weight = (position - low)[..., None]
    colors = _DEPTH_COLORS[low] * (1.0 - weight) + _DEPTH_COLORS[low + 1] * weight
    colors[np.isnan(nearness)] = 0.0
    return (colors + 0.5).astype(np.uint8)


def label(path: Path, texts: list[tuple[int, int, int, str]]) -> None:
    """Write text onto a PNG file: (x from the left, y of the base line from the top, size, text), white."""
    import blf
    import imbuf

    image = imbuf.load(str(path))
    height = image.size[1]
    with blf.bind_imbuf(0, image):
        for x, y, size, text in texts:
            blf.size(0, size)
            blf.color(0, 0.93, 0.93, 0.93, 1.0)
            blf.position(0, x, height - y, 0)
            blf.draw_buffer(0, text)
    imbuf.write(image, filepath=str(path))
