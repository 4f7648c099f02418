"""The files of a clip, and what else is read with it, as they were when something was made of them: whether it is of
the same clip as there is now.

Standard library only.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

from . import numbering
from .job import Source
from .records import Bounds, RecordError
from .untrusted import read_bytes

_RECORDS = ("depth.json", "model.json")
"""In a folder that is read, what is written last: of a depth sequence, of trained weights."""
_MAP = re.compile(r"(disparity|confidence)\.-?[0-9]+\.exr")
_SAME = 2_000_000_000
"""Nanoseconds by which times may differ: some disks keep two seconds."""
_ORDERS = 2**53
"""The order is a number up to which every JSON reader is exact."""
_PARTS = 256
"""Into how many parts files are divided at most, of each of which it is known when they were written."""


@dataclass(frozen=True, kw_only=True)
class PlateFiles:
    """The files of a clip's frames, or others.

    A clip that is copied over another keeps its own time, which may be earlier than what was made of the other, and a
    server's clock may be ahead. So it is not compared with the time of what was made, but with what it was.

    Attributes
    ----------
    size : int
        Bytes of all.
    written : int
        When the last of them was written, in nanoseconds since 1970.
    order : int or None
        Bytes of each times its place in the order of frames, summed: frames that are renumbered are others. To it comes
        a checksum of the color configuration: that of a Blender that was installed anew is the same. None: unknown.
    averages : tuple of int or None
        When they were written, in nanoseconds since 1970: each of up to 256 files, or on average the files of each of
        up to 256 parts of the sequence, where the last of a part count almost twice as much as the first. Of formats
        whose files all have one size, a frame may be replaced by an older one, whose time a copy keeps, or two may
        change places. One number for all would not tell that from times that a disk has rounded. None: unknown.
    """

    size: Annotated[int, Bounds(0, 2**63)]
    written: Annotated[int, Bounds(-(2**63), 2**63)]
    order: Annotated[int, Bounds(0, _ORDERS)] | None = None
    averages: tuple[Annotated[int, Bounds(-(2**63), 2**63)], ...] | None = None

    def are_others(self, now: PlateFiles | None) -> bool:
        """Whether the files are others now; not where some are missing (None)."""
        if now is None:
            return False
        if self.size != now.size or (None not in (self.order, now.order) and self.order != now.order):
            return True
        times = [(self.written, now.written)]
        if self.averages is not None and now.averages is not None:
            times += zip_longest(self.averages, now.averages, fillvalue=0)
        return any(abs(one - other) > _SAME for one, other in times)


def paths(source: Source, first: int | None, last: int | None) -> list[tuple[int | None, Path]]:
    """The files of a clip's frames `first` to `last`, both included (None: its ends), with their numbers.

    A movie is one file, without a number.
    """
    if source.kind == "movie":
        return [(None, Path(source.path))]
    named = numbering.by_frame(source.files).items() if source.files else ()
    return [
        (number, Path(source.path) / name)
        for number, name in named
        if (first is None or number >= first) and (last is None or number <= last)
    ]


def beside(mattes: str | None, parameters: Mapping[str, object]) -> list[Path]:
    """The files that a job reads beside its clip: the images in its folder of mattes, and of each folder that a
    parameter names the record of its depth sequence with the maps, or that of its weights.
    """
    found: list[Path] = []
    if mattes:
        found += [each for each in _files_in(Path(mattes)) if re.search(r"[0-9]", each.name) and each.name[0] != "."]
    for value in parameters.values():
        if isinstance(value, str) and Path(value).is_absolute():
            folder = Path(value).parent if Path(value).name in _RECORDS else Path(value)
            there = [folder / name for name in _RECORDS if (folder / name).is_file()]
            maps = _files_in(folder) if there and there[0].name == _RECORDS[0] else []
            found += [*there, *(each for each in maps if _MAP.fullmatch(each.name))]
    return found


def _files_in(folder: Path) -> list[Path]:
    """The files in a folder by name; none where it cannot be read."""
    try:
        return [each for each in sorted(folder.iterdir()) if each.is_file()]
    except OSError:
        return []


def color_config(named: str | Path | None) -> Path | None:
    """The file of the OCIO configuration that a clip names, or else the variable ``OCIO``; None for a built-in one."""
    found = named or os.environ.get("OCIO") or ""
    return None if not found or str(found).startswith("ocio://") else Path(found)


def look(source: Source, first: int | None, last: int | None) -> PlateFiles | None:
    """The clip's files as they are; None where one is missing."""
    return look_at(path for _, path in paths(source, first, last))


def look_at(files: Iterable[Path], *, colors: Path | None = None) -> PlateFiles | None:
    """Files as they are, and the color configuration that they are read by; None where one is missing, and of none."""
    try:
        found = [path.stat() for path in files]
    except OSError:
        return None
    return of(((facts.st_size, facts.st_mtime_ns) for facts in found), checksum=checksum_of(colors))


def of(facts: Iterable[tuple[int, int]], *, checksum: int = 0) -> PlateFiles | None:
    """The files of some sizes and times, in order, and the checksum of a configuration; None of none."""
    sizes, times = zip(*found) if (found := list(facts)) else ((), ())
    if not (found or checksum):
        return None
    order = (checksum + sum(place * size for place, size in enumerate(sizes, 1))) % _ORDERS
    length = max(-(-len(times) // _PARTS), 1)
    averages = tuple(_average(times[begin : begin + length]) for begin in range(0, len(times), length))
    return PlateFiles(size=sum(sizes), written=max(times, default=0), order=order, averages=averages)


def _average(times: Sequence[int]) -> int:
    """When some files were written on average, the last of them counting almost twice as much as the first."""
    weights = range(len(times) + 1, 2 * len(times) + 1)
    return sum(weight * time for weight, time in zip(weights, times)) // sum(weights)


def checksum_of(path: Path | None) -> int:
    """The checksum of a file's content; 0 for none, and for one that cannot be read, which whoever needs it says."""
    try:
        return zlib.crc32(read_bytes(path)) if path is not None else 0
    except (OSError, RecordError):
        return 0
