"""A refinement: what is done to a finished depth sequence, without a new estimate. Standard library only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from . import exit_codes, plate_files, records
from .depth_sequence import SIDECAR, DepthSequence, confidence_name, disparity_name
from .hints import setting
from .job import SMALLEST_SIZE, JobError, Source, validated
from .plate_files import PlateFiles
from .records import Bounds, FilePath

MOST_FRINGE, MOST_SMOOTH, MOST_EDGE = 8, 8, 50.0
LARGEST_SIZE = 16384
_PLACES = ("depth", "output", "plate")


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """One refinement of a depth sequence.

    Attributes
    ----------
    depth : str
        Folder of the depth sequence, which stays as it is.
    output : str
        Folder that becomes the refined one.
    plate : Source or None
        Where the plate is now; None: as ``depth.json`` says.
    size : int or None
        Long side of the refined maps in pixels; None: the plate's.
    sharpen : bool
        Whether edges are placed where the plate has them.
    fringe : int
        How many pixels of the maps may lie between the two sides of an edge; they take the depth of either side. 0:
        none does.
    edge : float
        Pixels of the plate by which the near side of every edge grows, or shrinks where it is below 0.
    smooth : int
        Frames before and after each that its depth is averaged with, along the optical flow; 0: none.
    sky : bool
        Whether the shots show a sky, which is found and put beyond the far limit.
    sky_mattes : str or None
        Folder of images with the plate's frame numbers, white in the sky, which take the place of finding it.
    """

    depth: FilePath
    output: FilePath
    plate: Source | None = None
    size: Annotated[int, Bounds(SMALLEST_SIZE, LARGEST_SIZE)] | None = None
    sharpen: bool = True
    fringe: Annotated[int, Bounds(0, MOST_FRINGE)] = 3
    edge: Annotated[float, Bounds(-MOST_EDGE, MOST_EDGE)] = 0.0
    smooth: Annotated[int, Bounds(0, MOST_SMOOTH)] = 2
    sky: bool = False
    sky_mattes: FilePath | None = None

    def settings(self) -> dict[str, Any]:
        """All but the places, as ``depth.json`` keeps it."""
        return {name: value for name, value in records.to_json(self).items() if name not in _PLACES}

    def fingerprint(self, sequence: DepthSequence) -> str:
        """A hash that is equal exactly for the same refinements of depth of the same job."""
        facts = {"refines": sequence.fingerprint, "settings": self.settings()}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def files_beside(wanted: Refinement, source: Source, first: int, last: int) -> PlateFiles | None:
    """The files that a refinement of some frames reads beside the plate `source`, as they are: the depth's, the sky's
    mattes, the color configuration.
    """
    folder = Path(wanted.depth)
    folder = folder.parent if folder.name == SIDECAR else folder
    maps = (folder / name(number) for number in range(first, last + 1) for name in (disparity_name, confidence_name))
    found = [folder / SIDECAR, *(each for each in maps if each.is_file())]
    colors = plate_files.color_config(source.ocio_config)
    return plate_files.look_at([*found, *plate_files.beside(wanted.sky_mattes, {})], colors=colors)


def validate(wanted: Refinement) -> Refinement:
    """Check everything about a refinement that can be checked without its files; returns it.

    Raises
    ------
    JobError
        One sentence on the first problem.
    """
    return validated(wanted, _problems(wanted), where="refinement", failure="The depth cannot be refined")


def _problems(wanted: Refinement) -> Iterator[str]:
    if not wanted.output:
        yield "The refined depth has no folder; choose one."
    for name, value, least, most, what in (
        ("fringe", wanted.fringe, 0, MOST_FRINGE, "pixels of the depth maps"),
        ("smooth", wanted.smooth, 0, MOST_SMOOTH, "frames"),
        ("edge", wanted.edge, -MOST_EDGE, MOST_EDGE, "pixels of the plate"),
    ):
        if not least <= value <= most:
            yield f"{setting(name)} must be from {least:g} to {most:g} {what}, not {value:g}."
    if wanted.size is not None and not SMALLEST_SIZE <= wanted.size <= LARGEST_SIZE:
        yield f"The refined maps must be {SMALLEST_SIZE} to {LARGEST_SIZE} pixels long, not {wanted.size}."


def save(wanted: Refinement, path: str | Path) -> None:
    """Write a refinement as JSON."""
    Path(path).write_text(records.dumps(wanted) + "\n", encoding="utf-8")


def load(path: str | Path) -> Refinement:
    """Read and validate a refinement.

    Raises
    ------
    JobError
        One sentence: the file cannot be read, or is no valid refinement.
    """
    try:
        return validate(records.load(Refinement, path, strict=True))
    except OSError as error:
        raise JobError(f"The refinement {path} cannot be read ({error.strerror}); check the path.") from error
    except records.RecordError as error:
        raise JobError(f"The file {path} is not a refinement: {error}.", exit_codes.USAGE) from error
