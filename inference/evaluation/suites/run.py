"""Running a suite: clips are prepared, estimated where that was not done before, and measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.failures import ClipError, Failure, unwritable
from ...common.files import make_folder
from ...contract import depth_sequence, events, exit_codes
from ...contract.depth_sequence import DepthSequence, DepthSequenceError
from ...contract.hints import as_options
from ...contract.job import Job
from ...contract.numbering import frame_numbers
from ...estimators import registry
from ...media.source import describe
from ...run import output
from ...run.checks import resolve_parameters
from .. import datasets
from ..accuracy import over_time
from ..accuracy.comparison import Comparison, compare
from ..accuracy.metrics import MetricsError, frame_scores, summary
from ..datasets import protocols
from ..datasets.ground_truth import Truth, TruthError, with_masks
from ..datasets.protocols import Protocol
from .outcomes import Outcome, outcome_of
from .suite import FLAT, Contender, DataSet, Suite, SuiteError, known_camera, slug

Emit = Callable[[events.Event], None]


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What every estimate of a suite is given."""

    suite: Suite
    emit: Emit
    cancelled: Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class _Clip:
    """A clip of a set: its truth, and where its pictures lie for the estimators."""

    truth: Truth
    protocol: Protocol
    set: DataSet
    pictures: Path


def run(
    suite: Suite,
    *,
    emit: Emit,
    cancelled: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Outcome]:
    """Measure every estimator of a suite on every clip.

    Estimators that refuse a clip, or find too little memory for it, are left without a figure there, and so are depth
    and truth that cannot be read or measured; the outcome says why.

    Parameters
    ----------
    suite : Suite
    emit : callable
        Takes the events of each estimate.
    cancelled : callable
        Asked between steps whether to stop.
    tell : callable
        Takes one line for people before each step, and sentences on what is missing.

    Raises
    ------
    SuiteError, TruthError
        A set cannot be read, or has none of the clips.
    Failure
        An estimator lacks something (weights, packages), or has no such parameter.
    Cancelled
    """
    for contender in suite.estimators:
        if contender.estimator:
            parameters = resolve_parameters(registry.info(contender.estimator), contender.parameters)
            registry.require(registry.info_for(contender.estimator, parameters))
    task = _Run(suite=suite, emit=emit, cancelled=cancelled)
    measured = []
    clips = [clip for each in suite.sets for clip in _clips(suite, each, tell)]
    for contender in suite.estimators:  # the outer loop, so that an estimator's networks are read once
        for number in range(suite.runs):
            for clip in clips:
                again = f", run {number + 1} of {suite.runs}" if suite.runs > 1 else ""
                tell(f"{contender.name} on {clip.set.name}, {clip.truth.name}{again}")
                measured.append(_measured(task, contender, clip, number))
    return measured + (_flat(measured) if suite.flat else [])


def _flat(measured: list[Outcome]) -> list[Outcome]:
    """What one depth for all of a shot scores, on each clip that was measured and in the same shots and frames."""
    widest: dict[tuple[str, str], Comparison] = {}
    for each in measured:
        key, own = (each.set, each.clip), each.comparison
        if own is not None and (key not in widest or len(own.without_estimate) < len(widest[key].without_estimate)):
            widest[key] = own
    rows = []
    for (name, clip), like in widest.items():
        same = partial(_same, np.ones(like.truth.depth(0).shape))
        found = [frame_scores(same, like.truth, like.protocol, frames=part.scores.frames) for part in like.parts]
        rows.append(Outcome(estimator=FLAT, set=name, clip=clip, values=summary(found, like.protocol.average)))
    return rows


def _same(disparity: NDArray[np.floating], index: int) -> NDArray[np.floating]:
    return disparity


def _clips(suite: Suite, each: DataSet, tell: Callable[[str], None]) -> Iterator[_Clip]:
    protocol = protocols.of(each.protocol or suite.protocol, each.layout)
    found = datasets.open_clips(suite.path(each.truth), each.layout, rendering=each.rendering)
    if each.only:
        absent = sorted(set(each.only) - {truth.name for truth in found})
        if absent:
            raise SuiteError(
                f"{suite.path(each.truth)} has no clip {absent[0]}; it has {', '.join(truth.name for truth in found)}."
            )
        found = [truth for truth in found if truth.name in each.only]
    else:
        found, missing = protocols.chosen(found, protocol)
        if missing:
            tell(f"{each.name} lacks clips that the protocol {protocol.name} measures: {', '.join(missing)}.")
    for truth in found:
        own = with_masks(truth, suite.path(each.masks)) if each.masks else truth
        place = suite.work_folder / "clips" / slug(each.name) / slug(truth.name)
        tell(f"Preparing {each.name}, {truth.name}")
        forget = partial(_forget, suite, each, truth, tell)
        pictures = protocols.prepared_clip(protocols.applied(own, protocol), protocol, place, anew=forget)
        yield _Clip(truth=own, protocol=protocol, set=each, pictures=pictures)


def _forget(suite: Suite, each: DataSet, truth: Truth, tell: Callable[[str], None]) -> None:
    """Remove what was estimated from other pictures of a clip: a job does not know what its files hold."""
    made = sorted(suite.work_folder.glob(f"estimates/*/run*/{slug(each.name)}/{slug(truth.name)}"))
    if made:
        tell(f"{each.name}, {truth.name} is another clip now, so it is estimated again.")
    for folder in made:
        try:
            output.remove(folder)
        except OSError as error:
            raise unwritable(error, folder) from error


def _measured(task: _Run, contender: Contender, clip: _Clip, number: int) -> Outcome:
    names: dict[str, Any] = {
        "estimator": contender.name,
        "set": clip.set.name,
        "clip": clip.truth.name,
        "run": number,
    }
    try:
        folder, sequence = _estimated(task, contender, clip, number)
        found = compare(folder, clip.truth, clip.protocol, prepared=True, sequence=sequence)
        return _outcome(task.suite, found, clip, names)
    except (Failure, MetricsError, TruthError, ClipError, DepthSequenceError) as error:
        if isinstance(error, Failure) and error.code not in {exit_codes.REFUSED, exit_codes.FAILED}:
            raise
        return Outcome(**names, failure=str(error))  # the other clips are worth their table


def _outcome(suite: Suite, found: Comparison, clip: _Clip, names: Mapping[str, Any]) -> Outcome:
    sequence = found.sequence
    refused = [f"Frames {s.first_frame}-{s.last_frame}: {as_options(s.reason or '')}" for s in sequence.refused_shots]
    facts = {
        "protocol": clip.protocol.name,
        "folder": str(found.folder),
        "frames": sum(len(part.scores.frames) - len(part.scores.missing) for part in found.parts),
        "seconds_of_estimate": sequence.seconds,
        "bands": over_time.bands(found) if suite.bands else None,
    }
    return outcome_of(found, suite.metrics, notes=refused, facts=facts, **names)


def _estimated(task: _Run, contender: Contender, clip: _Clip, number: int) -> tuple[Path, DepthSequence]:
    suite = task.suite
    if contender.depth:
        told = contender.depth.replace("{set}", clip.set.name).replace("{clip}", clip.truth.name)
        folder = suite.path(told.replace("{run}", str(number)))
        return folder, depth_sequence.load(folder)
    from ...run.runner import estimate

    folder = suite.work_folder / "estimates" / slug(contender.name) / f"run{number}"
    folder = folder / slug(clip.set.name) / slug(clip.truth.name)
    make_folder(folder)
    source = describe(clip.pictures)
    applied = protocols.applied(clip.truth, clip.protocol)
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
        if kept.fingerprint == job.fingerprint():
            return folder, kept
    except DepthSequenceError:
        pass  # not there yet, or not complete: the job goes on
    return folder, estimate(job, emit=task.emit, cancelled=task.cancelled, overwrite=True)
