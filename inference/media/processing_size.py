"""The clip at processing resolution: one pass over the plate into a cache on disk, then random access."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..common.files import save_json
from ..contract import own_files, records
from ..contract.numbering import Frame
from .clip import Clip
from .cuts import CutFinder, shots

_PIXELS = "frames.u8"
_STATE = "frames.json"


def working_size(width: int, height: int, long_side: int, multiple: int) -> tuple[int, int]:
    """The processing resolution (width, height) of a plate; one that is smaller than `long_side` is not enlarged.

    Width and height become the nearest multiples of `multiple`, at least one.
    """
    scale = min(1.0, long_side / max(width, height))

    def fit(length: int) -> int:
        return max(1, round(length * scale / multiple)) * multiple

    return fit(width), fit(height)


@dataclass(frozen=True, kw_only=True)
class CachedFrames:
    """Frames by random access from the cache, without keeping memory or open files.

    See `inference.estimators.base.Frames`.
    """

    path: Path
    offset: int
    """Index in the cache of the first frame."""
    numbers: range
    width: int
    height: int
    cached: tuple[int, int]
    """Width and height in the cache; another size of the frames is made of them as they are read."""

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """The `index`-th image, [H, W, 3] uint8 RGB, display-referred; a negative index counts from the end."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        width, height = self.cached
        count = width * height * 3
        # Read, not mapped: mapped pages would count as the process's memory.
        values = np.fromfile(self.path, np.uint8, count=count, offset=(self.offset + index % len(self)) * count)
        image = values.reshape(height, width, 3)
        size = (self.width, self.height)
        return image if size == self.cached else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def resized(frames: CachedFrames, size: tuple[int, int]) -> CachedFrames:
    """The frames at another (width, height)."""
    return replace(frames, width=size[0], height=size[1])


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A range of a clip at processing resolution.

    Attributes
    ----------
    first_frame, last_frame : int
        Source frames, both included.
    width, height : int
        Working size in pixels.
    shots : tuple of (first, last)
        Source frames of the stretches between hard cuts, both included; together they are the range.
    blank : dict of int to str
        First frames of blank shots, and their colors: see `light.blank`.
    repeats : frozenset of int
        Source frames that repeat the frame before them.
    path : Path
        The cache file: one record of height x width x 3 bytes per frame.
    """

    first_frame: int
    last_frame: int
    width: int
    height: int
    shots: tuple[tuple[int, int], ...]
    blank: dict[int, str]
    repeats: frozenset[int]
    path: Path

    def shown(self, first: int, last: int) -> tuple[int, ...]:
        """For each of the frames `first` to `last`, counted from 0, the one among them that it repeats, or itself."""
        shown: list[int] = []
        for number in range(first, last + 1):
            shown.append(shown[-1] if shown and number in self.repeats else len(shown))
        return tuple(shown)

    def label(self, index: int) -> str:
        """The name of a shot for the artist, such as ``shot 2 of 3``; empty if there is only one."""
        return f"shot {index + 1} of {len(self.shots)}" if len(self.shots) > 1 else ""

    def frames(self, first: int, last: int) -> CachedFrames:
        """The frames `first` to `last`, both included, by random access."""
        if not self.first_frame <= first <= last <= self.last_frame:
            raise ValueError(f"frames {first}-{last} are not all in {self.first_frame}-{self.last_frame}")
        return CachedFrames(
            path=self.path,
            offset=first - self.first_frame,
            numbers=range(first, last + 1),
            width=self.width,
            height=self.height,
            cached=(self.width, self.height),
        )


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Findings about the cached frames: first frames of shots, blank frames with their colors, repeated frames."""

    starts: tuple[Frame, ...]
    blank: tuple[tuple[Frame, str], ...]
    repeats: tuple[Frame, ...]

    def is_within(self, first: int, last: int) -> bool:
        """Whether these can be of a clip of these frames."""
        frames = (*self.starts, *(frame for frame, _ in self.blank), *self.repeats)
        in_order = all(before < after for before, after in pairwise(self.starts))
        return in_order and all(first <= frame <= last for frame in frames)


@dataclass(frozen=True, kw_only=True)
class _State:
    """The facts that are saved beside a cache; None: not known yet."""

    found: _Found | None = None


def prepare(
    clip: Clip,
    first: int,
    last: int,
    size: tuple[int, int],
    folder: str | Path,
    *,
    cuts: tuple[int, ...] | None = None,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Prepared:
    """Scale a range of a clip to processing resolution, in one pass, into a cache on disk, and find its cuts.

    An interrupted call continues where it stopped when it is repeated with the same arguments, to the same bits. The
    caller ensures that the folder is for this clip, range and size alone. `check` is called before every frame,
    `progress` after it.

    Parameters
    ----------
    cuts : tuple of int or None
        First frames of the shots after the first, where they are known; None: they are found.

    Raises
    ------
    ClipError
        The range is not in the clip, or a frame is missing, damaged or of another size.
    OSError
        The cache cannot be written: no permission, or not enough room (ENOSPC, before anything is read).
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    own_files.make_folder(folder)
    total, record = last - first + 1, size[0] * size[1] * 3
    pixels = folder / _PIXELS
    held = min(pixels.stat().st_size // record, total) if pixels.exists() else 0
    found = _load_state(folder).found
    if found is None or held < total or not found.is_within(first, last):
        _need_room(folder, (total - held) * record)
        finder = _fill(clip, first=first, last=last, size=size, path=pixels, held=held, check=check, progress=progress)
        found = _Found(
            starts=tuple(finder.finish()), blank=tuple(sorted(finder.blank.items())), repeats=tuple(finder.repeats)
        )
        save_json(folder / _STATE, _State(found=found))
    else:
        progress(total, total)
    return _prepared((first, last), size, pixels, cuts, found)


def cached(
    first: int, last: int, size: tuple[int, int], folder: str | Path, *, cuts: tuple[int, ...] | None
) -> Prepared | None:
    """What `prepare` has made of the same arguments, without the clip; None where it is not whole."""
    pixels, found = Path(folder) / _PIXELS, _load_state(Path(folder)).found
    whole = (last - first + 1) * size[0] * size[1] * 3
    if found is None or not found.is_within(first, last) or not pixels.is_file() or pixels.stat().st_size != whole:
        return None
    return _prepared((first, last), size, pixels, cuts, found)


def _prepared(
    frames: tuple[int, int], size: tuple[int, int], pixels: Path, cuts: tuple[int, ...] | None, found: _Found
) -> Prepared:
    first, last = frames
    return Prepared(
        first_frame=first,
        last_frame=last,
        width=size[0],
        height=size[1],
        shots=shots(first, last, found.starts if cuts is None else cuts),
        blank=dict(found.blank) if cuts is None else {},
        repeats=frozenset(found.repeats),
        path=pixels,
    )


def _fill(
    clip: Clip,
    *,
    first: int,
    last: int,
    size: tuple[int, int],
    path: Path,
    held: int,
    check: Callable[[], None],
    progress: Callable[[int, int], None],
) -> CutFinder:
    """Append the missing frames to a cache with `held` ones; returns the finder, which has processed all of them."""
    total = last - first + 1
    finder = CutFinder()
    if held:
        cached = CachedFrames(
            path=path, offset=0, numbers=range(first, first + held), width=size[0], height=size[1], cached=size
        )
        for index in range(held):
            check()
            finder.feed(first + index, cached[index])
        progress(held, total)
    with open(path, "r+b" if held else "wb", opener=own_files.opener) as file:
        file.seek(held * size[0] * size[1] * 3)
        file.truncate()  # a frame that was cut off half-way
        if held < total:
            for number, image in clip.read(first + held, last, size=size):
                check()
                values = np.rint(image * np.float32(255)).astype(np.uint8)
                file.write(values.tobytes())
                finder.feed(number, values)
                progress(number - first + 1, total)
        file.flush()
        os.fsync(file.fileno())
    return finder


def _load_state(folder: Path) -> _State:
    try:
        return records.load(_State, folder / _STATE, strict=False)
    except (OSError, records.RecordError):
        return _State()


def _need_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(
            errno.ENOSPC,
            f"The frames at working size need {size / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; "
            "make room, choose another output folder or a smaller working size",
            str(folder),
        )
