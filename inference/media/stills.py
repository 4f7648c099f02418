"""One image from a file: EXR by OpenEXR, the usual formats by OpenCV, DPX and the rest by FFmpeg."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from ..common.failures import ClipError
from ..contract import exr_windows
from . import containers, declared, exr, jpeg_2000, pixels, tiff
from .declared import Declared

OPENCV = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".webp", ".hdr", ".jp2", ".j2c"})
FFMPEG = frozenset({".dpx", ".tga", ".sgi", ".rgb", ".cin"})
LINEAR = frozenset({".exr", ".hdr", ".dpx", ".cin"})
"""Formats whose values Blender takes for linear unless it is told otherwise."""
EXTENSIONS = OPENCV | FFMPEG | {".exr"}

CONVERT = "convert it to PNG, JPEG or OpenEXR"
_COPY = "render or copy the frame again"


def read(
    path: str | Path,
    *,
    over_black: bool = False,
    display: exr_windows.Box | None = None,
    accept: Callable[[int, int], None] = lambda width, height: None,
) -> NDArray[np.float32 | np.uint8 | np.uint16]:
    """Read an image [H, W, 3] as uint8, uint16 or float32: RGB as stored, in the file's own encoding; gray is repeated.

    Parameters
    ----------
    over_black : bool
        Whether transparent pixels of a PNG or TIFF of 8 or 16 bits become black, as in a matte. False: alpha is
        ignored.
    display : Box or None
        Window in which the data of EXR files is placed, black outside; each in its own, where that begins elsewhere.
        None: the data alone is the image.
    accept : callable
        Takes the width and the height that the file declares, before they cost any memory; may raise.

    Raises
    ------
    ClipError
        The file is missing, empty, truncated, or no image; it declares more than fits into memory.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".exr":
        declared.require_file(path, again=_COPY)
        return _exr(path, display, accept)
    data = declared.contents(path, again=_COPY)
    if suffix == ".cin":
        raise ClipError(f"{path} is a Cineon file, which is not read", CONVERT)
    size = declared.of_image(data, plain=suffix == ".tga")
    if size is None:
        raise ClipError(
            f"{path} is no image that can be read", f"{_COPY}, or {CONVERT}" if suffix in EXTENSIONS else CONVERT
        )
    accept(size.width, size.height)
    if len(data) < size.least:
        raise ClipError(f"{path} is cut short", _COPY)
    declared.require_memory(path, size)
    if suffix in FFMPEG:
        return _ffmpeg(path, size)
    images = _animated(data)
    if images > 1:
        raise ClipError(
            f"{path} is an animation of {images} images, of which only the first would be read",
            "convert it to a movie or to numbered images",
        )
    if cut_short(data):
        raise ClipError(f"{path} is cut short", _COPY)
    if data.startswith(b"\xff\xd8") and (passes := data.count(b"\xff\xda")) > _MOST_PASSES:
        raise ClipError(f"{path} is coded in {passes} passes, and no camera or program takes more than a few", CONVERT)
    if tiff.is_tiff(data):
        if tiff.bits_of_planes(data) > 8:  # OpenCV takes those for garbage
            return _planar(path, size, tiff.bits_of_planes(data))
        data = tiff.as_stored(data)
    # Decoding from memory, since OpenCV cannot open every file name on every platform.
    image = _decoded(data)
    if image is None:
        raise ClipError(
            f"{path} is no image that can be read", f"{_COPY}, or {CONVERT}" if suffix in OPENCV else CONVERT
        )
    if image.dtype == np.float64:
        image = image.astype(np.float32)
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise ClipError(f"{path} has {image.dtype} values", "convert it to 8 or 16 bits a channel, or to 32-bit float")
    if image.dtype == np.uint16 and data.startswith(jpeg_2000.MARKS) and (header := jpeg_2000.read(data)):
        scale = np.float32(65535 / (2**header.bits - 1))  # OpenCV leaves the values as they are
        image = np.round(image * scale).astype(np.uint16)
    if image.ndim == 2 or image.shape[2] == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if over_black and image.shape[2] in {2, 4} and image.dtype != np.float32:
        covered = image[..., -1:].astype(np.float32) / np.iinfo(image.dtype).max
        image = np.round(image * covered).astype(image.dtype)
    if image.shape[2] == 2:  # gray and alpha
        return np.repeat(image[..., :1], 3, axis=2)
    return np.ascontiguousarray(image[..., 2::-1])


def _decoded(data: bytes) -> NDArray | None:
    """The image that OpenCV reads from a file; None if it is broken, or larger than OpenCV allows."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        if error.code == _NO_MEMORY:
            raise MemoryError(str(error)) from error
        return None


_NO_MEMORY = -4
"""OpenCV's code for it."""


def cut_short(data: bytes) -> bool:
    """Whether a PNG or JPEG is truncated; their libraries fill in the missing part without an error."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data[-4096:] or not _chunks_fit(data)
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return False


def _chunks_fit(data: bytes) -> bool:
    """Whether a PNG's chunks end within the file; OpenCV allocates memory for any that claims to be longer."""
    at = 8
    for _ in range(_MOST_CHUNKS):
        if data[at + 4 : at + 8] in (b"IEND", b""):
            return True
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        if at > len(data):
            return False
    return False


_MOST_CHUNKS = 1_000_000
_MOST_PASSES = 100
"""Of a progressive JPEG over its image (ITU-T T.81, G): each takes as long as decoding it, of a few bytes."""


def _animated(data: bytes) -> int:
    """How many images an animated PNG or WebP shows; 1 for any other file."""
    if data.startswith(b"\x89PNG"):
        at = data.find(b"acTL", 0, max(0, data.find(b"IDAT")))
        return int.from_bytes(data[at + 4 : at + 8], "big") if at > 0 else 1
    if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X" and len(data) > 20 and data[20] & 2:
        return max(2, data.count(b"ANMF"))
    return 1


def _exr(path: Path, display: exr_windows.Box | None, accept: Callable[[int, int], None]) -> NDArray[np.float32]:
    if display is not None:
        own = exr_windows.of_file(path)
        display = display if own is None else own.display
        width, height = exr_windows.size(display)
        accept(width, height)
        declared.require_memory(path, Declared(width, height, 12))
    channels = exr.read_placed_channels(path, accept=accept if display is None else None)
    layer = _layer(list(channels))
    if layer is None:
        raise ClipError(
            f"{path} has no image but only the channels {', '.join(sorted(channels))}",
            "render it with R, G and B, or with one channel Y",
        )
    planes = [channels[name][0].astype(np.float32, copy=False) for name in layer]
    image = np.stack(planes, axis=-1)
    return image if display is None else _placed(image, channels[layer[0]][1], display)


def _placed(image: NDArray[np.float32], corner: tuple[int, int], display: exr_windows.Box) -> NDArray[np.float32]:
    """An image whose first pixel is at `corner` (column, row), cropped to a window."""
    width, height = exr_windows.size(display)
    seen = np.zeros((height, width, 3), np.float32)
    left, top = corner[0] - display[0], corner[1] - display[1]
    right, bottom = min(left + image.shape[1], width), min(top + image.shape[0], height)
    if right > max(left, 0) and bottom > max(top, 0):
        seen[max(top, 0) : bottom, max(left, 0) : right] = image[
            max(-top, 0) : bottom - top, max(-left, 0) : right - left
        ]
    return seen


def _layer(names: list[str]) -> tuple[str, str, str] | None:
    """The three channels that are the image: plain R, G, B before a combined pass before the first other layer."""
    upper = {name.upper(): name for name in names}
    layers = [name[:-1] for name in names if name[-1:].upper() == "R" and (len(name) == 1 or name[-2] == ".")]
    layers.sort(key=lambda layer: (layer != "", not layer.lower().endswith(("combined.", "rgba.", "rgb.", "beauty."))))
    for layer in layers:
        try:
            return tuple(upper[(layer + color).upper()] for color in "RGB")  # type: ignore[return-value]
        except KeyError:
            continue
    if {"RY", "BY"} & set(upper):
        return None
    gray = upper.get("Y")
    return None if gray is None else (gray, gray, gray)


def _planar(path: Path, size: Declared, bits: int) -> NDArray[np.uint8 | np.uint16]:
    with contextlib.suppress(ClipError):
        if bits == 16:
            return _ffmpeg(path, size)
    raise ClipError(
        f"{path} keeps its colors in planes of their own, which is not read at {bits} bits",
        "write it with its channels interleaved, or convert it to PNG or OpenEXR",
    )


def _ffmpeg(path: Path, size: Declared) -> NDArray[np.uint8 | np.uint16]:
    # One file by its very name, whatever is in it: no pattern, no list of other files, and no larger image.
    options = {"pattern_type": "none", "protocol_whitelist": "file"}
    bounds: Any = {"max_pixels": str(size.width * size.height)}
    try:
        with av.open(str(path.absolute()), format="image2", options=options, stream_options=[bounds]) as container:
            stream = container.streams.video[0]
            stream.codec_context.options = {**stream.codec_context.options, **bounds}
            for frame in container.decode(stream):
                return pixels.rgb(frame)
    except (av.FFmpegError, OSError, AttributeError) as error:
        containers.pass_on_memory(error)
        reason = getattr(error, "strerror", None) or "its coding is unknown"
        raise ClipError(f"{path} is no image that can be read ({reason})", _COPY) from error
    raise ClipError(f"{path} has no image in it", _COPY)
