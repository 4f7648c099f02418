"""Running a job from the clip to ``depth.json``."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..common import devices
from ..common.failures import Cancelled, ClipError, Failure, is_of_files, unwritable
from ..common.progress import Meter
from ..contract import depth_sequence, events, exit_codes, packages
from ..contract.depth_sequence import DepthSequence
from ..contract.job import Job, Source, check_cuts, shot_starts, validate
from ..estimators import registry
from ..estimators.base import EstimatorInfo
from ..media import working
from ..media.clip import Clip, open_clip
from ..media.mattes import mattes
from ..models import inspection, store
from . import checks, inputs, output, shots
from .checks import resolve_parameters
from .output import Output

_PREPARING = 0.05
"""Work of reading a frame at working size, as a share of estimating it."""
_UPSAMPLING = 0.4e-6
"""Work of bringing a frame's maps to plate size, likewise, for each of the plate's pixels."""
_KEEP_EVERY = 5.0
"""Seconds between two notes of the time spent and of how far the job is."""

Emit = Callable[[events.Event], None]


def estimate(
    job: Job, *, emit: Emit, cancelled: Callable[[], bool] = lambda: False, overwrite: bool = False
) -> DepthSequence:
    """Estimate the depth of a clip, or go on with it where an earlier run of the same job stopped.

    Parameters
    ----------
    job : Job
    emit : callable
        Takes the events but `Error` and `Done`, which are the caller's to tell.
    cancelled : callable
        Asked between steps whether to stop.
    overwrite : bool
        Whether a finished result in the output folder may be replaced.

    Returns
    -------
    DepthSequence
        As it was written to ``depth.json``.

    Raises
    ------
    Failure
        The known reasons for which a job ends without a result; see `inference.contract.exit_codes`.
    JobError, ClipError
        The job cannot be run; the clip cannot be read.
    Cancelled
    """
    started = time.monotonic()
    checks.check_output(job)
    validate(job)
    folder = Path(job.output).absolute()
    declared = registry.info(job.estimator)
    parameters = resolve_parameters(declared, job.parameters)
    given = checks.given_sequences(declared, parameters, folder)
    info = registry.info_for(job.estimator, parameters)
    registry.require(info)
    checks.warn_of_idle_card(info, parameters, emit)

    def check() -> None:
        if cancelled():
            raise Cancelled

    inspection.ensure(
        info.models,
        check=check,
        reading=lambda label: emit(events.Stage(name="weights", label=f"Checking {label}")),
    )
    weights = store.records(info.models)
    noted = inputs.note(job)
    with open_clip(job.source, job.first_frame, job.last_frame) as clip:
        first, last = checks.frames_of(job, clip)
        checks.check_length(info, first, last)
        clip.require(first, last)
        for warning in clip.warnings:
            emit(events.Warning(message=warning))
        checks.check_camera(job.camera, first, last)
        check_cuts(job.cuts, first, last)
        size = working.working_size(clip.width, clip.height, job.size or info.default_size, info.size_multiple)
        if job.mattes:
            mattes(job.mattes, first, last, size)  # refuses a folder that lacks one before any work is done
        read = inputs.Inputs(job, noted, first=first, last=last, sequences=[str(parameters[name]) for name in given])
        key = output.key_of(job, first, last, _versions(info), _device(info, parameters), weights=weights, given=given)
        with output.opened(
            folder,
            key=key,
            fingerprint=job.fingerprint(),
            frames=(first, last),
            overwrite=overwrite,
            emit=emit,
            plate=depth_sequence.plate_file(job.source),
        ) as out:
            large = (clip.width, clip.height)
            clerk = _Clerk(
                out, read, started, frames=last - first + 1, pixels=math.prod(large if job.full_size else size)
            )
            meter = Meter(emit, last - first + 1, notice=clerk.noticed)
            task = shots.Task(
                info=info,
                estimate=registry.function(job.estimator),
                clip=clip,
                parameters=parameters,
                seed=job.seed,
                camera=job.camera,
                full_size=job.full_size,
                scratch=out.scratch,
                maps=out.maps,
                emit=emit,
                check=check,
                meter=meter,
                written=clerk.written,
                needed_bytes=clerk.needed_bytes,
            )
            checks.warn_of_little_room(folder, clerk.needed_bytes() * (2 if info.gives_confidence else 1), emit)
            with clerk.guarding():
                check()
                done = _all_shots(job, task, clerk, first=first, last=last, size=size)
                if not any(shot.status == "done" for shot in done):
                    out.abandon()
                    raise _all_refused(done)
                sequence = DepthSequence(
                    source=_resolved(job, clip),
                    first_frame=first,
                    last_frame=last,
                    width=large[0] if job.full_size else size[0],
                    height=large[1] if job.full_size else size[1],
                    quantity=info.quantity,
                    shots=done,
                    estimator=info.name,
                    fingerprint=job.fingerprint(),
                    confidence=info.confidence_meaning if info.gives_confidence else None,
                    parameters=parameters,
                    seed=job.seed,
                    weights=weights,
                    versions=_versions(info),
                    seconds=round(clerk.seconds(), 2),
                )
                check()
                read.check()
                out.publish(sequence)
            meter.finish()
    return sequence


class _Clerk:
    """Keeps the state of a run: the finished shots, and the time spent and the work done over all runs.

    `inputs` are the files that all of it is made of.
    """

    def __init__(self, out: Output, read: inputs.Inputs, started: float, *, frames: int, pixels: int) -> None:
        self._out, self.inputs, self._started, self._frames, self._pixels = out, read, started, frames, pixels
        self._before, self._share = out.state.seconds, out.state.share
        self._kept = time.monotonic()
        self._written, self._bytes = 0, 0

    def seconds(self) -> float:
        """Seconds spent, over all runs."""
        return self._before + time.monotonic() - self._started

    def shot(self, first: int, last: int) -> depth_sequence.Shot | None:
        """What an earlier run made of a shot; None where it has not finished it."""
        return next((s for s in self._out.state.shots if (s.first_frame, s.last_frame) == (first, last)), None)

    def keep(self, shot: depth_sequence.Shot) -> None:
        """Note a finished shot, unless what it was made of has changed meanwhile."""
        self.inputs.check(shot.first_frame, shot.last_frame)
        current = self._out.state
        self._out.keep(replace(current, shots=(*current.shots, shot), seconds=self.seconds(), share=self._share))

    def written(self, size: int) -> None:
        """Note that a frame of `size` bytes was written."""
        self._written += 1
        self._bytes += size
        if time.monotonic() - self._kept > _KEEP_EVERY:
            self._note_time()

    def needed_bytes(self) -> float:
        """About how much room the rest of the job needs, from the frames so far, or uncompressed."""
        a_frame = self._bytes / self._written if self._written else 4.0 * self._pixels
        return a_frame * (self._frames - self._written)

    def noticed(self, fraction: float) -> None:
        """Note how much of the job is done: an earlier run may have been further already."""
        self._share = max(self._share, fraction)
        if time.monotonic() - self._kept > _KEEP_EVERY:
            self._note_time()

    def _note_time(self) -> None:
        self._kept = time.monotonic()
        self._out.keep(replace(self._out.state, seconds=self.seconds(), share=self._share))

    @contextlib.contextmanager
    def guarding(self) -> Iterator[None]:
        """Say what a full or closed disk means, and note the time spent where a run that is broken off leaves work."""
        try:
            with self._dropping():
                yield
        except OSError as error:
            if not is_of_files(error):
                raise
            raise unwritable(error, error.filename or self._out.folder, needed_bytes=self.needed_bytes()) from error
        except (Cancelled, ClipError) as error:
            with contextlib.suppress(OSError):
                self._note_time()
                # A clip that is mended is another, whose frames are read again.
                self._out.abandon_if_idle(frames_count=isinstance(error, Cancelled))
            raise

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        """Drop what was made of files that have changed: what of it is of which clip cannot be told."""
        try:
            try:
                yield
            except (ClipError, ValueError):  # a clip that changes while it is read may look damaged, or of another size
                self.inputs.check()
                raise
        except inputs.Changed:
            with contextlib.suppress(OSError):
                self._out.abandon()
            raise


def _all_shots(
    job: Job, task: shots.Task, clerk: _Clerk, *, first: int, last: int, size: tuple[int, int]
) -> tuple[depth_sequence.Shot, ...]:
    """Read the clip at working size, and run each of its shots."""
    meter, count = task.meter, last - first + 1
    upsampling = _UPSAMPLING * task.clip.width * task.clip.height if job.full_size else 0.0
    meter.plan(count * (1 + _PREPARING + upsampling))
    meter.begin(count * _PREPARING, counts=False)
    meter.stage("prepare", "Reading the clip")
    prepared = working.prepare(
        task.clip,
        first,
        last,
        size,
        task.scratch / "clip",
        cuts=shot_starts(job.cuts),
        check=task.check,
        progress=lambda done, total: meter.part(done / total),
    )
    clerk.inputs.check()
    for warning in task.clip.found():
        task.emit(events.Warning(message=warning))
    done = []
    for index, (start, end) in enumerate(prepared.shots):
        length = end - start + 1
        shot = clerk.shot(start, end)
        if shot is not None and _is_whole(shot, task):
            meter.begin(length * (1 + upsampling))
            meter.frames_done(length if shot.status == "done" else 0)
            done.append(shot)
            continue
        if start in prepared.blank:
            meter.begin(length * (1 + upsampling))
            shot = shots.blank_shot(start, end, what=prepared.blank[start])
        else:
            shot = shots.run_shot(
                task,
                prepared.frames(start, end),
                mattes(job.mattes, start, end, size) if job.mattes else None,
                shown=prepared.shown(start, end),
                label=f"shot {index + 1} of {len(prepared.shots)}" if len(prepared.shots) > 1 else "",
                estimating=length,
                upsampling=length * upsampling,
            )
        if shot.status == "refused" and len(prepared.shots) > 1:
            note = _note(shot)
            task.emit(
                events.Warning(
                    message=f"{note.frames} {'was' if start == end else 'were'} refused: {note.reason}", shot=note
                )
            )
        clerk.keep(shot)
        done.append(shot)
    return tuple(done)


def _is_whole(shot: depth_sequence.Shot, task: shots.Task) -> bool:
    """Whether the maps of a shot that an earlier run finished are still there."""
    numbers = range(shot.first_frame, shot.last_frame + 1)
    return shot.status == "refused" or all(shots.is_written(task.maps, number, task.info) for number in numbers)


def _all_refused(done: tuple[depth_sequence.Shot, ...]) -> Failure:
    if len(done) == 1:
        return Failure(exit_codes.REFUSED, f"The clip was refused. {done[0].reason}")
    what = f"All {len(done)} shots of the clip were refused."
    return Failure(exit_codes.REFUSED, what, shots=tuple(map(_note, done)))


def _note(shot: depth_sequence.Shot) -> events.ShotNote:
    return events.ShotNote(first_frame=shot.first_frame, last_frame=shot.last_frame, reason=shot.reason or "")


def _resolved(job: Job, clip: Clip) -> Source:
    """The source with what the job left open, as the clip turned out to be."""
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


def _versions(info: EstimatorInfo) -> dict[str, str]:
    own = {packages.package_of(module) for module in info.packages}
    return packages.versions() | {name: version for name in sorted(own) if (version := packages.installed(name))}


def _device(info: EstimatorInfo, parameters: dict[str, Any]) -> str:
    """What computes: the GPU's name where the estimator can use one and the job does not say otherwise."""
    if info.gpu == "unused":
        return "cpu"
    return devices.name(devices.find(str(parameters.get("device", devices.AUTO))))
