"""One walk through a shot's frames that keeps what the figures show, and not the frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.failures import ClipError
from .shots import Estimate, ReportError, Shot, Slice
from .values import Values

TILES = 20
"""Frames of which whole pictures are kept."""
_TILE = 480  # pixels of their long side
_SAMPLES = 64  # a frame's values are sampled on a grid of so many columns and rows
_LINES = 6000
"""Frames from which on a temporal profile takes every second one, every third and so on: more than a page is wide."""
_RUNS = 12  # of frames that a note spells out


class Track:
    """One thing seen over a shot, as it grows frame by frame: the plate, the truth or an estimate, in its own values.

    Attributes
    ----------
    name : str
    size : (width, height)
        Of its maps, in pixels.
    tiles : dict
        Source frame to a small picture: float32 [h, w], NaN where there is no value; of the plate [h, w, 3].
    profiles : list of float32 [P, length] or [P, length, 3]
        One for each of the shot's slices: of `Gathered.profiled`.
    means : float64 [T]
        Mean over a frame's pixels that have a value, and where a frame has truth, over those where it is measured.
    missing : float64 [T]
        Share of a frame's pixels that have no value; NaN for a frame without a map.
    samples : Values
        From all frames, on a grid.
    errors : dict
        Source frame to |Z - Z*| / Z* [h, w], NaN where the truth or the estimate has no value.
    alignment : (scale, shift) or None
    """

    def __init__(
        self, shot: Shot, name: str, folder: Path | None, alignment: tuple[float, float] | None = None
    ) -> None:
        self.name, self.alignment = name, alignment
        self.size = (0, 0)
        self.tiles: dict[int, NDArray[np.float32]] = {}
        self.errors: dict[int, NDArray[np.float32]] = {}
        self.profiles = [np.empty((len(_profiled(shot.frames)), 0), np.float32) for _ in shot.slices]
        self.means = np.full(len(shot.frames), np.nan)
        self.missing = np.full(len(shot.frames), np.nan)
        self.samples = Values(folder)
        self._shot = shot

    def add(
        self,
        place: int,
        frame: int,
        values: NDArray[np.float32],
        *,
        keep: bool,
        where: NDArray[np.bool_] | None = None,
    ) -> None:
        size = (values.shape[1], values.shape[0])
        if self.tiles and size != self.size:
            raise ReportError(
                f"Frame {frame} of {self.name} is {size[0]}x{size[1]} pixels and those before are "
                f"{self.size[0]}x{self.size[1]}; give frames of one size."
            )
        self.size = size
        if keep or not self.tiles:  # something to show of every track, whichever frames it has
            self.tiles[frame] = _small(values)
        at, between = divmod(place, -(-len(self._shot.frames) // _LINES))
        for index, each in enumerate(self._shot.slices if not between else ()):
            own, lines = line(values, each), self.profiles[index]
            if not lines.size:
                lines = self.profiles[index] = np.full((len(lines), *own.shape), np.nan, np.float32)
            lines[at] = own
        if values.ndim == 3:
            return
        known = np.isfinite(values)
        self.missing[place] = 1 - known.mean()
        grid = values[_grid(values.shape[0]), _grid(values.shape[1])]
        self.samples.add(grid[np.isfinite(grid)])
        if where is not None:
            known &= cv2.resize(where.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        if known.any():
            self.means[place] = values[known].mean(dtype=np.float64)

    def notes(self) -> Iterator[str]:
        """What is not there."""
        absent = [frame for frame, share in zip(self._shot.frames, self.missing, strict=True) if np.isnan(share)]
        if absent:
            yield f"{self.name} has no map of {told(absent)}."
        holes = np.nan_to_num(self.missing)
        if holes.any():
            worst = int(np.argmax(holes))
            yield (
                f"{self.name} has pixels without a value in {told_count(int(np.count_nonzero(holes)), 'frame')}, "
                f"most in frame {self._shot.frames[worst]} ({holes[worst]:.1%})."
            )


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What is kept of a shot.

    Attributes
    ----------
    plate, truth : Track or None
        The truth in inverse depth, 1/m.
    estimates : tuple of Track
    chosen : tuple of int
        The frames of which there are tiles.
    profiled : tuple of int
        The frames that profiles show: all of them, or in a very long shot every n-th.
    notes : tuple of str
        What could not be read.
    """

    plate: Track | None
    truth: Track | None
    estimates: tuple[Track, ...]
    chosen: tuple[int, ...]
    profiled: tuple[int, ...]
    notes: tuple[str, ...]


def gather(shot: Shot, folder: Path | None = None) -> Gathered:
    """Walk through a shot once; memory holds lines, tiles and numbers of its frames, and one frame.

    Parameters
    ----------
    shot : Shot
    folder : Path or None
        See `Values`.

    Raises
    ------
    ReportError
        An estimate has no map of any frame, or maps of several sizes.
    ClipError
        A depth map or the truth cannot be read. A plate that cannot is a note: the depth can be looked at without.
    OSError
        The folder has no room.
    """
    chosen = evenly(shot.frames, TILES)
    plate, truth = Track(shot, "Plate", folder), Track(shot, "Truth", folder, (1.0, 0.0))
    tracks = [Track(shot, estimate.name, folder, estimate.alignment) for estimate in shot.estimates]
    pictures = _Plate(shot)
    for place, frame in enumerate(shot.frames):
        keep = frame in chosen
        picture = pictures.at(frame)
        if picture is not None:
            plate.add(place, frame, np.asarray(picture, np.float32), keep=keep)
        depth = None if shot.truth is None else shot.truth(frame)
        inverse = None if depth is None else _inverse(depth)
        if inverse is not None:
            truth.add(place, frame, inverse, keep=keep)
        for estimate, track in zip(shot.estimates, tracks, strict=True):
            values = estimate.disparity(frame)
            if values is None:
                continue
            values = np.where(np.isfinite(values), values, np.nan).astype(np.float32)
            track.add(place, frame, values, keep=keep, where=None if inverse is None else np.isfinite(inverse))
            if keep and depth is not None and inverse is not None:
                error = _relative_error(estimate, frame, depth, known=np.isfinite(inverse), values=values)
                if error is not None:
                    track.errors[frame] = _small(error)
    for track in tracks:
        if not track.tiles:
            raise ReportError(
                f"{shot.title}: {track.name} has no map of any frame; leave it out, or estimate the shot again."
            )
    absent = ["There is no plate to show beside the depth."] if shot.plate is None else []
    notes = [*absent, *pictures.notes, *(note for track in tracks for note in track.notes())]
    return Gathered(
        plate=plate if plate.tiles else None,
        truth=truth if truth.tiles else None,
        estimates=tuple(tracks),
        chosen=chosen,
        profiled=_profiled(shot.frames),
        notes=tuple(notes),
    )


def evenly(frames: Sequence[int], count: int) -> tuple[int, ...]:
    """At most so many frames, the first and the last among them, about equally far apart."""
    if len(frames) <= count:
        return tuple(frames)
    places = np.round(np.linspace(0, len(frames) - 1, count)).astype(int) if count > 1 else [len(frames) // 2]
    return tuple(frames[place] for place in places)


def _profiled(frames: Sequence[int]) -> tuple[int, ...]:
    """The frames that profiles show."""
    return tuple(frames[:: -(-len(frames) // _LINES)])


class _Plate:
    """The plate's pictures, read along with the shot's frames."""

    def __init__(self, shot: Shot) -> None:
        self.notes: list[str] = []
        self._pictures = iter(()) if shot.plate is None else shot.plate()
        self._next: tuple[int, NDArray[np.floating]] | None = None
        self._advance()

    def at(self, frame: int) -> NDArray[np.floating] | None:
        while self._next is not None and self._next[0] < frame:
            self._advance()
        return self._next[1] if self._next is not None and self._next[0] == frame else None

    def _advance(self) -> None:
        try:
            self._next = next(self._pictures, None)
        except ClipError as error:
            self._next = None
            self.notes.append(f"The plate is left out from here on: {error}.".replace("..", "."))


def line(values: NDArray[np.float32], each: Slice) -> NDArray[np.float32]:
    """The values along a slice of one map or picture."""
    if each.kind == "column":
        return values[:, each.index(values.shape[1])]
    return values[each.index(values.shape[0])]


def told(frames: Sequence[int]) -> str:
    """Frames in words, runs of them by their ends."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame == runs[-1][-1] + 1:
            runs[-1][1:] = [frame]
        else:
            runs.append([frame])
    words = ["-".join(map(str, run)) for run in runs[:_RUNS]]
    words += ["…", "-".join(map(str, runs[-1]))] if len(runs) > _RUNS else []
    return ("frame " if len(frames) == 1 else "frames ") + ", ".join(words)


def told_count(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _grid(size: int) -> slice:
    return slice(None, None, max(1, size // _SAMPLES))


def _inverse(depth: NDArray[np.floating]) -> NDArray[np.float32]:
    """1/Z, NaN where the truth has no value."""
    known = np.isfinite(depth) & (depth > 0)
    return np.where(known, 1 / np.where(known, depth, 1), np.nan).astype(np.float32)


def _relative_error(
    estimate: Estimate,
    frame: int,
    truth: NDArray[np.floating],
    *,
    known: NDArray[np.bool_],
    values: NDArray[np.float32],
) -> NDArray[np.float32] | None:
    """|Z - Z*| / Z* at the truth's size; None where the estimate has no depth in metres."""
    depth = None if estimate.depth is None else estimate.depth(frame)
    if depth is None:
        return None
    there = np.isfinite(values).astype(np.uint8)
    known = known & np.isfinite(depth)
    known &= cv2.resize(there, (truth.shape[1], truth.shape[0]), interpolation=cv2.INTER_NEAREST) > 0
    return np.where(known, np.abs(depth - truth) / np.where(known, truth, 1), np.nan).astype(np.float32)


def _small(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map or picture at the size of a tile, by area; a pixel that mostly had no value has none."""
    height, width = values.shape[:2]
    by = _TILE / max(height, width)
    if by >= 1:
        return values.copy()
    size = (max(1, round(width * by)), max(1, round(height * by)))
    if values.ndim == 3:
        return cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    known = np.isfinite(values)
    if known.all():
        return cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    weight = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    summed = cv2.resize(np.where(known, values, 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.where(weight >= 0.5, summed / np.maximum(weight, 0.5), np.nan).astype(np.float32)
