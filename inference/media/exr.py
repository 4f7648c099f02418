"""EXR files: maps with one channel ``Y``, 32-bit float, ZIP, which every Blender reads the same way, and others."""

from __future__ import annotations

import errno
import io
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from numpy.typing import ArrayLike, NDArray

from ..common.failures import ClipError, first_line
from ..contract import exr_windows
from ..contract.depth_sequence import CHANNEL
from ..contract.untrusted import in_a_line
from .declared import DEFLATE, Declared, require_memory

_IN_A_PICTURE = 28
"""Bytes of a pixel besides its channels: three floats of an image, as many where they were halves, and masks."""


_RATIOS = {
    OpenEXR.NO_COMPRESSION: 1,
    OpenEXR.RLE_COMPRESSION: 64,
    OpenEXR.ZIPS_COMPRESSION: DEFLATE,
    OpenEXR.ZIP_COMPRESSION: DEFLATE,
    OpenEXR.PXR24_COMPRESSION: DEFLATE,
}
"""How many bytes one byte of a file stands for at most."""
_LARGEST_TILE = 1 << 24
"""Pixels of a tile that may be larger than its image."""
_LEAST_SAMPLE = 1.5
"""Bytes of a sample that are compressed: PXR24 leaves out a quarter of a float, and a half has two."""


def write_map(path: str | Path, array: ArrayLike, metadata: Mapping[str, str | int | float] | None = None) -> None:
    """Write one map [H, W] as float32, in place; `metadata` goes into the header, for people and other programs.

    Raises
    ------
    ValueError
        The array is not two-dimensional, or empty.
    OSError
        The file cannot be written (no folder, no permission, full disk).
    """
    write_channels(path, {CHANNEL: np.asarray(array, np.float32)}, metadata)


def write_channels(
    path: str | Path,
    channels: Mapping[str, NDArray[np.floating]],
    metadata: Mapping[str, Any] | None = None,
    *,
    corner: tuple[int, int] = (0, 0),
    display: exr_windows.Box | None = None,
) -> None:
    """Write channels [H, W] of one size, float32 or float16 each, in place.

    Parameters
    ----------
    channels : mapping
        By their full names, such as ``depth.Z``.
    metadata : mapping or None
        For the header: texts, numbers, and the format's own attributes, such as ``pixelAspectRatio``.
    corner : (int, int)
        Column and row of the first pixel: the data window begins there.
    display : Box or None
        The display window; None: the data window.

    Raises
    ------
    ValueError, OSError
        As `write_map`.
    """
    pixels = {name: np.ascontiguousarray(values) for name, values in channels.items()}
    for values in pixels.values():
        if values.ndim != 2 or values.size == 0:
            raise ValueError(f"a map has two dimensions and at least one pixel, not shape {values.shape}")
    header = {**(metadata or {}), "compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    if corner != (0, 0) or display is not None:
        height, width = next(iter(pixels.values())).shape
        data = (*corner, corner[0] + width - 1, corner[1] + height - 1)
        header |= {name: (box[:2], box[2:]) for name, box in (("dataWindow", data), ("displayWindow", display or data))}
    # The file is opened by Python first: its OSError names what is wrong (the library's error does not).
    with open(path, "wb"):
        pass
    try:
        with OpenEXR.File(header, dict(pixels)) as file:  # the library replaces the values
            file.write(_library_name(path))
    except RuntimeError as error:
        full = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
        code = next((each for each in full if os.strerror(each) in str(error)), errno.EIO)
        raise OSError(code, first_line(error), str(path)) from error
    _check_written(path, pixels)


def _check_written(path: str | Path, channels: Mapping[str, NDArray[np.floating]]) -> None:
    """Read a file back: the library does not report a full disk."""
    try:
        kept = read_channels(path)
    except ClipError:
        kept = {}
    if any(name not in kept or kept[name].tobytes() != values.tobytes() for name, values in channels.items()):
        raise OSError(errno.ENOSPC, "cannot be written completely; the disk may be full", str(path))


def read_map(path: str | Path, *, size: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """Read one map [H, W], float32; one that is not of `size` (width, height) is rejected before it costs any memory.

    Raises
    ------
    ClipError
        The file is missing, broken, or has no channel ``Y``; it has another size, or is too large for memory.
    """

    def accept(width: int, height: int) -> None:
        if size is not None and (width, height) != size:
            raise ClipError(
                f"{path} is {width}x{height} pixels and not {size[0]}x{size[1]} as its sequence says",
                "copy it again, or estimate that depth sequence again",
            )

    channels = {name: values for name, (values, _) in read_placed_channels(path, accept=accept).items()}
    if CHANNEL not in channels:
        raise ClipError(
            f"{path} has no channel {CHANNEL} but {', '.join(sorted(channels)) or 'none at all'}",
            "use an EXR that Fathom wrote",
        )
    return channels[CHANNEL].astype(np.float32, copy=False)


def read_channels(path: str | Path) -> dict[str, NDArray[np.floating]]:
    """Read all channels of an EXR file, by their full names (``ViewLayer.Combined.R``), in the order of its parts.

    Of parts that share a channel name the first counts. Values are as stored (half, float or uint), those of the data
    window alone.

    Raises
    ------
    ClipError
        The file is missing or broken, or its pixels are incomplete.
    """
    return {name: pixels for name, (pixels, _) in read_placed_channels(path).items()}


def read_placed_channels(
    path: str | Path, *, accept: Callable[[int, int], None] | None = None
) -> dict[str, tuple[NDArray[np.floating], tuple[int, int]]]:
    """As `read_channels`, each with the column and row of its first pixel: the corner of its part's data window.

    `accept` takes the width and height of the first part's data window before any memory is allocated, and may raise.
    """
    if not Path(path).is_file():
        raise ClipError(f"There is no file {path}", "check the path")
    channels: dict[str, tuple[NDArray[np.floating], tuple[int, int]]] = {}
    try:
        _look_before(path, accept)
        with _opened(path, separate_channels=True) as file:
            if not file.parts:  # the library only warns on stderr and leaves the part out
                raise ValueError("its pixels are incomplete")
            for part in file.parts:
                prefix = f"{part.name()}." if len(file.parts) > 1 and part.name() else ""
                missing = {channel.name for channel in part.header["channels"]} - set(part.channels)
                if missing:
                    raise ValueError(f"the pixels of channel {min(missing)} are incomplete")
                column, row = (int(value) for value in part.header["dataWindow"][0])
                for name, channel in part.channels.items():
                    full = name if name.startswith(prefix) else prefix + name
                    channels.setdefault(full, (channel.pixels, (column, row)))
    except (ClipError, MemoryError):
        raise
    except Exception as error:
        raise ClipError(
            f"{path} cannot be read as an EXR file ({first_line(error)})", "render or copy it again"
        ) from error
    return channels


def _look_before(path: str | Path, accept: Callable[[int, int], None] | None) -> None:
    """Reject (ClipError) a file by its header: one that does not fit into memory, deep data, or subsampling."""
    sizes, depth, least = [], 0.0, 0.0
    with _opened(path, header_only=True) as file:
        for part in file.parts:
            if part.type() not in (OpenEXR.scanlineimage, OpenEXR.tiledimage):
                raise ClipError(f"{path} holds deep data", "render it without, or flatten it")
            for channel in part.header["channels"]:
                if (channel.xSampling, channel.ySampling) != (1, 1):
                    raise ClipError(
                        f"{path} holds its channel {in_a_line(channel.name)} at a part of its resolution (subsampling)",
                        "render it with every channel at full resolution",
                    )
            (left, top), (right, down) = part.header["dataWindow"]
            sizes.append((int(right) - int(left) + 1, int(down) - int(top) + 1))
            samples = sizes[-1][0] * sizes[-1][1] * len(part.header["channels"])
            tile = part.header.get("tiles")  # the library takes memory for a whole one
            if tile is not None and tile.xSize * tile.ySize > max(sizes[-1][0] * sizes[-1][1], _LARGEST_TILE):
                raise ValueError(f"it has tiles of {tile.xSize} x {tile.ySize} pixels")
            depth += 4.0 * samples
            least += _LEAST_SAMPLE * samples / _RATIOS.get(part.header["compression"], math.inf)
    if not sizes:
        raise ValueError("it has no image")
    if accept is not None:
        accept(*sizes[0])
    if Path(path).stat().st_size < least:
        raise ValueError("its pixels are incomplete")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    require_memory(path, Declared(width, height, depth / (width * height)), finished=_IN_A_PICTURE)


def read_header(path: str | Path) -> dict[str, Any]:
    """The attributes of an EXR file's first part, by their names; what the library raises passes through."""
    with _opened(path, header_only=True) as file:
        return dict(file.parts[0].header)  # the library empties its own at the end


def _opened(path: str | Path, **options: bool) -> OpenEXR.File:
    """Open a file, also one whose header has texts that are not UTF-8, or a rate of 0/0, for which the bindings reject
    it.
    """
    exr_windows.check_headers(path)
    try:
        return OpenEXR.File(_library_name(path), **options)
    except (UnicodeDecodeError, ZeroDivisionError):
        return OpenEXR.File(io.BytesIO(exr_windows.with_plain_header(Path(path).read_bytes())), **options)


def _library_name(path: str | Path) -> str | bytes:
    """A path for the library: bytes if it is not UTF-8, since its bindings encode text strictly."""
    text = str(path)
    return text if text.isascii() else os.fsencode(text)
