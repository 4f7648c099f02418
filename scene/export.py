"""Depth for other programs: what the artist wants, as an export for the worker or for `blender_files`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty
from mathutils import Matrix

from ..inference.contract import client, depth_sequence
from ..inference.contract import export as contract
from ..inference.contract.camera import Camera
from ..inference.contract.client import Steps, WorkerError
from ..inference.contract.depth_sequence import DepthSequenceError, Shot
from ..inference.contract.events import Error, Event
from ..inference.contract.export import Export, Placement
from ..inference.contract.job import JobError
from ..inference.contract.untrusted import in_a_line
from . import camera, depth_list, lookup, nodes, places, preferences, solved_camera, standing, tags
from .camera import stretch_problem
from .compositing.compositor_nodes import find_scene_tree
from .compositing.depth_group import KIND as COMPOSITOR_DEPTH
from .compositing.tree import Setup
from .current_run import describe_bytes
from .depth import Depth, distances, find_disparity_image
from .disk_status import Seen
from .distance_nodes import FIT_SWITCH
from .mesh import evaluated_when_hidden
from .output import root_folder
from .plate import ask as ask_for_plate
from .plate import plate_size
from .problems import Problem
from .solved_camera import SolvedCamera
from .source import Plate
from .versions import PATH_OPTIONS
from .wording import worded

FORMATS = (
    ("EXR", "Z (OpenEXR)", "Distances in scene units, a file for each frame: for Nuke, Fusion, Natron, After Effects"),
    ("PNG", "16-bit PNG", "Gray in one range for each shot, a file for each frame"),
    ("MOVIE", "Preview Movie", "Gray in one range for each shot, as H.264"),
    ("CONTROL", "Control Video", "Gray with near white, its sides multiples of what a video model wants"),
    ("PLY", "Point Cloud (.ply)", "Points in the plate's colors where they stand in the scene"),
    ("CHAN", "Camera (.chan)", "The camera's path and field of view, as Nuke and Houdini read them"),
    ("USD", "Camera (USD)", "The camera with its lens and path"),
    ("ALEMBIC", "Camera (Alembic)", "The camera with its lens and path"),
    ("USD_MESH", "Depth Mesh (USD)", "The built depth mesh on each frame, with UVs and normals"),
    ("ALEMBIC_MESH", "Depth Mesh (Alembic)", "The built depth mesh on each frame, with UVs and normals"),
    ("PLY_MESH", "Depth Mesh (.ply)", "The built depth mesh, a file for each frame"),
    ("FOG_VDB", "Fog Volume (.vdb)", "The density of the built fog as voxels, a file for each frame"),
)
_MOST_DIGITS = 30
"""Of a range: more than Blender has frames, and few enough for every number."""
_LOOKS = 25
"""Frames of a shot at most at which what may be animated is looked at."""
_DISTANCES = ("Near", "Far", "Near Limit", "Far Limit", FIT_SWITCH)


@dataclass(frozen=True)
class Exporting:
    """What a run is about: an export into a folder."""

    folder: str


def properties(options: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The settings of an export, as annotations: of a scene's property group, and of the operator."""

    def of(kind: Any, name: str, description: str, **more: Any) -> Any:
        return kind(name=name, description=description, options=set(options) | more.pop("options", set()), **more)

    return {
        "format": of(EnumProperty, "Format", "What is written", items=FORMATS, default="EXR"),
        "directory": of(
            StringProperty, "Folder", "Where the files go", default="//export", subtype="DIR_PATH", options=PATH_OPTIONS
        ),
        "frames": of(
            StringProperty, "Frames", "The clip's frames to export, such as 1001-1040; empty: all that have depth"
        ),
        "channel": of(
            StringProperty, "Channel", "Name of the distances in the files: Z, or depth.Z as in Nuke", default="Z"
        ),
        "half": of(BoolProperty, "Half Float", "16 bits a value instead of 32: a thousandth of the distance"),
        "negative": of(BoolProperty, "Negative Z", "Below 0, for programs whose cameras look along -Z"),
        "with_confidence": of(BoolProperty, "Confidence", "Add the estimator's confidence, as channel confidence.A"),
        "with_mattes": of(
            BoolProperty,
            "Mattes",
            "The images of the Matte Folder: in EXR files channel matte.A; left out of point clouds",
        ),
        "full_size": of(
            BoolProperty,
            "Full Resolution",
            "Bring the depth to the plate's size, its edges following those of the image",
            default=True,
        ),
        "white": of(
            EnumProperty,
            "White",
            "What is white",
            items=(("NEAR", "Near", "Near is white"), ("FAR", "Far", "Far is white")),
            default="NEAR",
        ),
        "low": of(FloatProperty, "Low", "Percentile of a shot's depth at the far end", default=1.0, min=0.0, max=100.0),
        "high": of(
            FloatProperty, "High", "Percentile of a shot's depth at the near end", default=99.0, min=0.0, max=100.0
        ),
        "size": of(
            IntProperty,
            "Long Side",
            "Of the control video; 0: that of the depth maps",
            default=0,
            min=0,
            max=16384,
            subtype="PIXEL",
        ),
        "multiple": of(
            IntProperty,
            "Multiple",
            "Both sides of the control video are multiples of it: 8 for most models, 64 for some",
            default=8,
            min=2,
            max=512,
        ),
        "every": of(IntProperty, "Every", "Take every so many-th frame", default=1, min=1, max=10_000),
        "fps": of(
            FloatProperty,
            "Frame Rate",
            "Frames a second; 0: as many as make it last as long as the clip",
            default=0.0,
            min=0.0,
            max=1000.0,
        ),
        "merged": of(BoolProperty, "Merge Frames", "One file for each shot, thinned to one point in each voxel"),
        "voxel": of(
            FloatProperty,
            "Voxel",
            "Side of a voxel; 0: of points about two pixels at the median distance, of fog by Voxels",
            default=0.0,
            min=0.0,
            subtype="DISTANCE",
        ),
        "voxels": of(
            IntProperty,
            "Voxels",
            "Along the longest side of the fog, where Voxel is 0",
            default=256,
            min=8,
            max=4096,
        ),
        "farthest": of(
            FloatProperty,
            "Farthest",
            "No fog farther from the camera is written, so that voxels are not spent on the sky; 0: all of it",
            default=0.0,
            min=0.0,
            subtype="DISTANCE",
        ),
        "space": of(
            EnumProperty,
            "Space",
            "What the grid stands still in",
            items=(
                ("WORLD", "World", "The grid lies in the scene as the fog does"),
                ("CAMERA", "Camera", "The grid lies before the shot's camera at the origin, which looks along -Z"),
            ),
            default="WORLD",
        ),
        "minimum_confidence": of(
            FloatProperty,
            "Minimum Confidence",
            "Leave out points that the estimator is less sure of",
            default=0.0,
            min=0.0,
            max=1.0,
            subtype="FACTOR",
        ),
        "up": of(
            EnumProperty,
            "Up",
            "The axis that points up",
            items=(
                ("AUTO", "Automatic", "Z for points, as in Blender; Y for .chan, as in Nuke"),
                ("Z", "Z", "As in Blender"),
                ("Y", "Y", "As in Nuke, Maya and Houdini"),
            ),
            default="AUTO",
        ),
        "use_near_far": of(
            BoolProperty, "Near and Far", "Distances of relative depth; off: those of what is built from it"
        ),
        "near": of(
            FloatProperty,
            "Near",
            "Distance of the nearest 1 % of the shot, before Scale",
            default=1.0,
            min=1e-6,
            subtype="DISTANCE",
        ),
        "far": of(
            FloatProperty,
            "Far",
            "Distance of the farthest 1 % of the shot, before Scale",
            default=10.0,
            min=1e-6,
            subtype="DISTANCE",
        ),
        "overwrite": of(BoolProperty, "Overwrite", "Replace files of the same names, whoever wrote them"),
    }


NAMES = tuple(properties())


def wanted(
    depth: Depth, values: dict[str, Any], *, scene: bpy.types.Scene, focal_length: float | None = None
) -> Export:
    """An export of a depth as it stands in a scene.

    Distances are those of the node groups that are built, in scene units; the camera's world stands where its rig
    stands.

    Parameters
    ----------
    values : dict
        The settings by the names of `properties`; those that are missing have their defaults. A format of
        `contract.BLENDERS` gives one of ``chan``, whose frames and shots are the same.
    focal_length : float or None
        In millimeters on a sensor 36 mm wide, of shots without a camera.

    Raises
    ------
    Problem, OutputError
        A shot is relative and nothing says how near and far it is; there is no folder, or no Matte Folder; the scene's
        time is stretched.
    JobError
        The settings are not valid.
    """
    if (problem := stretch_problem(scene)) is not None:
        raise Problem(problem)
    defaults = {name: kind.keywords.get("default") for name, kind in properties().items()}
    chosen = {**defaults, **values}
    kind = chosen["format"].lower()
    kind = "chan" if kind in contract.BLENDERS else kind
    first, last = _range(chosen["frames"] or "")
    made = Export(
        depth=str(depth.folder),
        output=str(root_folder(chosen["directory"])),
        format=kind,
        first_frame=first,
        last_frame=last,
        plate=depth.plate,
        focal_length=focal_length,
        mattes=_mattes(scene) if chosen["with_mattes"] and kind in ("exr", "ply") else None,
        channel=chosen["channel"],
        half=bool(chosen["half"]),
        negative=bool(chosen["negative"]),
        confidence=bool(chosen["with_confidence"]) and kind == "exr",
        full_size=bool(chosen["full_size"]) if kind in ("exr", "png") else None,
        far_white=chosen["white"] == "FAR",
        percentiles=(float(chosen["low"]), float(chosen["high"])),
        size=chosen["size"] or None,
        multiple=chosen["multiple"],
        every=chosen["every"],
        fps=chosen["fps"] or None,
        merged=bool(chosen["merged"]),
        voxel=chosen["voxel"] or None,
        minimum_confidence=chosen["minimum_confidence"] or 0.0,
        up=None if chosen["up"] == "AUTO" else chosen["up"].lower(),
    )
    contract.validate(made)
    how = {"scene": scene, "format": kind, "given": (chosen["near"], chosen["far"]) if chosen["use_near_far"] else None}
    follows = chosen["format"].lower() in (*contract.MESHES, *contract.FOGS)  # what Blender writes frame by frame
    if not follows:
        _require_own(depth, scene, kind)
    placements = []
    for shot, frames in contract.shots_within(made, depth.sequence):
        placements.append(_placement(depth, shot, frames if kind in contract.NEEDS_CAMERA else None, **how))
        if not follows and _may_change(depth, shot, scene):
            _require_constant(depth, shot, frames, **how)
    return contract.validate(replace(made, placements=tuple(placements)))


def steps(export: Export, *, overwrite: bool = False) -> Steps:
    """The steps of the worker that writes an export; everything that it names may be looked at."""
    for place in (export.depth, export.output, *([export.mattes] if export.mattes else [])):
        places.ask(place)
    python, home = preferences.worker_python(), preferences.data_folder()
    return client.export(export, overwrite=overwrite, python=python, home=home)


def write(export: Export, *, overwrite: bool = False, on_event: Callable[[Event], None] | None = None) -> None:
    """Write an export and wait for it; WorkerError has one sentence. `on_event` hears every event."""
    for events in steps(export, overwrite=overwrite):
        for event in events:
            if on_event is not None:
                on_event(event)
            if isinstance(event, Error):
                raise WorkerError(event, worded(event.message))


def ask(depth: Depth) -> None:
    """The artist asked for something that reads the depth's plate."""
    ask_for_plate(depth)


def known_size(item: bpy.types.PropertyGroup, values: dict[str, Any]) -> str | None:
    """What an export of an entry of a scene's list takes of the disk at most, for the artist; None: not known yet."""
    kind = values["format"].lower()
    if kind in contract.BLENDERS or not depth_list.may_look(item) or not item.folder.strip():
        return None
    asked = _Asked(
        folder=places.expanded(item.folder),
        format=kind,
        half=values["half"],
        layers=values["with_confidence"] + values["with_mattes"],
        full_size=values["full_size"],
        size=values["size"],
        multiple=values["multiple"],
        every=values["every"],
        frames=values["frames"],
    )
    size = _sizes.of(asked)
    return None if size is None else describe_bytes(size)


# ----------------------------------------------------------------------------------------------- distances and place


def _placement(
    depth: Depth,
    shot: Shot,
    frames: range | None,
    *,
    scene: bpy.types.Scene,
    format: str,
    given: tuple[float, float] | None,
) -> Placement:
    """As the scene has it now; the camera of a solve is read at each of the `frames`, where there are any."""
    depth.require_done(shot)
    suits, is_relative = distances(depth, shot), depth.quantity_of(shot) == "relative_disparity"
    chosen, fit = _built_distances(depth, shot, scene, format=format), depth.fit_of(shot)
    far_limit = chosen.get("Far Limit", suits.far_limit)
    near_limit = chosen.get("Near Limit", suits.near_limit) if is_relative else 0.0
    line: tuple[tuple[int, float, float], ...] = ((shot.first_frame, 1.0, 0.0),)
    if fit is not None and chosen.get(FIT_SWITCH, True) and not (is_relative and given):
        line = fit.keys
    elif is_relative:
        if given is None and not chosen and format in contract.NEEDS_DISTANCES:
            raise Problem(
                f"The depth of frames {shot.first_frame}-{shot.last_frame} of {depth.name} is relative, so it has no "
                "distances of its own: set Near and Far here, or build a depth mesh and set them there."
            )
        near, far = given or (chosen.get("Near", suits.near), chosen.get("Far", suits.far))
        if not near < far:
            raise Problem(f"Near must be less than Far, not {near:g} and {far:g}: set them where the depth is built.")
        line = ((shot.first_frame, *contract.line_of(suits.p1, suits.p99, near=near, far=far)),)
        if given is not None:
            near_limit, far_limit = 0.5 * near, max(10.0 * far, suits.far_limit)
    stand = _stand(depth, shot, scene, frames=frames, scale=chosen.get("Scale"))
    return Placement(first_frame=shot.first_frame, line=line, near_limit=near_limit, far_limit=far_limit, **stand)


def _require_own(depth: Depth, scene: bpy.types.Scene, format: str) -> None:
    """Raise a `Problem` where what was built of a depth came into the scene from another file, and nothing was here.

    Its rig may be moved and scaled, and the export would be as if nothing stood in the scene.
    """
    if format not in (*contract.NEEDS_DISTANCES, *contract.NEEDS_CAMERA) or any(
        camera.find_rig(depth, shot, scene) for shot in depth.done_shots
    ):
        return
    for thing in scene.objects:
        image = thing.get(tags.DEPTH)
        if not isinstance(image, bpy.types.Image) or image.library is None:
            continue
        if tags.text(thing, tags.KIND) and tags.text(image, tags.JOB) == depth.sequence.fingerprint:
            raise Problem(
                f"{thing.name}, which stands in this scene, was built of {depth.name} in {image.library.filepath}, and "
                "an export does not follow what is linked: export from that file, or build the depth here too."
            )


def _may_change(depth: Depth, shot: Shot, scene: bpy.types.Scene) -> bool:
    """Whether something may change over time that the distances and the place of a shot come from."""
    rig, tree = camera.find_rig(depth, shot, scene), find_scene_tree(scene)
    if rig is not None and (rig.parent is not None or len(rig.constraints) or _is_animated(rig, but=("scale",))):
        return True
    paths = {
        nodes.modifier_input_path(modifier, name)
        for thing in built(depth, shot, scene)
        for modifier in thing.modifiers
        if modifier.type == "NODES" and modifier.node_group is not None
        for name in nodes.interface_identifiers(modifier.node_group).keys() & set(_DISTANCES)
    }
    things = built(depth, shot, scene)
    return any(_is_animated(each, only=paths) for each in things) or (tree is not None and _is_animated(tree))


def _is_animated(block: bpy.types.ID, *, only: Collection[str] | None = None, but: Collection[str] = ()) -> bool:
    """Whether a datablock has keys, or drivers of properties other than Fathom drives itself."""
    data = block.animation_data
    if data is None:
        return False
    driven = {curve.data_path for curve in data.drivers} - set(but)
    return data.action is not None or len(data.nla_tracks) > 0 or bool(driven if only is None else driven & set(only))


def _require_constant(
    depth: Depth, shot: Shot, frames: range, *, scene: bpy.types.Scene, format: str, **how: Any
) -> None:
    """Raise a `Problem` where distances or the place that an export has once for a shot change over its frames: those
    at the playhead would pass for those of every frame.
    """
    used = {}
    if format in contract.NEEDS_DISTANCES:
        used |= {"line": "Near and Far", "near_limit": "Near Limit", "far_limit": "Far Limit"}
    if format in contract.NEEDS_CAMERA:
        used |= {"world": "place or rotation"}
    if not used:
        return
    used |= {"scale": "Scale"}
    before, subframe = scene.frame_current, scene.frame_subframe
    try:
        found = []
        with evaluated_when_hidden(list(built(depth, shot, scene)), scene):
            for at in np.unique(np.linspace(0, len(frames) - 1, _LOOKS).astype(int)):
                scene.frame_set(frames[at] + depth.frame_offset)
                found.append(_placement(depth, shot, None, scene=scene, format=format, **how))
    finally:
        scene.frame_set(before, subframe=subframe)
    for name, label in used.items():
        values = [np.asarray(getattr(each, name) or 0.0, float) for each in found]
        if not all(np.allclose(values[0], each, rtol=1e-4, atol=1e-6) for each in values):
            raise Problem(
                f"The {label} of frames {shot.first_frame}-{shot.last_frame} of {depth.name} is animated, and this "
                "export has one for the whole shot: remove the animation, or export the depth mesh, which follows it."
            )


def _built_distances(depth: Depth, shot: Shot, scene: bpy.types.Scene, *, format: str) -> dict[str, float]:
    """Near, Far and the limits of what is built from a shot in a scene: its mesh, its fog or its compositing; or {}.

    Of compositing without a rig also its Scale. Problem where nodes of the artist's feed what the format has.
    """
    for thing in built(depth, shot, scene):
        for modifier in thing.modifiers:
            group = modifier.node_group if modifier.type == "NODES" else None
            if group is not None and tags.text(group, tags.KIND).startswith(("mesh/", "fog/")):
                names = nodes.interface_identifiers(group).keys() & set(_DISTANCES)
                return {name: float(nodes.modifier_input(modifier, name)) for name in names}
    tree = find_scene_tree(scene)
    node = Setup(scene, tree, depth, shot).find(COMPOSITOR_DEPTH) if tree is not None else None
    if node is None:
        return {}
    names = _DISTANCES if camera.find_rig(depth, shot, scene) is not None else (*_DISTANCES, "Scale")
    sockets = [socket for socket in node.inputs if socket.name in names]
    linked = [socket.name for socket in sockets if socket.is_linked and format in contract.NEEDS_DISTANCES]
    if linked:
        raise Problem(
            f"{', '.join(linked)} of the node {node.name} {'is' if len(linked) == 1 else 'are'} fed by other nodes in "
            "the compositor, whose values an export does not know: take the links away and enter the values there."
        )
    return {socket.name: float(socket.default_value) for socket in sockets}


def built(depth: Depth, shot: Shot, scene: bpy.types.Scene) -> Iterator[bpy.types.Object]:
    """The mesh, the subject apart from it and the fog of a shot in a scene."""
    image = find_disparity_image(depth)
    for kind in ("mesh", "subject", "fog") if image is not None else ():
        things = lookup.tagged(kind, image=image, shot=shot.first_frame, form="MESH")
        yield from (thing for thing in things if lookup.is_in(thing, scene))


def _stand(
    depth: Depth, shot: Shot, scene: bpy.types.Scene, *, frames: range | None, scale: float | None
) -> dict[str, Any]:
    """How large a shot's distances are in the scene, and where its camera stands, as values of a `Placement`.

    That is where its mesh and fog hang: under the camera of the scene that follows the solve which the depth is of, or
    under Fathom's own and its rig; where nothing is built, where it would be, by the `scale` that compositing has. The
    camera of a solve is read at each of the `frames`, where there are any.
    """
    scene.view_layers[0].update()  # what a script has just moved stands where it is
    own = camera.find_camera(depth, shot, scene)
    parents = {thing.parent for thing in built(depth, shot, scene)}
    if own is None or (parents and own not in parents):
        stands, clip = standing.find(depth, shot, scene), standing.clip_of(depth, shot)
        if stands is not None:
            size = stands.size * standing.world_scale(stands.camera)
            read = (lambda plate: solved_camera.of_scene_camera(stands.camera, scene, plate)) if frames else None
            lens = standing.lens_of(depth, shot, stands.camera)
            return {"scale": size, "path_scale": 1.0 / size, "camera": _filmed(depth, frames, read, lens)}
        if clip is not None:
            read = (lambda plate: solved_camera.of_clip(clip, plate)) if frames else None
            return {"camera": _filmed(depth, frames, read, solved_camera.lens_of_clip(clip))}
    world, scale = _rig(depth, shot, scene, otherwise=scale)
    return {
        "scale": scale,
        "path_scale": camera.path_unit(depth, shot),
        "world": tuple(map(tuple, world)),
    }


def _filmed(
    depth: Depth, frames: range | None, read: Callable[[Plate], SolvedCamera] | None, lens: Camera | None
) -> Camera | None:
    """The camera of some frames that is read for a plate, with what `lens` does to the image.

    Problem where it has no pose at one.
    """
    if read is None or frames is None:
        return None
    width, height = plate_size(depth)
    source, first = replace(depth.source, width=width, height=height), frames[0]
    plate = Plate(source=source, first_frame=first, last_frame=frames[-1], scene_start=first + depth.frame_offset)
    found = read(plate)
    if found.missing:
        raise Problem(
            f"The camera has no pose at frame {found.missing[0]} of the clip"
            f"{f' and {len(found.missing) - 1} more' if len(found.missing) > 1 else ''}: solve these frames too, or "
            "estimate and export without them."
        )
    bent = (lens.distortion, lens.distortion_model) if lens is not None else ((0.0, 0.0), "polynomial")
    return replace(found.camera, distortion=bent[0], distortion_model=bent[1])


def _rig(depth: Depth, shot: Shot, scene: bpy.types.Scene, *, otherwise: float | None) -> tuple[Matrix, float]:
    """Where the rig of a shot stands, a rotation and a translation, and its scale; `otherwise` : that without one."""
    rig = camera.find_rig(depth, shot, scene)
    if rig is None and otherwise is not None:
        return Matrix.Identity(4), otherwise
    if rig is None:
        is_metric = depth.sequence.unit == "metres" and scene.unit_settings.system != "NONE"
        return Matrix.Identity(4), 1.0 / scene.unit_settings.scale_length if is_metric else 1.0
    place, turn, scale = rig.evaluated_get(scene.view_layers[0].depsgraph).matrix_world.decompose()
    if max(scale) - min(scale) > 1e-3 * max(scale) or min(scale) <= 0:
        raise Problem(
            f"{rig.name} is scaled unevenly, by what it hangs under, so distances mean nothing: scale all axes alike."
        )
    return Matrix.LocRotScale(place, turn, None), sum(scale) / 3


def _range(text: str) -> tuple[int | None, int | None]:
    """First and last frame of a text such as ``1001-1040``."""
    if not text.strip():
        return None, None
    first, dash, last = text.replace(" ", "").partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()) or len(first) + len(last) > _MOST_DIGITS:
        raise JobError(f"Frames are a range such as 1001-1040, or one number, not '{in_a_line(text)}'.")
    return int(first), int(last) if dash else int(first)


def _mattes(scene: bpy.types.Scene) -> str:
    stored = scene.fathom.mattes.strip()
    if not stored:
        raise Problem("There is no Matte Folder: choose one in the settings, or export without mattes.")
    return str(Path(places.expanded(stored)).absolute())


# --------------------------------------------------------------------------------------------------- room on the disk


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What the size of an export depends on."""

    folder: str
    format: str
    half: bool
    layers: int
    full_size: bool
    size: int
    multiple: int
    every: int
    frames: str


def _look(asked: _Asked) -> float:
    try:
        first, last = _range(asked.frames)
        export = Export(
            depth=asked.folder,
            output="",
            format=asked.format,
            first_frame=first,
            last_frame=last,
            half=asked.half,
            confidence=asked.layers > 0,
            mattes="" if asked.layers > 1 else None,
            full_size=asked.full_size if asked.format in ("exr", "png") else None,
            size=asked.size or None,
            multiple=asked.multiple,
            every=asked.every,
        )
        return contract.estimated_bytes(export, depth_sequence.read(asked.folder))
    except (OSError, DepthSequenceError, JobError) as error:
        raise LookupError from error


_sizes = Seen(_look, holds=5.0)
