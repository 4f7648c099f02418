"""The shots of a page, with ground truth or without: the plate, and each estimator's depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...common.failures import ClipError
from ...contract import depth_sequence
from ...contract.depth_sequence import DepthSequence
from ...contract.job import Source
from ...depth_maps.sequence_maps import map_reader
from ...media.clip import open_clip
from ..accuracy.comparison import Comparison, Part
from ..accuracy.metrics import METRIC, Metric
from ..alignment import measured
from ..datasets.ground_truth import GroundTruth

Maps = Callable[[int], "NDArray[np.floating] | None"]
"""Source frame to a map [H, W], or None where the frame has none."""
UndistortedFrames = Callable[[], Iterator[tuple[int, NDArray[np.floating]]]]
"""Starts reading a plate: source frame and image [H, W, 3] in 0..1 (sRGB), frames rising."""
_PLATE = 960
"""Long side of the plate in a report, in pixels."""
BY_FRAME = ("absolute_relative", "root_mean_square", "delta1")
"""The metrics that are plotted by frame; delta2 and delta3 follow delta1."""


class ReportError(ValueError):
    """A report that cannot be written; the message is one sentence with a hint."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A line through the image for a temporal profile.

    Attributes
    ----------
    kind : 'column' or 'row'
        A column runs from top to bottom, a row from left to right.
    at : float
        Position: 0 is the left (upper) edge of the image, 1 the right (lower) one. A share and not a pixel, since
        plate, ground truth and estimates may differ in size.
    """

    kind: Literal["column", "row"]
    at: float

    def __post_init__(self) -> None:
        """Check that the line is inside the image."""
        if not 0 <= self.at <= 1:
            raise ReportError(f"A {self.kind} at {self.at} is outside the image; choose a share from 0 to 1.")

    @classmethod
    def of_pixel(cls, kind: Literal["column", "row"], pixel: int, *, size: int) -> Slice:
        """The line through the pixels of one index, from 0, which an image of this width or height must have."""
        if not 0 <= pixel < size:
            raise ReportError(f"There is no {kind} {pixel} in an image of {size}; choose one from 0 to {size - 1}.")
        return cls(kind=kind, at=(pixel + 0.5) / size)

    def index(self, size: int) -> int:
        """The pixel in an image of this width (for a column) or height (for a row)."""
        return min(int(self.at * size), size - 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """Values over time other than errors, such as flicker or drift.

    Attributes
    ----------
    label : str
        The quantity; series with the same label share an axis.
    unit : str
        Unit on the axis.
    frames : tuple of int
        Source frames.
    values : float [as many]
        NaN where nothing could be measured.
    reading : str
        Caption: what it is, and which values are good.
    """

    label: str
    unit: str
    frames: tuple[int, ...]
    values: NDArray[np.floating]
    reading: str


MIDDLE = (Slice(kind="column", at=0.5), Slice(kind="row", at=0.5))


@dataclass(frozen=True, kw_only=True)
class Extras:
    """Measurements of an estimate's shot other than errors.

    Attributes
    ----------
    series : tuple of Series
    borders : tuple of int
        Source frames at which a window of the estimator begins, other than the shot's first.
    jumps : tuple of int
        Source frames at which the depth was found to jump.
    """

    series: tuple[Series, ...] = ()
    borders: tuple[int, ...] = ()
    jumps: tuple[int, ...] = ()

    def __add__(self, other: Extras) -> Extras:
        """Concatenate both."""
        return Extras(
            series=self.series + other.series,
            borders=tuple(sorted({*self.borders, *other.borders})),
            jumps=tuple(sorted({*self.jumps, *other.jumps})),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate(Extras):
    """One estimator's depth of a shot.

    Attributes
    ----------
    name : str
        Display name, unique in the shot.
    disparity : callable
        Source frame to disparity [H, W], larger is nearer, NaN or infinite where there is no value; None for a frame
        without a map.
    alignment : (scale, shift) or None
        From disparity to the ground truth's inverse depth in 1/m; None without ground truth.
    depth : callable or None
        Source frame to the aligned depth in meters that is measured, at the ground truth's size; None without ground
        truth.
    errors : mapping
        Name of a metric, such as ``AbsRel``, to one value for each of the shot's frames, NaN where not measured.
    """

    name: str
    disparity: Maps
    alignment: tuple[float, float] | None = None
    depth: Maps | None = None
    errors: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One shot with the depth of one estimator or several.

    Attributes
    ----------
    title : str
    frames : tuple of int
        Source frames that are shown, ascending.
    estimates : tuple of Estimate
    plate : callable or None
        Starts reading the images of `frames`; None where there is no plate.
    ground_truth : callable or None
        Source frame to true depth [H, W] in meters, 0 or NaN where invalid; None for a frame without ground truth.
    slices : tuple of Slice
        Lines for temporal profiles.
    fps : float or None
        Frames per second of the plate; None: unknown, and no frequencies in Hz are shown.
    notes : tuple of str
        Sentences: what was skipped or could not be read.
    """

    title: str
    frames: tuple[int, ...]
    estimates: tuple[Estimate, ...]
    plate: UndistortedFrames | None = None
    ground_truth: Maps | None = None
    slices: tuple[Slice, ...] = MIDDLE
    fps: float | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check frames, names and lengths."""
        if not self.frames or list(self.frames) != sorted(set(self.frames)):
            raise ReportError(f"{self.title}: the frames must be ascending and at least one; use the shot's own range.")
        names = [estimate.name for estimate in self.estimates]
        if not names or len(set(names)) != len(names):
            raise ReportError(f"{self.title}: every estimate needs a name of its own, not {', '.join(names)}.")
        for name in {"Plate", "Ground truth"} & set(names):
            raise ReportError(f"{self.title}: an estimate cannot have the name {name}, which the figures use already.")
        for estimate in self.estimates:
            for name, values in estimate.errors.items():
                if np.shape(values) != (len(self.frames),):
                    raise ReportError(
                        f"{self.title}: {estimate.name} has {np.size(values)} values of {name} and the shot "
                        f"{len(self.frames)} frames; pass one per frame, NaN where it was not measured."
                    )
        if self.ground_truth is not None and any(e.alignment is None or e.depth is None for e in self.estimates):
            raise ReportError(
                f"{self.title}: with ground truth every estimate needs its alignment and its depth in meters."
            )


@dataclass(frozen=True, kw_only=True)
class OnDisk:
    """A depth sequence in a folder."""

    name: str
    folder: Path
    sequence: DepthSequence

    @cached_property
    def disparity(self) -> Maps:
        """Source frame to its map; see `map_reader`."""
        return map_reader(self.folder, self.sequence)


def of_sequences(
    shot: depth_sequence.Shot, estimates: Sequence[tuple[OnDisk, Extras]], *, slices: tuple[Slice, ...] = MIDDLE
) -> Shot:
    """A shot's frames by one depth sequence or several of the same plate, that of the first, without ground truth."""
    frames = tuple(range(shot.first_frame, shot.last_frame + 1))
    source = estimates[0][0].sequence.source
    plate, fps, notes = plate_of(source, frames)
    return Shot(
        title=f"{plate_name(source)}, {_ends(frames)}",
        frames=frames,
        estimates=tuple(Estimate(name=e.name, disparity=e.disparity, **vars(extras)) for e, extras in estimates),
        plate=plate,
        slices=slices,
        fps=fps,
        notes=notes,
    )


def of_parts(compared: Mapping[str, tuple[Comparison, Part, Extras]], *, slices: tuple[Slice, ...] = MIDDLE) -> Shot:
    """A shot, or a whole clip, that was compared with ground truth: the measured frames only, by the estimates' names.

    All have the same ground truth and protocol. The plate is the first estimate's, if the ground truth has no images
    and is not cropped.
    """
    first = next(iter(compared.values()))[0]
    ground_truth, protocol = first.ground_truth, first.protocol
    places = sorted({place for _, part, _ in compared.values() for place in part.scores.frames})
    at = {first.numbers[place]: place for place in places}
    frames = tuple(at)
    shown, rate, notes = plate_of(first.sequence.source, frames)
    steps = set(np.diff(frames).tolist())
    plate = _ground_truth_plate(ground_truth, at)
    needed = plate is None and protocol.crop is None

    def true_depth(frame: int) -> NDArray[np.floating]:
        depth = ground_truth.depth(at[frame])
        return np.where(measured(depth, protocol), depth, 0)

    return Shot(
        title=f"{ground_truth.name}, {_ends(frames)}",
        frames=frames,
        estimates=tuple(_estimate(name, *each, at) for name, each in compared.items()),
        plate=shown if needed else plate,
        ground_truth=true_depth,
        slices=slices,
        fps=rate / steps.pop() if rate and len(steps) == 1 else None,
        notes=notes if needed else (),
    )


def _ends(frames: Sequence[int]) -> str:
    return f"frame {frames[0]}" if len(frames) == 1 else f"frames {frames[0]}-{frames[-1]}"


def plate_name(source: Source) -> str:
    """A plate's name: a movie's file name, or a sequence's folder with its parent, since many share a name."""
    path = Path(source.path)
    return "/".join(part for part in path.parts[-2:] if part != path.anchor) if source.kind == "sequence" else path.name


def plate_of(source: Source, frames: Sequence[int]) -> tuple[UndistortedFrames | None, float | None, tuple[str, ...]]:
    """Reader of a plate's images of some frames, its frame rate, and a note if it cannot be read."""
    try:
        with open_clip(source, frames[0], frames[-1]) as clip:
            clip.require(frames[0], frames[-1])
            by = min(1.0, _PLATE / max(clip.width, clip.height))
            size, fps = (max(1, round(clip.width * by)), max(1, round(clip.height * by))), clip.fps
    except ClipError as error:
        return None, source.fps, (f"The plate is not shown: {error}",)

    def images() -> Iterator[tuple[int, NDArray[np.floating]]]:
        wanted = set(frames)
        with open_clip(source, frames[0], frames[-1]) as clip:
            for number, image in clip.read(frames[0], frames[-1], size=size):
                if number in wanted:
                    yield number, image

    return images, fps, ()


def _estimate(name: str, comparison: Comparison, part: Part, extras: Extras, at: Mapping[int, int]) -> Estimate:
    alignment, scores, depth = part.scores.alignment, part.scores, comparison.depth(part)

    def by_frame(values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Values on the shot's frames, NaN where it was not measured."""
        known = dict(zip(scores.frames, values, strict=True))
        return np.array([known.get(place, np.nan) for place in at.values()], np.float64)

    return Estimate(
        name=name,
        disparity=lambda frame: comparison.disparity(at[frame]),
        alignment=(alignment.scale, alignment.shift),
        depth=lambda frame: depth(at[frame]),
        errors={_head(METRIC[each]): by_frame(scores.values["all"][each]) for each in BY_FRAME},
        **vars(extras),
    )


def _head(metric: Metric) -> str:
    return f"{metric.label} [{metric.unit}]" if metric.unit else metric.label


def _ground_truth_plate(ground_truth: GroundTruth, at: Mapping[int, int]) -> UndistortedFrames | None:
    """The ground truth's own images, where it has them."""
    if ground_truth.image(next(iter(at.values()))) is None:
        return None

    def images() -> Iterator[tuple[int, NDArray[np.floating]]]:
        for frame, place in at.items():
            image = ground_truth.image(place)
            if image is not None:
                yield frame, image.astype(np.float32) / 255

    return images
