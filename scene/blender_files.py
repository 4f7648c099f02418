"""What Blender itself writes for other programs: cameras and depth meshes as USD, Alembic and PLY, fog as OpenVDB.

Files are on the clip's own frame numbers, which the timeline of the scene need not have. So what is written is copied
into a scene of its own, keyed there at each frame as the artist's scene shows it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
from mathutils import Matrix

from ..inference.contract import export as contract
from ..inference.contract import lock, numbering, own_files
from ..inference.contract.depth_sequence import Shot
from ..inference.contract.export import Export
from . import camera, nodes, whole_files
from .build import fit_scene
from .depth import Depth, estimated_again, is_of_earlier_estimate
from .export import built
from .fog import find_fog
from .fog_grid import Grid, write_grid
from .lattice import VIEWPORT_DETAIL
from .mesh import ONE_MESH, evaluated_when_hidden, modifier_of
from .problems import Problem

_LEAST_ROOM = 1e6
"""Bytes: where fewer are free, a file that Blender cannot write is taken for one that does not fit."""
_A_DAY = 86400.0
"""Seconds after which no other Blender writes a file of an export any more: a mesh may have gigabytes."""
_BUILT_WITH = {"usd": ("USD", "usd"), "alembic": ("Alembic", "alembic"), "ply": ("PLY", "io_ply")}
"""By the beginning of a format's name: what its files are called, and Blender's build option; those of Linux
distributions leave some out.
"""
_VALUES = ("VALUE", "INT", "BOOLEAN")
"""Types of a group's inputs that may be keyed."""


def write(
    depth: Depth,
    export: Export,
    kind: str,
    *,
    scene: bpy.types.Scene,
    overwrite: bool = False,
    grid: Grid | None = None,
) -> list[Path]:
    """Write a format of `contract.BLENDERS`; see `write_cameras`, `write_meshes` and `write_fogs`."""
    if kind in contract.FOGS:
        return write_fogs(depth, export, scene=scene, overwrite=overwrite, grid=grid)
    how = write_meshes if kind in contract.MESHES else write_cameras
    return how(depth, export, kind, scene=scene, overwrite=overwrite)


def earlier_beside(depth: Depth, export: Export, kind: str) -> str | None:
    """What `numbering.earlier_stay` says of an export that is to replace a longer one; None where it does not."""
    if kind not in ("ply_mesh", *contract.FOGS):
        return None
    stem, _, suffix = contract.file_name(kind, depth.sequence).rpartition(".")
    named = re.compile(rf"{re.escape(stem)}\.(-?[0-9]+)\.{suffix}", re.ASCII)
    try:
        found = [named.fullmatch(path.name) for path in Path(export.output).iterdir()]
    except OSError:
        return None
    there = {int(match[1]) for match in found if match}
    own = {frame for _, frames in contract.shots_within(export, depth.sequence) for frame in frames}
    return numbering.earlier_stay(sorted(there - own)) if there - own and there & own else None


def write_cameras(
    depth: Depth,
    export: Export,
    kind: str,
    *,
    scene: bpy.types.Scene,
    overwrite: bool = False,
) -> list[Path]:
    """Write the camera of each shot of an export as USD or Alembic, on the clip's own frame numbers.

    Parameters
    ----------
    export : Export
        One of ``chan``: `export.wanted`.
    kind : str
        One of `contract.CAMERAS`.

    Raises
    ------
    Problem
        A shot has no camera, a file is there already, the folder cannot be written, or Blender cannot write one.
    """
    shots = contract.shots_within(export, depth.sequence)
    folder = Path(export.output)
    paths = [folder / contract.file_name(kind, depth.sequence, shot=shot) for shot, _ in shots]
    cameras = (placed.camera if export.focal_length is None else None for placed in export.placements)
    known = [own or camera.intrinsics(depth, s, export.focal_length) for own, (s, _) in zip(cameras, shots)]
    with _into(folder, paths, overwrite=overwrite):
        for path, lens, (shot, frames), placed in zip(paths, known, shots, export.placements):
            with own_files.atomic(path) as temporary, _scene_for(scene, depth, frames) as made:
                filmed = camera.baked_camera(
                    lens,
                    frames,
                    world=Matrix(placed.world) if placed.world else Matrix.Identity(4),
                    scale=placed.scale * placed.path_scale,
                    name=depth.label("Camera", shot),
                )
                made.collection.objects.link(filmed)
                _write(kind, temporary, made, [filmed], frames)
    return paths


def write_meshes(
    depth: Depth,
    export: Export,
    kind: str,
    *,
    scene: bpy.types.Scene,
    overwrite: bool = False,
) -> list[Path]:
    """Write the built depth mesh of each shot of an export, with a subject apart, on the clip's own frame numbers.

    Its vertices are where the scene shows them, at *Detail*. Nothing goes on where it was cancelled: whole files alone
    bear their names.

    Parameters
    ----------
    export : Export
        One of ``chan``: `export.wanted`.
    kind : str
        One of `contract.MESHES`: one file for each shot, or for each frame.

    Raises
    ------
    Problem
        A shot has no mesh in the scene, or one of points, or of an earlier estimate; it shows nothing at a frame; a
        file is there already, the folder cannot be written, or Blender cannot write one.
    """
    folder = Path(export.output)
    by_frame = kind == "ply_mesh"
    wanted = [
        (shot, frames, _meshes(depth, shot, scene)) for shot, frames in contract.shots_within(export, depth.sequence)
    ]
    named: list[tuple[Path, Shot, range, list[bpy.types.Object]]] = []
    for shot, frames, meshes in wanted:
        for part in (range(n, n + 1) for n in frames) if by_frame else (frames,):
            name = contract.file_name(kind, depth.sequence, **({"frame": part[0]} if by_frame else {"shot": shot}))
            named.append((folder / name, shot, part, meshes))
    paths = [path for path, *_ in named]
    with _into(folder, paths, overwrite=overwrite):
        for number, (path, _shot, frames, meshes) in enumerate(named):
            with own_files.atomic(path) as temporary, _scene_for(scene, depth, frames) as made:
                copies = [_copy(mesh, depth, scene, frames) for mesh in meshes]
                for each in copies:
                    made.collection.objects.link(each)
                made.frame_set(frames[0])
                _write(kind, temporary, made, copies, frames)
            if by_frame and not number:
                _remove_earlier(paths[1:])
    return paths


def write_fogs(
    depth: Depth,
    export: Export,
    *,
    scene: bpy.types.Scene,
    overwrite: bool = False,
    grid: Grid | None = None,
) -> list[Path]:
    """Write the built fog of each shot of an export as OpenVDB grids, one file for each of the clip's own frames.

    Parameters
    ----------
    export : Export
        One of ``chan``: `export.wanted`.
    grid : Grid or None
        How it is divided into voxels.

    Raises
    ------
    Problem
        A shot has no fog in the scene, or of an earlier estimate; a file is there already, the folder cannot be
        written; or as `fog_grid.write_grid`. The frames before it are whole.
    """
    folder, paths = Path(export.output), []
    wanted = [
        (find_fog(depth, shot, scene), frame)
        for shot, frames in contract.shots_within(export, depth.sequence)
        for frame in frames
    ]
    for _, frame in wanted:
        paths.append(folder / contract.file_name("fog_vdb", depth.sequence, frame=frame))
    _require_current(depth, list(dict.fromkeys(fog for fog, _ in wanted)))
    before, subframe = scene.frame_current, scene.frame_subframe
    try:
        with _into(folder, paths, overwrite=overwrite):
            for number, (path, (fog, frame)) in enumerate(zip(paths, wanted)):
                scene.frame_set(frame + depth.frame_offset)
                with own_files.atomic(path) as temporary:
                    write_grid(fog, temporary, grid or Grid(), scene=scene)
                    whole_files.require(temporary)
                if not number:
                    _remove_earlier(paths[1:])
    finally:
        scene.frame_set(before, subframe=subframe)
    return paths


# ------------------------------------------------------------------------------------------------------------ parts


def _meshes(depth: Depth, shot: Shot, scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The depth mesh of a shot, and the subject apart from it."""
    found = [thing for thing in built(depth, shot, scene) if modifier_of(thing) is not None]
    if not found:
        raise Problem(
            f"No depth mesh of frames {shot.first_frame}-{shot.last_frame} of {depth.name} is in this scene: build it "
            "first."
        )
    _require_current(depth, found)
    for thing in found:
        if nodes.modifier_input(modifier_of(thing), "Point Cloud"):
            raise Problem(f"{thing.name} is a point cloud: switch that off in its modifier, or export points.")
    return found


def _require_current(depth: Depth, things: list[bpy.types.Object]) -> None:
    """Raise a `Problem` where what is to be written shows the depth by the values of an earlier estimate."""
    names = [thing.name for thing in things if is_of_earlier_estimate(thing, depth)]
    if names:
        raise Problem(estimated_again(depth, names))


def _copy(mesh: bpy.types.Object, depth: Depth, scene: bpy.types.Scene, frames: range) -> bpy.types.Object:
    """A depth mesh without parent and drivers, keyed at source frames with the place and the inputs that it has."""
    before, subframe = scene.frame_current, scene.frame_subframe
    places, values = [], []
    names = _numbers(modifier_of(mesh).node_group)
    try:
        with evaluated_when_hidden([mesh], scene) as depsgraph:
            for frame in frames:
                scene.frame_set(frame + depth.frame_offset)
                shown = mesh.evaluated_get(depsgraph)
                if not len(shown.data.vertices):
                    raise Problem(f"{mesh.name} shows nothing at frame {frame} of the clip: its depth map is missing.")
                places.append(shown.matrix_world.copy())
                values.append({name: nodes.modifier_input(modifier_of(shown), name) for name in names})
    finally:
        scene.frame_set(before, subframe=subframe)
    copied = mesh.copy()
    copied.hide_viewport = copied.hide_render = False
    copied.animation_data_clear()
    copied.parent = None
    copied.rotation_mode = "QUATERNION"
    modifier = modifier_of(copied)
    for name in names:
        _set(modifier, name, [(frame, each[name]) for frame, each in zip(frames, values)])
    nodes.set_modifier_input(modifier, "Frame Offset", 0)
    for name, value in ((VIEWPORT_DETAIL, 1.0), (ONE_MESH, True)):  # .ply is written as the viewport has it
        nodes.set_modifier_input(modifier, name, value)
    turn = None
    for frame, place in zip(frames, places):
        copied.location, copied.rotation_quaternion, copied.scale = place.decompose()
        if turn is not None:
            copied.rotation_quaternion.make_compatible(turn)
        turn = copied.rotation_quaternion.copy()
        for path in ("location", "rotation_quaternion", "scale"):
            copied.keyframe_insert(path, frame=frame)
    return copied


def _numbers(group: bpy.types.NodeTree) -> list[str]:
    """Names of a group's inputs that are numbers."""
    inputs, _ = nodes.group_sockets(group)
    return [socket.name for socket in inputs if socket.type in _VALUES]


def _set(modifier: bpy.types.NodesModifier, name: str, keys: list[tuple[int, Any]]) -> None:
    """Give an input its value, keyed where that changes."""
    nodes.set_modifier_input(modifier, name, keys[0][1])
    if len({value for _, value in keys}) > 1:
        path = nodes.modifier_input_path(modifier, name)
        nodes.set_keys(modifier.id_data, path, [(frame, float(value)) for frame, value in keys])


@contextmanager
def _into(folder: Path, paths: list[Path], *, overwrite: bool) -> Iterator[None]:
    """Write into a folder, which is made, but over nothing unasked, and while nobody else exports into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = lock.acquire(folder / contract.SCRATCH)  # the worker's as well: frames of two would look like one
        try:
            for path in paths:
                if os.path.lexists(path) and not overwrite:
                    raise Problem(f"{path} exists already: choose another folder, or overwrite it.")
            own_files.remove_leftovers(folder, {path.name for path in paths}, seconds=_A_DAY)
            yield
        finally:
            held.release()
    except lock.Held as other:
        raise Problem(str(other)) from None
    except OSError as error:
        raise Problem(f"{folder} cannot be written ({error.strerror or error}): choose another folder.") from error


def _remove_earlier(paths: list[Path]) -> None:
    """Remove the rest of a sequence that is replaced, now that its first file is: where the export breaks off, frames
    of two would look like one.
    """
    for path in paths:
        own_files.remove(path)


@contextmanager
def _scene_for(scene: bpy.types.Scene, depth: Depth, frames: range) -> Iterator[bpy.types.Scene]:
    """A scene with a scene's units and a clip's size, rate and frames, and nothing in it; removed with what it gets."""
    made = bpy.data.scenes.new("Fathom Export")
    made.unit_settings.system = scene.unit_settings.system
    made.unit_settings.scale_length = scene.unit_settings.scale_length
    made.render.fps, made.render.fps_base = scene.render.fps, scene.render.fps_base
    fit_scene(made, depth, frame_range=False)
    made.frame_start, made.frame_end = frames[0], frames[-1]
    try:
        yield made
    finally:
        for thing in list(made.collection.objects):
            data = thing.data
            actions = {each.animation_data.action for each in (thing, data) if each.animation_data is not None}
            bpy.data.objects.remove(thing)
            bpy.data.batch_remove([each for each in (data, *(actions - {None})) if not each.users])
        bpy.data.scenes.remove(made)


def _write(kind: str, path: Path, made: bpy.types.Scene, things: list[bpy.types.Object], frames: range) -> None:
    """Let Blender's own exporter write the things of a scene."""
    name, option = next(each for start, each in _BUILT_WITH.items() if kind.startswith(start))
    if not getattr(bpy.app.build_options, option):
        raise Problem(
            f"This Blender was built without {name}: export another format, or use the Blender of blender.org."
        )
    layer = made.view_layers[0]
    layer.update()
    if kind.startswith("alembic"):  # whose writer ends Blender where the disk is full
        whole_files.require_room(path.parent, _largest(things, layer, frames))
    for thing in things:
        thing.select_set(True, view_layer=layer)
    in_renders = {} if kind in contract.CAMERAS else {"evaluation_mode": "RENDER"}
    place = {"scene": made, "view_layer": layer, "selected_objects": things, "active_object": things[0]}
    try:
        with bpy.context.temp_override(**place):
            if kind.startswith("usd"):
                options = in_renders and {**in_renders, "export_materials": False, "export_uvmaps": True}
                bpy.ops.wm.usd_export(filepath=str(path), selected_objects_only=True, export_animation=True, **options)
            elif kind.startswith("alembic"):
                bpy.ops.wm.alembic_export(
                    filepath=str(path), start=frames[0], end=frames[-1], selected=True, flatten=True, **in_renders
                )
            else:
                bpy.ops.wm.ply_export(
                    filepath=str(path), export_selected_objects=True, apply_modifiers=True, export_uv=True
                )
    except RuntimeError as error:
        whole_files.require_room(path.parent, _LEAST_ROOM)  # on a full disk, USD says that a plugin is missing
        reason = str(error).strip().removeprefix("Error: ").rstrip(".")
        what = "camera" if kind in contract.CAMERAS else "mesh"
        raise Problem(f"Blender cannot write the {what} to {path.parent} ({reason}).") from error
    whole_files.require(path)


def _largest(things: list[bpy.types.Object], layer: bpy.types.ViewLayer, frames: range) -> float:
    """Bytes of an Alembic file at most, about: places, normals, UVs and indices of every frame."""
    total = 1e6
    for thing in things:
        data, of_frame = thing.evaluated_get(layer.depsgraph).data, 4096
        if isinstance(data, bpy.types.Mesh):
            of_frame += 12 * len(data.vertices) + 36 * len(data.loops) + 4 * len(data.polygons)
        total += of_frame * len(frames)
    return total
