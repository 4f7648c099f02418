"""Mattes of the people in a clip, one EXR image a frame: read, found, written.

A run works in a scratch folder inside the mattes', writes all of them there, and then moves them to their places, so
that no folder has mattes of two runs. What an interrupted run has found stays there, and the next run of the same job
on the same files goes on.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import mattes
from ..common import lock
from ..common.failures import Failure, unwritable
from ..common.files import make_folder, save_json
from ..common.progress import Meter
from ..contract import events, exit_codes, leftovers, made_mattes, numbering, own_files, packages
from ..contract.hints import setting
from ..contract.job import Job, check_cuts, shot_starts, validate
from ..contract.made_mattes import SCRATCH, SIDECAR, STATE, MadeMattes, UnfinishedMattes, name
from ..contract.own_files import Names
from ..media import exr, processing_size
from ..media.clip import open_clip
from ..media.processing_size import Prepared
from . import checkpoints, inputs
from .checks import frames_of

if TYPE_CHECKING:
    from ..mattes.network import SavedMattes

LARGEST = 1920
"""Long side of the mattes, in pixels, where the job names none; a smaller plate has mattes of its own size."""
_READING, _WRITING = 0.1, 0.04
"""Shares of the time that reading the clip and writing the mattes take."""
_CLIP = tuple(f"{leftovers.CLIP}/{each}" for each in leftovers.CLIP_FILES)
_STAGED = "new"
"""Folder, in the scratch folder, of the written mattes until all are: a disk that is full leaves earlier ones whole."""
_REMADE = (*_CLIP, f"{_STAGED}/matte.####.exr")
"""What is soon made again."""
_MATTE = re.compile(r"matte\.(-?[0-9]+)\.exr", re.ASCII)
_SOMEBODY = 0.5
"""Opacity from which on a pixel is of somebody, as for whoever reads the mattes."""


def write_mattes(
    job: Job,
    *,
    overwrite: bool,
    emit: Callable[[events.Event], None],
    check: Callable[[], None],
) -> int:
    """Find the people in a clip and write their mattes into the job's folder.

    Parameters
    ----------
    job : Job
        The clip, its frames and cuts, the folder, and the long side of the mattes at most; `LARGEST` if it has none.
    overwrite : bool
        Replace mattes of these frames that are in the folder.
    emit : callable
        Receives stages, progress and warnings.
    check : callable
        Called often; raises where the run is to end.

    Returns
    -------
    int
        How many mattes were written.

    Raises
    ------
    Failure
        MISSING: packages or weights; USAGE, BAD_CLIP: the job or its clip; BAD_OUTPUT: the folder.
    """
    mattes.require()
    validate(job)
    folder, noted = Path(job.output), inputs.note(job)
    with open_clip(job.source, job.first_frame, job.last_frame) as clip:
        first, last = frames_of(job, clip)
        clip.require(first, last)
        check_cuts(job.cuts, first, last)
        read = inputs.Inputs(job, noted, first=first, last=last)
        count = last - first + 1
        meter = Meter(emit, frames=count)
        meter.plan(count)
        network = mattes.MODEL.files[0].sha256
        key = read.key(versions=packages.versions(), device="cpu", given={"network": network})
        new, names = UnfinishedMattes(fingerprint=job.fingerprint(), key=key), _scratch_names()
        made = make_folder(folder)
        try:
            with _scratch(folder / SCRATCH, new, names) as state:
                others = _others(folder, first, last)
                if not state.is_writing:
                    _refuse_old(folder, first, last, overwrite=overwrite)
                shown = processing_size.working_size(clip.width, clip.height, job.size or LARGEST, 1)
                meter.begin(_READING * count, counts=False)
                meter.stage("prepare", "Reading the clip")
                prepared = processing_size.prepare(
                    clip, first, last, shown, folder / SCRATCH / leftovers.CLIP, cuts=shot_starts(job.cuts),
                    check=check, progress=lambda done, total: meter.part(done / total),
                )  # fmt: skip
                read.check()
                for warning in (*clip.warnings, *clip.found()):
                    emit(events.Warning(message=warning))
                meter.stage("mattes", "Finding people")
                found = [_find(prepared, start, end, names, meter=meter, check=check) for start, end in prepared.shots]
                read.check()
                check()
                meter.begin(_WRITING * count, counts=False)
                meter.stage("write", "Writing the mattes")
                staged = folder / SCRATCH / _STAGED
                if not _write(staged, prepared, found, lambda done: meter.part(done / count), check=check):
                    emit(events.Warning(message="The network found nobody in these frames: the mattes are black."))
                save_json(folder / SCRATCH / STATE, replace(state, is_writing=True))
                own_files.remove(folder / SIDECAR)  # it comes back when all are in their places
                for number in range(first, last + 1):
                    own_files.replace(staged / name(number), folder / name(number))
                record = MadeMattes(
                    fingerprint=job.fingerprint(), plate=job.source.path, first_frame=first, last_frame=last,
                    network=mattes.MODEL.name, sha256=network, plate_files=read.plate_files(),
                )  # fmt: skip
                save_json(folder / SIDECAR, record)
                if others:
                    emit(events.Warning(message=numbering.earlier_stay(others, "run")))
        except OSError as error:
            raise unwritable(error, folder) from error
        finally:
            leftovers.remove_empty(made)
    meter.finish()
    return count


def _find(
    prepared: Prepared, start: int, end: int, names: Names, *, meter: Meter, check: Callable[[], None]
) -> SavedMattes:
    """Find the people in a shot, in a folder of its own beside the clip's."""
    from ..mattes.network import mattes_of

    own = prepared.path.parents[1] / f"shot.{start:04d}-{end:04d}"
    own_files.make_folder(own)
    checkpoints.drop_damaged(own, names, check=check)
    length = end - start + 1
    meter.begin((1 - _READING - _WRITING) * length)
    progress = _counting(meter, length)
    found = mattes_of(prepared.frames(start, end), own, check=check, progress=progress)
    progress(1.0)
    return found


def _scratch_names() -> Names:
    """The files of a run in its scratch folder."""
    from ..mattes.network import SCRATCH_FILES

    return Names((STATE, *_REMADE, *(f"{leftovers.SHOT}{each}" for each in SCRATCH_FILES)))


def _counting(meter: Meter, length: int) -> Callable[[float], None]:
    """A listener that reports the share of a shot that is done, in frames as well."""
    counted = 0

    def progress(share: float) -> None:
        nonlocal counted
        now = int(share * length)
        meter.frames_done(now - counted)
        counted = now
        meter.part(share)

    return progress


def _write(
    folder: Path,
    prepared: Prepared,
    found: list[SavedMattes],
    progress: Callable[[int], None],
    *,
    check: Callable[[], None],
) -> bool:
    """Write the mattes of all shots into a folder of ours; whether anybody is in them."""
    own_files.make_folder(folder)
    done, has_people = 0, False
    for (start, end), of_shot in zip(prepared.shots, found, strict=True):
        for index, number in enumerate(range(start, end + 1)):
            check()
            opacity = of_shot.opacity(index)
            has_people = has_people or float(opacity.max()) >= _SOMEBODY
            with own_files.atomic(folder / name(number)) as temporary:
                exr.write_map(temporary, opacity)
            done += 1
            progress(done)
    return has_people


@contextlib.contextmanager
def _scratch(folder: Path, new: UnfinishedMattes, names: Names) -> Iterator[UnfinishedMattes]:
    """The scratch folder of one run at a time; yields the state of an interrupted run of the same job, or `new`.

    What another job left there is cleared. A run that ends well clears everything, any other keeps what is slow to find
    again: the mattes, not the frames of the clip.
    """
    held = lock.acquire(folder)
    try:
        own_files.check(folder, names)
        state = made_mattes.unfinished(folder.parent)
        if state is None or state.key != new.key:
            own_files.clear(folder, names)
            state = new
            save_json(folder / STATE, state)
        is_useful = False
        try:
            yield state
        except inputs.Changed:
            raise
        except BaseException:
            is_useful = any(folder.glob("shot.*/*/*.npy"))
            raise
        finally:
            with contextlib.suppress(OSError):
                own_files.clear(folder, Names(_REMADE) if is_useful else names)
    finally:
        held.release()


def _others(folder: Path, first: int, last: int) -> list[int]:
    """The frames outside a run's whose mattes are in the folder, where it replaces some of theirs."""
    found = [match for path in folder.iterdir() if (match := _MATTE.fullmatch(path.name))]
    numbers = {int(match[1]) for match in found}
    own = set(range(first, last + 1))
    return sorted(numbers - own) if numbers & own else []


def _refuse_old(folder: Path, first: int, last: int, *, overwrite: bool) -> None:
    """Raise (BAD_OUTPUT) where mattes of these frames are in the folder and must not be replaced, or cannot be."""
    paths = [folder / name(number) for number in range(first, last + 1)]
    for path in paths:
        if path.is_dir() and not path.is_symlink():  # before others are replaced
            raise own_files.PathConflict(path, "is a folder")
    there = next((path for path in paths if os.path.lexists(path)), None)
    if there is not None and not overwrite:
        raise Failure(
            exit_codes.BAD_OUTPUT,
            f"{folder} already has {there.name}.",
            hint=f"Choose another folder, or use {setting('overwrite')} to replace these mattes.",
        )
