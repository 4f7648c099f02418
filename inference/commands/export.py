"""``export``: a depth sequence in, files for other programs out."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..common.failures import Cancelled, Failure
from ..contract import depth_sequence, events, exit_codes
from ..contract import export as contract
from ..contract.camera import SENSOR_WIDTH, parse_lens
from ..contract.export import Export
from ..contract.hints import setting
from ..contract.job import Source
from . import estimate, stoppable
from .display import Display
from .numbers import whole_number


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    text = __doc__.split(": ", 1)[1]
    verb = verbs.add_parser("export", help="write a depth sequence for other programs", description=text)
    verb.add_argument("depth", metavar="DEPTH", nargs="?", help="the folder with the depth.json")
    verb.add_argument("--output", metavar="DIR", help="folder for the files; created if needed")
    verb.add_argument(
        "--format",
        choices=[*contract.FORMATS, *contract.BLENDERS],
        help="exr: distances; png: 16-bit gray; movie: gray preview; control: control video, near white; ply: points; "
        "chan: the camera; usd, alembic: the camera, and usd_mesh, alembic_mesh, ply_mesh: the depth mesh, by blender "
        "--command fathom export alone",
    )
    verb.add_argument("--frames", metavar="A-B", help="range of source frames, both included (default: all)")
    verb.add_argument("--plate", metavar="CLIP", help="where the plate is, if not where depth.json says")
    verb.add_argument("--mattes", metavar="DIR", help="folder of mattes: a channel of EXR files, left out of points")

    group = verb.add_argument_group("distances (exr, ply)")
    group.add_argument(
        "--near", metavar="Z", type=float, help="distance of a shot's nearest percent, if it is relative"
    )
    group.add_argument(
        "--far", metavar="Z", type=float, help="distance of a shot's farthest percent, if it is relative"
    )
    group.add_argument("--far-limit", metavar="Z", type=float, help="nothing is farther; a sky ends here")
    group.add_argument("--scale", metavar="X", type=float, default=1.0, help="multiplies distances and the camera path")

    group = verb.add_argument_group("images (exr, png, movie, control)")
    group.add_argument("--channel", metavar="NAME", default=Export.channel, help="of distances: Z (default) or depth.Z")
    group.add_argument("--half", action="store_true", help="16-bit floats instead of 32-bit ones")
    group.add_argument("--negative", action="store_true", help="minus the distance")
    group.add_argument("--confidence", action="store_true", help="add the estimator's confidence as a channel")
    group.add_argument(
        "--full-size",
        action=argparse.BooleanOptionalAction,
        help="bring the maps to the plate's size, along its edges (default: for exr and png)",
    )
    group.add_argument("--white", choices=["near", "far"], default="near", help="what is white (default: near)")
    group.add_argument(
        "--percentiles", metavar=("LOW", "HIGH"), nargs=2, type=float, default=list(Export.percentiles),
        help="ends of the gray range in each shot's disparity (default: 1 99)",
    )  # fmt: skip
    group.add_argument("--size", metavar="PIXELS", type=whole_number, help="long side of a control video")
    group.add_argument(
        "--multiple", metavar="N", type=whole_number, default=Export.multiple,
        help="both sides of a control video are multiples of it (default: 8)",
    )  # fmt: skip
    group.add_argument("--every", metavar="N", type=whole_number, default=1, help="every so many-th frame of a movie")
    group.add_argument("--fps", metavar="RATE", type=float, help="frames a second of a movie (default: the plate's)")

    group = verb.add_argument_group("points and cameras (ply, chan)")
    group.add_argument("--merged", action="store_true", help="one file of points a shot, thinned by voxels")
    group.add_argument("--voxel", metavar="SIDE", type=float, help="side of a voxel (default: about two pixels)")
    group.add_argument(
        "--minimum-confidence", metavar="X", type=float, default=0.0, help="leave out points of less, 0 to 1"
    )
    group.add_argument("--up", choices=["y", "z"], help="axis that points up (default: z for ply, y for chan)")
    group.add_argument(
        "--focal-length", metavar="LENGTH", help="of a camera that does not move: millimeters (35) or pixels (850px)"
    )
    group.add_argument("--sensor-width", metavar="MM", type=float, help="in millimeters (default: 36)")

    verb.add_argument("--overwrite", action="store_true", help="replace files of the same names")
    verb.add_argument(
        "--job", metavar="FILE", help="an export file, as Blender writes it, instead of all options above"
    )
    stoppable.add_options(verb)
    verb.set_defaults(run=run, prints=False)


def run(options: argparse.Namespace) -> int:
    """Run the verb; errors become an event and an exit code."""
    begun = time.monotonic()
    counted = {"files": 0}

    def work(display: Display, asked: Callable[[], bool]) -> events.Done:
        def check() -> None:
            if asked():
                raise Cancelled

        from ..run import export as exporting
        from ..run.stop import Stop

        wanted = contract.load(options.job) if options.job else _export(options)
        folder = Path(wanted.output).absolute()
        if isinstance(asked, Stop):  # before the last one, which may block on a slow reader
            asked.before_kill.insert(-1, lambda: exporting.remove_temporary(folder))
        outcome = exporting.export(wanted, overwrite=options.overwrite, emit=display, check=check)
        counted["files"] = outcome.files
        return events.Done(folder=str(folder), frames=outcome.frames, seconds=time.monotonic() - begun)

    def ending(done: events.Done) -> str:
        files = "1 file" if counted["files"] == 1 else f"{counted['files']} files"
        return f"{files} of {done.frames} frames: {done.folder}."

    return stoppable.run(options, work, ending=ending)


def _of_blender(kind: str) -> str:
    return "A depth mesh" if kind in contract.MESHES else "Fog" if kind in contract.FOGS else "A camera"


def _export(options: argparse.Namespace) -> Export:
    if not (options.depth and options.output and options.format):
        raise Failure(exit_codes.USAGE, "The command export needs a DEPTH, --format and --output DIR, or --job FILE.")
    if options.format in contract.BLENDERS:
        raise Failure(
            exit_codes.USAGE,
            f"{_of_blender(options.format)} as {options.format} is written by Blender.",
            hint="Run: blender --command fathom export with these options, or export the camera as chan.",
        )
    first, last = estimate.frame_range(options.frames)
    sequence = depth_sequence.load(options.depth)
    return Export(
        depth=str(Path(options.depth).absolute()),
        output=str(Path(options.output).absolute()),
        format=options.format,
        first_frame=first,
        last_frame=last,
        plate=plate_of(options.plate, sequence.source, first, last),
        near=options.near,
        far=options.far,
        far_limit=options.far_limit,
        scale=options.scale,
        focal_length=_focal_length(options, sequence),
        mattes=str(Path(options.mattes).absolute()) if options.mattes else None,
        channel=options.channel,
        half=options.half,
        negative=options.negative,
        confidence=options.confidence,
        full_size=options.full_size,
        far_white=options.white == "far",
        percentiles=tuple(options.percentiles),
        size=options.size,
        multiple=options.multiple,
        every=options.every,
        fps=options.fps,
        merged=options.merged,
        voxel=options.voxel,
        minimum_confidence=options.minimum_confidence,
        up=options.up,
    )


def plate_of(path: str | None, written: Source, first: int | None = None, last: int | None = None) -> Source | None:
    """The plate that an option names, read as ``depth.json`` says; None where it is not given."""
    if path is None:
        return None
    from ..media.source import describe

    found = describe(path, first, last, stream=written.stream if written.kind == "movie" else 0)
    return replace(found, colorspace=written.colorspace, ocio_config=written.ocio_config)


def _focal_length(options: argparse.Namespace, sequence: depth_sequence.DepthSequence) -> float | None:
    """In millimeters on a sensor 36 mm wide."""
    if options.focal_length is None:
        if options.sensor_width is not None:
            raise Failure(exit_codes.USAGE, f"{setting('sensor_width')} needs a {setting('focal_length')}.")
        return None
    try:
        lens, sensor = parse_lens(
            options.focal_length, options.sensor_width, width=sequence.source.width or sequence.width
        )
    except ValueError as error:
        raise Failure(exit_codes.USAGE, str(error)) from error
    return lens * SENSOR_WIDTH / sensor
