"""The output folder: who may write into it, what is in it already, and how a result becomes complete.

While a job runs, the folder holds a scratch folder ``.fathom`` with the lock, the state and the estimator's own
files. Maps go straight into the folder, and ``depth.json`` comes last. Where a finished result is to be
overwritten it stays whole: the new maps wait in ``.fathom/new`` and take its place once all of them are there.
Nothing is deleted but files of Fathom's own names, and nothing is written through a link; see `own_files`.

What a run writes down, so that a later run of the same job goes on from it, is its `State`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from ..common import lock
from ..common.failures import Failure, unwritable
from ..common.files import make_folder, save_json, sync_folder
from ..contract import depth_sequence, events, exit_codes, leftovers, own_files, records
from ..contract.depth_sequence import (
    SCRATCH,
    DepthSequence,
    DepthSequenceError,
    Shot,
    Weights,
    confidence_name,
    disparity_name,
)
from ..contract.hints import setting
from ..contract.job import Job
from ..contract.numbering import Frame
from ..contract.own_files import InTheWay, Names
from ..contract.records import Bounds, FilePath, Seconds, Word
from ..estimators import registry
from ..media.colour import config_file
from . import inputs

_STAGED = "new"
_MAP = re.compile(r"(?:disparity|confidence)\.(-?\d+)\.exr", re.ASCII)
Emit = Callable[[events.Event], None]
NAME = depth_sequence.STATE


class Output:
    """An output folder whose lock is held.

    Attributes
    ----------
    folder : Path
    scratch : Path
        For whatever must outlive the run but not the job.
    maps : Path
        Where maps go, under their final names.
    state : State
        As it was last kept.
    """

    def __init__(self, folder: Path, held: lock.Lock, current: State) -> None:
        self.folder, self.scratch = folder, folder / SCRATCH
        self.maps = self.scratch / _STAGED if current.staged else folder
        self.lock, self.state = held, current

    def keep(self, current: State) -> None:
        """Write the state down."""
        write_state(current, self.scratch)
        self.state = current

    def publish(self, sequence: DepthSequence) -> None:
        """Make the result complete: put staged maps in place, write ``depth.json``, remove the scratch folder.

        Raises
        ------
        Failure
            FAILED: maps, or the lock, have gone while the run was at work. Nothing of an earlier result is lost.
        """
        if not self.lock.is_ours():
            raise Failure(
                exit_codes.FAILED,
                f"The lock of {self.folder} has gone while the run was at work, so another run may be writing there.",
                cure="See to it that none does, and start the same job again to go on from what is finished.",
            )
        lost = _missing(sequence, self.maps)
        if lost:
            raise Failure(
                exit_codes.FAILED,
                f"{self.maps / lost[0]} has gone while the run was at work.",
                cure="Start the same job again: it makes what is missing.",
            )
        if self.state.staged:
            self.keep(replace(self.state, phase="publishing", sequence=sequence, replaced=_frames_of(self.folder)))
            _replace_result(self.folder, self.state)
        else:
            sync_folder(self.folder)
            depth_sequence.save(sequence, self.folder)
        _clear(self.scratch)

    def abandon(self) -> None:
        """Remove what the job has left, where nothing of it can be used: every shot was refused."""
        _forget(self.folder, self.state)

    def abandon_if_idle(self, *, frames_count: bool) -> None:
        """Remove what the job has left, where nothing is estimated; see `leftovers.holds_work`."""
        if not leftovers.holds_work(self.folder, frames_count=frames_count, maps_count=not self.state.staged):
            self.abandon()


@contextmanager
def opened(
    folder: Path, *, key: str, fingerprint: str, frames: tuple[int, int], overwrite: bool, emit: Emit, plate: str = ""
) -> Iterator[Output]:
    """Take an output folder for a job, to start it or to go on with it.

    Parameters
    ----------
    folder : Path
        Made where it is missing, and removed again where the job leaves nothing in it.
    key, fingerprint : str
        `key_of` and `Job.fingerprint` of the job.
    frames : (int, int)
        First and last frame of the job.
    overwrite : bool
        Whether a finished result, or maps of unknown origin, may be replaced.
    emit : callable
        Hears a warning when the remains of a different job are dropped.
    plate : str
        The clip: its movie, or its sequence's first file.

    Raises
    ------
    Failure
        BAD_OUTPUT: it is no folder, cannot be written, is in use, or holds a result that is not to be overwritten.
    """
    made = make_folder(folder)
    try:
        held = lock.acquire(folder / SCRATCH)
        try:
            try:
                own_files.check(folder / SCRATCH, _own_names())
                current = _current(
                    folder, key=key, fingerprint=fingerprint, frames=frames, overwrite=overwrite, emit=emit
                )
            except OSError as error:
                raise unwritable(error, folder) from error
            if plate and current.plate != plate:
                current = replace(current, plate=plate)
                write_state(current, folder / SCRATCH)
            yield Output(folder, held, current)
        finally:
            held.release()
    finally:
        leftovers.remove_empty(made)


def remove(folder: Path) -> None:
    """Delete a depth sequence, finished or not: what is ours in its folder, and the folder, if that was all.

    Raises
    ------
    OSError
        Something cannot be deleted.
    """
    inside = (*leftovers.LOCKS, *leftovers.FILES, *registry.scratch_files())
    names = (depth_sequence.SIDECAR, leftovers.LOG, *leftovers.MAPS, *(f"{SCRATCH}/{name}" for name in inside))
    (folder / depth_sequence.SIDECAR).unlink(missing_ok=True)  # first: without it, what is left is no result
    own_files.clear(folder, Names(names))
    with contextlib.suppress(OSError):
        folder.rmdir()


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a ``depth.json``, readable or not."""
    return os.path.lexists(folder / depth_sequence.SIDECAR)


def _own_names() -> Names:
    """What is ours in the scratch folder, but for the lock."""
    return Names((*leftovers.FILES, *registry.scratch_files()))


def _current(
    folder: Path, *, key: str, fingerprint: str, frames: tuple[int, int], overwrite: bool, emit: Emit
) -> State:
    """The state to go on from: an earlier run's, or a new one; see `opened`."""
    scratch = folder / SCRATCH
    for path in (folder / depth_sequence.SIDECAR, *_maps(folder, *frames)):
        if path.is_dir() and not path.is_symlink():
            raise InTheWay(path, "is a folder")
    for leftover in list(scratch.glob(f"{own_files.TEMPORARY}*")):
        if own_files.is_file(leftover) and _own_names().has_file((leftover.name,)):
            leftover.unlink(missing_ok=True)
    earlier = read_state(scratch)
    if earlier and earlier.phase == "publishing":  # an earlier run was killed at its very end
        if earlier.sequence and not _missing(earlier.sequence, scratch / _STAGED, folder):
            _replace_result(folder, earlier)
        _clear(scratch)
        earlier = None
    finished = is_finished(folder)
    if finished and earlier and not earlier.staged:  # likewise, after depth.json was written
        _clear(scratch)
        earlier = None
    if finished and not overwrite:
        raise _finished_already(folder, fingerprint)
    if earlier and earlier.key == key:
        return earlier
    if earlier:
        if earlier.key:
            emit(
                events.Warning(
                    message=f"{folder} holds an unfinished estimate of a different job (the job, its clip, or the "
                    "version of a package has changed), so this one starts afresh."
                )
            )
        _forget(folder, earlier)
    strange = None if finished else _first_map(folder, frames)
    if strange and not overwrite:
        raise Failure(
            exit_codes.BAD_OUTPUT,
            f"{strange} is there already, and Fathom does not know where it comes from.",
            cure=f"Choose another folder, or use {setting('overwrite')}.",
        )
    staged = finished or strange is not None
    current = State(key=key, fingerprint=fingerprint, first_frame=frames[0], last_frame=frames[1], staged=staged)
    if current.staged:
        (scratch / _STAGED).mkdir(exist_ok=True)
    write_state(current, scratch)
    return current


def _finished_already(folder: Path, fingerprint: str) -> Failure:
    try:
        same = depth_sequence.load(folder).fingerprint == fingerprint
    except DepthSequenceError:
        same = False
    what = f"{folder} holds the finished result of {'this very' if same else 'another'} job."
    cure = f"Choose another folder, or use {setting('overwrite')}."
    return Failure(exit_codes.BAD_OUTPUT, what, cure=f"Use it as it is. {cure}" if same else cure)


def _frames_of(folder: Path) -> tuple[int, int] | None:
    """First and last frame of the finished result in a folder."""
    try:
        old = depth_sequence.load(folder)
    except DepthSequenceError:
        return None
    return old.first_frame, old.last_frame


def _replace_result(folder: Path, publishing: State) -> None:
    """Put staged maps in the place of the old result; goes on from where an earlier call was killed."""
    sequence = publishing.sequence
    if sequence is None:
        raise ValueError("a state that is being published must say what is published")
    (folder / depth_sequence.SIDECAR).unlink(missing_ok=True)
    new = set(_expected(sequence))
    for path in _maps(folder, *publishing.replaced) if publishing.replaced else ():
        if path.name not in new and own_files.is_file(path):
            path.unlink(missing_ok=True)
    for path in _maps(folder / SCRATCH / _STAGED, sequence.first_frame, sequence.last_frame):
        os.replace(path, folder / path.name)
    sync_folder(folder)
    depth_sequence.save(sequence, folder)


def _expected(sequence: DepthSequence) -> Iterator[str]:
    """The names of all maps that a depth sequence has."""
    for shot in sequence.done_shots:
        for number in range(shot.first_frame, shot.last_frame + 1):
            yield disparity_name(number)
            if sequence.confidence is not None:
                yield confidence_name(number)


def _missing(sequence: DepthSequence, *folders: Path) -> list[str]:
    """The maps that are in none of some folders."""
    there = {path.name for folder in folders for path in _maps(folder, sequence.first_frame, sequence.last_frame)}
    return [name for name in _expected(sequence) if name not in there]


def _maps(folder: Path, first: int, last: int) -> list[Path]:
    """What bears the name of a map of some frames, in the order of frames."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _MAP.fullmatch(path.name)
        number = int(match[1]) if match else last + 1
        if first <= number <= last and path.name in (disparity_name(number), confidence_name(number)):
            found.append((number, path))
    return [path for _, path in sorted(found)]


def _first_map(folder: Path, frames: tuple[int, int]) -> Path | None:
    """The first file that maps of these frames would overwrite."""
    return next(iter(_maps(folder, *frames)), None)


def _forget(folder: Path, old: State) -> None:
    """Remove an unfinished job's maps and scratch files; a kill in between leaves a state that says so."""
    scratch = folder / SCRATCH
    write_state(replace(old, key=""), scratch)
    if not old.staged:
        for path in _maps(folder, old.first_frame, old.last_frame):
            if own_files.is_file(path):
                path.unlink(missing_ok=True)
    _clear(scratch)


def _clear(scratch: Path) -> None:
    """Delete what is ours from the scratch folder but for the lock, the state last."""
    own_files.clear(scratch, _own_names(), last=NAME)


@dataclass(frozen=True, kw_only=True)
class State:
    """Where an unfinished job stands.

    Attributes
    ----------
    key : str
        `key_of` the job; empty while the remains of another job are being removed.
    fingerprint : str
        `Job.fingerprint`, by which Blender finds the folder again (`depth_sequence.unfinished_fingerprint`).
    plate : str
        The clip: its movie, or its sequence's first file (`depth_sequence.unfinished_plate`).
    first_frame, last_frame : int
        The frames whose maps are the job's.
    staged : bool
        Whether maps are kept in the scratch folder until all are there, because a finished result stands in the
        output folder.
    phase : 'estimating' or 'publishing'
        Publishing: everything is computed, and the staged maps are taking the old result's place.
    shots : tuple of Shot
        The shots that are complete, or refused.
    sequence : DepthSequence or None
        While publishing: what ``depth.json`` will say.
    replaced : (int, int) or None
        While publishing: the frames of the old result.
    seconds : float
        Time spent so far, over all runs.
    share : float
        How much of the job's work is done, 0 to 1 (`depth_sequence.unfinished_share`).
    """

    key: Word
    first_frame: Frame
    last_frame: Frame
    fingerprint: Word = ""
    plate: FilePath = ""
    staged: bool = False
    phase: Literal["estimating", "publishing"] = "estimating"
    shots: tuple[Shot, ...] = ()
    sequence: DepthSequence | None = None
    replaced: tuple[Frame, Frame] | None = None
    seconds: Seconds = 0.0
    share: Annotated[float, Bounds(0, 1)] = 0.0

    def problems(self) -> Iterator[str]:
        """What makes it no state, for the door that it comes in by (`records`)."""
        yield from depth_sequence.shots_problems(self.shots, self.first_frame, self.last_frame)
        if self.phase == "publishing" and self.sequence is None:
            yield "is publishing and does not say what"
        if self.replaced is not None and self.replaced[1] < self.replaced[0]:
            yield "replaces frames whose end lies before their start"


def read_state(scratch: Path) -> State | None:
    """The state that an earlier run left; None where there is none that this version can read."""
    try:
        return records.load(State, scratch / NAME, strict=True, most=depth_sequence.LARGEST_STATE)
    except (FileNotFoundError, records.RecordError):
        return None


def write_state(state: State, scratch: Path) -> None:
    """Keep the state, in one step."""
    save_json(scratch / NAME, state)


def key_of(
    job: Job,
    first: int,
    last: int,
    versions: dict[str, str],
    device: str,
    *,
    weights: Sequence[Weights] = (),
    given: Mapping[str, str] | None = None,
) -> str:
    """A hash that is equal exactly for runs whose maps are bit for bit the same.

    It covers the job, the files that it reads (by size and time of change, the colour configuration among them), the
    packages, the device, the weights and the depth sequences that are taken up.

    Parameters
    ----------
    job : Job
    first, last : int
        The frames that are read.
    versions : dict
        Package name to version.
    device : str
        What computes.
    weights : sequence of Weights
        With the sha256 of each.
    given : mapping
        Name of a parameter that names another depth sequence to the sha256 of its ``depth.json``.
    """
    facts = {
        "job": job.fingerprint(),
        "source": [_facts_of(path) for path in inputs.files(job, first, last)],
        "versions": versions,
        "device": [device, platform.system(), platform.machine()],
    }
    config = config_file(job.source.ocio_config)
    if config and config.is_file():  # a clip that needs none is read without one
        facts["ocio"] = [str(config), _facts_of(config)]
    if weights:  # estimators without them keep the keys that earlier versions wrote
        facts["weights"] = [[each.repository, each.file, each.sha256] for each in weights]
    if given:
        facts["given"] = dict(given)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _facts_of(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return path.name, status.st_size, status.st_mtime_ns
