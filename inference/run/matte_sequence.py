"""Mattes of the people in a clip, one EXR image a frame: read, found, written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from .. import mattes
from ..common import lock
from ..common.failures import Failure, unwritable
from ..common.files import make_folder
from ..common.progress import Meter
from ..contract import events, exit_codes, leftovers, own_files
from ..contract.hints import setting
from ..contract.job import Job, check_cuts, shot_starts, validate
from ..media import exr, processing_size
from ..media.clip import open_clip
from . import inputs
from .checks import frames_of

SCRATCH = ".fathom-matte"
"""Folder inside the mattes' for a run's working files."""
_READING = 0.1
"""Share of the time that reading the clip takes."""


def name(number: int) -> str:
    """The file name of a frame's matte."""
    return f"matte.{number:04d}.exr"


def write_mattes(
    job: Job,
    *,
    size: int,
    overwrite: bool,
    emit: Callable[[events.Event], None],
    check: Callable[[], None],
) -> int:
    """Find the people in a clip and write their mattes into the job's folder.

    Parameters
    ----------
    job : Job
        The clip, its frames and cuts, and the folder.
    size : int
        Long side of the mattes at most, in pixels.
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
    from ..mattes.network import mattes_of  # needs packages of its own

    validate(job)
    folder, noted = Path(job.output), inputs.note(job)
    with open_clip(job.source, job.first_frame, job.last_frame) as clip:
        first, last = frames_of(job, clip)
        clip.require(first, last)
        check_cuts(job.cuts, first, last)
        read = inputs.Inputs(job, noted, first=first, last=last)
        meter = Meter(emit, frames=last - first + 1)
        meter.plan(last - first + 1)
        made = make_folder(folder)
        try:
            with _scratch(folder / SCRATCH) as scratch:
                _refuse_old(folder, first, last, overwrite=overwrite)
                shown = processing_size.working_size(clip.width, clip.height, size, 1)
                meter.begin(_READING * (last - first + 1), counts=False)
                meter.stage("prepare", "Reading the clip")
                prepared = processing_size.prepare(
                    clip, first, last, shown, scratch / leftovers.CLIP, cuts=shot_starts(job.cuts), check=check,
                    progress=lambda done, total: meter.part(done / total),
                )  # fmt: skip
                read.check()
                for warning in (*clip.warnings, *clip.found()):
                    emit(events.Warning(message=warning))
                meter.stage("mattes", "Finding people")
                for start, end in prepared.shots:
                    own = scratch / f"shot.{start:04d}-{end:04d}"
                    own_files.make_folder(own)
                    meter.begin((1 - _READING) * (end - start + 1))
                    found = mattes_of(prepared.frames(start, end), own, check=check, progress=meter.part)
                    for index, number in enumerate(range(start, end + 1)):
                        check()
                        with own_files.atomic(folder / name(number)) as temporary:
                            exr.write_map(temporary, found.opacity(index))
                    meter.frames_done(end - start + 1)
        except OSError as error:
            raise unwritable(error, folder) from error
        finally:
            leftovers.remove_empty(made)
    meter.finish()
    return last - first + 1


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """The scratch folder of one run at a time, empty at first and removed at last; a killed run's is cleared."""
    from ..mattes.network import SCRATCH_FILES

    own = (f"{leftovers.SHOT}{each}" for each in SCRATCH_FILES)
    names = own_files.Names((*(f"{leftovers.CLIP}/{each}" for each in leftovers.CLIP_FILES), *own))
    held = lock.acquire(folder)
    try:
        own_files.clear(folder, names)
        own_files.check(folder, names)
        yield folder
    finally:
        with contextlib.suppress(OSError):
            own_files.clear(folder, names)
        held.release()


def _refuse_old(folder: Path, first: int, last: int, *, overwrite: bool) -> None:
    """Raise (BAD_OUTPUT) where mattes of these frames are in the folder and must not be replaced."""
    there = next((number for number in range(first, last + 1) if (folder / name(number)).exists()), None)
    if there is not None and not overwrite:
        raise Failure(
            exit_codes.BAD_OUTPUT,
            f"{folder} already has {name(there)}.",
            hint=f"Choose another folder, or use {setting('overwrite')} to replace these mattes.",
        )
