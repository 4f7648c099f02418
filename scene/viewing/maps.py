"""Pixels of depth maps, read as the worker writes them, without an image of Blender's for each frame.

Read by hand, since the Python of Blender 4.2 has no OpenImageIO.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...inference.contract import depth_sequence, exr_windows
from ...inference.contract.untrusted import open_file
from ..problems import Problem

_LINES = {0: 1, 2: 1, 3: 16}
"""Lines in a chunk, by compression: none, ZIP of single lines, ZIP."""
_LARGEST = 16384
"""Long side of a map: what any GPU takes as a texture."""
_MOST_BYTES = 256 * 2**20
"""Of maps that are kept, some two hundred frames of 640x480; and of one file."""

_MOST_RATIO = 1100
"""How many bytes one byte of deflated data stands for at most, rounded up."""


class MapError(Problem):
    """A map that cannot be shown; the message is one sentence for the artist."""


def read(path: str | Path) -> NDArray[np.float32]:
    """A map [H, W], float32, first row on top.

    FileNotFoundError where it is not there yet; MapError where it is no map that Fathom wrote, or damaged.
    """
    try:
        with open_file(path) as file:
            return _decoded(file.read(_MOST_BYTES))
    except (ValueError, KeyError, IndexError, OverflowError, struct.error, zlib.error) as error:
        raise MapError(
            f"{path} cannot be shown, since it is not as Fathom writes its maps: copy the folder again, or estimate "
            "the clip again."
        ) from error


def _decoded(data: bytes) -> NDArray[np.float32]:
    """The one channel of an EXR file; layout: https://openexr.com/en/latest/OpenEXRFileLayout.html."""
    stored = exr_windows.stored(io.BytesIO(data))
    ((name, kind),) = stored.channels
    width, height = exr_windows.size(stored.window)
    if name != depth_sequence.CHANNEL or kind not in (1, 2) or not (0 < width <= _LARGEST and 0 < height <= _LARGEST):
        raise ValueError("no depth map")
    sample = np.dtype("<f4" if kind == 2 else "<f2")
    if width * height * sample.itemsize > _MOST_RATIO * len(data):
        raise ValueError("more pixels than the file can hold")
    lines = _LINES[stored.compression]
    values = np.zeros((height, width), np.float32)
    count = -(-height // lines)
    offsets = struct.unpack_from(f"<{count}Q", data, stored.chunks)
    top = stored.window[1]
    for offset in offsets:
        line, length = struct.unpack_from("<ii", data, offset)
        row = line - top
        rows = min(lines, height - row)
        if row < 0 or rows <= 0 or length < 0:
            raise ValueError("a chunk outside the image")
        raw = data[offset + 8 : offset + 8 + length]
        needed = rows * width * sample.itemsize
        if length != needed:  # a chunk that compression does not make smaller is stored as it is
            raw = _unpacked(raw, needed)
        values[row : row + rows] = np.frombuffer(raw, sample, rows * width).reshape(rows, width)
    return values


def _unpacked(raw: bytes, needed: int) -> bytes:
    """Undo ZIP: inflate, sum up the differences of bytes, and interleave the two halves."""
    inflated = np.frombuffer(zlib.decompressobj().decompress(raw, needed), np.uint8)
    if len(inflated) != needed:
        raise ValueError("a chunk that is too short")
    steps = inflated.copy()
    steps[1:] -= 128
    whole = np.cumsum(steps, dtype=np.uint8)
    joined = np.empty_like(whole)
    half = (needed + 1) // 2
    joined[0::2], joined[1::2] = whole[:half], whole[half:]
    return joined.tobytes()


class Cache:
    """Maps that were read, as many as fit; drawing asks, and reading happens between draws.

    `of` gives a map, or None and notes that it is wanted; `read_wanted` reads those.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most_bytes
        self._maps: OrderedDict[Path, NDArray[np.float32]] = OrderedDict()
        self._bytes = 0
        self.problems: dict[Path, str] = {}
        self.wanted: dict[Path, None] = {}

    def of(self, path: Path) -> NDArray[np.float32] | None:
        """A map as far as it was read; no file is opened."""
        found = self._maps.get(path)
        if found is None:
            if path not in self.problems:
                self.wanted[path] = None
            return None
        self._maps.move_to_end(path)
        return found

    def read(self, path: Path) -> bool:
        """Read a map unless it is there; whether something is known now that was not."""
        self.wanted.pop(path, None)
        if path in self._maps or path in self.problems:
            return False
        try:
            values = read(path)
        except FileNotFoundError:
            return False  # not estimated yet; whoever draws asks again
        except (OSError, MapError) as error:
            self.problems[path] = str(error)
            return True
        self._maps[path] = values
        self._bytes += values.nbytes
        while self._bytes > self._most and len(self._maps) > 1:
            _, dropped = self._maps.popitem(last=False)
            self._bytes -= dropped.nbytes
        return True

    def forget(self) -> None:
        """Know nothing: files have changed."""
        self._maps.clear()
        self._bytes = 0
        self.problems.clear()
        self.wanted.clear()
