"""Fog as voxels, for other programs: an OpenVDB grid of its density, for each frame.

A Geometry Nodes group fills a box with the density that the fog's material has, where the frustum and the depth leave
room for it, and Blender writes the grid. A voxel that the surface passes through is filled by the share of it in front:
half a voxel behind the surface nothing is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector

from ..inference.contract.depth_sequence import Quantity
from . import fog_look, lattice, memory, nodes, versions
from .fog import GAP
from .geometry import Socket, combine, repeat, sample, split, vector
from .problems import Problem

BYTES = 24
"""Host memory that Blender takes for a voxel of the box while it fills it."""

_FEWEST, _MOST = 8, 4096
_LENS_STEPS = 6
"""Fixed-point steps that find a place of the plate whose undistorted one is known."""
_ROWS = ("Right", "Up", "Back", "Origin")
_SIDES = "XYZ"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """How fog is divided into voxels.

    Attributes
    ----------
    voxel : float
        Side of a voxel in units of the scene; 0: by `count`.
    count : int
        Voxels along the longest side of the box, where `voxel` is 0.
    farthest : float
        Nothing farther from the camera along its axis is written, in units of the scene; 0: as far as the fog reaches.
    in_camera : bool
        Whether the grid is in the space of the shot's camera (x right, y up, looking along -z), in units of the scene;
        else it is in the world's.
    """

    voxel: float = 0.0
    count: int = 256
    farthest: float = 0.0
    in_camera: bool = False


def grid_of(values: dict[str, Any]) -> Grid:
    """The grid that the settings of an export ask for, by their names in `export.properties`."""
    return Grid(
        voxel=values["voxel"],
        count=values["voxels"],
        farthest=values["farthest"],
        in_camera=values["space"] == "CAMERA",
    )


def write_grid(fog: bpy.types.Object, path: Path, grid: Grid, *, scene: bpy.types.Scene) -> None:
    """Write a fog as the scene's frame has it, as a grid called ``density``: extinction per unit of the scene.

    Raises
    ------
    Problem
        The fog shows nothing at this frame or has a material of the artist's own or inputs that nodes feed; its box
        takes more memory than is free; Blender cannot write the file; the grid's numbers are none.
    """
    _require_valid(grid)
    scene.view_layers[0].update()
    depsgraph = scene.view_layers[0].depsgraph
    shown = fog.evaluated_get(depsgraph)
    place = shown.matrix_world.copy()
    turn, scale = place.to_3x3().normalized(), sum(place.to_scale()) / 3.0
    if not 0.0 < scale < math.inf or abs(place.determinant()) < 1e-30:
        raise Problem(f"{fog.name} is scaled to nothing, by what it hangs under: scale it up to export it.")
    to_world = Matrix.LocRotScale(place.translation, turn, None) if grid.in_camera else Matrix.Identity(4)
    to_depth = place.inverted() @ to_world
    low, high, voxel = _box(shown, to_depth.inverted(), scale=scale, grid=grid, frame=scene.frame_current)
    counts = [round((b - a) / voxel) + 1 for a, b in zip(low, high)]
    _require_memory(counts)
    made = bpy.data.objects.new("Fathom Fog Grid", bpy.data.volumes.new("Fathom Fog Grid"))
    try:
        modifier = made.modifiers.new("Fathom", "NODES")
        modifier.node_group = grid_group(_quantity(fog))
        values = _inputs(shown) | _look(fog, depsgraph)
        values |= {f"Count {side}": count for side, count in zip(_SIDES, counts)}
        shift = versions.VOLUME_CUBE_SHIFT * voxel
        values |= {"Low": low, "High": high, "Voxel": voxel / scale, "Shift": (shift, shift, shift)}
        values |= {"Farthest": grid.farthest / scale if grid.farthest else 1e9}
        for name, matrix in (("Depth", to_depth), ("World", to_world)):
            rows = [Vector(matrix[i][:3]) for i in range(3)] + [matrix.translation]
            values |= {f"{name} {row}": value for row, value in zip(_ROWS, rows)}
        for name, value in values.items():
            nodes.set_modifier_input(modifier, name, value)
        scene.collection.objects.link(made)
        scene.view_layers[0].update()
        filled = made.evaluated_get(scene.view_layers[0].depsgraph).data
        if not len(filled.grids) or not filled.grids.save(str(path)) or not path.exists():
            raise Problem(f"Blender cannot write a grid to {path.parent}: choose another folder.")
    finally:
        data = made.data
        bpy.data.objects.remove(made)
        bpy.data.volumes.remove(data)


def grid_group(quantity: Quantity) -> bpy.types.NodeTree:
    """The Geometry Nodes group that fills a box with the density of fog, built if the file has none yet."""
    kind, name = f"fog grid/{quantity}", "Fathom Fog Grid"
    return lattice.shared_group(kind, name, lambda tree: _build_group(tree, quantity))


# ------------------------------------------------------------------------------------------------------------ parts


def _quantity(fog: bpy.types.Object) -> Quantity:
    has_near = "Near" in nodes.interface_identifiers(fog_look.modifier_of(fog).node_group)
    return "relative_disparity" if has_near else "inverse_depth"


def _inputs(shown: bpy.types.Object) -> dict[str, Any]:
    """What an evaluated fog's modifier has now, as far as the grid needs it."""
    modifier = fog_look.modifier_of(shown)
    left_out = ("Geometry", "Material", "Detail", lattice.VIEWPORT_DETAIL)
    names = [name for name in nodes.interface_identifiers(modifier.node_group) if name not in left_out]
    values = {name: nodes.modifier_input(modifier, name) for name in names}
    images = {name: values[name].original for name in values if isinstance(values[name], bpy.types.Image)}
    return {name: value for name, value in values.items() if value is not None} | images


def _look(fog: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> dict[str, Any]:
    """What a fog's look has now."""
    look = fog_look.require_look(fog)
    names = [row[0] for rows in fog_look.LOOK.values() for row in rows if row[1] == "Float"]
    linked = [name for name in names if nodes.input_of(look, name).is_linked]
    if linked:
        raise Problem(
            f"{', '.join(linked)} of {fog.name} {'is' if len(linked) == 1 else 'are'} fed by nodes of your own, which "
            "a grid cannot hold: take the links away in the Shader Editor, or render the fog in Blender."
        )
    material = nodes.modifier_input(fog_look.modifier_of(fog), "Material").evaluated_get(depsgraph)
    now = material.node_tree.nodes[look.name]
    return {name: nodes.input_of(now, name).default_value for name in (*names, *fog_look.FOLLOWS)}


def _box(
    shown: bpy.types.Object, from_depth: Matrix, *, scale: float, grid: Grid, frame: int
) -> tuple[Vector, Vector, float]:
    """Lowest and highest corner of the box around an evaluated fog, and the side of a voxel.

    Corners are whole voxels from the origin, so that voxels of one frame lie in those of the next.
    """
    count = len(shown.data.vertices)
    if not count:
        raise Problem(f"{shown.name} shows nothing at frame {frame}: its depth map is missing.")
    local = np.empty(3 * count, np.float32)
    shown.data.vertices.foreach_get("co", local)
    points = local.reshape(-1, 3).astype(float)
    if grid.farthest:
        far = grid.farthest / scale
        points *= np.minimum(1.0, far / np.maximum(-points[:, 2], 1e-9))[:, None]
    matrix = np.array(from_depth)
    points = points @ matrix[:3, :3].T + matrix[:3, 3]
    low, high = points.min(axis=0), points.max(axis=0)
    if not np.isfinite([low, high]).all():
        raise Problem(f"{shown.name} reaches to infinity at frame {frame}: its depth map is damaged, or it was moved.")
    voxel = grid.voxel or float((high - low).max()) / max(grid.count - 3, 1)
    if not voxel > 0:
        raise Problem(
            f"{shown.name} is a single point at frame {frame}, as where it stands too far from the world's origin: "
            "move what it hangs under back, or give the side of a voxel."
        )
    low, high = (np.floor(low / voxel) - 1) * voxel, (np.ceil(high / voxel) + 1) * voxel
    return Vector(low), Vector(high), voxel


def _require_valid(grid: Grid) -> None:
    if not all(math.isfinite(each) and each >= 0.0 for each in (grid.voxel, grid.farthest)):
        raise Problem("Voxel and Farthest must be lengths, or 0: choose others.")
    if not _FEWEST <= grid.count <= _MOST:
        raise Problem(f"Voxels must be {_FEWEST} to {_MOST}, not {grid.count}.")


def _require_memory(counts: list[int]) -> None:
    needed, free = math.prod(counts) * BYTES, memory.free_bytes()
    if free is not None and needed > free:
        raise Problem(
            f"A grid of {'x'.join(map(str, counts))} voxels takes {needed / 1e9:.1f} GB of memory, and "
            f"{free / 1e9:.1f} GB are free: choose fewer or larger voxels, or a nearer Farthest."
        )


def _build_group(tree: bpy.types.NodeTree, quantity: Quantity) -> None:
    tree.is_modifier = True
    nodes.interface_input(tree, "Geometry", "Geometry")
    lattice.add_inputs(tree, quantity, detail="Not used")
    lattice.add_panels(tree, quantity)
    nodes.interface_number(tree, "Start", 0.1, "Distance at which the fog begins, before Scale")
    nodes.interface_number(tree, "Farthest", 1e9, "Distance at which the grid ends, before Scale")
    nodes.interface_number(tree, "Voxel", 0.1, "Side of a voxel, before Scale")
    for side in _SIDES:
        nodes.interface_input(tree, f"Count {side}", "Int", default=2)
    for name in ("Low", "High", "Shift", *(f"{what} {row}" for what in ("Depth", "World") for row in _ROWS)):
        nodes.interface_input(tree, name, "Vector")
    fog_look.add_inputs(tree)
    nodes.use_single_values(tree)
    nodes.interface_output(tree, "Geometry", "Geometry")
    inputs, outputs = nodes.group_sockets(tree)
    position = vector(tree, "SUBTRACT", nodes.value(tree, "GeometryNodeInputPosition", "Position"), inputs["Shift"])
    share = _share(tree, quantity, inputs, _moved(tree, inputs, "Depth", position))
    density = fog_look.density(tree, inputs, _moved(tree, inputs, "World", position))
    filled = nodes.math(tree, "MULTIPLY", density, share)
    low, high = (vector(tree, "ADD", inputs[name], inputs["Shift"]) for name in ("Low", "High"))
    box = {"Density": filled, "Background": 0.0, "Min": low, "Max": high}
    box |= {f"Resolution {side}": inputs[f"Count {side}"] for side in _SIDES}
    nodes.feed(outputs["Geometry"], nodes.value(tree, "GeometryNodeVolumeCube", "Volume", box))


def _moved(tree: bpy.types.NodeTree, inputs: Any, name: str, position: Socket) -> Socket:
    """A position of the grid in the space of the depth or of the world, by the rows of a matrix."""
    turned = combine(tree, *(vector(tree, "DOT_PRODUCT", inputs[f"{name} {row}"], position) for row in _ROWS[:3]))
    return vector(tree, "ADD", turned, inputs[f"{name} Origin"])


def _share(tree: bpy.types.NodeTree, quantity: Quantity, inputs: Any, place: Socket) -> Socket:
    """The share of a voxel around a place of the depth's space that is in the fog."""
    x, y, back = split(tree, place)
    z = nodes.math(tree, "MULTIPLY", back, -1.0)
    ahead = nodes.math(tree, "MAXIMUM", z, 1e-9)
    u, v = _on_plate(tree, inputs, nodes.math(tree, "DIVIDE", x, ahead), nodes.math(tree, "DIVIDE", y, ahead))
    timing = lattice.use_group(tree, "frames", "Fathom Frames", lattice.build_frames)
    disparity = sample(tree, inputs["Disparity"], combine(tree, u, v, 0.0), timing.outputs["Frame"])
    surface = nodes.math(tree, "MULTIPLY", lattice.add_distance(tree, quantity, disparity), 1.0 - GAP)
    ends = nodes.math(tree, "MINIMUM", surface, inputs["Farthest"])
    share: Any = 1.0
    for before, after in ((z, ends), (inputs["Start"], z)):
        inside = nodes.math(tree, "DIVIDE", nodes.math(tree, "SUBTRACT", after, before), inputs["Voxel"])
        share = nodes.math(tree, "MULTIPLY", nodes.math(tree, "ADD", inside, 0.5, clamp=True), share)
    for at in (u, v):
        off = nodes.math(tree, "ABSOLUTE", nodes.math(tree, "SUBTRACT", at, 0.5))
        share = nodes.math(tree, "MULTIPLY", nodes.math(tree, "LESS_THAN", off, 0.5), share)
    return share


def _on_plate(tree: bpy.types.NodeTree, inputs: Any, x: Socket, y: Socket) -> tuple[Socket, Socket]:
    """The place (u, v) of the plate that a ray (x, y, -1) falls on: the inverse of what `lattice` does."""
    square = nodes.math(tree, "MULTIPLY_ADD", x, x, nodes.math(tree, "MULTIPLY", y, y))
    inner = nodes.math(tree, "MULTIPLY_ADD", inputs["K2"], square, inputs["K1"])
    bent = nodes.math(tree, "MULTIPLY_ADD", inner, square, 1.0)
    focal = nodes.math(tree, "MULTIPLY", inputs["Focal Length"], bent)
    u = nodes.math(tree, "SUBTRACT", nodes.math(tree, "MULTIPLY_ADD", x, focal, 0.5), inputs["Shift X"])
    rise = nodes.math(tree, "SUBTRACT", nodes.math(tree, "MULTIPLY", y, focal), inputs["Shift Y"])
    v = nodes.math(tree, "ADD", nodes.math(tree, "DIVIDE", rise, inputs["Aspect"]), 0.5)
    target = combine(tree, u, v, 0.0)

    def step(now: dict[str, Socket]) -> dict[str, Socket]:
        moved = lattice.undistorted(tree, now["Place"], inputs["Lens Map"])
        return {"Place": vector(tree, "SUBTRACT", target, vector(tree, "SUBTRACT", moved, now["Place"]))}

    found = repeat(tree, _steps(tree, inputs), {"Place": ("VECTOR", target)}, step)["Place"]
    u, v, _ = split(tree, found)
    return u, v


def _steps(tree: bpy.types.NodeTree, inputs: Any) -> Socket:
    """None without a lens map."""
    info = nodes.value(tree, "GeometryNodeImageInfo", "Width", {"Image": inputs["Lens Map"]})
    return nodes.math(tree, "MULTIPLY", nodes.math(tree, "GREATER_THAN", info, 0.0), float(_LENS_STEPS))
