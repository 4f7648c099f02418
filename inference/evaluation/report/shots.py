"""Shots for a report, from what is on disk and what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...common.failures import ClipError
from ...contract import depth_sequence
from ...contract.depth_sequence import DepthSequence, disparity_name
from ...contract.job import Source
from ...media.clip import open_clip
from ...media.exr import read_map
from ..accuracy.metrics import METRIC, METRICS, REGIONS, FrameScores
from ..alignment import Disparity, measured
from ..datasets.ground_truth import Truth
from ..datasets.protocols import PLAIN, Protocol, fitted
from .data import Column, Estimate, Pictures, Series, Shot, Slice, Table

_PLATE = 960
"""Pixels of a plate's long side: more are not seen in a report."""
BY_FRAME = ("absolute_relative", "root_mean_square", "delta1")
"""The metrics whose values by frame are drawn; delta2 and delta3 follow delta1."""
MIDDLE = (Slice(kind="column", at=0.5), Slice(kind="row", at=0.5))


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What else is known of an estimate's shot.

    Attributes
    ----------
    series : tuple of Series
        Values over time beside the errors.
    borders, jumps : tuple of int
        Source frames where windows begin, and where depth jumps.
    """

    series: tuple[Series, ...] = ()
    borders: tuple[int, ...] = ()
    jumps: tuple[int, ...] = ()

    def __add__(self, other: Extras) -> Extras:
        """Both together."""
        return Extras(
            series=self.series + other.series,
            borders=tuple(sorted({*self.borders, *other.borders})),
            jumps=tuple(sorted({*self.jumps, *other.jumps})),
        )


NOTHING_ELSE = Extras()


@dataclass(frozen=True, kw_only=True)
class OnDisk:
    """A depth sequence to look at.

    Attributes
    ----------
    name : str
    folder : Path
    sequence : DepthSequence
    extras : Extras
    """

    name: str
    folder: Path
    sequence: DepthSequence
    extras: Extras = NOTHING_ELSE

    def disparity(self, frame: int) -> NDArray[np.float32] | None:
        """A source frame's map; None where the folder has none.

        Raises
        ------
        ClipError
            The file is broken.
        """
        path = self.folder / disparity_name(frame)
        return read_map(path) if path.exists() else None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An estimate that was compared with truth.

    Attributes
    ----------
    name : str
    disparity : callable
        As given to `metrics.frame_scores`: frame of the truth to disparity, None where there is none.
    scores : FrameScores
    extras : Extras
    """

    name: str
    disparity: Disparity
    scores: FrameScores
    extras: Extras = NOTHING_ELSE


def without_truth(
    shot: depth_sequence.Shot, estimates: Sequence[OnDisk], *, title: str = "", slices: tuple[Slice, ...] = MIDDLE
) -> Shot:
    """A shot of one depth sequence or of several of the same plate.

    Parameters
    ----------
    shot : depth_sequence.Shot
        Its frames are looked at.
    estimates : sequence of OnDisk
        The plate is that of the first.
    title : str
        Empty: made of the plate's name and the frames.
    slices : tuple of Slice

    Raises
    ------
    ReportError
        Names are not different.
    """
    frames = tuple(range(shot.first_frame, shot.last_frame + 1))
    plate, fps, notes = plate_of(estimates[0].sequence.source, frames)
    return Shot(
        title=title or f"{plate_name(estimates[0].sequence.source)}, {_ends(frames)}",
        frames=frames,
        estimates=tuple(
            Estimate(
                name=each.name,
                disparity=each.disparity,
                series=each.extras.series,
                borders=each.extras.borders,
                jumps=each.extras.jumps,
            )
            for each in estimates
        ),
        plate=plate,
        slices=slices,
        fps=fps,
        notes=notes,
    )


def against_truth(
    truth: Truth,
    estimates: Sequence[Measured],
    *,
    protocol: Protocol = PLAIN,
    numbers: Sequence[int] | None = None,
    source: Source | None = None,
    title: str = "",
    slices: tuple[Slice, ...] = MIDDLE,
) -> Shot:
    """A shot, or a whole clip, that was compared with truth: the frames that were measured, and no others.

    Parameters
    ----------
    truth : Truth
        As measured: with the protocol's frames and crop.
    estimates : sequence of Measured
    protocol : Protocol
    numbers : sequence of int or None
        Source frame of every frame of the truth; None: its place in the clip.
    source : Source or None
        The plate, for its rate, and for its pictures where the truth comes without and is not cropped.
    title : str
        Empty: made of the truth's name and the frames.
    slices : tuple of Slice

    Raises
    ------
    ReportError
        Names are not different.
    """
    places = sorted({place for each in estimates for place in each.scores.frames})
    numbers = truth.frame_numbers if numbers is None else numbers
    at = {numbers[place]: place for place in places}
    frames = tuple(at)
    steps = set(np.diff(frames).tolist())
    plate, fps = _truths_plate(truth, at), None
    notes: tuple[str, ...] = ()
    if source is not None:
        shown, rate, why = plate_of(source, frames)
        fps = rate / steps.pop() if rate and len(steps) == 1 else None
        if plate is None and protocol.crop is None:
            plate, notes = shown, why

    def true_depth(frame: int) -> NDArray[np.floating]:
        depth = truth.depth(at[frame])
        return np.where(measured(depth, protocol), depth, 0)

    return Shot(
        title=title or f"{truth.name}, {_ends(frames)}",
        frames=frames,
        estimates=tuple(_estimate(each, truth, protocol, at) for each in estimates),
        plate=plate,
        truth=true_depth,
        slices=slices,
        fps=fps,
        notes=notes,
    )


def _ends(frames: Sequence[int]) -> str:
    return f"frame {frames[0]}" if len(frames) == 1 else f"frames {frames[0]}-{frames[-1]}"


def plate_name(source: Source) -> str:
    """A plate's name: a movie's file, or a folder of pictures with the one around it, since many are called alike."""
    path = Path(source.path)
    return "/".join(part for part in path.parts[-2:] if part != path.anchor) if source.kind == "sequence" else path.name


def plate_of(source: Source, frames: Sequence[int]) -> tuple[Pictures | None, float | None, tuple[str, ...]]:
    """How to read a plate's pictures of some frames, its rate, and what is to be said where it cannot be read."""
    try:
        with open_clip(source, frames[0], frames[-1]) as clip:
            clip.require(frames[0], frames[-1])
            by = min(1.0, _PLATE / max(clip.width, clip.height))
            size, fps = (max(1, round(clip.width * by)), max(1, round(clip.height * by))), clip.fps
    except ClipError as error:
        return None, source.fps, (f"The plate is left out: {error}",)

    def pictures() -> Iterator[tuple[int, NDArray[np.floating]]]:
        wanted = set(frames)
        with open_clip(source, frames[0], frames[-1]) as clip:
            for number, picture in clip.read(frames[0], frames[-1], size=size):
                if number in wanted:
                    yield number, picture

    return pictures, fps, ()


def metrics_table(
    rows: Sequence[tuple[str, Mapping[str, float | None]]], *, region: str = "all", reading: str = ""
) -> Table:
    """The papers' measures, a row an estimate.

    Parameters
    ----------
    rows : sequence of (label, values)
        Values by the metrics' names, as `metrics.summary` gives them for a region.
    region : 'all', 'static' or 'moving'
    reading : str
        How the numbers were averaged.
    """
    where = {"all": "", "static": " where nothing moves", "moving": " where something moves"}[region]
    what = (
        f"The same measures, only{where}."
        if where
        else "Errors of depth after one scale and one shift, over all measured pixels. AbsRel: mean of |Z - Z*| / Z*; "
        "RMSE: root of the mean squared error; delta: share of pixels within a factor of 1.25, its square and its "
        "third power."
    )
    return Table(
        title=f"Against truth{where}",
        reading=f"{what} {reading}".strip(),
        columns=tuple(Column(name=metric.label, unit=metric.unit, better=metric.better) for metric in METRICS),
        rows=tuple((label, tuple(values.get(metric.name) for metric in METRICS)) for label, values in rows),
    )


def metrics_tables(
    rows: Sequence[tuple[str, Mapping[str, Mapping[str, float | None]]]], *, reading: str = ""
) -> tuple[Table, ...]:
    """Likewise from all values of `metrics.summary`; what stands still and what moves apart, if anything does."""
    made = []
    moves = any(value is not None for _, values in rows for value in values.get("moving", {}).values())
    for region in REGIONS if moves else REGIONS[:1]:  # where nothing moves, what stands still is everything
        own = [(label, values.get(region, {})) for label, values in rows]
        made.append(metrics_table(own, region=region, reading=reading))
    return tuple(made)


def _estimate(each: Measured, truth: Truth, protocol: Protocol, at: Mapping[int, int]) -> Estimate:
    alignment = each.scores.alignment

    def depth(frame: int) -> NDArray[np.floating] | None:
        disparity = each.disparity(at[frame])
        return None if disparity is None else alignment.depth(fitted(disparity, truth.depth(at[frame]).shape, protocol))

    return Estimate(
        name=each.name,
        disparity=lambda frame: each.disparity(at[frame]),
        alignment=(alignment.scale, alignment.shift),
        depth=depth,
        errors={_named(name): _spread(each, each.scores.values["all"][name], at) for name in BY_FRAME},
        series=each.extras.series,
        borders=each.extras.borders,
        jumps=each.extras.jumps,
    )


def _spread(each: Measured, values: NDArray[np.floating], at: Mapping[int, int]) -> NDArray[np.float64]:
    """An estimate's values on the shot's frames, NaN where it was not measured."""
    known = dict(zip(each.scores.frames, values, strict=True))
    return np.array([known.get(place, np.nan) for place in at.values()], np.float64)


def _named(name: str) -> str:
    metric = METRIC[name]
    return f"{metric.label} [{metric.unit}]" if metric.unit else metric.label


def _truths_plate(truth: Truth, at: Mapping[int, int]) -> Pictures | None:
    """The truth's own pictures, where it has them."""
    if truth.picture(next(iter(at.values()))) is None:
        return None

    def pictures() -> Iterator[tuple[int, NDArray[np.floating]]]:
        for frame, place in at.items():
            picture = truth.picture(place)
            if picture is not None:
                yield frame, picture.astype(np.float32) / 255

    return pictures
