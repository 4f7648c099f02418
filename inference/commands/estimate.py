"""``estimate``: a clip in, a depth sequence out."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.failures import Failure
from ..contract import camera_files, events, exit_codes, leftovers, numbering
from ..contract.camera import Camera, parse_lens
from ..contract.hints import OF_A_JOB
from ..contract.job import FIND_CUTS, Job, Source, load, with_output
from . import stoppable
from .display import Display
from .numbers import whole_number

if TYPE_CHECKING:
    from ..run.stop import Stop

_CHUNKS = re.compile(r"([0-9]{1,7})(?:-([0-9]{1,7}))?")
_MOST_CHUNKS = 1_000_000
_RANGE = re.compile(r"([0-9]{1,18})(?:\s*-\s*([0-9]{1,18}))?")


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser("estimate", help="estimate the depth of a clip", description=__doc__.split(": ", 1)[1])
    add_job_options(verb)
    verb.add_argument("--planned", metavar="DIR", help="do chunks of the plan in a folder; CLIP is where it lies here")
    verb.add_argument("--chunks", metavar="A-B", help="with --planned: their numbers, such as 3,5-7 (default: all)")
    stoppable.add_options(verb)
    verb.set_defaults(run=run, prints=False)


def add_job_options(verb: argparse.ArgumentParser, *, with_clip: bool = True) -> None:
    """Add the options that describe an estimate."""
    if with_clip:
        what = "a movie, a folder of frames, or one frame of a sequence"
        verb.add_argument("clip", metavar="CLIP", nargs="?", help=what)
    verb.add_argument("--output", metavar="DIR", help="folder for the depth sequence; created if needed")
    verb.add_argument(
        "--estimator", metavar="NAME", help=f"a name that the command estimators lists (default: {Job.estimator})"
    )
    add_source_options(verb)
    verb.add_argument(
        "--size",
        metavar="PIXELS",
        type=whole_number,
        help="long side of the processing resolution (default: the estimator's)",
    )
    verb.add_argument(
        "--full-size", action="store_true", help="upsample the depth maps to the plate's size, along its edges"
    )
    verb.add_argument("--seed", metavar="N", type=whole_number, help="random seed of the estimator (default: 0)")
    verb.add_argument(
        "--parameter",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a parameter of the estimator; repeatable",
    )
    verb.add_argument(
        "--focal-length", metavar="LENGTH", help="known focal length, in millimeters (35) or pixels (850px)"
    )
    verb.add_argument(
        "--sensor-width", metavar="MM", type=float, help="width of the sensor in millimeters (default: 36)"
    )
    verb.add_argument(
        "--camera",
        metavar="FILE",
        help="solved camera: a file of Fathom's, a .chan, or the folder of COLMAP's cameras.txt and images.txt",
    )
    verb.add_argument(
        "--rotation-order",
        metavar="ORDER",
        choices=camera_files.ROTATION_ORDERS,
        help=f"order of the rotations of a .chan, which does not say (default: {camera_files.NUKES_ORDER}, as Nuke)",
    )
    verb.add_argument("--mattes", metavar="DIR", help="folder of mattes, white where objects move")
    verb.add_argument("--overwrite", action="store_true", help="replace a finished depth sequence in the output folder")
    verb.add_argument("--job", metavar="FILE", help="a job file instead of CLIP and its options")


def add_source_options(verb: argparse.ArgumentParser) -> None:
    """Add the options that say what is read of a clip, and how."""
    verb.add_argument("--frames", metavar="A-B", help="range of source frames, both included (default: the whole clip)")
    verb.add_argument(
        "--cuts",
        metavar="auto|none|FRAMES",
        help="cuts between shots: detected, none, or the first frames of new shots, as in 31,77 (default: auto)",
    )
    verb.add_argument(
        "--stream",
        metavar="N",
        type=whole_number,
        help="video stream of a movie with several, from 0 (default: 0)",
    )
    verb.add_argument("--colorspace", metavar="NAME", help="color space of the plate, by its OCIO name")
    verb.add_argument(
        "--ocio-config", metavar="FILE", help="OCIO configuration (default: the one named by $OCIO, else OCIO's own)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the verb; errors become an event and an exit code."""
    begun = time.monotonic()
    os.environ["HF_HUB_OFFLINE"] = "1"  # missing weights are reported; no library may download any

    def chunks(display: Display, asked: Stop) -> events.Done:
        from ..farm.chunks import do_all

        _refuse_options(options, "--planned", "the plan", {"clip", "mattes"})
        numbers = None if options.chunks is None else numbers_of(options.chunks)
        folder = Path(options.planned).absolute()
        frames = do_all(
            folder, numbers, emit=display, cancelled=asked, clip=options.clip, mattes=_absolute(options.mattes)
        )
        spent = time.monotonic() - begun
        return events.Done(folder=str(folder), frames=frames, seconds=spent, peak_bytes=_peak_bytes())

    def work(display: Display, asked: Stop) -> events.Done:
        from ..run.runner import estimate

        if options.chunks is not None:
            raise Failure(exit_codes.USAGE, "--chunks needs --planned DIR.")
        job = job_of(options, "estimate")
        output = Path(job.output).absolute()
        made = leftovers.missing_folders(output)
        # before the last one, which may block on a slow reader
        asked.before_kill.insert(-1, lambda: leftovers.take_away(output, made, ended=os.getpid()))
        sequence = estimate(job, emit=display, cancelled=asked, overwrite=options.overwrite)
        frames = sum(shot.last_frame - shot.first_frame + 1 for shot in sequence.done_shots)
        spent = time.monotonic() - begun
        return events.Done(folder=str(output), frames=frames, seconds=spent, peak_bytes=_peak_bytes())

    if options.planned:
        return stoppable.run(options, chunks, ending=lambda done: f"The chunks in {done.folder} are done.")
    return stoppable.run(options, work)


def numbers_of(text: str) -> list[int]:
    """The numbers of chunks in a text such as ``3,5-7``; a `Failure` (USAGE) for other text."""
    found: dict[int, None] = {}
    for part in text.split(","):
        match = _CHUNKS.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first or last - first >= _MOST_CHUNKS:
            raise Failure(exit_codes.USAGE, f"--chunks takes numbers such as 3,5-7, not '{text}'.")
        found |= dict.fromkeys(range(first, last + 1))
    return list(found)


def _peak_bytes() -> int:
    """The most host memory that this process had, and the largest of its children, in bytes; 0 if unknown."""
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))
    unit = 1 if sys.platform == "darwin" else 1024
    users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(unit * resource.getrusage(user).ru_maxrss for user in users)


def job_of(options: argparse.Namespace, command: str) -> Job:
    """The job that a command's options describe; a `Failure` (USAGE) or JobError where they do not."""
    if options.job:
        return job_of_file(options)
    if not options.clip or not options.output:
        raise Failure(exit_codes.USAGE, f"The command {command} needs a CLIP and --output DIR, or --job FILE.")
    from ..run import automatic
    from ..run.checks import parse_parameters

    estimator, job = options.estimator or Job.estimator, job_of_clip(options)
    return replace(
        job,
        estimator=estimator,
        parameters=parse_parameters(automatic.info(estimator), options.parameter),
        full_size=options.full_size,
        seed=options.seed or 0,
        mattes=_absolute(options.mattes),
        camera=_camera(options, job.source, job.first_frame, job.last_frame),
    )


def job_of_clip(options: argparse.Namespace) -> Job:
    """A job that reads a clip as the options of `add_source_options` say, with output and size."""
    from ..media.source import describe

    first, last = frame_range(options.frames)
    source = describe(options.clip, first, last, stream=_stream(options.stream))
    source = replace(
        source,
        path=str(Path(source.path).absolute()),
        colorspace=options.colorspace or source.colorspace,
        ocio_config=_config(options.ocio_config) or source.ocio_config,
    )
    return Job(
        source=source,
        output=str(Path(options.output).absolute()),
        first_frame=first,
        last_frame=last,
        size=options.size,
        cuts=FIND_CUTS if options.cuts is None else options.cuts,
    )


def job_of_file(options: argparse.Namespace) -> Job:
    """The job in the file that the option ``--job`` names; `Failure` (USAGE) where other options describe one too."""
    _refuse_options(options, "--job", "the job file", {"output", "overwrite"})
    job = load(options.job)
    return with_output(job, str(Path(options.output).absolute())) if options.output else job


def _refuse_options(options: argparse.Namespace, other: str, what: str, allowed: set[str]) -> None:
    """Raise a `Failure` (USAGE) for options of a job beside one that names a whole job."""
    for name in ("clip", *sorted(OF_A_JOB), "parameter"):
        value = getattr(options, name, None)
        if name not in allowed and (value or (value == 0 and value is not False)):
            shown = "CLIP" if name == "clip" else f"--{name.replace('_', '-')}"
            raise Failure(exit_codes.USAGE, f"{shown} cannot be combined with {other}: {what} describes the clip.")


def frame_range(text: str | None) -> tuple[int | None, int | None]:
    """First and last frame of an option such as ``1-100``; None where it is not given."""
    if text is None:
        return None, None
    match = _RANGE.fullmatch(text.strip())
    if not match:
        raise Failure(exit_codes.USAGE, f"--frames takes a range such as 1-100, or one frame, not '{text}'.")
    first = int(match.group(1))
    return first, int(match.group(2)) if match.group(2) else first


def _stream(index: int | None) -> int:
    if index is not None and index < 0:
        raise Failure(exit_codes.USAGE, f"--stream takes the index of a video stream, 0 for the first, not {index}.")
    return index or 0


def _camera(options: argparse.Namespace, source: Source, first: int | None, last: int | None) -> Camera | None:
    """The camera of a file, or one with a known focal length only."""
    if options.focal_length is None and options.sensor_width is not None:
        raise Failure(exit_codes.USAGE, "--sensor-width needs a --focal-length in millimeters.")
    if options.rotation_order is not None and options.camera is None:
        raise Failure(exit_codes.USAGE, "--rotation-order is of a --camera file.")
    if options.focal_length is None and options.camera is None:
        return None
    from ..media.clip import open_clip

    with open_clip(source, first, last) as clip:
        width, height = clip.width, clip.height
    try:
        known = None
        if options.focal_length is not None:
            lens = parse_lens(options.focal_length, options.sensor_width, width=width)
            known = Camera.from_lens(*lens, width=width, height=height)
        if options.camera is None:
            return known
        return camera_files.load(
            options.camera,
            width=width,
            height=height,
            files=dict(zip(source.files, numbering.frame_numbers(source.files), strict=True)) if source.files else {},
            focal_length=known.focal_length if known else None,
            rotation_order=options.rotation_order or camera_files.NUKES_ORDER,
        )
    except ValueError as error:
        raise Failure(exit_codes.USAGE, str(error)) from error


def _config(name: str | None) -> str | None:
    """An OCIO configuration: a file, or a built-in one (``ocio://…``)."""
    return name if name and name.startswith("ocio://") else _absolute(name)


def _absolute(path: str | None) -> str | None:
    return str(Path(path).absolute()) if path else None
