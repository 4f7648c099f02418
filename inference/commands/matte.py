"""``matte``: a clip in, mattes of its people out, one EXR image a frame."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..common.failures import Cancelled, Failure, unwritable
from ..common.files import make_folder
from ..common.progress import Meter
from ..contract import events, exit_codes, leftovers, own_files
from ..contract.job import check_cuts, shot_starts, validate
from . import estimate, stoppable
from .display import Display
from .numbers import whole_number

SCRATCH = ".fathom-matte"
"""Folder inside the mattes' for a run's working files."""
LARGEST = 1920
"""Long side of the mattes, in pixels, when the command names none; a smaller plate has mattes of its own size."""
_READING = 0.1
"""Share of the time that reading the clip takes."""


def name(number: int) -> str:
    """The file name of a frame's matte."""
    return f"matte.{number:04d}.exr"


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    text = __doc__.split(": ", 1)[1]
    verb = verbs.add_parser("matte", help="make mattes of the people in a clip", description=text)
    verb.add_argument("clip", metavar="CLIP", help="a movie, a folder of frames, or one frame of a sequence")
    verb.add_argument("--output", metavar="DIR", required=True, help="folder for the mattes; created if needed")
    estimate.add_source_options(verb)
    verb.add_argument(
        "--size", metavar="PIXELS", type=whole_number, default=LARGEST,
        help=f"long side of the mattes (default: the plate's, {LARGEST} at most)",
    )  # fmt: skip
    verb.add_argument("--overwrite", action="store_true", help="replace mattes of an earlier run in the output folder")
    stoppable.add_options(verb)
    verb.set_defaults(run=run, prints=False)


def run(options: argparse.Namespace) -> int:
    """Run the verb; errors become an event and an exit code."""
    begun = time.monotonic()

    def work(display: Display, asked: Callable[[], bool]) -> events.Done:
        def check() -> None:
            if asked():
                raise Cancelled

        count = _write_mattes(options, display, check)
        return events.Done(folder=str(Path(options.output).absolute()), frames=count, seconds=time.monotonic() - begun)

    def ending(done: events.Done) -> str:
        return f"{done.frames} mattes are in {done.folder}."

    return stoppable.run(options, work, ending=ending)


def _write_mattes(options: argparse.Namespace, emit: Callable[[events.Event], None], check: Callable[[], None]) -> int:
    """Make and write the mattes; returns how many."""
    from .. import mattes

    mattes.require()
    from ..mattes.network import mattes_of
    from ..media import exr, processing_size
    from ..media.clip import open_clip
    from ..run.checks import frames_of

    job = estimate.job_of_clip(options)
    validate(job)
    folder = Path(job.output)
    with open_clip(job.source, job.first_frame, job.last_frame) as clip:
        first, last = frames_of(job, clip)
        clip.require(first, last)
        check_cuts(job.cuts, first, last)
        meter = Meter(emit, frames=last - first + 1)
        meter.plan(last - first + 1)
        made = make_folder(folder)
        try:
            with _scratch(folder / SCRATCH) as scratch:
                _refuse_old(folder, first, last, overwrite=options.overwrite)
                size = processing_size.working_size(clip.width, clip.height, options.size, 1)
                meter.begin(_READING * (last - first + 1), counts=False)
                meter.stage("prepare", "Reading the clip")
                prepared = processing_size.prepare(
                    clip, first, last, size, scratch / leftovers.CLIP, cuts=shot_starts(job.cuts), check=check,
                    progress=lambda done, total: meter.part(done / total),
                )  # fmt: skip
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
    from ..common import lock
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
            hint="Choose another folder, or add --overwrite to replace these mattes.",
        )
