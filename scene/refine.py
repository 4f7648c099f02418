"""Depth with better edges: what the artist wants, as a refinement for the worker, and what becomes of its result."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, FloatProperty, IntProperty, StringProperty

from ..inference.contract import client, depth_sequence, leftovers, plate_files
from ..inference.contract import refinement as contract
from ..inference.contract.client import Steps, WorkerError
from ..inference.contract.depth_sequence import DepthSequence
from ..inference.contract.events import Error, Event
from ..inference.contract.refinement import Refinement
from ..inference.contract.untrusted import absolute, is_there
from . import depth as depth_module
from . import depth_list, missing_files, output, places, preferences
from . import plate as plate_module
from .depth import Depth, DepthError, is_same_place
from .output import Claim, Place
from .versions import PATH_OPTIONS
from .wording import worded

_ADDED = "_refined"
"""What a refined depth's folder is called beside that of the depth."""


@dataclass(frozen=True)
class Refining:
    """What a run is about: a refinement into a folder."""

    folder: str


def properties(options: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The settings of a refinement, as annotations: of a scene's property group, and of the operator."""

    def of(kind: Any, name: str, description: str, **more: Any) -> Any:
        return kind(name=name, description=description, options=set(options) | more.pop("options", set()), **more)

    return {
        "sharpen": of(
            BoolProperty, "Sharpen", "Place the depth's edges where the plate has them", default=Refinement.sharpen
        ),
        "fringe": of(
            IntProperty,
            "Fringe",
            "Pixels of the depth maps that may lie between the two sides of an edge, as where it is blurred: each "
            "takes the depth of either side. 0: none does",
            default=Refinement.fringe,
            min=0,
            max=contract.MOST_FRINGE,
            subtype="PIXEL",
        ),
        "edge": of(
            FloatProperty,
            "Edge",
            "Pixels of the plate by which the near side of every edge grows; below 0 it shrinks",
            default=Refinement.edge,
            min=-contract.MOST_EDGE,
            max=contract.MOST_EDGE,
            soft_min=-5.0,
            soft_max=5.0,
            subtype="PIXEL",
        ),
        "smooth": of(
            IntProperty,
            "Smooth",
            "Frames before and after each that its depth is averaged with, along the motion in the image; 0: none",
            default=Refinement.smooth,
            min=0,
            max=contract.MOST_SMOOTH,
        ),
        "sky": of(
            BoolProperty,
            "Sky",
            "Find the sky (smooth, at the image's upper border) and put it at the far limit: for shots that show one",
            default=Refinement.sky,
        ),
        "sky_mattes": of(
            StringProperty,
            "Sky Mattes",
            "Folder of images with the clip's frame numbers, white in the sky, instead of finding it",
            subtype="DIR_PATH",
            options=PATH_OPTIONS,
        ),
        "long_side": of(
            IntProperty,
            "Long Side",
            "Of the refined maps; 0: the plate's",
            default=0,
            min=0,
            max=16384,
            subtype="PIXEL",
        ),
    }


NAMES = tuple(properties())


def prepare(
    depth: Depth, values: dict[str, Any] | None = None, *, new_version: bool = False
) -> tuple[Refinement, Place]:
    """The refinement of a depth, and where it goes: a folder beside the depth's.

    The folder that holds the same refinement, finished or not, is its own; else it gets a new one. `values` are the
    settings by the names of `properties`; those that are missing have their defaults.

    Raises
    ------
    JobError, Problem
        The settings are not valid; the folder cannot be read.
    """
    defaults = {name: kind.keywords.get("default") for name, kind in properties().items()}
    chosen = {**defaults, **(values or {})}
    places.ask(depth.folder)
    mattes = str(absolute(places.expanded(chosen["sky_mattes"]))) if chosen["sky_mattes"] else None
    wanted = Refinement(
        depth=str(depth.folder),
        output=str(depth.folder),
        plate=depth.plate,
        size=chosen["long_side"] or None,
        sharpen=bool(chosen["sharpen"]),
        fringe=chosen["fringe"],
        edge=chosen["edge"],
        smooth=chosen["smooth"],
        sky=bool(chosen["sky"]) or mattes is not None,
        sky_mattes=mattes,
    )
    contract.validate(wanted)
    place = _place(depth, wanted, new_version=new_version)
    return contract.validate(replace(wanted, output=str(place.folder))), place


def _place(depth: Depth, wanted: Refinement, *, new_version: bool) -> Place:
    fingerprint = wanted.fingerprint(depth.sequence)
    for number in itertools.count(1):
        folder = depth.folder.with_name(f"{depth.folder.name}{_ADDED}{number if number > 1 else ''}")
        if not is_there(folder) or output.is_free(folder):
            return Place(folder=folder, standing="new")
        if new_version:
            continue
        if depth_sequence.unfinished_fingerprint(folder) == fingerprint:
            return Place(folder=folder, standing="unfinished")
        with contextlib.suppress(DepthError):
            made = depth_module.load(folder).sequence
            if made.fingerprint == fingerprint and not _is_of_others(made, folder, depth, wanted):
                return Place(folder=folder, standing="finished")
    raise AssertionError("there are more numbers than folders")


def _is_of_others(made: DepthSequence, folder: Path, depth: Depth, wanted: Refinement) -> bool:
    """Whether a refined depth was made of other files than there are now: of the depth, the plate, the sky's mattes."""
    shots = made.done_shots
    if not shots:
        return False
    first, last = shots[0].first_frame, shots[-1].last_frame
    plate = plate_files.look(depth.source, first, last) if plate_module.may_look(depth) else None
    if made.plate_files is not None and made.plate_files.are_others(plate):
        return True
    if made.other_files is None:
        return not _is_newer(folder, depth.folder)
    return made.other_files.are_others(contract.files_beside(wanted, depth.source, first, last))


def _is_newer(folder: Path, than: Path) -> bool:
    """Whether a depth sequence was finished after another."""
    made, before = ((each / depth_sequence.SIDECAR).stat().st_mtime_ns for each in (folder, than))
    return made >= before


def steps(wanted: Refinement, taken: Claim | None = None) -> Steps:
    """The steps of the worker that refines; everything that the refinement names may be looked at."""
    yield from output.held(taken, _steps(wanted))


def _steps(wanted: Refinement) -> Steps:
    for place in (wanted.depth, wanted.output, *([wanted.sky_mattes] if wanted.sky_mattes else [])):
        places.ask(place)
    folder = Path(wanted.output)
    made = leftovers.missing_folders(folder)
    python, home = preferences.worker_python(), preferences.data_folder()
    try:
        yield from client.refine(wanted, python=python, home=home)
    finally:
        leftovers.take_away(folder, made)


def ask(depth: Depth) -> None:
    """The artist asked for something that reads the depth's plate."""
    plate_module.ask(depth)


def refine(
    depth: Depth,
    values: dict[str, Any] | None = None,
    *,
    new_version: bool = False,
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Depth:
    """Refine a depth and wait for it; one that is there already is loaded. Arguments as for `prepare`.

    Raises
    ------
    JobError, Problem, MissingEnvironment, WorkerError
        One sentence each.
    """
    ask(depth)
    wanted, place, taken = output.take(lambda: prepare(depth, values, new_version=new_version))
    if place.standing != "finished":
        with contextlib.closing(steps(wanted, taken)) as running:
            for event in itertools.chain.from_iterable(running):
                on_event(event)
                if isinstance(event, Error):
                    raise WorkerError(event, worded(event.message))
    return depth_module.load(place.folder, frame_offset=depth.frame_offset)


def adopt(scene: bpy.types.Scene, depth: Depth, folder: Path) -> Depth:
    """Put the refined depth in a folder on the scene's list, active, placed and fitted as the depth that it is of."""
    refined = depth_module.load(folder, frame_offset=depth.frame_offset)
    source = next((item for item in scene.fathom.depths if is_same_place(item.folder, depth.folder)), None)
    fits = [] if source is None else [_stored(fit) for fit in source.fits if fit.job == depth.sequence.fingerprint]
    entry = scene.fathom.depths[depth_list.remember(scene, refined)]
    entry.fits.clear()
    for fit in fits:
        _restore(entry.fits.add(), fit | {"job": refined.sequence.fingerprint})
    missing_files.reload()
    return depth_list.placed(scene, refined)


def _stored(group: bpy.types.PropertyGroup) -> dict[str, Any]:
    """The values of a property group and of those in it, which outlive changes of the list that it lies in."""
    found: dict[str, Any] = {}
    for prop in group.bl_rna.properties:
        if prop.identifier == "rna_type":
            continue
        value = getattr(group, prop.identifier)
        found[prop.identifier] = [_stored(each) for each in value] if prop.type == "COLLECTION" else value
    return found


def _restore(group: bpy.types.PropertyGroup, values: dict[str, Any]) -> None:
    """Write what `_stored` returned."""
    for name, value in values.items():
        if isinstance(value, list):
            for each in value:
                _restore(getattr(group, name).add(), each)
        else:
            setattr(group, name, value)
