"""Runs measured on this computer, in Fathom's data folder, and what they say of the next one. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from . import own_files, records
from .records import Bounds, RecordError, Seconds, Word

NAME = "measured.json"
_KEPT = 200
"""Runs that are remembered, the newest."""
_Count = Annotated[int, Bounds(1, 2**31 - 1)]
_Bytes = Annotated[int, Bounds(0, 2**60)]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One finished run.

    Attributes
    ----------
    estimator : str
    settings : str
        Its parameters, as text, to tell alike runs.
    frames : int
        Frames that have depth.
    pixels, map_pixels : int
        Of a frame at processing resolution, and of a map.
    seconds : float
    peak_bytes : int
        Host memory at its most; 0: unknown.
    disk_bytes : int
        Of all maps.
    """

    estimator: Word
    settings: Word
    frames: _Count
    pixels: _Count
    map_pixels: _Count
    seconds: Seconds
    peak_bytes: _Bytes = 0
    disk_bytes: _Bytes = 0


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run will take, by the most alike one that was measured; each about.

    Attributes
    ----------
    seconds : float
    peak_bytes : int
        0: unknown.
    disk_bytes : int
    frames : int
        Of the run that it goes by.
    """

    seconds: float
    peak_bytes: int
    disk_bytes: int
    frames: int


@dataclass(frozen=True, kw_only=True)
class _File:
    runs: tuple[Measured, ...] = ()


def load(home: Path) -> tuple[Measured, ...]:
    """The runs measured on this computer, oldest first; none where the file is missing or damaged."""
    try:
        return records.load(_File, home / NAME, strict=False).runs
    except (OSError, RecordError):
        return ()


def add(home: Path, run: Measured) -> None:
    """Remember a run; OSError where the data folder cannot be written."""
    home.mkdir(parents=True, exist_ok=True)
    kept = _File(runs=(*load(home), run)[-_KEPT:])
    own_files.save_text(home / NAME, records.dumps(kept) + "\n")


def forecast(runs: Sequence[Measured], wanted: Measured) -> Forecast | None:
    """What a run will take; None where no run of its estimator was measured.

    Of runs with the same parameters, else of all of the estimator's, the one of the most alike frames and pixels
    counts, the newest of several. Time and disk grow with frames and pixels, memory with pixels. `wanted` is the run
    with what is not known left 0.
    """
    alike = [run for run in runs if run.estimator == wanted.estimator and run.seconds > 0]
    alike = [run for run in alike if run.settings == wanted.settings] or alike
    if not alike:
        return None

    def distance(run: Measured) -> float:
        return abs(math.log(run.frames / wanted.frames)) + abs(math.log(run.pixels / wanted.pixels))

    nearest = min(reversed(alike), key=distance)
    frames, pixels = wanted.frames / nearest.frames, wanted.pixels / nearest.pixels
    return Forecast(
        seconds=nearest.seconds * frames * pixels,
        peak_bytes=round(nearest.peak_bytes * max(1.0, pixels)),
        disk_bytes=round(nearest.disk_bytes * frames * wanted.map_pixels / nearest.map_pixels),
        frames=nearest.frames,
    )
