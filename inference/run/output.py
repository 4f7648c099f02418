"""The output folder: its lock, its previous contents, and how a result becomes complete.

While a job runs, the folder contains a scratch folder ``.fathom`` with the lock, the state and the estimator's own
files. Maps are written directly into the folder, and ``depth.json`` is written last. A finished result that is to be
overwritten stays complete: the new maps wait in ``.fathom/new`` and replace it once all of them are written. Only files
with Fathom's own names are deleted, and nothing is written through a link; see `own_files`.

A run saves its `State`, from which a later run of the same job resumes.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..common import lock
from ..common.failures import ClipError, Failure, unwritable
from ..common.files import make_folder, save_json, sync_folder
from ..common.progress import Meter
from ..contract import depth_sequence, events, exit_codes, leftovers, own_files, records
from ..contract.depth_sequence import (
    SCRATCH,
    DepthSequence,
    DepthSequenceError,
    Shot,
    confidence_name,
    disparity_name,
)
from ..contract.hints import setting
from ..contract.numbering import Frame
from ..contract.own_files import Names, PathConflict
from ..contract.plate_files import PlateFiles
from ..contract.records import Bounds, FilePath, Seconds, Word
from ..estimators import registry
from ..media.exr import read_map

_STAGED = "new"
_SAVED_EVERY = 5.0
"""Seconds between two saves of the state for the time spent and the progress alone."""
_SELDOM = 20
"""How many times longer than saving it takes the work in between must be: it grows with shots and poses."""
_MAP = re.compile(r"(?:disparity|confidence)\.(-?\d+)\.exr", re.ASCII)
Emit = Callable[[events.Event], None]
NAME = depth_sequence.STATE


@contextmanager
def opened(
    folder: Path,
    new: State,
    *,
    size: tuple[int, int],
    confidence: bool,
    overwrite: bool,
    emit: Emit,
    started: float | None = None,
) -> Iterator[Output]:
    """Lock an output folder for a job, to start or resume it.

    The folder is made if it is missing, and removed again if the job leaves nothing in it.

    Parameters
    ----------
    new : State
        The initial state of the job.
    size, confidence
        Width and height of its maps, and whether it has confidence maps.
    overwrite : bool
        Whether a finished result, or maps of unknown origin, may be replaced.
    emit : callable
        Takes events, such as a warning when the remains of a different job are deleted.
    started : float or None
        When the run began, by `time.monotonic`; None: now.

    Raises
    ------
    Failure
        BAD_OUTPUT: it is not a folder, cannot be written, is in use, or has a result that must not be overwritten.
    """
    made = make_folder(folder)
    try:
        held = lock.acquire(folder / SCRATCH)
        try:
            try:
                own_files.check(folder / SCRATCH, _own_names())
                current = _current(folder, new, overwrite=overwrite, emit=emit)
            except OSError as error:
                raise unwritable(error, folder) from error
            out = Output(folder, held, current, size=size, confidence=confidence, emit=emit, started=started)
            try:
                yield out
            finally:
                out.save_rest()
        finally:
            held.release()
    finally:
        leftovers.remove_empty(made)


class Output:
    """A locked output folder, and the state of the run that writes into it, saved with each shot and every few seconds.

    Attributes
    ----------
    scratch : Path
        For files that must outlive the run but not the job.
    maps : Path
        Folder for the maps, under their final names.
    confidence : bool
        Whether frames have confidence maps.

    One without a lock is a piece of a job's, whose state other processes have too: it saves none.
    """

    def __init__(
        self,
        folder: Path,
        held: lock.Lock | None,
        current: State,
        *,
        size: tuple[int, int],
        confidence: bool,
        emit: Emit,
        started: float | None,
    ) -> None:
        self.folder, self.scratch = folder, folder / SCRATCH
        self.maps = self.scratch / _STAGED if current.staged else folder
        self.confidence, self.emit = confidence, emit
        self.lock, self.state = held, current
        self._frames = current.last_frame - current.first_frame + 1
        self.meter = Meter(emit, self._frames, notice=self._progressed)
        self._saved, self._cost, self._is_saved = time.monotonic(), 0.0, True
        self._started, self._before = self._saved if started is None else started, current.seconds
        self._written, self._bytes = 0, 0
        self._size = size
        self._frame_bytes = 4.0 * math.prod(size) * (1 + confidence)

    def seconds(self) -> float:
        """Seconds spent on the job, over all runs."""
        return self._before + time.monotonic() - self._started

    def count_seconds(self, seconds: float) -> None:
        """Count the time that other processes have spent on the job."""
        self._before += seconds

    def finished_shots(self, first: int, last: int, *, check: Callable[[], None]) -> tuple[Shot, ...] | None:
        """What an earlier run has made of a shot: itself, or its parts; None if that is not whole, or maps are damaged.

        `check` is called between frames; it raises to cancel.
        """
        parts = tuple(shot for shot in self.state.shots if first <= shot.first_frame and shot.last_frame <= last)
        if sum(shot.last_frame - shot.first_frame + 1 for shot in parts) != last - first + 1:
            return None
        for shot in parts:
            for number in range(shot.first_frame, shot.last_frame + 1) if shot.status == "done" else ():
                check()
                if sound_maps(self.maps, number, size=self._size, confidence=self.confidence) is None:
                    return None
        return parts

    def keep(self, *shots: Shot) -> None:
        """Add a finished shot, or the parts of one, to the state; what was made again replaces what is damaged."""
        before = tuple(each for each in self.state.shots if each.last_frame < shots[0].first_frame)
        after = tuple(each for each in self.state.shots if each.first_frame > shots[-1].last_frame)
        self.state, self._is_saved = replace(self.state, shots=(*before, *shots, *after)), False
        self._save_every(0)

    def save_rest(self) -> None:
        """Save the shots that were finished since the state was saved, at the end of a run, whatever it ends by."""
        if not self._is_saved and self.lock is not None and self.lock.is_ours():
            with contextlib.suppress(OSError):
                self._save()

    def wrote(self, size: int) -> None:
        """Count a frame whose final maps, `size` bytes, were written."""
        self._written += 1
        self._bytes += size
        self._save_every(_SAVED_EVERY)

    def needed_bytes(self) -> float:
        """Approximate space for the rest of the job, from the frames so far, or uncompressed."""
        a_frame = self._bytes / self._written if self._written else self._frame_bytes
        return a_frame * (self._frames - self._written)

    def publish(self, sequence: DepthSequence) -> None:
        """Complete the result: move staged maps into place, write ``depth.json``, remove the scratch folder.

        Raises
        ------
        Failure
            FAILED: maps or the lock were removed during the run. An earlier result stays complete.
        """
        if self.lock is None or not self.lock.is_ours():
            raise Failure(
                exit_codes.FAILED,
                f"The lock of {self.folder} was removed during the run, so another run may be writing there.",
                hint="Make sure that no other run is, and start the same job again to resume it.",
            )
        lost = _missing(sequence, self.maps)
        if lost:
            raise Failure(
                exit_codes.FAILED,
                f"{self.maps / lost[0]} was removed during the run.",
                hint="Start the same job again to make the missing maps.",
            )
        if self.state.staged:
            self._save(phase="publishing", sequence=sequence, replaced=_frames_of(self.folder))
            _replace_result(self.folder, self.state)
        else:
            sync_folder(self.folder)
            depth_sequence.save(sequence, self.folder)
        self._saved, self._is_saved = math.inf, True  # nothing left to save
        _clear(self.scratch)

    def abandon(self) -> None:
        """Remove everything of the job, since nothing of it can be used."""
        self._is_saved = True
        _forget(self.folder, self.state)

    def leave(self, *, frames_count: bool) -> None:
        """Save an interrupted run for a later one, or remove everything of it if nothing was estimated.

        `frames_count` : whether frames of the clip at processing resolution count (`leftovers.holds_work`).
        """
        self._save()
        if not leftovers.holds_work(self.folder, frames_count=frames_count, maps_count=not self.state.staged):
            self.abandon()

    def _progressed(self, share: float) -> None:
        """Record the progress of the job; that of an earlier run may have been larger."""
        self.state = replace(self.state, share=max(self.state.share, share))
        self._save_every(_SAVED_EVERY)

    def _save_every(self, seconds: float) -> None:
        if time.monotonic() - self._saved > max(seconds, _SELDOM * self._cost):
            self._save()

    def _save(self, **changes: Any) -> None:
        if self.lock is None:
            return
        begun = time.monotonic()
        self.state = replace(self.state, seconds=self.seconds(), **changes)
        write_state(self.state, self.scratch)
        self._saved, self._is_saved = time.monotonic(), True
        self._cost = self._saved - begun


def remove(folder: Path) -> None:
    """Delete a depth sequence, finished or not: our files in its folder, and the folder if it is empty then."""
    inside = (*leftovers.LOCKS, *leftovers.FILES, *registry.scratch_files())
    names = (depth_sequence.SIDECAR, leftovers.LOG, *leftovers.MAPS, *(f"{SCRATCH}/{name}" for name in inside))
    (folder / depth_sequence.SIDECAR).unlink(missing_ok=True)  # first: without it, the rest is not a result
    own_files.clear(folder, Names(names))
    with contextlib.suppress(OSError):
        folder.rmdir()


def _own_names() -> Names:
    """The names of our files in the scratch folder, except the lock."""
    return Names((*leftovers.FILES, *registry.scratch_files()))


def _current(folder: Path, new: State, *, overwrite: bool, emit: Emit) -> State:
    """The state to resume from: an earlier run's, or the new one; see `opened`."""
    scratch = folder / SCRATCH
    for path in (folder / depth_sequence.SIDECAR, *_maps(folder, new.first_frame, new.last_frame)):
        if path.is_dir() and not path.is_symlink():
            raise PathConflict(path, "is a folder")
    for leftover in list(scratch.glob(f"{own_files.TEMPORARY}*")):
        if own_files.is_file(leftover) and _own_names().has_file((leftover.name,)):
            leftover.unlink(missing_ok=True)
    earlier = read_state(scratch)
    if earlier and is_ending(folder, earlier):
        _conclude(folder, earlier)
        earlier = None
    finished = os.path.lexists(folder / depth_sequence.SIDECAR)  # readable or not
    if finished and not overwrite:
        raise _finished_already(folder, new)
    if earlier and earlier.key == new.key:
        current = replace(earlier, plate=new.plate, plate_files=new.plate_files, other_files=new.other_files)
        if current != earlier:
            write_state(current, scratch)
        return current
    if earlier:
        if earlier.key:
            emit(
                events.Warning(
                    message=f"{folder} contains an unfinished estimate of a different job (the job, its clip, or the "
                    "version of a package has changed), so this one starts from the beginning."
                )
            )
        _forget(folder, earlier)
    strange = None if finished else next(iter(_maps(folder, new.first_frame, new.last_frame)), None)
    if strange and not overwrite:
        raise Failure(
            exit_codes.BAD_OUTPUT,
            f"{strange} exists already, and Fathom does not know where it comes from.",
            hint=f"Choose another folder, or use {setting('overwrite')}.",
        )
    _clear(scratch)  # without a readable state, it may be of any job
    current = replace(new, staged=finished or strange is not None)
    if current.staged:
        (scratch / _STAGED).mkdir(exist_ok=True)
    write_state(current, scratch)
    return current


def is_ending(folder: Path, state: State) -> bool:
    """Whether a run with this state was killed at its end, when everything was computed."""
    return state.phase == "publishing" or (not state.staged and os.path.lexists(folder / depth_sequence.SIDECAR))


def _conclude(folder: Path, state: State) -> bool:
    """Do what is left of a run that `is_ending`; False where maps were removed, so that its result is lost."""
    scratch, is_whole = folder / SCRATCH, True
    if state.phase == "publishing":
        is_whole = state.sequence is not None and not _missing(state.sequence, scratch / _STAGED, folder)
        if is_whole:
            _replace_result(folder, state)
    _clear(scratch)
    return is_whole


def conclude(folder: Path) -> bool:
    """As `_conclude`, of whatever was left in an output folder; True where there is no such run.

    Raises
    ------
    Failure
        BAD_OUTPUT: another run is at it, or the folder cannot be written.
    """
    if read_state(folder / SCRATCH) is None:
        return True
    held = lock.acquire(folder / SCRATCH)
    try:
        own_files.check(folder / SCRATCH, _own_names())
        state = read_state(folder / SCRATCH)
        return state is None or not is_ending(folder, state) or _conclude(folder, state)
    except OSError as error:
        raise unwritable(error, folder) from error
    finally:
        held.release()


def _finished_already(folder: Path, new: State) -> Failure:
    try:
        made = depth_sequence.load(folder)
        same = made.fingerprint == new.fingerprint
    except DepthSequenceError:
        same = False
    pairs = ((made.plate_files, new.plate_files), (made.other_files, new.other_files)) if same else ()
    if any(before is not None and before.are_others(now) for before, now in pairs):
        what = f"{folder} contains the finished result of this job for other files: they have changed since."
        return Failure(exit_codes.BAD_OUTPUT, what, hint=f"Choose another folder, or use {setting('overwrite')}.")
    what = f"{folder} contains the finished result of {'the same' if same else 'another'} job."
    hint = f"Choose another folder, or use {setting('overwrite')}."
    return Failure(exit_codes.BAD_OUTPUT, what, hint=f"Use it as it is. {hint}" if same else hint)


def _frames_of(folder: Path) -> tuple[int, int] | None:
    """First and last frame of the finished result in a folder."""
    try:
        old = depth_sequence.load(folder)
    except DepthSequenceError:
        return None
    return old.first_frame, old.last_frame


def _replace_result(folder: Path, publishing: State) -> None:
    """Replace the old result by the staged maps; a call after one that was killed continues it."""
    sequence = publishing.sequence
    if sequence is None:
        raise ValueError("a state that is being published must contain the sequence")
    own_files.remove(folder / depth_sequence.SIDECAR)
    new = set(_expected(sequence))
    for path in _maps(folder, *publishing.replaced) if publishing.replaced else ():
        if path.name not in new and own_files.is_file(path):
            own_files.remove(path)
    for path in _maps(folder / SCRATCH / _STAGED, sequence.first_frame, sequence.last_frame):
        own_files.replace(path, folder / path.name)
    sync_folder(folder)
    depth_sequence.save(sequence, folder)


def map_names(number: int, *, confidence: bool) -> list[str]:
    """The names of a frame's maps."""
    return [disparity_name(number), *([confidence_name(number)] if confidence else [])]


def are_there(folder: Path, number: int, *, confidence: bool) -> bool:
    """Whether a folder contains all maps of a frame; a map gets its name only once it is complete."""
    return all(own_files.is_file(folder / name) for name in map_names(number, confidence=confidence))


def sound_maps(
    folder: Path, number: int, *, size: tuple[int, int], confidence: bool
) -> tuple[NDArray[np.float32], ...] | None:
    """The maps [H, W] of a frame that an earlier run has written to a folder, the disparity first.

    None where one is missing, damaged, of another size than `size` (width, height) or not finite.
    """
    if not are_there(folder, number, confidence=confidence):
        return None
    try:
        maps = tuple(read_map(folder / name, size=size) for name in map_names(number, confidence=confidence))
    except ClipError:
        return None
    return maps if all(np.isfinite(each).all() for each in maps) else None


def _expected(sequence: DepthSequence) -> Iterator[str]:
    """The names of all maps that a depth sequence has."""
    for shot in sequence.done_shots:
        for number in range(shot.first_frame, shot.last_frame + 1):
            yield from map_names(number, confidence=sequence.confidence is not None)


def _missing(sequence: DepthSequence, *folders: Path) -> list[str]:
    """The names of a depth sequence's maps that are in none of the folders."""
    there = {path.name for folder in folders for path in _maps(folder, sequence.first_frame, sequence.last_frame)}
    return [name for name in _expected(sequence) if name not in there]


def _maps(folder: Path, first: int, last: int) -> list[Path]:
    """The paths with names of maps of the frames `first` to `last`, in frame order."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _MAP.fullmatch(path.name)
        number = int(match[1]) if match else last + 1
        if first <= number <= last and path.name in map_names(number, confidence=True):
            found.append((number, path))
    return [path for _, path in sorted(found)]


def _forget(folder: Path, old: State) -> None:
    """Remove an unfinished job's maps and scratch files; if killed meanwhile, the state has an empty key."""
    scratch = folder / SCRATCH
    write_state(replace(old, key=""), scratch)
    if not old.staged:
        for path in _maps(folder, old.first_frame, old.last_frame):
            if own_files.is_file(path):
                path.unlink(missing_ok=True)
    _clear(scratch)


def _clear(scratch: Path) -> None:
    """Delete our files from the scratch folder, except the lock; the state goes last."""
    own_files.clear(scratch, _own_names(), last=NAME)


@dataclass(frozen=True, kw_only=True)
class State:
    """The state of an unfinished job.

    Attributes
    ----------
    key : str
        `inputs.Inputs.key`; empty while the remains of another job are being removed.
    fingerprint : str
        `Job.fingerprint`, by which Blender recognizes the folder (`depth_sequence.unfinished_fingerprint`).
    plate : str
        The clip: its movie, or its sequence's first file (`depth_sequence.unfinished_plate`).
    plate_files, other_files : PlateFiles or None
        The clip's files, and what is read beside them, as in ``depth.json``.
    first_frame, last_frame : int
        The frames whose maps are the job's.
    staged : bool
        Whether maps are kept in the scratch folder until all are written, because the output folder has a finished
        result.
    phase : 'estimating' or 'publishing'
        Publishing: everything is computed, and the staged maps are replacing the old result.
    shots : tuple of Shot
        The finished and the unsupported shots.
    sequence : DepthSequence or None
        While publishing: the future contents of ``depth.json``.
    replaced : (int, int) or None
        While publishing: the frames of the old result.
    seconds : float
        Time spent so far, over all runs.
    share : float
        Progress of the job, 0 to 1 (`depth_sequence.unfinished_progress`).
    """

    key: Word
    first_frame: Frame
    last_frame: Frame
    fingerprint: Word = ""
    plate: FilePath = ""
    plate_files: PlateFiles | None = None
    other_files: PlateFiles | None = None
    staged: bool = False
    phase: Literal["estimating", "publishing"] = "estimating"
    shots: tuple[Shot, ...] = ()
    sequence: DepthSequence | None = None
    replaced: tuple[Frame, Frame] | None = None
    seconds: Seconds = 0.0
    share: Annotated[float, Bounds(0, 1)] = 0.0

    def problems(self) -> Iterator[str]:
        """Why this is not a valid state; `records` asks."""
        yield from depth_sequence.shots_problems(self.shots, self.first_frame, self.last_frame)
        if self.phase == "publishing" and self.sequence is None:
            yield "is publishing without a sequence"
        if self.replaced is not None and self.replaced[1] < self.replaced[0]:
            yield "replaces frames whose end is before their start"


def read_state(scratch: Path) -> State | None:
    """The state that an earlier run left; None if there is none that this version can read."""
    try:
        return records.load(State, scratch / NAME, strict=True, most=depth_sequence.LARGEST_STATE)
    except (FileNotFoundError, records.RecordError):
        return None


def write_state(state: State, scratch: Path) -> None:
    """Save the state in one step."""
    save_json(scratch / NAME, state)
