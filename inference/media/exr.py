"""Maps as EXR files: one channel ``Y``, 32-bit float, ZIP, which every Blender reads the same way."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from numpy.typing import ArrayLike, NDArray

from .. import exr_windows
from ..depth_sequence import CHANNEL
from .errors import ClipError


def write_map(path: str | Path, array: ArrayLike, metadata: Mapping[str, str | int | float] | None = None) -> None:
    """Write one map.

    Parameters
    ----------
    path : path
        Written in place: call with a temporary name and rename, where a half-written file must never be seen.
    array : [H, W] numbers
        Kept as float32.
    metadata : mapping or None
        Goes into the file's header; for people and other programs, since Blender does not show it.

    Raises
    ------
    ValueError
        The array is not two-dimensional, or empty.
    OSError
        The file cannot be written (no folder, no permission, full disk).
    """
    values = np.ascontiguousarray(array, dtype=np.float32)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"a map has two dimensions and at least one pixel, not shape {values.shape}")
    header = {**(metadata or {}), "compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    # The file is opened by Python first: its OSError names what is wrong (the library's error does not).
    with open(path, "wb"):
        pass
    try:
        with OpenEXR.File(header, {CHANNEL: values}) as file:
            file.write(_library_name(path))
    except RuntimeError as error:
        raise OSError(errno.EIO, f"cannot be written ({error})", str(path)) from error
    _check_written(path, values)


def _check_written(path: str | Path, values: NDArray[np.float32]) -> None:
    """Read a file back: the library does not tell when the disk is full."""
    try:
        kept = read_channels(path)[CHANNEL]
    except (ClipError, KeyError):
        kept = None
    if kept is None or kept.tobytes() != values.tobytes():
        raise OSError(errno.ENOSPC, "cannot be written completely; the disk may be full", str(path))


def read_map(path: str | Path) -> NDArray[np.float32]:
    """Read one map.

    Returns
    -------
    [H, W] float32

    Raises
    ------
    ClipError
        The file is missing, broken, or has no channel ``Y``.
    """
    channels = read_channels(path)
    if CHANNEL not in channels:
        raise ClipError(
            f"{path} has no channel {CHANNEL} but {', '.join(sorted(channels)) or 'none at all'}",
            "use an EXR that Fathom wrote",
        )
    return channels[CHANNEL].astype(np.float32, copy=False)


def read_channels(path: str | Path) -> dict[str, NDArray[np.floating]]:
    """Read all channels of an EXR file.

    Returns
    -------
    dict of [H, W] arrays
        By the channel's full name as in the file (``ViewLayer.Combined.R``), in the order of the file's parts.
        Of parts that share a channel name the first counts. Values are as stored (half, float or uint), those of the
        data window alone.

    Raises
    ------
    ClipError
        The file is missing or broken, or its pixels are incomplete.
    """
    return {name: pixels for name, (pixels, _) in read_placed_channels(path).items()}


def read_placed_channels(path: str | Path) -> dict[str, tuple[NDArray[np.floating], tuple[int, int]]]:
    """As `read_channels`, each with the column and row of its first pixel: the corner of its part's data window."""
    if not Path(path).is_file():
        raise ClipError(f"There is no file {path}", "check the path")
    channels: dict[str, tuple[NDArray[np.floating], tuple[int, int]]] = {}
    try:
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
    except Exception as error:
        raise ClipError(
            f"{path} cannot be read as an EXR file ({_first_line(error)})", "render or copy it again"
        ) from error
    return channels


def read_header(path: str | Path) -> dict[str, Any]:
    """The attributes of an EXR file's first part, by their names; what the library raises passes through."""
    with _opened(path, header_only=True) as file:
        return dict(file.parts[0].header)  # the library empties its own at the end


def _opened(path: str | Path, **options: bool) -> OpenEXR.File:
    """Open a file, also one whose header has texts that are no UTF-8, which the library's bindings refuse."""
    try:
        return OpenEXR.File(_library_name(path), **options)
    except UnicodeDecodeError:
        return OpenEXR.File(io.BytesIO(exr_windows.with_plain_text(Path(path).read_bytes())), **options)


def _library_name(path: str | Path) -> str | bytes:
    """A path as the library takes it: bytes where it is no UTF-8, for its bindings encode text strictly."""
    text = str(path)
    return text if text.isascii() else os.fsencode(text)


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
