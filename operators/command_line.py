"""``blender --command fathom …``: the main job from a shell or a farm, without a script.

Blender calls `main` with what follows the command's name, in background, and ends with what it returns.
"""

import argparse
import contextlib
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import bpy

from ..inference.contract import exit_codes, hints, lock, own_files
from ..inference.contract import export as export_contract
from ..inference.contract.camera import SENSOR_WIDTH, parse_lens
from ..inference.contract.camera_files import NUKES_ORDER, ROTATION_ORDERS
from ..inference.contract.client import WorkerError
from ..inference.contract.environment import MissingEnvironment
from ..inference.contract.events import Event, Progress, Stage, Warning
from ..inference.contract.job import FIND_CUTS, Job, JobError
from ..inference.contract.untrusted import file_facts, is_file, is_same_path, is_there, readable
from ..scene import (
    blender_files,
    build,
    depth_list,
    export,
    farm,
    fog_grid,
    lookup,
    matte_making,
    preferences,
    source,
    worker_command,
)
from ..scene import depth as depth_module
from ..scene import estimation as estimate_module
from ..scene.camera import SCALE, find_rig
from ..scene.depth import Depth
from ..scene.plate import plate_size, with_plate
from ..scene.problems import PROBLEMS, Problem
from ..scene.settings import Settings
from ..scene.solved_camera import Choice
from ..scene.source import Plate

_OPTIONS = {
    "camera",
    "cuts",
    "estimator",
    "focal_length",
    "frames",
    "full_size",
    "new_version",
    "output",
    "rotation_order",
    "seed",
    "sensor_width",
    "size",
    "stream",
}
"""The settings that the verb estimate has options of their own for."""
_A_DAY = 86400.0
"""Seconds: after them no build of a .blend file goes on, and no chunk of a farm takes longer."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb that follows ``--command fathom``; an exit code, see `inference.contract.exit_codes`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names that are no UTF-8 are printed as they are
    try:
        if arguments and arguments[0] in worker_command.VERBS and not _is_blenders(arguments):
            return worker_command.run(arguments)
        options = _parser().parse_args(list(arguments))
        options.run(options)
    except SystemExit as error:  # argparse has printed why; Blender wants the code
        return int(error.code or 0)
    except WorkerError as error:
        return _fail(error.event.message, error.event.code)
    except MissingEnvironment as error:
        here = " Here: blender --command fathom install." if error.by_setup else ""
        return _fail(f"{error}{here}", exit_codes.MISSING)
    except PROBLEMS as error:
        return _fail(str(error), getattr(error, "code", exit_codes.FAILED))
    except OSError as error:  # such as of an output that is closed, or of a disk that is full
        return _fail(f"{error.filename or 'The output'} cannot be used: {error.strerror or error}.", exit_codes.FAILED)
    return exit_codes.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="blender --command fathom", description="Depth for a clip, and a scene of it."
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = verbs.add_parser("estimate", help="estimate the depth of a clip")
    verb.add_argument("clip", metavar="CLIP", help="a movie, a folder of frames, or one frame of a sequence")
    verb.add_argument(
        "--output", metavar="DIR", required=True, help="folder of depth sequences: DIR/<clip>/v001 and on"
    )
    _add_settings(verb)
    verb.set_defaults(run=_estimate)

    verb = verbs.add_parser("submit", help="send the depth of clips to a render farm, as one job")
    verb.add_argument("clips", metavar="CLIP", nargs="+", help="movies, folders of frames, or frames of sequences")
    verb.add_argument(
        "--output", metavar="DIR", required=True, help="folder of depth sequences: DIR/<clip>/v001 and on"
    )
    verb.add_argument("--farm", choices=[name.lower() for name, _, _ in farm.TARGETS], help="default: the preferences'")
    verb.add_argument("--bundle", metavar="DIR", help="folder of what the farm gets (default: DIR/farm)")
    verb.add_argument("--write-only", action="store_true", help="submit nothing, only write what the farm gets")
    verb.add_argument("--manager", metavar="ADDRESS", help="of the Flamenco Manager, such as http://manager:8080")
    verb.add_argument("--chunk-minutes", metavar="M", type=float, help="what a chunk takes, about")
    verb.add_argument("--farm-python", metavar="PATH", help="the worker's Python, as the farm's computers know it")
    verb.add_argument("--farm-fathom", metavar="DIR", help="Fathom's folder inference, as they know it")
    _add_settings(verb)
    verb.set_defaults(run=_submit)

    verb = verbs.add_parser("build", help="build a .blend file from a depth sequence")
    verb.add_argument("depth", metavar="DIR", help="the folder with the depth.json")
    verb.add_argument("--save", metavar="FILE", required=True, help="the .blend file to write")
    verb.add_argument("--into", metavar="FILE", help="a .blend file to start from (default: an empty one)")
    verb.add_argument(
        "--what", nargs="+", choices=build.BUILDERS, default=["camera", "mesh"], help="default: camera mesh"
    )
    verb.add_argument(
        "--all-shots", action="store_true", help="one setup for every shot (default: the first with depth)"
    )
    _add_lens(verb, "of a still camera, where the depth has none")
    verb.add_argument("--plate", metavar="CLIP", help="where the plate lies, if not where depth.json says")
    verb.add_argument("--keep-camera", action="store_true", help="leave the scene's camera as it is in FILE of --into")
    verb.add_argument(
        "--fit-scene", action="store_true", help="give a scene of --into the clip's frames, size and rate, as a new one"
    )
    verb.set_defaults(run=_build)

    verb = verbs.add_parser("install", help="install the packages that estimates need")
    verb.add_argument(
        "packages",
        choices=["light", "full", "mattes"],
        nargs="?",
        default="light",
        help="light (Parallax and Quick), full (all estimators, with the PyTorch that fits the GPU), or mattes (what "
        "runs the matte network, in addition); default: light",
    )
    verb.set_defaults(run=_install)

    verb = verbs.add_parser("export", help=worker_command.VERBS["export"])
    verb.add_argument("depth", metavar="DIR", help="the folder with the depth.json")
    verb.add_argument("--format", choices=[*export_contract.BLENDERS], required=True)
    verb.add_argument("--output", metavar="DIR", required=True, help="folder for the files; created if needed")
    verb.add_argument("--frames", metavar="A-B", default="", help="frames to export (default: all)")
    verb.add_argument("--scale", metavar="X", type=float, default=1.0, help="multiplies distances and the camera path")
    _add_lens(verb, "of a camera that does not move")
    for name, what in (("voxel", "side of a voxel of fog"), ("farthest", "no fog farther from the camera is written")):
        verb.add_argument(f"--{name}", metavar="X", type=float, default=0.0, help=what)
    verb.add_argument(
        "--voxels", metavar="N", type=int, default=256, help="along the fog's longest side (default: 256)"
    )
    verb.add_argument("--space", choices=["world", "camera"], default="world", help="of fog (default: world)")
    verb.add_argument("--overwrite", action="store_true", help="replace files of the same names")
    verb.set_defaults(run=_export)

    for name, what in worker_command.VERBS.items():  # the worker's own, which `main` hands on
        if name != "export":
            verbs.add_parser(name, help=what, add_help=False)
    return parser


def _add_settings(verb: argparse.ArgumentParser) -> None:
    """The options of an estimate."""
    verb.add_argument("--frames", metavar="A-B", help="frames to estimate (default: all)")
    verb.add_argument(
        "--cuts",
        metavar="auto|none|FRAMES",
        default=FIND_CUTS,
        help="where shots begin: found, nowhere, or at these frames, such as 31,77 (default: auto)",
    )
    verb.add_argument("--stream", metavar="N", type=int, default=0, help="video stream of a movie (default: 0)")
    verb.add_argument("--estimator", metavar="NAME", default=Job.estimator, help=f"default: {Job.estimator}")
    verb.add_argument("--size", metavar="PIXELS", type=int, help="long side to work at (default: the estimator's)")
    verb.add_argument("--full-size", action="store_true", help="bring the depth to the clip's own size")
    verb.add_argument("--seed", metavar="N", type=int, default=0)
    _add_lens(verb, "of the lens, where it is known")
    verb.add_argument(
        "--camera",
        metavar="FILE",
        help="solved camera: a file of Fathom's, a .chan, or the folder of COLMAP's cameras.txt and images.txt",
    )
    verb.add_argument(
        "--rotation-order",
        choices=ROTATION_ORDERS,
        default=NUKES_ORDER,
        help=f"of a .chan, which does not say (default: {NUKES_ORDER}, as Nuke)",
    )
    verb.add_argument(
        "--parameter", metavar="NAME=VALUE", action="append", default=[], help="one of the estimator's; repeatable"
    )
    verb.add_argument("--new-version", action="store_true", help="also where this depth is there already")


def _is_blenders(arguments: Sequence[str]) -> bool:
    """Whether an export is of a format that Blender writes itself."""
    given = [part for argument in arguments for part in argument.split("=")]
    formats = [value for name, value in pairwise(given) if name == "--format"]
    return arguments[0] == "export" and bool(formats) and formats[-1] in export_contract.BLENDERS


def _add_lens(verb: argparse.ArgumentParser, what: str) -> None:
    verb.add_argument("--focal-length", metavar="LENGTH", help=f"{what}: millimeters (35) or pixels (850px)")
    verb.add_argument("--sensor-width", metavar="MM", type=float, help="of the frame on the sensor (default: 36)")


def _lens(options: argparse.Namespace, width: int | None) -> tuple[float | None, float]:
    """Focal length, or None, and sensor width in millimeters; `width` is the plate's in pixels."""
    if options.focal_length is None:
        if options.sensor_width is not None:
            raise JobError("--sensor-width is for a --focal-length in millimeters.")
        return None, SENSOR_WIDTH
    if width is None:
        raise JobError("The clip's size is not known, so its focal length in pixels is not either; leave the lens out.")
    try:
        return parse_lens(options.focal_length, options.sensor_width, width=width)
    except ValueError as error:
        raise JobError(str(error)) from error


def _wanted(clip: str, options: argparse.Namespace) -> tuple[Plate, Settings]:
    """A clip's plate, and how it is to be estimated."""
    plate = source.from_file(clip, options.frames or "", stream=options.stream)
    focal_length, sensor_width = _lens(options, plate.source.width)
    return plate, Settings(
        estimator=options.estimator,
        parameters=dict(map(_parameter, options.parameter)),
        cuts=options.cuts,
        size=options.size,
        full_size=options.full_size,
        seed=options.seed,
        focal_length=focal_length,
        sensor_width=sensor_width,
        camera=Choice(kind="FILE", name=str(Path(options.camera).absolute()), rotation_order=options.rotation_order)
        if options.camera
        else None,
    )


def _estimate(options: argparse.Namespace) -> None:
    plate, settings = _wanted(options.clip, options)
    depth = estimate_module.estimate(
        plate,
        root=Path(options.output).absolute(),
        settings=settings,
        new_version=options.new_version,
        on_event=printing(),
    )
    print(depth.folder)


def _submit(options: argparse.Namespace) -> None:
    """Send clips to a farm; prints the folders that their depth will be in, and last that of the job."""
    minutes = options.chunk_minutes
    if minutes is not None and not 0 < minutes <= _A_DAY / 60:
        raise JobError("--chunk-minutes must be more than 0, and a day at most.")
    named = {
        "target": farm.named(options.farm) if options.farm else None,
        "folder": Path(options.bundle).absolute() if options.bundle else None,
        "submits": False if options.write_only else None,
        "manager": options.manager,
        "chunk_seconds": None if minutes is None else 60.0 * minutes,
        "python": options.farm_python,
        "fathom": options.farm_fathom,
    }
    chosen = replace(farm.from_preferences(), **{name: value for name, value in named.items() if value is not None})
    sent = farm.submit(
        [_wanted(clip, options) for clip in options.clips],
        chosen,
        root=Path(options.output).absolute(),
        new_version=options.new_version,
        on_event=printing(),
    )
    if sent.jobs and not chosen.sends:
        print("Fathom: The job is written and not submitted: its folder, below, is what you submit.")
    for folder in (*(folder for _, folder in sent.there), *(job.output for job in sent.jobs)):
        print(folder)
    if sent.jobs:
        print(sent.bundle)


def _install(options: argparse.Namespace) -> None:
    if options.packages != "mattes" and preferences.look().has(options.packages):
        print(preferences.INSTALLED)
        return
    reason = preferences.install_offline_reason(preferences.look())
    if reason is not None:
        raise Problem(reason)
    if options.packages == "full":
        print(f"Fathom: {preferences.torch_build().reason}", flush=True)
    steps = matte_making.install() if options.packages == "mattes" else preferences.install(options.packages)
    for events in steps:
        for event in events:
            if isinstance(event, Stage):
                print(readable(f"Fathom: {event.label}"), flush=True)
    print(preferences.worker_python())


def _export(options: argparse.Namespace) -> None:
    """Write a camera, a depth mesh or fog by Blender; the other formats are the worker's."""
    scene = bpy.context.scene
    depth = depth_list.placed(scene, depth_module.load(Path(options.depth).absolute()))
    lens, sensor = _lens(options, plate_size(depth)[0])
    wanted = export.wanted(
        depth,
        {"format": options.format.upper(), "directory": str(Path(options.output).absolute()), "frames": options.frames},
        scene=scene,
        focal_length=None if lens is None else lens * SENSOR_WIDTH / sensor,
    )
    needs = {**dict.fromkeys(export_contract.MESHES, "mesh"), **dict.fromkeys(export_contract.FOGS, "fog")}
    if options.format in needs:
        for shot, _ in export_contract.shots_within(wanted, depth.sequence):
            build.build(
                (needs[options.format],), depth, shot, scene=scene, focal_length=wanted.focal_length, plate=False
            )
            rig = find_rig(depth, shot, scene)
            if rig is not None:
                rig[SCALE] *= options.scale
    scaled = (replace(each, scale=each.scale * options.scale) for each in wanted.placements)
    wanted = export_contract.validate(replace(wanted, placements=tuple(scaled)))
    grid = fog_grid.Grid(
        voxel=options.voxel,
        count=options.voxels,
        farthest=options.farthest,
        in_camera=options.space == "camera",
    )
    earlier = blender_files.earlier_beside(depth, wanted, options.format)
    for path in blender_files.write(depth, wanted, options.format, scene=scene, overwrite=options.overwrite, grid=grid):
        print(path)
    if earlier is not None:
        print(f"Warning: {earlier}", file=sys.stderr)


def _parameter(text: str) -> tuple[str, Any]:
    """Name and value of a ``NAME=VALUE``; the worker checks both."""
    name, equals, value = text.partition("=")
    if not equals:
        raise JobError(f"--parameter takes NAME=VALUE, not '{text}'.")
    try:
        return name.strip(), json.loads(value)
    except (ValueError, RecursionError):
        return name.strip(), value.strip()


def _build(options: argparse.Namespace) -> None:
    target = Path(options.save).absolute()
    if is_there(target) and not is_file(target):  # Blender 4.2 would rename a folder
        raise Problem(f"{target} is no file: name the .blend file to write with --save.")
    with _alone(target):
        _build_file(options, target)
    print(target)


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Let no other build write the same file: Blender renames what it saves, and of two files none may be left."""
    try:
        held = lock.acquire(target.with_name(f".fathom-{target.name}"))
    except lock.Held as other:
        raise Problem(f"{target} cannot be built now. {other}") from None
    except OSError as error:
        raise Problem(f"{target} cannot be saved: {error.strerror or error}.") from error
    try:
        yield
    finally:
        held.release()


def _build_file(options: argparse.Namespace, target: Path) -> None:
    before = file_facts(Path(options.into)) if options.into else ()
    if options.into:
        if is_there(options.into) and not is_file(options.into):  # Blender would wait for a pipe
            raise Problem(f"{options.into} is no file: name a .blend file with --into.")
        try:
            # nobody is there whom Blender could ask, and nothing that is built needs the file's scripts
            bpy.ops.wm.open_mainfile(filepath=str(Path(options.into).absolute()), use_scripts=False)
        except RuntimeError as error:
            raise Problem(f"{options.into} cannot be opened: {_reason(error)}") from error
        if bpy.data.version[:2] > bpy.app.version[:2] and is_same_path(Path(options.into), Path(options.save)):
            theirs, ours = (".".join(map(str, version[:2])) for version in (bpy.data.version, bpy.app.version))
            raise Problem(
                f"{options.into} was saved by Blender {theirs}, and this one, {ours}, would lose what it does not "
                "know: use that Blender, or save under another name."
            )
    else:
        bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    depth = depth_list.placed(scene, depth_module.load(Path(options.depth).absolute()))
    if options.plate:
        with_plate(depth, Path(options.plate).absolute())  # said before a file is written
    lens, sensor = _lens(options, plate_size(depth)[0])
    focal_length = None if lens is None else lens * SENSOR_WIDTH / sensor
    _remove_drafts(target.parent)
    draft = target.with_name(f".fathom-{os.getpid()}.blend")
    _save(draft, target)  # paths become relative to that folder; what bears the name itself stays until all is built
    try:
        _build_in(scene, depth, options, focal_length)
        if before and is_same_path(Path(options.into), target) and file_facts(Path(options.into)) != before:
            raise Problem(f"{target} was saved elsewhere while this was built: build again, so that nothing is lost.")
        _save(target, target)
    finally:
        draft.unlink(missing_ok=True)


def _remove_drafts(folder: Path) -> None:
    """Delete what builds that were killed more than a day ago have left in a folder."""
    for left in folder.glob(".fathom-*.blend"):
        with contextlib.suppress(OSError):
            is_draft = re.fullmatch(r"\.fathom-[0-9]+\.blend", left.name) and own_files.is_file(left)
            if is_draft and time.time() - left.lstat().st_mtime > _A_DAY:
                left.unlink()


def _build_in(scene: bpy.types.Scene, depth: Depth, options: argparse.Namespace, focal_length: float | None) -> None:
    """Build what is asked for, and say what was."""
    shots = depth.done_shots
    depth_list.remember(scene, depth)
    if options.plate:
        depth = depth_list.find_plate(scene, Path(options.plate).absolute())
    if options.fit_scene or not options.into:
        build.fit_scene(scene, depth)
    if not options.into:
        scene.view_settings.view_transform = "Standard"  # shows the plate as it is
    with lookup.caching():
        for shot in shots if options.all_shots else shots[:1]:
            for name in build.build(
                options.what,
                depth,
                shot,
                scene=scene,
                focal_length=focal_length,
                scene_camera=not options.keep_camera,
            ):
                print(readable(f"Fathom: built {name}"))
        problem = None if options.keep_camera else build.look_through(scene, depth)
    if problem:
        print(readable(f"Fathom: {problem}"))


def _save(path: Path, target: Path) -> None:
    """Save under a path what is to become `target`."""
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(path))
    except RuntimeError as error:
        raise Problem(f"{target} cannot be saved: {_reason(error)}") from error


def _reason(error: RuntimeError) -> str:
    """What an operator of Blender's reported, as the end of a sentence."""
    return str(error).strip().removeprefix("Error: ").rstrip(".") + "."


def printing() -> Callable[[Event], None]:
    """A listener that prints a run's stages, warnings and every tenth of its progress."""
    printed = {"tenth": 0}

    def on_event(event: Event) -> None:
        if isinstance(event, Stage):
            print(readable(f"Fathom: {event.label}"), flush=True)
        elif isinstance(event, Warning):
            print(readable(f"Fathom: {_worded(event.message)}"), flush=True)
        elif isinstance(event, Progress) and int(event.fraction * 10) > printed["tenth"]:
            printed["tenth"] = int(event.fraction * 10)
            print(f"Fathom: {event.fraction:.0%}, {event.frames} of {event.frames_total} frames", flush=True)

    return on_event


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError):  # nobody listens any more
        print(readable(f"Fathom: {_worded(message)}"), flush=True)
    return code


def _worded(message: str) -> str:
    """A message with its settings as the options of these verbs."""
    return hints.as_options(message.replace(hints.setting("overwrite"), hints.setting("new_version")), _OPTIONS)
