"""``matte``: a clip in, mattes of its people out, one EXR image a frame."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from ..common.failures import Cancelled
from ..contract import events
from . import estimate, stoppable
from .display import Display
from .numbers import whole_number

LARGEST = 1920
"""Long side of the mattes, in pixels, when the command names none; a smaller plate has mattes of its own size."""


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

        from ..run.matte_sequence import write_mattes

        job = estimate.job_of_clip(options)
        count = write_mattes(job, size=options.size, overwrite=options.overwrite, emit=display, check=check)
        return events.Done(folder=str(Path(options.output).absolute()), frames=count, seconds=time.monotonic() - begun)

    def ending(done: events.Done) -> str:
        return f"{done.frames} mattes are in {done.folder}."

    return stoppable.run(options, work, ending=ending)
