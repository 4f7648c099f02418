"""``plan``, ``merge`` and ``bundle``: a job in chunks that ``estimate --planned`` does, on any number of computers."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.failures import Cancelled, Failure
from ..contract import events, exit_codes, numbering
from ..contract.numbering import NumberingError
from . import estimate, stoppable
from .display import Display
from .numbers import whole_number

if TYPE_CHECKING:
    from ..contract.job import Job
    from ..farm.bundles import Bundle
    from ..farm.planning import Plan
    from ..run.stop import Stop

_LONGEST_CHUNK = 86_401.0
_KINDS = ("openjd", "flamenco", "deadline")


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verbs to the command line."""
    _add_plan(verbs)
    _add_bundle(verbs)
    verb = verbs.add_parser(
        "merge",
        help="complete a planned depth sequence once its chunks are done",
        description="Complete a planned depth sequence once its chunks are done; missing and damaged ones are listed.",
    )
    verb.add_argument("folder", metavar="DIR", help="the output folder of the plan")
    add_places(verb)
    stoppable.add_options(verb)
    verb.set_defaults(run=_merge, prints=False)


def _add_bundle(verbs: argparse._SubParsersAction) -> None:
    verb = verbs.add_parser(
        "bundle",
        help="plan clips, and write them as one job for a render farm",
        description="Plan clips, each into a folder of its name in the output folder, and write them as one job for a "
        "render farm: openjd is Open Job Description, as AWS Deadline Cloud and the openjd command take it; flamenco "
        "is Flamenco 3; deadline is Deadline 10.",
    )
    verb.add_argument("kind", metavar="openjd|flamenco|deadline", choices=_KINDS, help="the farm's kind of job")
    verb.add_argument("clips", metavar="CLIP", nargs="*", help="movies, folders of frames, or frames of sequences")
    verb.add_argument("--bundle", metavar="DIR", required=True, help="folder for the job; created if needed")
    verb.add_argument(
        "--planned", metavar="DIR", action="append", default=[], help="a folder that is planned already; repeatable"
    )
    verb.add_argument("--name", metavar="TEXT", default="", help="the job's name (default: after its clips)")
    verb.add_argument(
        "--farm-python",
        metavar="PATH",
        default="",
        help="Python of the environment with Fathom's packages, as the farm's computers know it (default: this one)",
    )
    verb.add_argument(
        "--farm-fathom",
        metavar="DIR",
        default="",
        help="Fathom's folder 'inference', as the farm's computers know it (default: this one)",
    )
    verb.add_argument(
        "--send",
        action="store_true",
        help="send the job by the farm's client: deadline for openjd, deadlinecommand for deadline",
    )
    verb.add_argument(
        "--manager", metavar="ADDRESS", default="", help="send the job to this Flamenco Manager: http://manager:8080"
    )
    estimate.add_job_options(verb, with_clip=False)
    _add_chunk_size(verb)
    stoppable.add_options(verb)
    verb.set_defaults(run=_bundle, prints=False)


def _add_chunk_size(verb: argparse.ArgumentParser) -> None:
    size = verb.add_mutually_exclusive_group()
    size.add_argument(
        "--chunk-seconds",
        metavar="S",
        type=float,
        help="what a chunk takes, about (default: so long that the start of a process counts little)",
    )
    size.add_argument("--chunk-frames", metavar="N", type=whole_number, help="frames of a chunk, about")


def _add_plan(verbs: argparse._SubParsersAction) -> None:
    verb = verbs.add_parser(
        "plan",
        help="divide an estimate into chunks for several computers",
        description="Divide an estimate into chunks, which the command estimate --planned does on any computer that "
        "shares the output folder, and the command merge completes.",
    )
    estimate.add_job_options(verb)
    _add_chunk_size(verb)
    verb.add_argument("--check", metavar="DIR", help="only check that the plan in a folder still fits its clip")
    verb.add_argument("--clip", dest="moved_clip", metavar="PATH", help="with --check: where the clip lies here")
    verb.add_argument("--json", action="store_true", help="print the list of chunks as JSON")
    stoppable.add_options(verb)
    verb.set_defaults(run=_plan, prints=False)


def add_places(verb: argparse.ArgumentParser) -> None:
    """Add the options that say where a plan's inputs lie on this computer."""
    verb.add_argument("--clip", metavar="PATH", help="where the clip lies on this computer (default: where it was)")
    verb.add_argument(
        "--mattes", metavar="DIR", help="where the mattes lie on this computer (default: where they were)"
    )


def _plan(options: argparse.Namespace) -> int:
    begun = time.monotonic()
    os.environ["HF_HUB_OFFLINE"] = "1"
    described: list[str] = []

    def work(display: Display, asked: Stop) -> events.Done:
        from ..farm import planning

        if options.check:
            plan = planning.load(Path(options.check).absolute(), clip=options.moved_clip, mattes=options.mattes)
            planning.check_clip(plan)
        else:
            plan = _planned(options, estimate.job_of(options, "plan"), display, asked)
        chunks = [plan.describe(number) for number in range(len(plan.chunks))]
        described.append(json.dumps({"output": plan.job.output, "chunks": chunks}, indent=2) if options.json else "")
        frames = plan.last_frame - plan.first_frame + 1
        return events.Done(folder=plan.job.output, frames=frames, seconds=time.monotonic() - begun)

    def ending(done: events.Done) -> str:
        if described[0] or options.check:
            return described[0] or f"The plan in {done.folder} fits its clip."
        return f"The plan of {done.frames} frames is in {done.folder}; --json lists its chunks."

    return stoppable.run(options, work, ending=ending)


def _planned(options: argparse.Namespace, job: Job, display: Display, asked: Stop) -> Plan:
    from ..farm import planning

    if options.chunk_frames is not None and options.chunk_frames < 1:
        raise Failure(exit_codes.USAGE, "--chunk-frames must be at least 1.")
    if options.chunk_seconds is not None and not 0 < options.chunk_seconds < _LONGEST_CHUNK:
        raise Failure(exit_codes.USAGE, "--chunk-seconds must be more than 0, and a day at most.")
    return planning.make(
        job,
        emit=display,
        cancelled=asked,
        overwrite=options.overwrite,
        chunk_frames=options.chunk_frames,
        chunk_seconds=options.chunk_seconds,
    )


def _bundle(options: argparse.Namespace) -> int:
    begun = time.monotonic()
    os.environ["HF_HUB_OFFLINE"] = "1"

    sent: list[str] = []

    def work(display: Display, asked: Stop) -> events.Done:
        from ..farm import bundles

        _check_bundle(options)
        folders, frames = [Path(folder) for folder in options.planned], 0
        for clip, name in zip(options.clips, _own_names(options.clips)):
            output = str(Path(options.output) / name) if options.output else None
            own = argparse.Namespace(**{**vars(options), "clip": clip, "output": output})
            plan = _planned(options, estimate.job_of(own, "bundle"), display, asked)
            folders.append(Path(plan.job.output))
            frames += plan.last_frame - plan.first_frame + 1
        job = bundles.of_folders(folders, name=options.name, python=options.farm_python, fathom=options.farm_fathom)
        folder = Path(options.bundle).absolute()
        _writer(options.kind)(job, folder)
        if options.send or options.manager:
            display(events.Stage(name="send", label="Sending the job to the farm"))
            sent.append(_send(options, folder, asked))
            display(events.Stage(name="sent", label=sent[0]))
        return events.Done(folder=str(folder), frames=frames, seconds=time.monotonic() - begun)

    def ending(done: events.Done) -> str:
        return " ".join([f"The job's bundle is in {done.folder}.", *sent])

    return stoppable.run(options, work, ending=ending)


def _check_bundle(options: argparse.Namespace) -> None:
    """Raise a `Failure` (USAGE) for options that do not go together."""
    if not options.clips and not options.planned:
        raise Failure(exit_codes.USAGE, "The command bundle needs a CLIP with --output DIR, or --planned DIR.")
    if options.job:
        what = "--job cannot be combined with the command bundle."
        raise Failure(exit_codes.USAGE, what, hint="Plan the job file, and name its folder by --planned.")
    if options.manager and options.kind != "flamenco":
        raise Failure(exit_codes.USAGE, "--manager is of bundle flamenco.", hint="Send other jobs by --send.")
    if options.send and options.kind == "flamenco":
        raise Failure(exit_codes.USAGE, "A Flamenco job is sent by --manager ADDRESS, not by --send.")


def _writer(kind: str) -> Callable[[Bundle, Path], Path]:
    from ..farm import deadline, flamenco, openjd

    return {"openjd": openjd.write, "flamenco": flamenco.write, "deadline": deadline.write}[kind]


def _send(options: argparse.Namespace, folder: Path, asked: Stop) -> str:
    """Send a written bundle; what the farm says."""
    from ..farm import sending

    def check() -> None:
        if asked():
            raise Cancelled

    if options.manager:
        return sending.to_flamenco(folder, options.manager, check=check)
    send = {"openjd": sending.to_deadline_cloud, "deadline": sending.to_deadline}[options.kind]
    return send(folder, check=check)


def _own_names(clips: list[str]) -> list[str]:
    """A folder name for each clip: its own, with a number where several have one, as some disks tell names apart."""
    found: dict[str, str] = {}
    for clip in clips:
        own = _own_name(Path(os.path.abspath(clip)))  # noqa: PTH100  a name without ``..``
        own = own.strip(" .") or "clip"  # a movie called ``...mov`` has the stem of another folder
        ways = (own, *(f"{own}-{number}" for number in range(2, len(clips) + 2)))
        name = next(each for each in ways if each.casefold() not in found)
        found[name.casefold()] = name
    return list(found.values())


def _own_name(clip: Path) -> str:
    """The name of a movie, of a folder of frames, or of the sequence that a frame belongs to."""
    from ..media import sequence, stills

    if clip.is_dir():
        return clip.name
    if clip.suffix.lower() in stills.EXTENSIONS and clip.is_file():
        with contextlib.suppress(NumberingError):  # which planning reports
            return numbering.name_of(str(clip.parent), numbering.around(clip.name, sequence.images(clip.parent)))
    return clip.stem if clip.suffix else clip.name


def _merge(options: argparse.Namespace) -> int:
    begun = time.monotonic()

    def work(display: Display, asked: Stop) -> events.Done:
        from ..farm.merging import merge

        folder = Path(options.folder).absolute()
        sequence = merge(folder, emit=display, cancelled=asked, clip=options.clip, mattes=options.mattes)
        frames = sum(shot.last_frame - shot.first_frame + 1 for shot in sequence.done_shots)
        return events.Done(folder=str(folder), frames=frames, seconds=time.monotonic() - begun)

    return stoppable.run(options, work)
