"""One pass over a shot's frames that keeps the content of the figures, and not the frames."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.failures import ClipError
from ...common.units import counted, frame_ranges
from .shots import Estimate, ReportError, Shot, Slice

TILES = 20
"""Frames that are shown whole."""
_TILE = 480  # pixels of their long side
_SAMPLES = 64  # columns and rows of the grid on which a frame's values are sampled
_MOST_SAMPLES = 1 << 23
"""Samples of a track at most: 32 MB. A shot of some thousand frames has a coarser grid."""
_LINES = 6000
"""Most frames of a temporal profile, more than a page is wide; longer shots show every second one, every third, ..."""


class Track:
    """The plate, the ground truth or an estimate over a shot, in its own values, added frame by frame.

    Attributes
    ----------
    name : str
    size : (width, height)
        Of its maps, in pixels.
    tiles : dict
        Source frame to a small image: float32 [h, w], NaN where there is no value; for the plate [h, w, 3].
    profiles : list of float32 [P, length] or [P, length, 3]
        One for each of the shot's slices, over the frames `Gathered.profiled`.
    means : float64 [T]
        Mean over a frame's valid pixels; where the frame has ground truth, over those with valid ground truth.
    missing : float64 [T]
        Share of a frame's pixels without a value; NaN for a frame without a map.
    errors : dict
        Source frame to |Z - Z*| / Z* [h, w], NaN where the ground truth or the estimate has no value.
    alignment : (scale, shift) or None
    """

    def __init__(self, shot: Shot, name: str, alignment: tuple[float, float] | None = None) -> None:
        self.name, self.alignment = name, alignment
        self.size = (0, 0)
        self.tiles: dict[int, NDArray[np.float32]] = {}
        self.errors: dict[int, NDArray[np.float32]] = {}
        self.profiles = [np.empty((len(_profiled(shot.frames)), 0), np.float32) for _ in shot.slices]
        self.means = np.full(len(shot.frames), np.nan)
        self.missing = np.full(len(shot.frames), np.nan)
        self._samples: list[NDArray[np.float32]] = []
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
                f"{self.size[0]}x{self.size[1]}; all frames must have one size."
            )
        self.size = size
        if keep or not self.tiles:  # so that every track has one tile, whichever frames it has
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
        coarsest = math.ceil(math.sqrt(values.size * len(self._shot.frames) / _MOST_SAMPLES))
        down, across = (max(1, side // _SAMPLES, coarsest) for side in values.shape)
        grid = values[::down, ::across]
        self._samples.append(grid[np.isfinite(grid)])
        if where is not None:
            known &= cv2.resize(where.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        if known.any():
            self.means[place] = values[known].mean(dtype=np.float64)

    @property
    def samples(self) -> NDArray[np.float32]:
        """Finite values of all frames, sampled on a grid."""
        return np.concatenate([np.empty(0, np.float32), *self._samples])

    def notes(self) -> Iterator[str]:
        """Sentences on missing maps and pixels."""
        absent = [frame for frame, share in zip(self._shot.frames, self.missing, strict=True) if np.isnan(share)]
        if absent:
            yield f"{self.name} has no depth map of {frame_ranges(absent)}."
        holes = np.nan_to_num(self.missing)
        if holes.any():
            worst = int(np.argmax(holes))
            yield (
                f"{self.name} has pixels without a value in {counted(int(np.count_nonzero(holes)), 'frame')}, "
                f"most in frame {self._shot.frames[worst]} ({holes[worst]:.1%})."
            )


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """The content of a shot's figures.

    Attributes
    ----------
    ground_truth : Track or None
        In inverse depth, 1/m.
    chosen : tuple of int
        The frames with tiles.
    profiled : tuple of int
        The frames in profiles: all of them, or every n-th of a very long shot.
    notes : tuple of str
        Sentences on what could not be read.
    """

    plate: Track | None
    ground_truth: Track | None
    estimates: tuple[Track, ...]
    chosen: tuple[int, ...]
    profiled: tuple[int, ...]
    notes: tuple[str, ...]


def gather(shot: Shot) -> Gathered:
    """Read a shot once; memory holds lines, tiles and statistics of its frames, and one whole frame.

    Raises
    ------
    ReportError
        An estimate has no map of any frame, or maps of several sizes.
    ClipError
        A depth map or the ground truth cannot be read. An unreadable plate is a note.
    """
    chosen = evenly(shot.frames, TILES)
    plate, ground_truth = Track(shot, "Plate"), Track(shot, "Ground truth", (1.0, 0.0))
    tracks = [Track(shot, estimate.name, estimate.alignment) for estimate in shot.estimates]
    images = _Plate(shot)
    for place, frame in enumerate(shot.frames):
        keep = frame in chosen
        image = images.at(frame)
        if image is not None:
            plate.add(place, frame, np.asarray(image, np.float32), keep=keep)
        depth = None if shot.ground_truth is None else shot.ground_truth(frame)
        inverse = None if depth is None else _inverse(depth)
        if inverse is not None:
            ground_truth.add(place, frame, inverse, keep=keep)
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
                f"{shot.title}: {track.name} has no depth map of any frame; leave it out, or estimate the shot again."
            )
    absent = ["The shot has no plate to show beside the depth."] if shot.plate is None else []
    notes = [*absent, *images.notes, *(note for track in tracks for note in track.notes())]
    return Gathered(
        plate=plate if plate.tiles else None,
        ground_truth=ground_truth if ground_truth.tiles else None,
        estimates=tuple(tracks),
        chosen=chosen,
        profiled=_profiled(shot.frames),
        notes=tuple(notes),
    )


def evenly(frames: Sequence[int], count: int) -> tuple[int, ...]:
    """At most `count` frames, about equally spaced, with the first and the last."""
    if len(frames) <= count:
        return tuple(frames)
    places = np.round(np.linspace(0, len(frames) - 1, count)).astype(int) if count > 1 else [len(frames) // 2]
    return tuple(frames[place] for place in places)


def _profiled(frames: Sequence[int]) -> tuple[int, ...]:
    """The frames that profiles show."""
    return tuple(frames[:: -(-len(frames) // _LINES)])


class _Plate:
    """The plate's images, read in step with the shot's frames."""

    def __init__(self, shot: Shot) -> None:
        self.notes: list[str] = []
        self._images = iter(()) if shot.plate is None else shot.plate()
        self._next: tuple[int, NDArray[np.floating]] | None = None
        self._advance()

    def at(self, frame: int) -> NDArray[np.floating] | None:
        while self._next is not None and self._next[0] < frame:
            self._advance()
        return self._next[1] if self._next is not None and self._next[0] == frame else None

    def _advance(self) -> None:
        try:
            self._next = next(self._images, None)
        except ClipError as error:
            self._next = None
            self.notes.append(f"The plate is left out from here on: {error}.".replace("..", "."))


def line(values: NDArray[np.float32], each: Slice) -> NDArray[np.float32]:
    """The values along a slice of one map or image."""
    if each.kind == "column":
        return values[:, each.index(values.shape[1])]
    return values[each.index(values.shape[0])]


def _inverse(depth: NDArray[np.floating]) -> NDArray[np.float32]:
    """1/Z, NaN where the ground truth has no value."""
    known = np.isfinite(depth) & (depth > 0)
    return np.where(known, 1 / np.where(known, depth, 1), np.nan).astype(np.float32)


def _relative_error(
    estimate: Estimate,
    frame: int,
    ground_truth: NDArray[np.floating],
    *,
    known: NDArray[np.bool_],
    values: NDArray[np.float32],
) -> NDArray[np.float32] | None:
    """|Z - Z*| / Z* at the ground truth's size; None where the estimate has no depth in meters."""
    depth = None if estimate.depth is None else estimate.depth(frame)
    if depth is None:
        return None
    there = np.isfinite(values).astype(np.uint8)
    known = known & np.isfinite(depth)
    known &= cv2.resize(there, (ground_truth.shape[1], ground_truth.shape[0]), interpolation=cv2.INTER_NEAREST) > 0
    return np.where(known, np.abs(depth - ground_truth) / np.where(known, ground_truth, 1), np.nan).astype(np.float32)


def _small(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map or image, reduced to a tile by area; pixels that are mostly without a value have none."""
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
