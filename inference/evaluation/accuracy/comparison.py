"""A depth sequence beside the truth of its clip: which frame belongs to which, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...contract import depth_sequence
from ...contract.depth_sequence import DepthSequence, disparity_name
from ...contract.numbering import frame_numbers
from ...media.exr import read_map
from ..datasets import protocols
from ..datasets.ground_truth import Truth
from ..datasets.protocols import PLAIN, NothingMeasuredError, Protocol, fitted
from ..stability.consistency import flicker
from ..stability.point_pairs import Depth
from .metrics import Disparity, FrameScores, MetricsError, frame_scores, summary


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Frames with one scale and shift: a shot, or a whole clip.

    Attributes
    ----------
    first_frame, last_frame : int
        Source frames.
    scores : FrameScores
    """

    first_frame: int
    last_frame: int
    scores: FrameScores


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """A depth sequence, measured.

    Attributes
    ----------
    folder : Path
    sequence : DepthSequence
    truth : Truth
        As measured: with the protocol's frames and crop.
    protocol : Protocol
    origin : int
        Source frame of the clip's first picture.
    numbers : tuple of int
        Source frame of each frame of `truth`.
    disparity : callable
        Frame of `truth` to disparity; None where there is no estimate.
    parts : tuple of Part
    without_estimate : tuple of int
        Source frames of the protocol that have truth and no estimate: not asked for, or refused.
    without_truth : int
        How many frames were estimated and have no truth to be measured by.
    unmeasured : tuple of str
        One sentence for each shot in which no pixel could be measured, beside others in which some could.
    """

    folder: Path
    sequence: DepthSequence
    truth: Truth
    protocol: Protocol
    origin: int
    numbers: tuple[int, ...]
    disparity: Disparity
    parts: tuple[Part, ...]
    without_estimate: tuple[int, ...]
    without_truth: int
    unmeasured: tuple[str, ...] = ()

    def figures(self, part: Part) -> dict[str, Any]:
        """A part's figures by themselves, over all its pixels or frames.

        Beside those of `metrics.METRICS`: its flicker (mean |next frame, warped - expected| / expected over static
        pixels; None without poses), AbsRel where nothing moves and where something does, the alignment, how many
        pixels and frames were measured, and of how many pixels with truth the estimate is no number.
        """
        scores = part.scores
        over = summary([scores], self.protocol.average)
        return {
            **over["all"],
            "flicker": self.flicker(part),
            "absolute_relative_static": over["static"]["absolute_relative"],
            "absolute_relative_moving": over["moving"]["absolute_relative"],
            "alignment": scores.alignment,
            "pixels": int(scores.pixels["all"].sum()),
            "frames": len(scores.frames) - len(scores.missing),
            "pixels_without_estimate": int(scores.without_estimate.sum()),
            "regions": {name: own for name, own in over.items() if own["delta1"] is not None},
        }

    def flicker(self, part: Part) -> float | None:
        """How much a part changes from frame to frame where nothing moves; None without poses."""
        return flicker(self.depth(part), self.truth, part.scores.frames, self.protocol)

    def depth(self, part: Part) -> Depth:
        """Frame of `truth` to Z [H, W] in metres at the truth's size, by a part's alignment; None without estimate."""

        def depth(index: int) -> NDArray[np.float64] | None:
            estimate = self.disparity(index)
            if estimate is None:
                return None
            return part.scores.alignment.depth(fitted(estimate, self.truth.depth(index).shape, self.protocol))

        return depth

    def values(self) -> dict[str, dict[str, float | None]]:
        """By region and metric, as the protocol averages."""
        return summary([part.scores for part in self.parts], self.protocol.average)

    def notes(self) -> list[str]:
        """One sentence for everything that was left out or brought to another size."""
        said = []
        if self.without_estimate:
            first, last = self.without_estimate[0], self.without_estimate[-1]
            which = f"of {first} to {last}" if last > first else f"number {first}"
            said.append(f"{_count(len(self.without_estimate), 'frame')} with truth, {which}, had no estimate.")
        if self.without_truth:
            said.append(f"{_count(self.without_truth, 'frame')} of the estimate had no truth to be measured by.")
        said += self.unmeasured
        scores = [part.scores for part in self.parts]
        holes = sum(int(each.without_estimate.sum()) for each in scores)
        if holes:
            share = holes / (holes + sum(int(each.pixels["all"].sum()) for each in scores))
            said.append(f"{_count(holes, 'pixel')} with truth ({share:.1%}) had no number in the estimate.")
        empty = sum(int(np.count_nonzero(each.pixels["all"] + each.without_estimate == 0)) for each in scores)
        empty -= sum(len(each.missing) for each in scores)
        if empty:
            said.append(f"The truth of {_count(empty, 'frame')} has no pixel to be measured by.")
        sizes = next((each.sizes for each in scores if each.sizes), None)
        if sizes:
            (width, height), (wide, high) = sizes
            said.append(f"The estimate's {width} x {height} pixels were brought to the truth's {wide} x {high}.")
        return [f"{self.truth.name}: {sentence}" for sentence in said]


def compare(
    folder: str | Path,
    truth: Truth,
    protocol: Protocol = PLAIN,
    *,
    prepared: bool = False,
    sequence: DepthSequence | None = None,
) -> Comparison:
    """Measure a depth sequence against truth.

    Parameters
    ----------
    folder : path
        With a ``depth.json``.
    truth : Truth
        Of the whole clip, as its layout opens it.
    protocol : Protocol
    prepared : bool
        Whether the depth was estimated from the protocol's own frames, chosen and cropped as `protocols` writes them.
        False: from the clip's pictures as the set has them, unless its source is such a folder.
    sequence : DepthSequence or None
        What the folder's ``depth.json`` says, where that is known already.

    Raises
    ------
    DepthSequenceError, ClipError
        The folder or a map in it cannot be read.
    TruthError, MetricsError
        Nothing can be measured.
    """
    folder = Path(folder)
    sequence = sequence or depth_sequence.load(folder)
    made_for = protocols.protocol_of(sequence.source.path)
    if made_for not in {None, protocol.name}:
        raise MetricsError(
            f"{folder} was estimated from the frames that the protocol {made_for} measures; measure it by that one."
        )
    prepared = prepared or made_for is not None
    part = protocols.applied(truth, protocol)
    numbers = tuple(range(len(part))) if prepared else part.frame_numbers
    origin = origin_of(sequence, truth, prepared=prepared)
    places = {origin + number: index for index, number in enumerate(numbers)}
    shots = [range(shot.first_frame, shot.last_frame + 1) for shot in sequence.done_shots]
    with_truth = {frame for shot in shots for frame in shot if frame in places}
    estimated = {frame for frame in with_truth if (folder / disparity_name(frame)).exists()}
    if with_truth and not estimated:
        raise MetricsError(
            f"{folder} has none of the maps that its depth.json names, such as {disparity_name(min(with_truth))}; "
            "estimate the clip again."
        )
    if not estimated:
        raise MetricsError(
            f"No frame of {folder} has truth in {truth.name}: the estimate has the frames "
            f"{_ranges(shots)} and the truth {min(places)} to {max(places)}; give the truth of this very clip."
        )
    whole = truth.depth(0).shape if protocol.crop and not prepared else None

    def disparity(index: int) -> NDArray[np.floating] | None:
        frame = origin + numbers[index]
        if frame not in estimated:
            return None
        found = read_map(folder / disparity_name(frame))
        return found if whole is None else protocols.of_whole_picture(found, whole, protocol)

    parts: list[Part] = []
    unmeasured: dict[str, NothingMeasuredError] = {}
    for shot in shots if protocol.align == "shot" else [range(min(places), max(places) + 1)]:
        own = [frame for frame in shot if frame in places]
        if not own:
            continue
        try:
            scores = frame_scores(disparity, part, protocol, frames=[places[frame] for frame in own])
            parts.append(Part(first_frame=own[0], last_frame=own[-1], scores=scores))
        except NothingMeasuredError as error:
            unmeasured[f"Frames {own[0]}-{own[-1]} could not be measured: {error}"] = error
    if unmeasured and not parts:
        raise next(iter(unmeasured.values()))
    return Comparison(
        folder=folder,
        sequence=sequence,
        truth=part,
        protocol=protocol,
        origin=origin,
        numbers=tuple(places),
        disparity=disparity,
        parts=tuple(parts),
        without_estimate=tuple(sorted(set(places) - estimated)),
        without_truth=sum(len(shot) for shot in shots) - len(with_truth),
        unmeasured=tuple(unmeasured),
    )


def origin_of(sequence: DepthSequence, truth: Truth, *, prepared: bool = False) -> int:
    """The source frame of the clip's first picture; a sequence's file that the truth names says it best."""
    source = sequence.source
    if source.kind != "sequence":
        return 1
    frames = dict(zip(source.files, frame_numbers(source.files)))
    first = frames[source.files[0]]
    if prepared:
        return first
    numbers = {path.name: number for path, number in zip(truth.rgb_files, truth.frame_numbers, strict=False)}
    named = next((name for name in source.files if name in numbers), None)
    return first if named is None else frames[named] - numbers[named]


def _ranges(shots: list[range]) -> str:
    return ", ".join(f"{shot.start} to {shot.stop - 1}" for shot in shots)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
