"""``matte``: a clip in, mattes of its people out, one EXR image a frame."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from ..common.failures import Cancelled, Failure
from ..contract import events, exit_codes, records
from . import estimate, stoppable
from .display import Display
from .numbers import whole_number


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    text = __doc__.split(": ", 1)[1]
    verb = verbs.add_parser("matte", help="make mattes of the people in a clip", description=text)
    verb.add_argument("clip", metavar="CLIP", nargs="?", help="a movie, a folder of frames, or one frame of a sequence")
    verb.add_argument("--output", metavar="DIR", help="folder for the mattes; created if needed")
    estimate.add_source_options(verb)
    verb.add_argument(
        "--size",
        metavar="PIXELS",
        type=whole_number,
        help="long side of the mattes (default: the plate's, 1920 at most)",
    )
    verb.add_argument("--overwrite", action="store_true", help="replace mattes of an earlier run in the output folder")
    verb.add_argument("--job", metavar="FILE", help="a job file instead of CLIP and its options")
    verb.add_argument(
        "--missing", action="store_true", help="only print what is missing to make mattes here, as a JSON list"
    )
    stoppable.add_options(verb)
    verb.set_defaults(run=run, prints=False)


def run(options: argparse.Namespace) -> int:
    """Run the verb; errors become an event and an exit code."""
    if options.missing:
        from .. import mattes

        print(json.dumps(records.to_json(mattes.missing())), flush=True)
        return exit_codes.OK
    begun = time.monotonic()

    def work(display: Display, asked: Callable[[], bool]) -> events.Done:
        def check() -> None:
            if asked():
                raise Cancelled

        from ..run.matte_sequence import write_mattes

        if not options.job and not (options.clip and options.output):
            raise Failure(exit_codes.USAGE, "The command matte needs a CLIP and --output DIR, or --job FILE.")
        job = estimate.job_of_file(options) if options.job else estimate.job_of_clip(options)
        count = write_mattes(job, overwrite=options.overwrite, emit=display, check=check)
        return events.Done(folder=str(Path(job.output).absolute()), frames=count, seconds=time.monotonic() - begun)

    def ending(done: events.Done) -> str:
        return f"{done.frames} mattes are in {done.folder}."

    return stoppable.run(options, work, ending=ending)
