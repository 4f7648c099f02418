"""The output folder: who may write into it, what is in it already, and how a result becomes complete.

While a job runs, the folder holds a scratch folder ``.fathom`` with the lock, the state and the estimator's own
files. Maps go straight into the folder, and ``depth.json`` comes last. Where a finished result is to be
overwritten it stays whole: the new maps wait in ``.fathom/new`` and take its place once all of them are there.
Nothing is deleted but files of Fathom's own names, and nothing is written through a link; see `own_files`.

What a run writes down, so that a later run of the same job goes on from it, is its `State`.
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
from ..contract.own_files import InTheWay, Names
from ..contract.records import Bounds, FilePath, Seconds, Word
from ..estimators import registry
from ..media.exr import read_map

_STAGED = "new"
_SAVED_EVERY = 5.0
"""Seconds between two times that the state is saved for the time spent and the share of the work alone."""
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
    """Take an output folder for a job, to start it or to resume it.

    Parameters
    ----------
    folder : Path
        Made where it is missing, and removed again where the job leaves nothing in it.
    new : State
        The job's, with nothing done.
    size, confidence
        Width and height of its maps, and whether it has any of confidence.
    overwrite : bool
        Whether a finished result, or maps of unknown origin, may be replaced.
    emit : callable
        Takes events, such as a warning when the remains of a different job are dropped.
    started : float or None
        When the run began, by `time.monotonic`; None: now.

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
    """An output folder whose lock is held, and the state of the run that writes into it.

    Attributes
    ----------
    folder : Path
    scratch : Path
        For whatever must outlive the run but not the job.
    maps : Path
        Where maps go, under their final names.
    confidence : bool
        Whether frames have a map of it.
    emit : callable
        Takes events.
    meter : Meter
        Of the whole job.
    state : State
        Of the run; it is saved with each shot, and every few seconds.
    """

    def __init__(
        self,
        folder: Path,
        held: lock.Lock,
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

    def finished_shot(self, first: int, last: int, *, check: Callable[[], None]) -> Shot | None:
        """What an earlier run made of a shot; None where it has not finished it, or its maps are gone or damaged.

        `check` is called between frames; it raises to break off.
        """
        for shot in self.state.shots:
            if (shot.first_frame, shot.last_frame) == (first, last):
                for number in range(first, last + 1) if shot.status == "done" else ():
                    check()
                    if sound_maps(self.maps, number, size=self._size, confidence=self.confidence) is None:
                        return None
                return shot
        return None

    def keep(self, shot: Shot) -> None:
        """Note a finished shot; one that is made again, since it was damaged, takes its old place."""
        before = tuple(each for each in self.state.shots if each.last_frame < shot.first_frame)
        after = tuple(each for each in self.state.shots if each.first_frame > shot.last_frame)
        self.state, self._is_saved = replace(self.state, shots=(*before, shot, *after)), False
        self._save_every(0)

    def save_rest(self) -> None:
        """Save the shots that were finished since the state was saved, at the end of a run, whatever it ends by."""
        if not self._is_saved and self.lock.is_ours():
            with contextlib.suppress(OSError):
                self._save()

    def wrote(self, size: int) -> None:
        """Note that a frame's final maps, `size` bytes, were written."""
        self._written += 1
        self._bytes += size
        self._save_every(_SAVED_EVERY)

    def needed_bytes(self) -> float:
        """About how much room the rest of the job needs, from the frames so far, or uncompressed."""
        a_frame = self._bytes / self._written if self._written else self._frame_bytes
        return a_frame * (self._frames - self._written)

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
            self._save(phase="publishing", sequence=sequence, replaced=_frames_of(self.folder))
            _replace_result(self.folder, self.state)
        else:
            sync_folder(self.folder)
            depth_sequence.save(sequence, self.folder)
        self._saved, self._is_saved = math.inf, True  # there is nothing left to save
        _clear(self.scratch)

    def abandon(self) -> None:
        """Remove what the job has left, where nothing of it can be used: every shot was refused."""
        self._is_saved = True
        _forget(self.folder, self.state)

    def leave(self, *, frames_count: bool) -> None:
        """Leave a run that is broken off to a later one, or remove what it has left where nothing is estimated.

        `frames_count` : whether frames of the clip at working size are worth keeping (`leftovers.holds_work`).
        """
        self._save()
        if not leftovers.holds_work(self.folder, frames_count=frames_count, maps_count=not self.state.staged):
            self.abandon()

    def _progressed(self, share: float) -> None:
        """Note how much of the job is done: an earlier run may have been further already."""
        self.state = replace(self.state, share=max(self.state.share, share))
        self._save_every(_SAVED_EVERY)

    def _save_every(self, seconds: float) -> None:
        if time.monotonic() - self._saved > max(seconds, _SELDOM * self._cost):
            self._save()

    def _save(self, **changes: Any) -> None:
        begun = time.monotonic()
        self.state = replace(self.state, seconds=self.seconds(), **changes)
        write_state(self.state, self.scratch)
        self._saved, self._is_saved = time.monotonic(), True
        self._cost = self._saved - begun


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


def _own_names() -> Names:
    """What is ours in the scratch folder, but for the lock."""
    return Names((*leftovers.FILES, *registry.scratch_files()))


def _current(folder: Path, new: State, *, overwrite: bool, emit: Emit) -> State:
    """The state to resume from: an earlier run's, or the new one; see `opened`."""
    scratch = folder / SCRATCH
    for path in (folder / depth_sequence.SIDECAR, *_maps(folder, new.first_frame, new.last_frame)):
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
    finished = os.path.lexists(folder / depth_sequence.SIDECAR)  # readable or not
    if finished and earlier and not earlier.staged:  # likewise, after depth.json was written
        _clear(scratch)
        earlier = None
    if finished and not overwrite:
        raise _finished_already(folder, new.fingerprint)
    if earlier and earlier.key == new.key:
        current = replace(earlier, plate=new.plate)
        if current != earlier:
            write_state(current, scratch)
        return current
    if earlier:
        if earlier.key:
            emit(
                events.Warning(
                    message=f"{folder} holds an unfinished estimate of a different job (the job, its clip, or the "
                    "version of a package has changed), so this one starts afresh."
                )
            )
        _forget(folder, earlier)
    strange = None if finished else next(iter(_maps(folder, new.first_frame, new.last_frame)), None)
    if strange and not overwrite:
        raise Failure(
            exit_codes.BAD_OUTPUT,
            f"{strange} is there already, and Fathom does not know where it comes from.",
            cure=f"Choose another folder, or use {setting('overwrite')}.",
        )
    _clear(scratch)  # without a state that can be read, nothing tells which job it is of
    current = replace(new, staged=finished or strange is not None)
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


def map_names(number: int, *, confidence: bool) -> list[str]:
    """The names of a frame's maps."""
    return [disparity_name(number), *([confidence_name(number)] if confidence else [])]


def are_there(folder: Path, number: int, *, confidence: bool) -> bool:
    """Whether a folder holds all maps of a frame; their names appear only once their files are complete."""
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
    """The names of those that are in none of some folders."""
    there = {path.name for folder in folders for path in _maps(folder, sequence.first_frame, sequence.last_frame)}
    return [name for name in _expected(sequence) if name not in there]


def _maps(folder: Path, first: int, last: int) -> list[Path]:
    """What bears the name of a map of some frames, in the order of frames."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _MAP.fullmatch(path.name)
        number = int(match[1]) if match else last + 1
        if first <= number <= last and path.name in map_names(number, confidence=True):
            found.append((number, path))
    return [path for _, path in sorted(found)]


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
        `inputs.Inputs.key`; empty while the remains of another job are being removed.
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
