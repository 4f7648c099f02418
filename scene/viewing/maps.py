"""Pixels of depth maps, read as the worker writes them, without an image of Blender's for each frame.

Read by hand, since the Python of Blender 4.2 has no OpenImageIO.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...inference.contract import depth_sequence, exr_windows
from ...inference.contract.untrusted import file_facts, open_file
from ..problems import Problem

_LINES = {0: 1, 2: 1, 3: 16}
"""Lines in a chunk, by compression: none, ZIP of single lines, ZIP."""
_LARGEST = 16384
"""Long side of a map: what any GPU takes as a texture."""
_MOST_BYTES = 256 * 2**20
"""Of maps that are kept, some two hundred frames of 640x480; and of one file."""

_SHOWN = 8
"""Maps that editors show at once, or some more."""
_MOST_RATIO = 1100
"""How many bytes one byte of deflated data stands for at most, rounded up."""


class MapError(Problem):
    """A map that cannot be shown; the message is one sentence for the artist."""


def read(path: str | Path) -> NDArray[np.float32]:
    """A map [H, W], float32, first row on top.

    FileNotFoundError where it is not there yet; MapError where it is no map that Fathom wrote, or damaged. A link is
    not followed: it is read without being asked for, and where a link of somebody else's leads may be a server.
    """
    if os.path.islink(path):  # noqa: PTH114  that of `Path` raises for impossible names
        raise MapError(f"{path} is a link, and View Depth does not follow links: put the map itself there.")
    try:
        with open_file(path) as file:
            return _decoded(file.read(_MOST_BYTES))
    except (ValueError, KeyError, IndexError, OverflowError, MemoryError, struct.error, zlib.error) as error:
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
        needed = rows * width * sample.itemsize
        if row < 0 or not 0 < length <= needed:
            raise ValueError("a chunk outside the image, or longer than its pixels")
        raw = data[offset + 8 : offset + 8 + length]
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


@dataclass(frozen=True)
class _Kept:
    """A map that was read, and the file that it was: another may have its name since."""

    values: NDArray[np.float32]
    file: tuple[int, ...]


class Cache:
    """Maps that were read, as many as fit; drawing asks, and reading happens between draws.

    `of` gives a map, or None and notes that it is wanted. `read` reads one, and `check` drops those that are others by
    now: another Blender may estimate into the folder, or somebody copy another depth there.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most_bytes
        self._maps: OrderedDict[Path, _Kept] = OrderedDict()
        self._bytes = 0
        self.problems: dict[Path, str] = {}
        self._damaged: dict[Path, tuple[int, ...]] = {}
        self.wanted: dict[Path, None] = {}

    def of(self, path: Path) -> NDArray[np.float32] | None:
        """A map as far as it was read; no file is opened."""
        found = self._maps.get(path)
        if found is None:
            if path not in self.problems:
                self.wanted[path] = None
            return None
        self._maps.move_to_end(path)
        return found.values

    def check(self) -> bool:
        """Forget the maps, of those that were given last, whose files are others by now, or gone; whether one was.

        So is what was wrong with a map: somebody may have been copying it.
        """
        given = [(path, kept.file) for path, kept in list(self._maps.items())[-_SHOWN:]]
        wrong = list(self._damaged.items())[-_SHOWN:]
        changed = [path for path, file in (*given, *wrong) if file_facts(path, follow_links=False) != file]
        for path in changed:
            if path in self._maps:
                self._drop(path)
            self._damaged.pop(path, None)
            self.problems.pop(path, None)
        return bool(changed)

    def _drop(self, path: Path) -> None:
        self._bytes -= self._maps.pop(path).values.nbytes

    def read(self, path: Path) -> bool:
        """Read a map unless it is there; whether something is known now that was not."""
        self.wanted.pop(path, None)
        if path in self.problems:
            return False
        file = file_facts(path, follow_links=False)
        if path in self._maps:
            if self._maps[path].file == file:
                return False
            self._drop(path)
        try:
            values = read(path)
        except FileNotFoundError:
            return False  # not estimated yet; whoever draws asks again
        except (OSError, MapError) as error:
            self.problems[path], self._damaged[path] = str(error), file
            return True
        self._maps[path] = _Kept(values, file)
        self._bytes += values.nbytes
        while self._bytes > self._most and len(self._maps) > 1:
            self._drop(next(iter(self._maps)))
        return True

    def forget(self) -> None:
        """Know nothing: files have changed."""
        self._maps.clear()
        self._bytes = 0
        self.problems.clear()
        self._damaged.clear()
        self.wanted.clear()
