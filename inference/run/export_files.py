"""The files of an export: their names, the record of which are written, and what they mean."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..common.failures import Failure
from ..common.files import save_json
from ..contract import depth_sequence, exit_codes, own_files, plate_files, records
from ..contract import export as contract
from ..contract.depth_sequence import DepthSequence, Shot, confidence_name, disparity_name
from ..contract.export import Export, Placement
from ..contract.numbering import Frame
from ..contract.plate_files import PlateFiles
from ..contract.records import Word
from ..contract.untrusted import read_bytes

_SAVED_EVERY = 1.0
"""Seconds between two saves of the record."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A shot, or what of it is exported.

    Attributes
    ----------
    shot : Shot
    frames : range
    placed : Placement
    low, high : float
        Disparity that is black and white in images where near is white.
    """

    shot: Shot
    frames: range
    placed: Placement
    low: float
    high: float


class ExportFiles:
    """The files of an export, and the record of which are written.

    Attributes
    ----------
    targets : dict
        Path of each file by its frame, or by the first frame of its shot.
    left : set
        The numbers of those that are still to be written.
    strange : set
        The frames whose files in the folder are another export's, of the same format and clip's name, which stay.
    """

    def __init__(
        self,
        folder: Path,
        wanted: Export,
        sequence: DepthSequence,
        parts: Sequence[Part],
        *,
        depth: Path,
        overwrite: bool,
    ) -> None:
        self.targets = _targets(folder, wanted, sequence, parts)
        self._is_for_each_frame = wanted.is_for_each_frame
        self._name = lambda number: contract.file_name(wanted.format, sequence, frame=number)
        stem = contract.file_name(wanted.format, sequence).removesuffix(contract.SUFFIXES[wanted.format])
        self._path = folder / f"{stem}.{wanted.format}.json"
        self._record = _Record(
            key=_key(wanted, depth),
            format=wanted.format,
            meaning=meaning(wanted),
            depth=sequence.fingerprint,
            shots=tuple(_values(part) for part in parts),
            plate_files=_plate_files(wanted, sequence),
            other_files=_other_files(wanted, sequence, depth),
        )
        self._is_new = not self._path.exists()
        own_files.remove_leftovers(folder, {path.name for path in (self._path, *self.targets.values())})
        self._planned, self.strange = set(self.targets), set[int]()
        self._written, self._saved = self._earlier(overwrite=overwrite), 0.0
        self.left = set(self.targets) - self._written
        self._replaced = {number for number in self.left if os.path.lexists(self.targets[number])}
        if self.left:
            self.save()

    def share_left(self) -> float:
        """How much of the export is still to be written, 0 to 1."""
        return len(self.left) / max(len(self.targets), 1)

    @contextlib.contextmanager
    def writing(self, number: int) -> Iterator[Path]:
        """Write a file under the temporary name that is yielded; it is renamed and recorded once it is whole.

        With the first, what is left of files that are replaced goes: where this run breaks off, they would pass for
        its own.
        """
        with own_files.atomic(self.targets[number]) as temporary:
            yield temporary
        self._written.add(number)
        self.left.discard(number)
        for other in self._replaced & self.left:
            own_files.remove(self.targets[other])
        self._replaced = set()
        if time.monotonic() - self._saved > _SAVED_EVERY:
            self.save()

    def save(self) -> None:
        """Write the record."""
        planned, written = spans(self._planned), spans(self._written)
        save_json(self._path, replace(self._record, planned=planned, written=written, finished=not self.left))
        self._saved = time.monotonic()

    def close(self) -> None:
        """Write the record for the last time; there is none where nothing was written."""
        if self._written or not self._is_new:
            self.save()
        else:
            self._path.unlink(missing_ok=True)

    def _earlier(self, *, overwrite: bool) -> set[int]:
        """The numbers of the files that an earlier run of the same export has written whole.

        Failure (BAD_OUTPUT) where there are files that must not be replaced.
        """
        there = {number for number, path in self.targets.items() if os.path.lexists(path)}
        earlier = self._read()
        strange = there
        is_same = earlier is not None and earlier.key == self._record.key
        is_stale = is_same and earlier is not None and self._is_of_others(earlier)
        if earlier is not None and is_same and not is_stale and not (overwrite and earlier.finished):
            known, planned = _numbers(earlier.written), _numbers(earlier.planned)
            strange = there - known if earlier.finished else there - planned
            if not strange or overwrite:
                self._planned |= planned
                return known - (set(self.targets) - there)
        if earlier is not None and (is_stale or not is_same):
            self.strange = self._beside(earlier)
        strange = set() if overwrite else strange
        foreign = [self.targets[min(strange)]] if strange else []
        if earlier is None and self._path.exists() and not overwrite:
            foreign.append(self._path)
        if foreign:
            raise Failure(
                exit_codes.BAD_OUTPUT,
                f"{foreign[0]} exists already, and is "
                + ("of this export before files that it reads changed." if is_stale else "not of this export."),
                hint="Choose another folder, or choose to overwrite files of these names.",
            )
        return set()

    def _beside(self, earlier: _Progress) -> set[int]:
        """The frames outside this export whose files an earlier one has written."""
        if not self._is_for_each_frame:
            return set()
        beside = _numbers(earlier.written) - set(self.targets)
        return {number for number in beside if os.path.lexists(self._path.with_name(self._name(number)))}

    def _is_of_others(self, earlier: _Progress) -> bool:
        """Whether an earlier run read other files than there are now."""
        now = self._record
        pairs = ((earlier.plate_files, now.plate_files), (earlier.other_files, now.other_files))
        return any(before is not None and before.are_others(found) for before, found in pairs)

    def _read(self) -> _Progress | None:
        try:
            return records.load(_Progress, self._path, strict=False)
        except (OSError, records.RecordError):
            return None


@dataclass(frozen=True, kw_only=True)
class _Progress:
    """What a record says of how far its export is.

    Attributes
    ----------
    key : str
        Equal for exports whose files are alike.
    planned : tuple of (int, int)
        As `written`, of all files that are the export's.
    written : tuple of (int, int)
        First and last of the frames, or first frames of the shots, whose files are whole.
    finished : bool
    plate_files, other_files : PlateFiles or None
        What the files were made of, as far as it is read: the plate's frames; the depth's maps, the mattes and the
        color configuration.
    """

    key: Word
    planned: tuple[tuple[Frame, Frame], ...] = ()
    written: tuple[tuple[Frame, Frame], ...] = ()
    finished: bool = False
    plate_files: PlateFiles | None = None
    other_files: PlateFiles | None = None

    def problems(self) -> Iterator[str]:
        """Why this is not a valid record; `records` asks."""
        for runs in (self.planned, self.written):  # each number once, so that they are few
            if any(first > last for first, last in runs) or any(a[1] >= b[0] for a, b in itertools.pairwise(runs)):
                yield "has runs of frames that are not in order"


@dataclass(frozen=True, kw_only=True)
class _Values:
    """What the values of a shot's files mean, for people and scripts.

    Attributes
    ----------
    line, near_limit, far_limit, scale
        As `contract.export.Placement`.
    low, high : float
        Disparity at the ends of the gray range.
    """

    first_frame: int
    last_frame: int
    line: tuple[tuple[int, float, float], ...]
    near_limit: float
    far_limit: float
    scale: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class _Record(_Progress):
    """The record of an export, beside its files."""

    format: str
    meaning: str
    depth: str
    shots: tuple[_Values, ...]


def _targets(folder: Path, wanted: Export, sequence: DepthSequence, parts: Sequence[Part]) -> dict[int, Path]:
    if wanted.is_for_each_frame:
        frames = [number for part in parts for number in part.frames]
        return {number: folder / contract.file_name(wanted.format, sequence, frame=number) for number in frames}
    if wanted.format in ("ply", "chan"):
        shots = [part.shot for part in parts]
        return {shot.first_frame: folder / contract.file_name(wanted.format, sequence, shot=shot) for shot in shots}
    return {parts[0].frames[0]: folder / contract.file_name(wanted.format, sequence)}


def _key(wanted: Export, depth: Path) -> str:
    """Equal for exports whose files are alike: of one with a file for each frame, whatever the range."""
    same = replace(wanted, output="", depth="")
    if wanted.is_for_each_frame:
        same = replace(same, first_frame=None, last_frame=None)
    digest = hashlib.sha256(records.dumps(same).encode())
    digest.update(read_bytes(depth / depth_sequence.SIDECAR, most=depth_sequence.LARGEST_STATE))
    return digest.hexdigest()


def _plate_files(wanted: Export, sequence: DepthSequence) -> PlateFiles | None:
    """The plate's files, where the export reads them."""
    if not _reads_plate(wanted):
        return None
    return plate_files.look(sequence.source, sequence.first_frame, sequence.last_frame)


def _reads_plate(wanted: Export) -> bool:
    """Whether an export reads the plate: its images, or of EXR files the data windows."""
    return wanted.format in ("exr", "ply") or wanted.at_full_size


def _other_files(wanted: Export, sequence: DepthSequence, depth: Path) -> PlateFiles | None:
    """The depth's maps and mattes, of all frames, whichever are exported, and what the plate's colors are read by."""
    numbers = range(sequence.first_frame, sequence.last_frame + 1)
    maps = (depth / name(number) for number in numbers for name in (disparity_name, confidence_name))
    colors = plate_files.color_config(sequence.source.ocio_config) if _reads_plate(wanted) else None
    return plate_files.look_at([*filter(Path.is_file, maps), *plate_files.beside(wanted.mattes, {})], colors=colors)


def _values(part: Part) -> _Values:
    placed = part.placed
    return _Values(
        first_frame=part.shot.first_frame,
        last_frame=part.shot.last_frame,
        line=placed.line,
        near_limit=placed.near_limit,
        far_limit=placed.far_limit,
        scale=placed.scale,
        low=part.low,
        high=part.high,
    )


def meaning(wanted: Export) -> str:
    """What the values of an export's files are, as a sentence."""
    if wanted.format == "exr":
        sign = "minus the distance" if wanted.negative else "the distance"
        return (
            f"{wanted.channel} is {sign} along the camera's axis in scene units: scale / (slope * disparity + shift), "
            "not nearer than near_limit * scale and not farther than far_limit * scale, where a sky ends."
        )
    if wanted.format in ("png", "movie", "control"):
        ends = "white where disparity is low and black where it is high" if wanted.far_white else (
            "black where disparity is low and white where it is high"
        )  # fmt: skip
        return f"Linear in disparity (1 / distance), {ends}: one range for each shot."
    if wanted.format == "ply":
        return f"Points in the camera path's world, {up_of(wanted)} up, in scene units."
    return "Frame, position, rotation in degrees about x, y and z in the order ZXY, vertical field of view in degrees."


def up_of(wanted: Export) -> Literal["y", "z"]:
    """The axis that points up in what an export writes."""
    return wanted.up or ("y" if wanted.format in contract.Y_UP else "z")


def spans(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Runs of whole numbers, by their first and last."""
    runs = itertools.groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0])
    found = ([number for _, number in run] for _, run in runs)
    return tuple((span[0], span[-1]) for span in found)


def _numbers(runs: Iterable[tuple[int, int]]) -> set[int]:
    return {number for first, last in runs for number in range(first, last + 1)}
