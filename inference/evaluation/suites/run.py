"""Running a suite: clips are prepared, estimated unless an earlier run did, and measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.failures import ClipError, Failure, unwritable
from ...common.files import make_folder
from ...contract import depth_sequence, events, exit_codes, packages, plate_files
from ...contract.depth_sequence import DepthSequence, DepthSequenceError, Weights
from ...contract.hints import as_options
from ...contract.job import Job
from ...contract.numbering import frame_numbers
from ...media.source import describe
from ...run import automatic, output
from .. import datasets
from ..accuracy import over_time
from ..accuracy.comparison import Comparison, compare
from ..accuracy.metrics import MetricsError, frame_scores, summary
from ..datasets import protocols
from ..datasets.ground_truth import GroundTruth, GroundTruthError, with_masks
from ..datasets.protocols import Protocol
from .outcomes import Outcome, outcome_of
from .suite import FLAT, Contender, DataSet, Suite, SuiteError, known_camera, slug

Emit = Callable[[events.Event], None]


@dataclass(frozen=True, kw_only=True)
class _Run:
    """The context of a suite's estimates; `weights` are those that each estimator has now."""

    suite: Suite
    emit: Emit
    cancelled: Callable[[], bool]
    weights: Mapping[str, tuple[Weights, ...]]


@dataclass(frozen=True, kw_only=True)
class _Clip:
    """A clip of a set: its ground truth, and the folder of its images."""

    ground_truth: GroundTruth
    protocol: Protocol
    set: DataSet
    images: Path


def run(
    suite: Suite,
    *,
    emit: Emit,
    cancelled: Callable[[], bool] = lambda: False,
    log: Callable[[str], None] = lambda text: None,
) -> list[Outcome]:
    """Measure every estimator of a suite on every clip.

    A clip has no figure where an estimator does not support it or runs out of memory, or where depth or ground truth
    cannot be read or measured; the outcome says why. `emit` receives the events of each estimate, `log` one line before
    each step and sentences on what is missing.

    Raises
    ------
    SuiteError, GroundTruthError
        A set cannot be read, or has none of the clips.
    Failure
        An estimator has a missing requirement (weights, packages), or no such parameter.
    Cancelled
    """
    suite = replace(suite, estimators=tuple(_located(suite, each) for each in suite.estimators))
    weights = {
        each.name: automatic.choose(each.estimator, each.parameters).require()
        for each in suite.estimators
        if each.estimator
    }
    task = _Run(suite=suite, emit=emit, cancelled=cancelled, weights=weights)
    measured = []
    clips = [clip for each in suite.sets for clip in _clips(suite, each, log)]
    for contender in suite.estimators:  # the outer loop, so that an estimator's networks are read once
        for number in range(suite.runs):
            for clip in clips:
                again = f", run {number + 1} of {suite.runs}" if suite.runs > 1 else ""
                log(f"{contender.name} on {clip.set.name}, {clip.ground_truth.name}{again}")
                measured.append(_measured(task, contender, clip, number))
    return measured + (_flat(measured) if suite.flat else [])


def _located(suite: Suite, contender: Contender) -> Contender:
    """A contender whose parameters name folders in full: what these hold is compared by their paths."""
    declared = automatic.info(contender.estimator).parameters if contender.estimator else ()
    folders = {each.name for each in declared if each.depth_sequence or each.folder}
    found = {
        name: str(suite.path(value).absolute()) if name in folders and isinstance(value, str) and value else value
        for name, value in contender.parameters.items()
    }
    return replace(contender, parameters=found)


def _flat(measured: list[Outcome]) -> list[Outcome]:
    """The scores of a constant depth per shot, on each measured clip in the same shots and frames."""
    widest: dict[tuple[str, str], Comparison] = {}
    for each in measured:
        key, own = (each.set, each.clip), each.comparison
        if own is not None and (key not in widest or len(own.without_estimate) < len(widest[key].without_estimate)):
            widest[key] = own
    rows = []
    for (name, clip), like in widest.items():
        same = partial(_same, np.ones(like.ground_truth.depth(0).shape))
        found = [frame_scores(same, like.ground_truth, like.protocol, frames=part.scores.frames) for part in like.parts]
        rows.append(Outcome(estimator=FLAT, set=name, clip=clip, values=summary(found, like.protocol.average)))
    return rows


def _same(disparity: NDArray[np.floating], index: int) -> NDArray[np.floating]:
    return disparity


def _clips(suite: Suite, each: DataSet, log: Callable[[str], None]) -> Iterator[_Clip]:
    protocol = protocols.of(each.protocol or suite.protocol, each.layout)
    found = datasets.open_clips(suite.path(each.truth), each.layout, rendering=each.rendering)
    if each.only:
        absent = sorted(set(each.only) - {clip.name for clip in found})
        if absent:
            names = ", ".join(clip.name for clip in found)
            raise SuiteError(f"{suite.path(each.truth)} has no clip {absent[0]}; it has {names}.")
        found = [clip for clip in found if clip.name in each.only]
    else:
        found, missing = protocols.chosen(found, protocol)
        if missing:
            log(f"{each.name} has not all clips of the protocol {protocol.name}; missing: {', '.join(missing)}.")
    for ground_truth in found:
        own = with_masks(ground_truth, suite.path(each.masks)) if each.masks else ground_truth
        place = suite.work_folder / "clips" / slug(each.name) / slug(ground_truth.name)
        log(f"Preparing {each.name}, {ground_truth.name}")
        remove_estimates = partial(_remove_estimates, suite, each, ground_truth, log)
        images = protocols.prepared_clip(
            protocols.applied(own, protocol), protocol, place, before_writing=remove_estimates
        )
        yield _Clip(ground_truth=own, protocol=protocol, set=each, images=images)


def _remove_estimates(suite: Suite, each: DataSet, ground_truth: GroundTruth, log: Callable[[str], None]) -> None:
    """Remove estimates from earlier images of a clip: a job does not compare the content of files."""
    made = sorted(suite.work_folder.glob(f"estimates/*/run*/{slug(each.name)}/{slug(ground_truth.name)}"))
    if made:
        log(f"{each.name}, {ground_truth.name} has changed and is estimated again.")
    for folder in made:
        try:
            output.remove(folder)
        except OSError as error:
            raise unwritable(error, folder) from error


def _measured(task: _Run, contender: Contender, clip: _Clip, number: int) -> Outcome:
    names: dict[str, Any] = {
        "estimator": contender.name,
        "set": clip.set.name,
        "clip": clip.ground_truth.name,
        "run": number,
    }
    try:
        folder, sequence = _estimated(task, contender, clip, number)
        found = compare(folder, clip.ground_truth, clip.protocol, prepared=True, sequence=sequence)
        return _outcome(task.suite, found, clip, names)
    except (Failure, MetricsError, GroundTruthError, ClipError, DepthSequenceError) as error:
        if isinstance(error, Failure) and error.code not in {exit_codes.UNSUPPORTED, exit_codes.FAILED}:
            raise
        return Outcome(**names, failure=str(error))  # the other clips still make a table


def _outcome(suite: Suite, found: Comparison, clip: _Clip, names: Mapping[str, Any]) -> Outcome:
    sequence = found.sequence
    unsupported = [
        f"Frames {s.first_frame}-{s.last_frame}: {as_options(s.reason or '')}" for s in sequence.unsupported_shots
    ]
    facts = {
        "protocol": clip.protocol.name,
        "folder": str(found.folder),
        "frames": sum(len(part.scores.frames) - len(part.scores.missing) for part in found.parts),
        "seconds_of_estimate": sequence.seconds,
        "bands": over_time.bands(found) if suite.bands else None,
    }
    return outcome_of(found, suite.metrics, notes=unsupported, facts=facts, **names)


def _estimated(task: _Run, contender: Contender, clip: _Clip, number: int) -> tuple[Path, DepthSequence]:
    suite = task.suite
    if contender.depth:
        template = contender.depth.replace("{set}", clip.set.name).replace("{clip}", clip.ground_truth.name)
        folder = suite.path(template.replace("{run}", str(number)))
        return folder, depth_sequence.load(folder)
    from ...run.runner import estimate

    folder = suite.work_folder / "estimates" / slug(contender.name) / f"run{number}"
    folder = folder / slug(clip.set.name) / slug(clip.ground_truth.name)
    make_folder(folder)
    source = describe(clip.images)
    applied = protocols.applied(clip.ground_truth, clip.protocol)
    job = Job(
        source=source,
        output=str(folder.absolute()),
        estimator=contender.estimator,
        parameters=contender.parameters,
        size=contender.size or clip.set.size,
        camera=known_camera(applied, contender.camera, first_frame=frame_numbers(source.files)[0]),
        seed=number,
    )
    try:
        kept = depth_sequence.load(folder)
        if _is_current(kept, job, task.weights[contender.name]):
            return folder, kept
    except DepthSequenceError:
        pass  # missing or incomplete: the job resumes
    return folder, estimate(job, emit=task.emit, cancelled=task.cancelled, overwrite=True)


def _is_current(kept: DepthSequence, job: Job, weights: tuple[Weights, ...]) -> bool:
    """Whether an earlier run's estimate is what this run would make: of the same job, which names trained weights and
    other depth by their folders alone, with what these have now, and by the same Fathom.
    """
    if (kept.fingerprint, kept.versions.get("fathom")) != (job.fingerprint(), packages.fathom_version()):
        return False
    colors = plate_files.color_config(job.source.ocio_config)
    now = plate_files.look_at(plate_files.beside(job.mattes, job.parameters), colors=colors)
    is_other = now is not None and (kept.other_files is None or kept.other_files.are_others(now))
    return kept.weights == weights and not is_other
