"""Do chunks of a plan: idempotent, restartable, and safe when two computers are given the same one.

A chunk writes what an ordinary run writes, each file in one step under a name of its own, and never changes one. What
is done is noted in a file of the chunk's, of which the first stays. So nothing rests on a lock, which network disks may
not keep: a chunk that is done twice is only done in vain.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Annotated

from ..common.failures import Cancelled, Failure, UnsupportedShot, is_of_files, unmet_requirements, unwritable
from ..contract import depth_sequence, events, exit_codes, leftovers, own_files, records
from ..contract.depth_sequence import SCRATCH
from ..contract.hints import setting
from ..contract.job import shot_starts
from ..contract.numbering import Frame
from ..contract.records import Bounds, FilePath, ForPeople, Seconds, Word
from ..estimators import registry, requirements
from ..media import processing_size
from ..media.clip import open_clip
from ..run import automatic, checkpoints, pieces, runner, shots
from ..run.output import Output, map_names
from . import planning
from .planning import Plan

Emit = Callable[[events.Event], None]
_LARGEST_LOG = 4 << 20
"""Bytes of a chunk's log from which on nothing is added."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a chunk's results: its path in the output folder, and its size in bytes."""

    path: FilePath
    size: Annotated[int, Bounds(0, 2**60)]


@dataclass(frozen=True, kw_only=True)
class Note:
    """That a chunk is done.

    Attributes
    ----------
    plan : str
        `Plan.identity`.
    host, device : str
        The computer that did it, and what computed there.
    seconds : float
    files : tuple of File
    shots : tuple of depth_sequence.Shot
        Of a chunk that finishes one: itself, or its parts.
    unsupported : str
        The estimator that does not support the shot; empty: none was found.
    reason, hint : str
        Why, and what to do instead.
    supported : (int, int) or None
        The part of the shot that it may support.
    warnings : tuple of str
    """

    plan: Word
    host: Word
    device: Word
    seconds: Seconds
    files: tuple[File, ...] = ()
    shots: tuple[depth_sequence.Shot, ...] = ()
    unsupported: Word = ""
    reason: ForPeople = ""
    hint: ForPeople = ""
    supported: tuple[Frame, Frame] | None = None
    warnings: tuple[ForPeople, ...] = ()


def do_all(
    folder: Path,
    numbers: Sequence[int] | None,
    *,
    emit: Emit,
    cancelled: Callable[[], bool] = lambda: False,
    clip: str | None = None,
    mattes: str | None = None,
) -> int:
    """Do chunks of the plan in an output folder, in order; those that are done already are left as they are.

    Parameters
    ----------
    folder : Path
    numbers : sequence of int or None
        Their numbers in the plan; None: all.
    emit, cancelled
        As for `runner.estimate`.
    clip, mattes : str or None
        As for `planning.load`.

    Returns
    -------
    int
        How many units of work were done: frames or windows.

    Raises
    ------
    Failure
        EARLY: chunks of the phase before are missing. MISSING: this computer lacks what the plan was made with, or has
        another. BAD_CLIP: the clip, mattes or depth that chunks read are others than those that were planned.
        INCOMPLETE: what other chunks have left is damaged; they are to be done again. USAGE: there is no plan, or no
        chunk of a number. Otherwise as for `runner.estimate`.
    """
    folder = folder.absolute()
    if planning.is_merged(folder):
        emit(events.Warning(message=f"The depth in {folder} is complete: there is nothing left to do."))
        return 0
    plan = planning.load(folder, clip=clip, mattes=mattes)
    require_own(folder)
    numbers = range(len(plan.chunks)) if numbers is None else numbers
    if (absent := next((number for number in numbers if number >= len(plan.chunks)), None)) is not None:
        raise Failure(
            exit_codes.USAGE, f"The plan in {folder} has the chunks 0-{len(plan.chunks) - 1}, and no chunk {absent}."
        )
    left = [number for number in numbers if note_of(folder, plan, number) is None]
    if not left:
        return 0
    work: _Work | None = None
    try:
        for index, number in enumerate(left):
            units = [len(plan.chunks[each].units) for each in left]
            progress = _progress(emit, before=sum(units[:index]), own=units[index], total=sum(units))
            work = work or _Work(folder, plan, emit, cancelled)
            work.do(number, progress)
    except (OSError, planning.AnotherJob) as error:
        # the others may have done and merged all, this chunk among it, and removed what it works in
        if not planning.is_merged(folder):
            if not isinstance(error, OSError) or not is_of_files(error):
                raise
            planning.require_work(folder, plan)  # without it, why a file is missing would be said wrong
            _require_left(folder, plan, error)
            raise unwritable(error, error.filename or folder) from error
    return sum(len(plan.chunks[number].units) for number in left)


def _progress(emit: Emit, *, before: int, own: int, total: int) -> Emit:
    """A display for one of several chunks: its progress as that of all, in units of work."""

    def told(event: events.Event) -> None:
        if isinstance(event, events.Progress):
            done = before + event.fraction * own
            event = events.Progress(done=done, total=total, frames=int(done), frames_total=total)
        emit(event)

    return told


class _Work:
    """A computer that does chunks of a plan."""

    def __init__(self, folder: Path, plan: Plan, emit: Emit, cancelled: Callable[[], bool]) -> None:
        self._folder, self._plan = folder, plan
        self._scratch = folder / SCRATCH
        self._watch = planning.Watch(folder, plan)
        self._notes: dict[int, Note] = {}

        def check() -> None:
            if cancelled():
                raise Cancelled

        self._check = check
        planning.check_clip(plan, of_chunks=True)
        own_files.make_folder(self._scratch / leftovers.CHUNKS)
        self._choice = self._require(emit)
        self._device = runner.device_name(self._choice.used, self._choice.parameters)

    def _require(self, emit: Emit) -> automatic.Choice:
        """What estimates, which must be what the plan was made with."""
        plan, job = self._plan, self._plan.job
        needed = [registry.info(name) for name in plan.estimators]
        if missing := [each for info in needed for each in requirements.missing_requirements(info)]:
            raise unmet_requirements(missing)
        choice = automatic.choose(job.estimator, job.parameters, has_mattes=bool(job.mattes))
        weights = choice.require(check=self._check)
        mine, theirs = runner.versions(choice.used), plan.provenance.versions
        chosen = tuple(info.name for info in choice.used)
        for what, here, there in (
            ("the estimators", ", ".join(chosen), ", ".join(plan.estimators)),
            ("the version of Fathom", mine.get("fathom", ""), theirs.get("fathom", "")),
            ("the weights", _names(weights), _names(plan.provenance.weights)),
        ):
            if here != there:
                raise Failure(
                    exit_codes.MISSING,
                    f"This computer has not {what} that the plan was made with: {here or 'none'} here, "
                    f"{there or 'none'} there.",
                    hint="Install the same on all computers, or plan again on one like this.",
                )
        others = sorted(name for name in mine.keys() & theirs.keys() if mine[name] != theirs[name])
        if others:
            versions = ", ".join(f"{name} {mine[name]} instead of {theirs[name]}" for name in others)
            emit(
                events.Warning(
                    message=f"Packages differ from those of the plan ({versions}), so results may differ in their last "
                    "digits."
                )
            )
        return choice

    def do(self, number: int, emit: Emit) -> None:
        """Do one chunk."""
        plan, chunk = self._plan, self._plan.chunks[number]
        phase = plan.phases[chunk.phase]
        before = {each: self._note_of(each) for each in plan.before(number)}
        if early := [each for each, note in before.items() if note is None]:
            raise Failure(
                exit_codes.EARLY,
                f"Chunk {number} cannot begin before {in_words(early)} {'is' if len(early) == 1 else 'are'} done.",
                hint="Try again later.",
            )
        begun = time.monotonic()
        with own_files.guarded(self._watch.check), _log(self._scratch, number) as write:
            told, warnings = _logged(emit, write)
            try:
                done = self._done(number, {each: note for each, note in before.items() if note}, told)
            except BaseException as error:
                write(traceback.format_exc())
                self._check()
                if isinstance(error, Exception) and shots.may_be_of_checkpoints(error):
                    self._watch.check()
                    _require_whole(self._folder, plan, list(before))
                raise
            write(f"{phase.label}: done in {time.monotonic() - begun:.1f} s\n")
            self._require_same_clip(chunk)
            note = self._noted(done, warnings, time.monotonic() - begun)
            if note_of(self._folder, plan, number) is None:  # one that is damaged, or another plan's, would stay
                forget(self._folder, number)
            own_files.save_text(_note(self._scratch, number), records.dumps(note, indent=None) + "\n", keep=True)

    def _require_same_clip(self, chunk: planning.Chunk) -> None:
        """Raise (BAD_CLIP) where what the chunk read has changed since the plan, and delete what is there of it."""
        try:
            planning.check_clip(self._plan, of_chunks=True)
        except Failure:
            self._watch.check()  # the folder may be another plan's by now, with that one's work
            _drop_shot(self._folder, chunk.first_frame, chunk.last_frame)
            raise

    def _note_of(self, number: int) -> Note | None:
        """The note of a chunk before, read once: damage to its files is found where they are read."""
        if number not in self._notes and (note := note_of(self._folder, self._plan, number)) is not None:
            self._notes[number] = note
        return self._notes.get(number)

    def _noted(self, done: pieces.Done, warnings: Sequence[str], seconds: float) -> Note:
        refused = done.unsupported
        return Note(
            plan=self._plan.identity,
            host=platform.node(),
            device=self._device,
            seconds=seconds,
            files=tuple(
                File(path=path.relative_to(self._folder).as_posix(), size=path.stat().st_size) for path in done.files
            ),
            shots=done.shots,
            unsupported=done.estimator if refused else "",
            reason=refused.reason if refused else "",
            hint=refused.hint if refused else "",
            supported=refused.supported if refused else None,
            warnings=tuple(warnings),
        )

    def _done(self, number: int, before: dict[int, Note], emit: Emit) -> pieces.Done:
        plan, chunk, job = self._plan, self._plan.chunks[number], self._plan.job
        phase = plan.phases[chunk.phase]
        state = planning.require_work(self._folder, plan)
        prepared = processing_size.cached(
            plan.first_frame,
            plan.last_frame,
            plan.size,
            self._scratch / leftovers.CLIP,
            cuts=shot_starts(job.cuts),
        )
        first, last = chunk.first_frame, chunk.last_frame
        if prepared is None:
            raise Failure(
                exit_codes.INCOMPLETE,
                f"The clip's frames at processing resolution in {self._folder} are damaged.",
                hint="Plan again, which reads them again and keeps all other work.",
            )
        with contextlib.ExitStack() as stack:
            # only maps at the plate's size need the plate itself
            opened = stack.enter_context(open_clip(job.source, first, last)) if job.full_size else None
            out = Output(
                self._folder,
                None,
                replace(state, first_frame=first, last_frame=last, shots=(), sequence=None, phase="estimating"),
                size=plan.plate if job.full_size else plan.size,
                confidence=self._choice.info.has_confidence,
                emit=emit,
                started=None,
            )
            task = shots.Task(
                job=job,
                choice=self._choice,
                plate=plan.plate,
                clip=opened,
                lens_tag=plan.lens_tag,
                out=out,
                check=self._check,
                unsupported={
                    (note.unsupported, first, last): UnsupportedShot(note.reason, note.hint, supported=note.supported)
                    for note in before.values()
                    if note.unsupported
                },
            )
            prepared = runner.parted(prepared, task)
            if (first, last) not in prepared.shots:
                raise Failure(exit_codes.USAGE, f"The plan in {self._folder} has another shot.", hint="Plan again.")
            label = prepared.label(prepared.shots.index((first, last)))
            done = pieces.do(task, prepared, first, last, name=phase.name, units=chunk.units, label=label)
            out.meter.finish()
            return done


def _logged(emit: Emit, write: Callable[[str], None]) -> tuple[Emit, list[str]]:
    """A display that also writes the log, and the warnings that it was given."""
    warnings: list[str] = []

    def told(event: events.Event) -> None:
        if isinstance(event, events.Stage):
            write(f"{event.label}\n")
        elif isinstance(event, events.Warning):
            warnings.append(event.message)
            write(f"Warning: {event.message}\n")
        emit(event)

    return told, warnings


def note_of(folder: Path, plan: Plan, number: int) -> Note | None:
    """The note of a chunk that is done; None for one that is not, or whose note is of another plan or damaged."""
    try:
        note = records.load(Note, _note(folder / SCRATCH, number), strict=False)
    except (OSError, records.RecordError):
        return None
    chunk, frames = plan.chunks[number], [(shot.first_frame, shot.last_frame) for shot in note.shots]
    whole = [(chunk.first_frame - 1,) * 2, *frames, (chunk.last_frame + 1,) * 2]
    follow = all(before[1] + 1 == after[0] <= after[1] for before, after in pairwise(whole))
    return note if note.plan == plan.identity and (follow or not frames) else None


def require_own(folder: Path) -> None:
    """Raise a `Failure` (BAD_OUTPUT) where the scratch folder of a plan, or a folder of ours in it, is a link."""
    try:
        own_files.make_folder(folder / SCRATCH)
        own_files.check(folder / SCRATCH, own_files.Names(_own_names()), folders_only=True)
    except OSError as error:
        raise unwritable(error, folder) from error


def forget(folder: Path, number: int) -> None:
    """Count a chunk as not done."""
    _note(folder / SCRATCH, number).unlink(missing_ok=True)


def _drop_shot(folder: Path, first: int, last: int) -> None:
    """Delete what there is of a shot, which would be taken for that of the clip that was planned."""
    inside = f"shot.{first:04d}-{last:04d}/"
    kept = (name for name in _own_names() if name.startswith(leftovers.SHOT))
    own_files.clear(folder / SCRATCH, own_files.Names(tuple(name.replace(leftovers.SHOT, inside) for name in kept)))
    for place in (folder, folder / SCRATCH / "low", folder / SCRATCH / "new"):
        for name in itertools.chain.from_iterable(map_names(n, confidence=True) for n in range(first, last + 1)):
            own_files.remove(place / name)


def is_damaged(folder: Path, note: Note) -> bool:
    """Whether a file of a chunk's results is missing, of another size or damaged; such a file is deleted.

    What the maps of a finished shot contain is checked where they are merged.
    """
    damaged, names = False, own_files.Names((*leftovers.MAPS, *(f"{SCRATCH}/{name}" for name in _own_names())))
    for file in note.files:
        path = folder / file.path
        if not names.has_file(PurePosixPath(file.path).parts):  # not a note that Fathom wrote
            return True
        whole = own_files.is_file(path) and path.stat().st_size == file.size
        if whole and (path.suffix not in {".npy", ".npz"} or checkpoints.is_whole(path)):
            continue
        damaged = True
        if own_files.is_file(path):
            path.unlink(missing_ok=True)
    return damaged


def in_words(numbers: Sequence[int]) -> str:
    """Chunks as text: ``chunk 4`` or ``the chunks 3, 5-7``."""
    ranges = as_ranges(numbers)
    return f"chunk {ranges}" if len(numbers) == 1 else f"the chunks {ranges}"


def as_ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers as the command line takes them.

    >>> as_ranges([3, 5, 6, 7])
    '3,5-7'
    """
    parts = []
    for _, group in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        found = [number for _, number in group]
        parts.append(str(found[0]) if len(found) == 1 else f"{found[0]}-{found[-1]}")
    return ",".join(parts)


def _require_whole(folder: Path, plan: Plan, numbers: Sequence[int]) -> None:
    """Raise a `Failure` (INCOMPLETE) where chunks' results are damaged, which are forgotten then."""
    damaged = []
    for number in numbers:
        note = note_of(folder, plan, number)
        if note is None or is_damaged(folder, note):
            forget(folder, number)
            damaged.append(number)
    if damaged:
        is_one = len(damaged) == 1
        what = in_words(damaged)
        raise Failure(
            exit_codes.INCOMPLETE,
            f"{what[0].upper()}{what[1:]} left damaged files.",
            hint=f"Do {'it' if is_one else 'them'} again: {setting('chunks', as_ranges(damaged))}.",
        )


def _require_left(folder: Path, plan: Plan, error: OSError) -> None:
    """Raise a `Failure` (INCOMPLETE) where an error is that a file which a chunk has left is missing.

    The chunk still counts as done: a network disk may show another computer's files late.
    """
    if not isinstance(error, FileNotFoundError) or not error.filename:
        return
    for number in range(len(plan.chunks)):
        note = note_of(folder, plan, number)
        if note is not None and any(folder / file.path == Path(error.filename) for file in note.files):
            raise Failure(
                exit_codes.INCOMPLETE,
                f"{error.filename}, which chunk {number} left, is missing.",
                hint="Try again if the disk shows other computers' files late; else merge, which lists the chunks to "
                "do again.",
            ) from error


def _own_names() -> tuple[str, ...]:
    """Patterns of the names of our files in the scratch folder."""
    return (*leftovers.FILES, *registry.scratch_files())


def _names(weights: Sequence[depth_sequence.Weights]) -> str:
    return ", ".join(f"{each.file} {each.sha256[:12]}" for each in weights)


def _note(scratch: Path, number: int) -> Path:
    return scratch / leftovers.CHUNKS / f"{number:06d}.json"


@contextlib.contextmanager
def _log(scratch: Path, number: int) -> Iterator[Callable[[str], None]]:
    """A chunk's log, to which every process that does it adds; the work goes on where it cannot be written."""
    path = scratch / leftovers.CHUNKS / f"{number:06d}.log"

    def write(text: str) -> None:
        with contextlib.suppress(OSError):
            descriptor = own_files.open_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                if os.fstat(descriptor).st_size < _LARGEST_LOG:
                    os.write(descriptor, text.encode("utf-8", "backslashreplace"))
            finally:
                os.close(descriptor)

    write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')}, {platform.node()}, process {os.getpid()}\n")
    yield write
