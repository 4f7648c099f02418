"""``refine``: a depth sequence in, the same with better edges out, without a new estimate."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.failures import Failure
from ..contract import depth_sequence, events, exit_codes, leftovers
from ..contract import refinement as contract
from ..contract.refinement import Refinement
from . import stoppable
from .display import Display
from .export import plate_of
from .numbers import whole_number

if TYPE_CHECKING:
    from ..run.stop import Stop


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    text = "refine a depth sequence: edges, noise, sky"
    verb = verbs.add_parser("refine", help=text, description=__doc__.split(": ", 1)[1])
    verb.add_argument("depth", metavar="DEPTH", nargs="?", help="folder of a depth sequence, which stays as it is")
    verb.add_argument("--output", metavar="DIR", help="folder of the refined one (default: DEPTH with _refined added)")
    verb.add_argument("--plate", metavar="CLIP", help="where the plate is, if not where depth.json says")
    verb.add_argument(
        "--size", metavar="PIXELS", type=whole_number, help="long side of the refined maps (default: the plate's)"
    )
    verb.add_argument(
        "--sharpen",
        action=argparse.BooleanOptionalAction,
        default=Refinement.sharpen,
        help="place edges where the plate has them (default: yes)",
    )
    verb.add_argument(
        "--fringe", metavar="PIXELS", type=whole_number,
        help="pixels of the maps between the sides of an edge, which take either side's depth (default: 3; 0: none)",
    )  # fmt: skip
    verb.add_argument(
        "--edge", metavar="PIXELS", type=float,
        help="pixels of the plate by which near sides grow, or shrink below 0 (default: 0)",
    )  # fmt: skip
    verb.add_argument(
        "--smooth", metavar="FRAMES", type=whole_number,
        help="frames before and after to average with, along the optical flow (default: 2; 0: none)",
    )  # fmt: skip
    verb.add_argument("--sky", action="store_true", help="find the sky, and put it beyond the far limit")
    verb.add_argument("--sky-mattes", metavar="DIR", help="images with the plate's frame numbers, white in the sky")
    verb.add_argument("--overwrite", action="store_true", help="replace a finished depth sequence in the output folder")
    verb.add_argument("--job", metavar="FILE", help="a refinement, as Blender writes it, instead of all options above")
    stoppable.add_options(verb)
    verb.set_defaults(run=run, prints=False)


def run(options: argparse.Namespace) -> int:
    """Run the verb; errors become an event and an exit code."""
    begun = time.monotonic()

    def work(display: Display, asked: Stop) -> events.Done:
        from ..run.refine import refine

        wanted = contract.load(options.job) if options.job else _refinement(options)
        folder = Path(wanted.output).absolute()
        made = leftovers.missing_folders(folder)
        # before the last one, which may block on a slow reader
        asked.before_kill.insert(-1, lambda: leftovers.take_away(folder, made, ended=os.getpid()))
        refined = refine(wanted, emit=display, cancelled=asked, overwrite=options.overwrite)
        frames = sum(shot.last_frame - shot.first_frame + 1 for shot in refined.done_shots)
        return events.Done(folder=str(folder), frames=frames, seconds=time.monotonic() - begun)

    return stoppable.run(options, work, ending=lambda done: f"{done.frames} refined maps are in {done.folder}.")


def _refinement(options: argparse.Namespace) -> Refinement:
    if not options.depth:
        raise Failure(exit_codes.USAGE, "The command refine needs a DEPTH, or --job FILE.")
    depth = Path(options.depth)
    depth = (depth.parent if depth.name == depth_sequence.SIDECAR else depth).absolute()
    given = {
        name: getattr(options, name) for name in ("fringe", "edge", "smooth") if getattr(options, name) is not None
    }
    source = depth_sequence.load(depth).source
    return Refinement(
        depth=str(depth),
        output=str(Path(options.output).absolute() if options.output else depth.with_name(f"{depth.name}_refined")),
        plate=plate_of(options.plate, source),
        size=options.size,
        sharpen=options.sharpen,
        sky=options.sky,
        sky_mattes=str(Path(options.sky_mattes).absolute()) if options.sky_mattes else None,
        **given,
    )
