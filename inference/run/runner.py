"""Run a job, from the clip to ``depth.json``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from ..common import devices
from ..common.failures import Cancelled, ClipError, Failure, is_of_files, unwritable
from ..contract import depth_sequence, events, exit_codes, leftovers, packages
from ..contract.depth_sequence import DepthSequence, Quantity, Weights
from ..contract.job import Job, Source, check_cuts, shot_starts, validate
from ..contract.records import Word
from ..estimators.base import EstimatorInfo
from ..media import processing_size
from ..media.clip import Clip, open_clip
from ..media.mattes import mattes
from ..media.processing_size import Prepared
from . import automatic, checks, inputs, output, shots
from .output import Output, State

_PREPARING = 0.05
"""Work of reading a frame at working size, as a share of estimating it."""

Emit = Callable[[events.Event], None]


def estimate(
    job: Job, *, emit: Emit, cancelled: Callable[[], bool] = lambda: False, overwrite: bool = False
) -> DepthSequence:
    """Estimate the depth of a clip, or resume an earlier run of the same job; returns what is in ``depth.json``.

    `emit` takes all events except `Error` and `Done`, which the caller emits. `cancelled` is called between steps, and
    True stops the run.

    Raises
    ------
    Failure
        The known reasons for which a job ends without a result; see `inference.contract.exit_codes`.
    JobError, ClipError
        The job cannot be run; the clip cannot be read.
    Cancelled
    """
    with opened(job, emit=emit, cancelled=cancelled, overwrite=overwrite) as run:
        return finish(run, _all_shots(run, prepare(run)))


@dataclass(frozen=True, kw_only=True)
class Run:
    """A job that has passed its checks, with its clip and its output folder open.

    Attributes
    ----------
    task : shots.Task
    clip : Clip
    read : inputs.Inputs
    source : Source
        The job's, with the values that it leaves open.
    first, last : int
        Frames, both included.
    size : (width, height)
        Processing resolution.
    provenance : Provenance
    """

    task: shots.Task
    clip: Clip
    read: inputs.Inputs
    source: Source
    first: int
    last: int
    size: tuple[int, int]
    provenance: Provenance


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a result is made with.

    Attributes
    ----------
    key : str
        `inputs.Inputs.key`.
    fingerprint : str
        `Job.fingerprint`.
    device : str
        The name of the device that computes.
    weights : tuple of Weights
    versions : dict of str to str
        Of Fathom and of packages.
    """

    key: Word
    fingerprint: Word
    device: Word
    weights: tuple[Weights, ...]
    versions: dict[str, str]


@contextlib.contextmanager
def opened(
    job: Job, *, emit: Emit, cancelled: Callable[[], bool], overwrite: bool, provenance: Provenance | None = None
) -> Iterator[Run]:
    """Check a job, open its clip, and lock its output folder; `estimate` has the parameters and errors.

    `provenance` is that of work which this run is to complete, whichever computers did it; None: of this run.
    """
    started = time.monotonic()
    validate(job)
    folder = Path(job.output).absolute()
    declared = automatic.info(job.estimator)
    given = checks.input_sequences(declared, checks.resolve_parameters(declared, job.parameters), folder)
    choice = automatic.choose(job.estimator, job.parameters, has_mattes=bool(job.mattes))
    info, parameters = choice.info, choice.parameters

    def check() -> None:
        if cancelled():
            raise Cancelled

    def reading(label: str) -> None:
        emit(events.Stage(name="weights", label=f"Checking {label}"))

    weights = provenance.weights if provenance else choice.require(check=check, reading=reading)
    for each in choice.used if provenance is None else ():
        checks.warn_of_idle_gpu(each, parameters, emit)
    noted = inputs.note(job)
    with open_clip(job.source, job.first_frame, job.last_frame) as clip:
        first, last = checks.frames_of(job, clip)
        checks.check_length(info, first, last)
        clip.require(first, last)
        for warning in clip.warnings:
            emit(events.Warning(message=warning))
        checks.check_camera(job.camera, first, last, width=clip.width, height=clip.height)
        checks.warn_of_unused_camera(choice.leading, job.camera, emit)
        check_cuts(job.cuts, first, last)
        source = _resolved(job, clip)
        checks.check_source(source)
        for name in given if provenance is None else ():
            checks.warn_of_other_clip(str(parameters[name]), source, emit)
        size = processing_size.working_size(clip.width, clip.height, job.size or info.default_size, info.size_multiple)
        if job.mattes:
            mattes(job.mattes, first, last, size)  # raises an error for missing mattes before any work is done
            checks.warn_of_other_mattes(job.mattes, source, emit)
        read = inputs.Inputs(job, noted, first=first, last=last, sequences=[str(parameters[name]) for name in given])
        plate = (clip.width, clip.height)
        if provenance is None:
            made_with, device = versions(choice.used), device_name(choice.used, parameters)
            key = read.key(versions=made_with, device=device, weights=weights, given=given)
            provenance = Provenance(
                key=key, fingerprint=job.fingerprint(), device=device, weights=weights, versions=made_with
            )
        with output.opened(
            folder,
            State(
                key=provenance.key,
                fingerprint=provenance.fingerprint,
                plate=depth_sequence.plate_file(job.source),
                plate_files=read.plate_files(),
                other_files=read.other_files(),
                first_frame=first,
                last_frame=last,
            ),
            size=plate if job.full_size else size,
            confidence=info.has_confidence,
            overwrite=overwrite,
            emit=emit,
            started=started,
        ) as out:
            checks.warn_of_little_room(folder, out.needed_bytes(), emit)
            with leaving_what_counts(out, read):
                check()
                task = shots.Task(
                    job=job, choice=choice, plate=plate, clip=clip, lens_tag=clip.lens_tag, out=out, check=check
                )
                yield Run(
                    task=task,
                    clip=clip,
                    read=read,
                    source=source,
                    first=first,
                    last=last,
                    size=size,
                    provenance=provenance,
                )


def finish(run: Run, done: tuple[depth_sequence.Shot, ...]) -> DepthSequence:
    """Complete the result once all shots are estimated or unsupported; errors as for `estimate`."""
    task, job, choice = run.task, run.task.job, run.task.choice
    info, out = choice.info, task.out
    if not any(shot.status == "done" for shot in done):
        out.abandon()
        raise _all_refused(done)
    done, quantity = _with_common_quantity(done, info)
    width, height = task.plate if job.full_size else run.size
    sequence = DepthSequence(
        source=run.source,
        first_frame=run.first,
        last_frame=run.last,
        width=width,
        height=height,
        quantity=quantity,
        unit=info.unit,
        shots=done,
        estimator=info.name,
        fingerprint=run.provenance.fingerprint,
        confidence=info.confidence_meaning if info.has_confidence else None,
        parameters={} if choice.is_automatic else choice.parameters,
        seed=job.seed,
        weights=run.provenance.weights,
        versions=run.provenance.versions,
        seconds=round(out.seconds(), 2),
        size=job.size,
        processing_size=run.size,
        full_size=job.full_size,
        cuts=job.cuts,
        focal_length=job.camera.focal_length if job.camera and not job.camera.poses else None,
        camera=job.camera.origin or "poses" if job.camera and job.camera.poses else "",
        plate_files=run.read.plate_files(),
        other_files=run.read.other_files(),
    )
    task.check()
    run.read.check()
    out.publish(sequence)
    out.meter.finish()
    return sequence


@contextlib.contextmanager
def leaving_what_counts(out: Output, read: inputs.Inputs) -> Iterator[None]:
    """Clean up after an interrupted run, so that only what a later run can use is left; explain disk errors."""
    try:
        try:
            yield
        except (ClipError, ValueError):  # a clip that changes during the run may look damaged, or have another size
            read.check()
            raise
    except inputs.Changed:  # its results may be of two clips
        with contextlib.suppress(OSError):
            out.abandon()
        raise
    except OSError as error:
        if not is_of_files(error):
            raise
        raise unwritable(error, error.filename or out.folder, needed_bytes=out.needed_bytes()) from error
    except (Cancelled, ClipError) as error:
        with contextlib.suppress(OSError):
            # A repaired clip is another clip, whose frames are read again.
            out.leave(frames_count=isinstance(error, Cancelled))
        raise


def prepare(run: Run, *, alone: bool = False) -> Prepared:
    """Read the clip at processing resolution, or what an earlier run has not read of it, and find its shots.

    `alone` : whether that is all that the run does.
    """
    task, meter, count = run.task, run.task.out.meter, run.last - run.first + 1
    meter.plan(count * ((0.0 if alone else task.work) + _PREPARING))
    meter.begin(count * _PREPARING, counts=False)
    meter.stage("prepare", "Reading the clip")
    prepared = processing_size.prepare(
        run.clip,
        run.first,
        run.last,
        run.size,
        task.out.scratch / leftovers.CLIP,
        cuts=shot_starts(task.job.cuts),
        check=task.check,
        progress=lambda done, total: meter.part(done / total),
    )
    run.read.check()
    for warning in run.clip.found():
        task.out.emit(events.Warning(message=warning))
    return parted(prepared, task)


def _all_shots(run: Run, prepared: Prepared) -> tuple[depth_sequence.Shot, ...]:
    """Run each shot of the clip."""
    out, meter, work = run.task.out, run.task.out.meter, run.task.work
    done: list[depth_sequence.Shot] = []
    for index, (start, end) in enumerate(prepared.shots):
        label = prepared.label(index)
        made = out.finished_shots(start, end, check=run.task.check)
        if made is not None:
            meter.begin((end - start + 1) * work)
            meter.frames_done(sum(shot.last_frame - shot.first_frame + 1 for shot in made if shot.status == "done"))
        else:
            made = shots.run_shot(run.task, prepared, start, end, label=label)
            warn_of_skipped(made, label, out.emit)
            run.read.check(start, end)
            out.keep(*made)
        done.extend(made)
    return tuple(done)


def parted(prepared: Prepared, task: shots.Task) -> Prepared:
    """The same with shots cut where the camera's path begins or ends in them, for an estimator that uses it.

    So the frames with poses are estimated, and those without are shots of their own, which are skipped with the reason.
    """
    camera = task.job.camera if task.choice.leading.uses_poses else None
    have = {pose.frame for pose in camera.poses} if camera is not None else set()
    parts = []
    for first, last in prepared.shots:
        numbers = range(first, last + 1)
        whole = not have or first in prepared.blank
        runs = [list(numbers)] if whole else [list(run) for _, run in groupby(numbers, have.__contains__)]
        parts += [(run[0], run[-1]) for run in runs]
    return replace(prepared, shots=tuple(parts))


def warn_of_skipped(made: Sequence[depth_sequence.Shot], label: str, emit: Emit) -> None:
    """Warn of what is unsupported of a shot beside others, or beside the rest of it."""
    for shot in made if label or len(made) > 1 else ():
        if shot.status == "refused":
            note = _note(shot)
            was = "was" if shot.first_frame == shot.last_frame else "were"
            emit(events.Warning(message=f"{note.frames} {was} skipped: {note.reason}", shot=note))


def _all_refused(done: tuple[depth_sequence.Shot, ...]) -> Failure:
    if len(done) == 1:
        return Failure(exit_codes.UNSUPPORTED, f"The clip is unsupported. {done[0].reason}")
    what = f"All {len(done)} shots of the clip are unsupported."
    return Failure(exit_codes.UNSUPPORTED, what, shots=tuple(map(_note, done)))


def _note(shot: depth_sequence.Shot) -> events.ShotNote:
    return events.ShotNote(first_frame=shot.first_frame, last_frame=shot.last_frame, reason=shot.reason or "")


def _resolved(job: Job, clip: Clip) -> Source:
    """The source with the values that the job leaves open, from the clip."""
    count = clip.last_frame - clip.first_frame + 1
    return replace(
        job.source,
        path=str(Path(job.source.path).absolute()),
        width=clip.width,
        height=clip.height,
        fps=clip.fps,
        frame_count=count if job.source.kind == "movie" else None,
        colorspace=clip.colorspace,
    )


def _with_common_quantity(
    shots: tuple[depth_sequence.Shot, ...], info: EstimatorInfo
) -> tuple[tuple[depth_sequence.Shot, ...], Quantity]:
    """The shots and the quantity of most: those that have it name none of their own."""
    found = [shot.quantity or info.quantity for shot in shots if shot.status == "done"]
    common = max((info.quantity, *found), key=found.count)
    named = tuple(
        replace(shot, quantity=None if (own := shot.quantity or info.quantity) == common else own)
        if shot.status == "done"
        else shot
        for shot in shots
    )
    return named, common


def versions(infos: Sequence[EstimatorInfo]) -> dict[str, str]:
    """The versions of Fathom and of the packages that estimators use, by name."""
    own = {packages.package_of(module) for info in infos for module in info.packages}
    return packages.versions() | {name: version for name in sorted(own) if (version := packages.installed(name))}


def device_name(infos: Sequence[EstimatorInfo], parameters: Mapping[str, Any]) -> str:
    """The name of the device that computes: a GPU's if an estimator can use it and the job allows it."""
    if all(info.gpu == "unused" for info in infos):
        return "cpu"
    return devices.name(devices.find(str(parameters.get("device", devices.AUTO))))
