"""The output folder: who may write into it, what is in it already, and how a result becomes complete.

While a job runs, the folder holds a scratch folder ``.fathom`` with the lock, the state and the estimator's own
files. Maps go straight into the folder, and ``depth.json`` comes last. Where a finished result is to be
overwritten it stays whole: the new maps wait in ``.fathom/new`` and take its place once all of them are there.
Files that Fathom did not write are never touched.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from .. import depth_sequence, events, exit_codes, leftovers
from ..depth_sequence import SCRATCH, DepthSequence, DepthSequenceError, confidence_name, disparity_name
from ..faults import Failure, unwritable
from ..hints import setting
from . import lock, state
from .files import sync_folder
from .folders import make_folder
from .state import State

_STAGED = "new"
Emit = Callable[[events.Event], None]


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
        state.write(current, self.scratch)
        self.state = current

    def publish(self, sequence: DepthSequence) -> None:
        """Make the result complete: put staged maps in place, write ``depth.json``, remove the scratch folder."""
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
        `state.key_of` and `Job.fingerprint` of the job.
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
                current = _current(
                    folder, key=key, fingerprint=fingerprint, frames=frames, overwrite=overwrite, emit=emit
                )
            except OSError as error:
                raise unwritable(error, folder) from error
            if plate and current.plate != plate:
                current = replace(current, plate=plate)
                state.write(current, folder / SCRATCH)
            yield Output(folder, held, current)
        finally:
            held.release()
    finally:
        leftovers.remove_empty(made)


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a ``depth.json``, readable or not."""
    return (folder / depth_sequence.SIDECAR).exists()


def _current(
    folder: Path, *, key: str, fingerprint: str, frames: tuple[int, int], overwrite: bool, emit: Emit
) -> State:
    """The state to go on from: an earlier run's, or a new one; see `opened`."""
    scratch = folder / SCRATCH
    for leftover in scratch.glob(".tmp-*"):
        leftover.unlink(missing_ok=True)
    earlier = state.read(scratch)
    if earlier and earlier.phase == "publishing":  # an earlier run was killed at its very end
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
    state.write(current, scratch)
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
    new = {name for shot in sequence.done_shots for name in _names((shot.first_frame, shot.last_frame))}
    for name in _names(publishing.replaced) if publishing.replaced else ():
        if name not in new or (sequence.confidence is None and name.startswith("confidence")):
            (folder / name).unlink(missing_ok=True)
    for path in sorted((folder / SCRATCH / _STAGED).glob("*.exr")):
        path.replace(folder / path.name)
    sync_folder(folder)
    depth_sequence.save(sequence, folder)


def _names(frames: tuple[int, int]) -> Iterator[str]:
    for number in range(frames[0], frames[1] + 1):
        yield disparity_name(number)
        yield confidence_name(number)


def _first_map(folder: Path, frames: tuple[int, int]) -> Path | None:
    """The first file that maps of these frames would overwrite."""
    there = {path.name for path in folder.glob("*.exr")}
    return next((folder / name for name in _names(frames) if name in there), None)


def _forget(folder: Path, old: State) -> None:
    """Remove an unfinished job's maps and scratch files; a kill in between leaves a state that says so."""
    scratch = folder / SCRATCH
    state.write(replace(old, key=""), scratch)
    if not old.staged:
        for name in _names((old.first_frame, old.last_frame)):
            (folder / name).unlink(missing_ok=True)
    _clear(scratch)


def _clear(scratch: Path) -> None:
    """Empty the scratch folder but for the lock, the state last."""
    for path in sorted(scratch.iterdir(), key=lambda path: path.name == state.NAME):
        if path.is_dir():
            shutil.rmtree(path)
        elif not path.name.startswith(lock.NAME):
            path.unlink(missing_ok=True)
