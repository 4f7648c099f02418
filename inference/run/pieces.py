"""The work on a shot in phases, for processes that each do a piece of it; see `estimators.base.Phase`.

A learned network's phases come first where it completes the depth, then the leading estimator's, then upsampling where
the job wants it. The last phase finishes the shot: `shots.run_shot`, which resumes from all that the others saved and
does what they left. So a shot that is done in pieces is the same as one that a single run does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..common.failures import Failure, UnsupportedShot
from ..contract import depth_sequence, exit_codes
from ..contract.catalogue import COMPLETE_FROM
from ..depth_maps.sequence_maps import SequenceMaps, Skipped
from ..estimators import registry
from ..estimators.base import EstimatorInfo, Phase, ReportProgress, ShotResult
from ..media.processing_size import Prepared
from . import shots
from .shot_maps import Learned, ShotMaps, of_sequence
from .shots import ShotInputs, Task

FINISH = "finish"
"""The last phase of every shot."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a piece of work results in.

    Attributes
    ----------
    files : sequence of Path
        Those of its results.
    shots : tuple of depth_sequence.Shot
        The finished one, or its parts, of the last phase.
    unsupported : UnsupportedShot or None
        Why an estimator does not support the shot, which the later phases need not find again.
    estimator : str
        Its name.
    """

    files: Sequence[Path] = ()
    shots: tuple[depth_sequence.Shot, ...] = ()
    unsupported: UnsupportedShot | None = None
    estimator: str = ""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A phase of a shot's work, and the estimator whose it is; `phase.work` is in work of estimating the shot."""

    name: str
    estimator: str
    phase: Phase


def stages(task: Task, prepared: Prepared, first: int, last: int, *, label: str) -> tuple[Stage, ...]:
    """The phases of the work on a shot, in order; none for a shot without depth, which takes no work.

    Parameters
    ----------
    task : Task
    prepared : Prepared
    first, last : int
        Source frames of the shot.
    label : str
        Its name for the artist.
    """
    if first in prepared.blank:
        return ()
    inputs = shots.inputs_of(task, prepared, first, last, label=label, whole=False)
    found = [*_of_network(task, inputs), *_of_leading(task, inputs)]
    rest = max(1 - sum(each.phase.work for each in found if each.estimator == task.choice.leading.name), 0.02)
    if task.job.full_size:
        found += _of_upsampling(task, prepared, inputs, rest)
    return (*found, _stage(FINISH, "Finishing the shot", 1, 0.02 if task.job.full_size else rest, lambda units: ()))


def do(task: Task, prepared: Prepared, first: int, last: int, *, name: str, units: range, label: str) -> Done:
    """Do some units of a phase of a shot; units that an earlier run has done are not done again.

    Parameters
    ----------
    name : str
        The phase, of `stages`.
    units : range

    Raises
    ------
    Failure
        USAGE: there are fewer units. Otherwise as for `shots.run_shot`.
    """
    meter = task.out.meter
    if name == FINISH:
        meter.plan((last - first + 1) * task.work)
        return Done(shots=shots.run_shot(task, prepared, first, last, label=label))
    stage = next((each for each in stages(task, prepared, first, last, label=label) if each.name == name), None)
    if stage is None or (stage.estimator, first, last) in task.unsupported:
        return Done()
    if units.stop > stage.phase.units:
        what = f"The phase {name} of frames {first}-{last} has {stage.phase.units} units, and no unit {units[-1]}."
        raise Failure(exit_codes.USAGE, what, hint="Plan again.")
    meter.plan(float(len(units)))
    meter.begin(float(len(units)))
    try:
        return Done(files=list(stage.phase.run(units)))
    except UnsupportedShot as refused:
        task.check()
        return Done(unsupported=refused, estimator=stage.estimator)


def _of_network(task: Task, inputs: ShotInputs) -> list[Stage]:
    """The phases of the network that completes the shot, and the one that writes its maps."""
    if task.choice.learned is None:
        return []
    info, smaller, parameters = shots.network_of(task, inputs)
    maps = shots.network_maps(task, smaller, whole=False)
    phases = _of_estimator(task, info, parameters, smaller, maps, learned=None)

    def run(units: range) -> list[Path]:
        shots.estimate_learned(task, inputs)
        written = shots.network_maps(task, smaller, whole=False)
        return written.files(written.numbers)

    found = [replace(each, phase=replace(each.phase, work=shots.LEARNED_WORK * each.phase.work)) for each in phases]
    rest = max(1 - sum(each.phase.work for each in phases), 0.0)
    name, what = f"{info.name}.maps", f"Completing {info.label}"
    return [*found, _stage(name, what, 1, shots.LEARNED_WORK * rest, run)]


def _of_leading(task: Task, inputs: ShotInputs) -> list[Stage]:
    leading, maps = task.choice.leading, shots.maps_of(task, inputs, whole=False)
    return _of_estimator(task, leading, task.choice.parameters, inputs, maps, learned=_learned(task, inputs))


def _of_upsampling(task: Task, prepared: Prepared, inputs: ShotInputs, rest: float) -> list[Stage]:
    """The phases that write all maps at processing resolution, with the `rest` of the work, and enlarge each."""
    first, last, label = inputs.frames.numbers[0], inputs.frames.numbers[-1], inputs.label

    def estimate(units: range) -> list[Path]:
        task.out.meter.plan(float(len(inputs.frames)) * task.work)
        shots.estimate_low(task, prepared, first, last, label=label)
        return shots.maps_of(task, inputs, whole=False).files(inputs.frames.numbers)

    def upsample(units: range) -> list[Path]:
        low = shots.maps_of(task, inputs, whole=False)
        if low.missing():  # the shot is unsupported
            return []
        task.out.meter.plan(len(units) * task.upsampling)
        return shots.upsampled(task, low, label, units).files(inputs.frames.numbers[units.start : units.stop])

    frames, what = len(inputs.frames), "Upsampling depth to the plate's size"
    return [
        _stage("estimate", "Writing maps at processing resolution", 1, rest, estimate),
        _stage("upsample", what, frames, task.upsampling, upsample),
    ]


def _of_estimator(
    task: Task,
    info: EstimatorInfo,
    parameters: dict[str, Any],
    inputs: ShotInputs,
    maps: ShotMaps,
    *,
    learned: Learned | None,
) -> list[Stage]:
    """The phases that an estimator declares."""
    if len(inputs.frames) < info.minimum_frames:
        return []
    if info.uses_poses:
        try:
            shots.require_poses(task.job.camera, inputs.frames)
        except UnsupportedShot:
            return []
    share = _Share()
    shot = shots.shot_of(task, info, parameters, inputs, maps, learned=learned)
    shot = replace(shot, progress=share.of(shot.progress))
    found, begin = [], 0.0

    def running(phase: Phase, begin: float) -> Phase:
        def run(units: range) -> list[Path]:
            share.begin, share.work = begin, phase.work
            files = list(phase.run(units))
            numbers = inputs.frames.numbers[units.start : units.stop] if phase.kind == "frame" else ()
            return [*files, *maps.files(numbers)]

        return replace(phase, run=run)

    for phase in registry.phases(info.name, shot):
        found.append(
            Stage(name=f"{info.name}.{phase.name}", estimator=info.name, phase=running(phase, begin)),
        )
        begin += phase.work
    return found


def _learned(task: Task, inputs: ShotInputs) -> Learned | None:
    """The learned depth for the leading estimator's phases, which the network's have made by then."""
    if task.choice.learned_from is not None:
        try:
            found = SequenceMaps(task.choice.learned_from, inputs.frames.numbers, named_by=COMPLETE_FROM)
        except (Skipped, UnsupportedShot):
            return None
        return of_sequence(found)
    if task.choice.learned is None:
        return None
    info, smaller, _ = shots.network_of(task, inputs)
    maps = shots.network_maps(task, smaller, whole=False)
    # none while the shot is planned, and where the network does not support it
    return shots.learned_of(info, maps, ShotResult()) if not maps.there or not maps.missing() else None


class _Share:
    """Where a phase lies in the estimator's whole work, in whose terms it reports its progress."""

    def __init__(self) -> None:
        self.begin, self.work = 0.0, 1.0

    def of(self, report: ReportProgress) -> ReportProgress:
        def scaled(stage: str, label: str, done: float, total: float) -> None:
            report(stage, label, (done / max(total, 1e-9) - self.begin) / max(self.work, 1e-9), 1.0)

        return scaled


def _stage(name: str, label: str, units: int, work: float, run: Callable[[range], Sequence[Path]]) -> Stage:
    """A phase that is no estimator's own, on the whole shot or on each of its frames."""
    kind: Literal["shot", "frame"] = "shot" if units == 1 else "frame"
    return Stage(
        name=name, estimator="", phase=Phase(name=name, label=label, kind=kind, units=units, work=work, run=run)
    )
