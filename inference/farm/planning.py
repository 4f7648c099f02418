"""The plan of a job: its work as numbered chunks, in the output folder that becomes the depth sequence.

Planning reads the clip once, to processing resolution, and finds its cuts; no chunk reads it again but for maps at the
plate's size. Chunks are numbered phase by phase, and a phase of a shot begins when the phase before is whole. The plan
is a file in the scratch folder, beside the checkpoints of an ordinary run: those are what chunks leave.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from ..common.failures import Failure
from ..common.files import save_json
from ..contract import (
    depth_sequence,
    environment,
    events,
    exit_codes,
    leftovers,
    measured,
    own_files,
    plate_files,
    records,
)
from ..contract.depth_sequence import SCRATCH
from ..contract.job import Job, validate, with_output
from ..contract.numbering import Frame
from ..contract.own_files import Names
from ..contract.records import Bounds, Seconds, Word
from ..contract.untrusted import open_file
from ..estimators.base import Phase
from ..media.processing_size import Prepared
from ..run import automatic, checks, inputs, output, pieces, runner
from ..run.runner import Provenance
from . import CHUNK_FRAMES, STARTS

SCHEMA_VERSION = 2
"""2: what chunks read has a key of its own."""
_FRAMES_OF_WINDOW = 22
_JOINS = 0.2
"""Share of a shot's work that what finishes it has at most where its phases have done the rest."""
Count = Annotated[int, Bounds(0, 10**7)]
Side = Annotated[int, Bounds(1, 65536)]


@dataclass(frozen=True, kw_only=True)
class PlannedPhase:
    """A phase of all shots.

    Attributes
    ----------
    name, label : str
        As in `run.pieces`.
    kind : 'shot', 'window' or 'frame'
    estimator : str
        Empty for what is no estimator's.
    memory, gpu_memory : float
        Host memory and a GPU's that a chunk needs, about, in GB; 0: unknown, or none.
    """

    name: Word
    label: Word
    kind: Literal["shot", "window", "frame"]
    estimator: Word = ""
    memory: Annotated[float, Bounds(0, 1e6)] = 0.0
    gpu_memory: Annotated[float, Bounds(0, 1e6)] = 0.0


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """One piece of work.

    Attributes
    ----------
    phase : int
        Index in `Plan.phases`.
    first_frame, last_frame : int
        Source frames of the shot.
    first_unit, last_unit : int
        Units of the phase, from 0, both included.
    seconds : float
        About, on two CPU cores, or on a GPU where one is needed; 0: unknown.
    """

    phase: Count
    first_frame: Frame
    last_frame: Frame
    first_unit: Count
    last_unit: Count
    seconds: Seconds = 0.0

    @property
    def units(self) -> range:
        """The units of the phase."""
        return range(self.first_unit, self.last_unit + 1)

    def problems(self) -> Iterator[str]:
        """Why this is not a valid chunk; `records` asks."""
        if self.last_frame < self.first_frame or self.last_unit < self.first_unit:
            yield "is empty"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A job in chunks.

    Attributes
    ----------
    identity : str
        A new one for every plan.
    job : Job
    overwrite : bool
        Whether a finished result is replaced.
    estimators : tuple of str
        Those that run.
    provenance : Provenance
        Of the computer that planned, whose packages and weights the others must have.
    files, chunk_files : str
        `inputs.Inputs.files_key` of all that the job reads, and of what chunks read of it: without the clip where their
        maps are not at its size.
    colors : int
        Checksum of the color configuration that the clip was read by; 0: of none, or unknown.
    plate, size : (int, int)
        Width and height of the clip's frames, and at processing resolution.
    lens_tag : (float, float) or None
        As in `estimators.base.Shot`.
    first_frame, last_frame : int
    phases : tuple of PlannedPhase
    chunks : tuple of Chunk
        By number; those of a phase follow those of the phase before.
    chunk_frames, chunk_seconds : int or None, float or None
        What was asked for, see `make`.
    """

    identity: Word
    job: Job
    overwrite: bool
    estimators: tuple[Word, ...]
    provenance: Provenance
    files: Word
    chunk_files: Word
    plate: tuple[Side, Side]
    size: tuple[Side, Side]
    first_frame: Frame
    last_frame: Frame
    phases: tuple[PlannedPhase, ...]
    chunks: tuple[Chunk, ...]
    lens_tag: tuple[float, float] | None = None
    chunk_frames: Count | None = None
    chunk_seconds: Seconds | None = None
    colors: Annotated[int, Bounds(0, 2**32)] = 0
    schema_version: int = SCHEMA_VERSION

    def problems(self) -> Iterator[str]:
        """Why this is not a valid plan; `records` asks."""
        phases = [chunk.phase for chunk in self.chunks]
        if phases != sorted(phases) or any(phase >= len(self.phases) for phase in phases):
            yield "has chunks that do not follow its phases"
        elif set(phases) != set(range(len(self.phases))):
            yield "has a phase without chunks"
        if any(c.first_frame < self.first_frame or c.last_frame > self.last_frame for c in self.chunks):
            yield "has chunks outside its frames"

    def before(self, number: int) -> list[int]:
        """The chunks that must be done before one: those of its shot's earlier phases."""
        chunk = self.chunks[number]
        return [n for n in self._by_shot[chunk.first_frame] if self.chunks[n].phase < chunk.phase]

    @cached_property
    def _by_shot(self) -> dict[int, list[int]]:
        """The chunks of each shot by its first frame, in order."""
        found: dict[int, list[int]] = {}
        for number, chunk in enumerate(self.chunks):
            found.setdefault(chunk.first_frame, []).append(number)
        return found

    def describe(self, number: int) -> dict[str, Any]:
        """One chunk for a program that submits it."""
        chunk = self.chunks[number]
        phase = self.phases[chunk.phase]
        first, last = chunk.first_frame, chunk.last_frame
        if phase.kind == "frame":
            first, last = first + chunk.first_unit, first + chunk.last_unit
        return {
            "number": number,
            "phase": chunk.phase,
            "name": phase.name,
            "label": phase.label,
            "kind": phase.kind,
            "shot": [chunk.first_frame, chunk.last_frame],
            "units": [chunk.first_unit, chunk.last_unit],
            "frames": [first, last],
            "seconds": round(chunk.seconds, 1),
            "memory_gb": phase.memory,
            "gpu_memory_gb": phase.gpu_memory,
        }


def make(
    job: Job,
    *,
    emit: Callable[[events.Event], None],
    cancelled: Callable[[], bool] = lambda: False,
    overwrite: bool = False,
    chunk_frames: int | None = None,
    chunk_seconds: float | None = None,
) -> Plan:
    """Plan a job in its output folder; one that is planned already, in the same way, keeps its plan and its work.

    Parameters
    ----------
    chunk_frames : int or None
        Frames of a chunk, about; a chunk is of one shot and one phase. None: as many as `chunk_seconds` need.
    chunk_seconds : float or None
        What a chunk takes, about; None: long enough for the start of a process to count little. Shots that take no
        longer are one chunk, and so is what comes after a shot's last phase that is divided.

    Raises
    ------
    Failure, JobError, ClipError, Cancelled
        As for `runner.estimate`.
    """
    with runner.opened(job, emit=emit, cancelled=cancelled, overwrite=overwrite) as run:
        prepared = runner.prepare(run, alone=True)
        folder = run.task.out.folder
        phases, chunks = _divided(run, prepared, chunk_frames, chunk_seconds)
        plan = Plan(
            identity=uuid.uuid4().hex,
            job=run.task.job,
            overwrite=overwrite,
            estimators=tuple(info.name for info in run.task.choice.used),
            provenance=run.provenance,
            files=run.read.files_key(),
            chunk_files=run.read.files_key(clip=job.full_size),
            plate=run.task.plate,
            lens_tag=run.task.lens_tag,
            size=run.size,
            first_frame=run.first,
            last_frame=run.last,
            phases=phases,
            chunks=chunks,
            chunk_frames=chunk_frames,
            chunk_seconds=chunk_seconds,
            colors=_colors(run.task.job),
        )
        earlier = _earlier(folder)
        # how long work takes is known better every time, and that must not divide again what is under way
        if earlier is not None and replace(earlier, identity=plan.identity, phases=phases, chunks=chunks) == plan:
            return earlier
        own_files.clear(folder / SCRATCH, Names((leftovers.PLAN, f"{leftovers.CHUNKS}/######.json")))
        save_json(folder / SCRATCH / leftovers.PLAN, plan)
        return plan


def load(folder: Path, *, clip: str | None = None, mattes: str | None = None) -> Plan:
    """The plan in an output folder, which may lie elsewhere than when it was made.

    Parameters
    ----------
    folder : Path
    clip, mattes : str or None
        Where the clip and the mattes lie on this computer; None: where they did.

    Raises
    ------
    Failure
        USAGE: there is none, or none that this version of Fathom can read.
    """
    try:
        plan = records.load(Plan, folder / SCRATCH / leftovers.PLAN, strict=False)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Failure(exit_codes.USAGE, f"{folder} has no plan.", hint="Make one with the command plan.") from error
    except records.RecordError as error:
        raise Failure(exit_codes.USAGE, f"The plan in {folder} cannot be used: {error}.", hint="Plan again.") from error
    if plan.schema_version != SCHEMA_VERSION:
        what = f"The plan in {folder} was made by another version of Fathom."
        raise Failure(exit_codes.USAGE, what, hint="Install the same version everywhere, or plan again.")
    source = plan.job.source
    if clip:
        path = Path(clip).absolute()
        is_of_frames = source.kind == "sequence" and not path.is_dir()
        source = replace(source, path=str(path.parent if is_of_frames else path))
    job = replace(plan.job, source=source, mattes=str(Path(mattes).absolute()) if mattes else plan.job.mattes)
    return replace(plan, job=validate(with_output(job, str(folder))))


def is_merged(folder: Path) -> bool:
    """Whether the work of a plan is complete: the folder has its result, or gets it from a merge that was killed."""
    if not (folder / SCRATCH / leftovers.PLAN).exists():
        return (folder / depth_sequence.SIDECAR).is_file()
    state = output.read_state(folder / SCRATCH)
    return state is not None and output.is_ending(folder, state)


class AnotherJob(Failure):
    """The folder of a plan has been given to another job, or was planned again."""


def require_work(folder: Path, plan: Plan) -> output.State:
    """The state of a plan's work; `AnotherJob` (USAGE) where the folder contains that of another job, or none."""
    state = output.read_state(folder / SCRATCH)
    if state is None or state.key != plan.provenance.key:
        what = f"{folder} contains the work of another job than the plan's."
        raise AnotherJob(exit_codes.USAGE, what, hint="Plan again.")
    return state


class Watch:
    """Sees to it that nothing is written into a folder that has been given to another job since.

    A process that does chunks holds no lock, so an artist may plan the folder anew while it works: what it writes then
    would be taken for the other job's.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder, self._plan = folder, plan
        self._seen: list[tuple[int, ...] | None] = []

    def check(self) -> None:
        """Raise `AnotherJob` where the folder is not the plan's any more."""
        paths = [self._folder / SCRATCH / name for name in (output.NAME, leftovers.PLAN)]
        if (now := [_stamp(path) for path in paths]) == self._seen and None not in now:
            return
        require_work(self._folder, self._plan)
        try:
            other = records.load(Plan, paths[1], strict=False).identity
        except (OSError, records.RecordError):
            other = ""
        if other != self._plan.identity:
            what = f"{self._folder} was planned again while chunks of the plan before were done."
            raise AnotherJob(exit_codes.USAGE, what, hint="Do the chunks of the new plan.")
        self._seen = now


def _stamp(path: Path) -> tuple[int, ...] | None:
    """What changes with a file's content; it is opened, since network disks answer from memory without."""
    try:
        with open_file(path) as file:
            facts = os.fstat(file.fileno())
    except (OSError, records.RecordError):
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def check_clip(plan: Plan, *, of_chunks: bool = False) -> None:
    """Raise a `Failure` (BAD_CLIP) unless the clip's files are those that were planned, by name, size and time.

    So must the mattes be, and depth that the job takes, and the content of the color configuration, whose path other
    computers may not have, and need not where no clip is to be read by it. `of_chunks` : only what chunks read.
    """
    job, noted = plan.job, inputs.note(plan.job)
    parameters = checks.resolve_parameters(automatic.info(job.estimator), job.parameters)
    given = checks.input_sequences(automatic.info(job.estimator), parameters, Path(job.output))
    read = inputs.Inputs(
        job, noted, first=plan.first_frame, last=plan.last_frame, sequences=[str(parameters[name]) for name in given]
    )
    is_same = read.files_key(clip=job.full_size) == plan.chunk_files if of_chunks else read.files_key() == plan.files
    if is_same and (job.full_size or not of_chunks) and _colors(job) not in (0, plan.colors) and plan.colors:
        raise Failure(
            exit_codes.BAD_CLIP,
            f"{depth_sequence.plate_file(plan.job.source)} was planned with another color configuration.",
            hint="Plan it again, or bring the configuration back.",
        )
    if not is_same:
        raise Failure(
            exit_codes.BAD_CLIP,
            f"{depth_sequence.plate_file(plan.job.source)} is not the clip that was planned: files of it, of its "
            "mattes or of depth that it takes have another size or modification time, or are missing.",
            hint="Plan it again, or bring the files that were planned to this computer.",
        )


def _colors(job: Job) -> int:
    return plate_files.checksum_of(plate_files.color_config(job.source.ocio_config))


def _earlier(folder: Path) -> Plan | None:
    try:
        return load(folder)
    except (Failure, ValueError):
        return None


def _divided(
    run: runner.Run, prepared: Prepared, chunk_frames: int | None, chunk_seconds: float | None
) -> tuple[tuple[PlannedPhase, ...], tuple[Chunk, ...]]:
    """The phases of all shots, and the chunks of each."""
    whole = chunk_seconds or STARTS * max(info.cost.start_seconds for info in run.task.choice.used)
    seconds = _frame_seconds(run)
    shots: list[tuple[int, int, list[_Part]]] = []
    for index, (first, last) in enumerate(prepared.shots):
        frames, parts = last - first + 1, []
        for stage in pieces.stages(run.task, prepared, first, last, label=prepared.label(index)):
            taken = seconds * frames * stage.phase.work
            parts.append(_Part(stage, _ranges(stage.phase, taken, chunk_frames, whole), taken))
        shots.append((first, last, parts if chunk_frames else _folded(parts)))
    # a shot that is too short for an estimator lacks its phases, and has the others in the same order
    names = _merged([parts for _, _, parts in shots])
    phases: dict[str, PlannedPhase] = {}
    found: dict[str, list[Chunk]] = {name: [] for name in names}
    for first, last, parts in shots:
        for part in parts:
            name = part.stage.name
            planned = _planned(run, part)
            if name not in phases or planned.gpu_memory > phases[name].gpu_memory:
                phases[name] = planned
            for units in part.ranges:
                found[name].append(
                    Chunk(
                        phase=names.index(name),
                        first_frame=first,
                        last_frame=last,
                        first_unit=units.start,
                        last_unit=units.stop - 1,
                        seconds=round(part.seconds * len(units) / part.stage.phase.units, 3),
                    )
                )
    return tuple(phases[name] for name in names), tuple(chunk for name in names for chunk in found[name])


@dataclass(frozen=True)
class _Part:
    """A phase of a shot in chunks: the units of each, and the seconds of all together."""

    stage: pieces.Stage
    ranges: list[range]
    seconds: float


def _folded(parts: list[_Part]) -> list[_Part]:
    """The phases of a shot up to the last one that is divided, and then what finishes it, which does the rest."""
    if not parts:
        return []
    *rest, finish = parts
    last = max((index for index, part in enumerate(rest) if len(part.ranges) > 1), default=-1)
    folded = rest[last + 1 :]
    work = finish.stage.phase.work + sum(part.stage.phase.work for part in folded)
    stage = replace(finish.stage, phase=replace(finish.stage.phase, work=work))
    return [*rest[: last + 1], replace(finish, stage=stage, seconds=finish.seconds + sum(p.seconds for p in folded))]


def _merged(shots: list[list[_Part]]) -> list[str]:
    """The names of all shots' phases in an order in which those of each shot follow."""
    names: list[str] = []
    for parts in shots:
        at = 0
        for name in (part.stage.name for part in parts):
            if name in names:
                at = names.index(name) + 1
            else:
                names.insert(at, name)
                at += 1
    return names


def _planned(run: runner.Run, part: _Part) -> PlannedPhase:
    stage, used = part.stage, run.task.choice.used
    cost = max((info.cost for info in used if stage.estimator in ("", info.name)), key=lambda cost: cost.memory)
    # what finishes a shot estimates as well where nothing of it was done before
    estimates = bool(stage.estimator) or stage.phase.work > _JOINS
    on_gpu = run.provenance.device != "cpu" and estimates
    return PlannedPhase(
        name=stage.name,
        label=stage.phase.label,
        kind=stage.phase.kind,
        estimator=stage.estimator,
        memory=cost.memory,
        gpu_memory=cost.gpu_memory if on_gpu else 0.0,
    )


def _ranges(phase: Phase, seconds: float, chunk_frames: int | None, chunk_seconds: float) -> list[range]:
    """The units of a phase of a shot, which takes so many seconds (0: unknown), in ranges of nearly equal length."""
    if phase.kind == "shot":
        return [range(phase.units)]
    if chunk_frames or not seconds:
        each = _FRAMES_OF_WINDOW if phase.kind == "window" else 1
        wanted = round(phase.units * each / (chunk_frames or CHUNK_FRAMES))
    else:
        wanted = round(seconds / chunk_seconds)
    count = min(max(1, wanted), phase.units)
    borders = [round(phase.units * index / count) for index in range(count + 1)]
    return [range(start, end) for start, end in pairwise(borders)]


def _frame_seconds(run: runner.Run) -> float:
    """Seconds that a frame takes, about: as measured on this computer, or else by the estimator's own figure."""
    choice, pixels = run.task.choice, run.size[0] * run.size[1]
    wanted = measured.Measured(
        estimator=choice.info.name, settings="", frames=1, pixels=pixels, map_pixels=pixels, seconds=0
    )
    found = measured.forecast(measured.load(environment.data_folder()), wanted)
    if found is not None:
        return found.seconds
    usual = choice.leading.default_size**2 * 9 / 16
    return sum(info.cost.frame_seconds for info in choice.used) * pixels / usual
