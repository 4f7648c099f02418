"""A depth sequence compared with the ground truth of its clip, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.units import counted, frame_ranges
from ...contract import depth_sequence
from ...contract.depth_sequence import DepthSequence, disparity_name
from ...contract.numbering import frame_numbers
from ...depth_maps.sequence_maps import map_reader
from ..datasets import protocols
from ..datasets.ground_truth import GroundTruth
from ..datasets.protocols import PLAIN, NothingMeasuredError, Protocol, fitted
from ..stability.consistency import flicker
from ..stability.point_pairs import Depth
from .boundaries import boundary_f1
from .metrics import Disparity, FrameScores, MetricsError, frame_scores, summary


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Source frames with one scale and shift: a shot, or a whole clip."""

    first_frame: int
    last_frame: int
    scores: FrameScores


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """A depth sequence compared with ground truth.

    Attributes
    ----------
    ground_truth : GroundTruth
        As measured: with the protocol's frames and crop.
    origin : int
        Source frame of the clip's first image.
    numbers : tuple of int
        Source frame of each frame of `ground_truth`.
    without_estimate : tuple of int
        Source frames of the protocol that have ground truth and no estimate: not requested, or unsupported.
    without_ground_truth : int
        How many frames have an estimate and no ground truth.
    unmeasured : tuple of str
        One sentence for each shot in which no pixel could be measured, if others could be.
    """

    folder: Path
    sequence: DepthSequence
    ground_truth: GroundTruth
    protocol: Protocol
    origin: int
    numbers: tuple[int, ...]
    disparity: Disparity
    parts: tuple[Part, ...]
    without_estimate: tuple[int, ...]
    without_ground_truth: int
    unmeasured: tuple[str, ...] = ()

    def figures(self, part: Part) -> dict[str, Any]:
        """A part's own figures.

        In addition to `metrics.METRICS`: its flicker (mean |next frame, warped - expected| / expected over static
        pixels; None without poses), boundary F1, AbsRel of static regions and of dynamic objects, the alignment, how
        many pixels and frames were measured, and how many pixels with ground truth have no finite estimate.
        """
        scores = part.scores
        over = summary([scores], self.protocol.average)
        return {
            **over["all"],
            "flicker": self.flicker(part),
            "boundary": boundary_f1(scores.edges, exact=True),
            "boundary_near": boundary_f1(scores.edges, exact=False),
            "absolute_relative_static": over["static"]["absolute_relative"],
            "absolute_relative_moving": over["moving"]["absolute_relative"],
            "alignment": scores.alignment,
            "pixels": int(scores.pixels["all"].sum()),
            "frames": len(scores.frames) - len(scores.missing),
            "pixels_without_estimate": int(scores.without_estimate.sum()),
            "regions": {name: own for name, own in over.items() if own["delta1"] is not None},
        }

    def flicker(self, part: Part) -> float | None:
        """How much a part's static region changes from frame to frame; None without poses."""
        return flicker(self.depth(part), self.ground_truth, part.scores.frames, self.protocol)

    def depth(self, part: Part) -> Depth:
        """Frame of `ground_truth` to aligned Z [H, W] in meters at its size; None where there is no estimate."""

        def depth(index: int) -> NDArray[np.float64] | None:
            estimate = self.disparity(index)
            if estimate is None:
                return None
            return part.scores.alignment.depth(fitted(estimate, self.ground_truth.depth(index).shape, self.protocol))

        return depth

    def values(self) -> dict[str, dict[str, float | None]]:
        """By region and metric, as the protocol averages."""
        return summary([part.scores for part in self.parts], self.protocol.average)

    def notes(self) -> list[str]:
        """One sentence for everything that was skipped or resized."""
        sentences = []
        if self.without_estimate:
            first, last = self.without_estimate[0], self.without_estimate[-1]
            which = f"of {first} to {last}" if last > first else f"number {first}"
            missing = counted(len(self.without_estimate), "frame")
            sentences.append(f"{missing} with ground truth, {which}, had no depth.")
        if self.without_ground_truth:
            sentences.append(f"{counted(self.without_ground_truth, 'frame')} of the estimate had no ground truth.")
        sentences += self.unmeasured
        scores = [part.scores for part in self.parts]
        holes = sum(int(each.without_estimate.sum()) for each in scores)
        if holes:
            share = holes / (holes + sum(int(each.pixels["all"].sum()) for each in scores))
            sentences.append(f"{counted(holes, 'pixel')} with ground truth ({share:.1%}) had no finite estimate.")
        empty = sum(int(np.count_nonzero(each.pixels["all"] + each.without_estimate == 0)) for each in scores)
        empty -= sum(len(each.missing) for each in scores)
        if empty:
            sentences.append(f"The ground truth of {counted(empty, 'frame')} has no valid pixel.")
        sizes = next((each.sizes for each in scores if each.sizes), None)
        if sizes:
            (width, height), (wide, high) = sizes
            sentences.append(
                f"The estimate was resized from {width} x {height} to the ground truth's {wide} x {high} pixels."
            )
        return [f"{self.ground_truth.name}: {sentence}" for sentence in sentences]


def compare(
    folder: str | Path,
    ground_truth: GroundTruth,
    protocol: Protocol = PLAIN,
    *,
    prepared: bool = False,
    sequence: DepthSequence | None = None,
) -> Comparison:
    """Compare a depth sequence with ground truth.

    Parameters
    ----------
    folder : path
        With a ``depth.json``.
    ground_truth : GroundTruth
        Of the whole clip.
    protocol : Protocol
    prepared : bool
        Whether the depth was estimated from the protocol's own frames, selected and cropped by `protocols`.
        False: from the set's original images, unless its source is such a folder.
    sequence : DepthSequence or None
        The folder's ``depth.json``, if it was loaded already.

    Raises
    ------
    DepthSequenceError, ClipError
        The folder or a map in it cannot be read.
    Failure
        FAILED: see `map_reader`.
    GroundTruthError, MetricsError
        Nothing can be measured.
    """
    folder = Path(folder)
    sequence = sequence or depth_sequence.load(folder)
    made_for = protocols.protocol_of(sequence.source.path)
    if made_for not in {None, protocol.name}:
        raise MetricsError(
            f"{folder} was estimated from the frames that the protocol {made_for} measures; use that protocol."
        )
    prepared = prepared or made_for is not None
    part = protocols.applied(ground_truth, protocol)
    numbers = tuple(range(len(part))) if prepared else part.frame_numbers
    origin = origin_of(sequence, ground_truth, prepared=prepared)
    places = {origin + number: index for index, number in enumerate(numbers)}
    shots = [range(shot.first_frame, shot.last_frame + 1) for shot in sequence.done_shots]
    with_truth = {frame for shot in shots for frame in shot if frame in places}
    estimated = {frame for frame in with_truth if (folder / disparity_name(frame)).exists()}
    if with_truth and not estimated:
        raise MetricsError(
            f"{folder} has none of the depth maps of its depth.json, such as {disparity_name(min(with_truth))}; "
            "estimate the clip again."
        )
    if not estimated:
        raise MetricsError(
            f"No frame of {folder} has ground truth in {ground_truth.name}: the estimate has the "
            f"{frame_ranges([frame for shot in shots for frame in shot])} and the ground truth the "
            f"{frame_ranges(sorted(places))}; use the ground truth of this clip."
        )
    whole = ground_truth.depth(0).shape if protocol.crop and not prepared else None

    read = map_reader(folder, sequence)

    def disparity(index: int) -> NDArray[np.floating] | None:
        frame = origin + numbers[index]
        found = read(frame) if frame in estimated else None
        return found if whole is None or found is None else protocols.of_whole_image(found, whole, protocol)

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
        ground_truth=part,
        protocol=protocol,
        origin=origin,
        numbers=tuple(places),
        disparity=disparity,
        parts=tuple(parts),
        without_estimate=tuple(sorted(set(places) - estimated)),
        without_ground_truth=sum(len(shot) for shot in shots) - len(with_truth),
        unmeasured=tuple(unmeasured),
    )


def origin_of(sequence: DepthSequence, ground_truth: GroundTruth, *, prepared: bool = False) -> int:
    """The source frame of the clip's first image, for sequences by the file names of the ground truth if they match.

    Without their endings: images that were converted to another format keep their numbers.
    """
    source = sequence.source
    if source.kind != "sequence":
        return 1
    frames = dict(zip(source.files, frame_numbers(source.files)))
    first = frames[source.files[0]]
    if prepared:
        return first
    numbers = {
        path.stem: number for path, number in zip(ground_truth.rgb_files, ground_truth.frame_numbers, strict=False)
    }
    named = next((name for name in source.files if PurePath(name).stem in numbers), None)
    return first if named is None else frames[named] - numbers[PurePath(named).stem]
