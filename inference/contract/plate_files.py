"""The files of a clip as they were when something was made of them: whether it is of the same clip as there is now.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from . import numbering
from .job import Source
from .records import Bounds

_SAME = 2_000_000_000
"""Nanoseconds by which times may differ: some disks keep two seconds."""


@dataclass(frozen=True, kw_only=True)
class PlateFiles:
    """The files of a clip's frames.

    A clip that is copied over another keeps its own time, which may be earlier than what was made of the other, and a
    server's clock may be ahead. So it is not compared with the time of what was made, but with what it was.

    Attributes
    ----------
    size : int
        Bytes of all.
    written : int
        When the last of them was written, in nanoseconds since 1970.
    """

    size: Annotated[int, Bounds(0, 2**63)]
    written: Annotated[int, Bounds(-(2**63), 2**63)]

    def are_others(self, now: PlateFiles | None) -> bool:
        """Whether the files are others now; not where some are missing (None)."""
        return now is not None and (self.size != now.size or abs(self.written - now.written) > _SAME)


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


def look(source: Source, first: int | None, last: int | None) -> PlateFiles | None:
    """The files as they are; None where one is missing."""
    try:
        found = [path.stat() for _, path in paths(source, first, last)]
    except OSError:
        return None
    return of((facts.st_size, facts.st_mtime_ns) for facts in found)


def of(facts: Iterable[tuple[int, int]]) -> PlateFiles | None:
    """The files of some sizes and times; None of none."""
    sizes, times = zip(*found) if (found := list(facts)) else ((), ())
    return PlateFiles(size=sum(sizes), written=max(times)) if found else None
