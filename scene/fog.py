"""The fog volume: a closed body that fills the camera's frustum and ends at the surfaces that the depth shows.

A volume grid would have voxels of one size everywhere, half a meter at the actor in a street of a hundred meters; a
mesh ends exactly where the depth does. Its inside is filled by a volume material.
"""

from __future__ import annotations

import bpy

from ..inference.contract.depth_sequence import Quantity, Shot
from . import fog_light, fog_look, frustum, lattice, lookup, nodes, tags
from .depth import Depth, distances, find_disparity_image
from .geometry import Socket, combine, delete, move, named, paint, split, store, switch, vector
from .problems import Problem

FOG_POINTS = 1_000_000
"""Points on the far side that a render of a new fog samples at most; more and its two layers take seconds a frame."""

VIEWPORT_POINTS = 60_000
"""The same in the viewport, where fog forgives more than a surface."""

GAP = 2e-4
"""Share of Z by which the fog ends before the surface, so that a ray never meets the depth mesh and the fog's end in
one place: Cycles cannot tell their order then and passes through the surface."""


def build_fog(
    depth: Depth,
    shot: Shot,
    camera: bpy.types.Object,
    *,
    detail: float | None = None,
    viewport_detail: float | None = None,
    density: float | None = None,
) -> bpy.types.Object:
    """Build the fog of a shot under its camera, or bring the one that was built before up to date.

    At frames of other shots there is no fog. Where it starts is an input of its modifier, what it looks like are inputs
    of its material's group, see `fog_look`; what was changed there stays. New fog is *Haze*, which needs no lamp.

    Parameters
    ----------
    camera : Object
        The shot's camera: `camera.build_camera`'s, or one of the artist's own.
    detail : float or None
        Share of the maps' width and height that renders sample, above 0 and at most 1. None: as it is; at first 1, or
        what gives at most `FOG_POINTS` on the far side.
    viewport_detail : float or None
        The same of the viewport, which takes no more than `detail`; at first at most `VIEWPORT_POINTS`.
    density : float or None
        Extinction per unit of length of the depth, before Scale. None: as it is.

    Raises
    ------
    DepthError
        The shot is unsupported.
    """
    depth.require_done(shot)
    group = fog_group(depth.quantity_of(shot))
    starts = {
        "Start": 0.1 * distances(depth, shot).near,
        lattice.VIEWPORT_DETAIL: frustum.comfortable_detail(depth, VIEWPORT_POINTS),
    }
    fog, modifier, made = frustum.place("fog", "Fog", depth=depth, shot=shot, camera=camera, group=group, starts=starts)
    material, is_new = fog_look.material(depth, shot, fog)
    if made:
        fog.display_type = "BOUNDS"  # a solid, and wires as dense as pixels, would hide the plate
        if detail is None:
            detail = frustum.comfortable_detail(depth, FOG_POINTS)
    held = nodes.modifier_input(modifier, "Material")
    if not isinstance(held, bpy.types.Material) or tags.text(held, tags.KIND) == tags.text(material, tags.KIND):
        nodes.set_modifier_input(modifier, "Material", material)
    for name, value in (("Detail", detail), (lattice.VIEWPORT_DETAIL, viewport_detail)):
        if value is not None:
            nodes.set_modifier_input(modifier, name, value)
    fog_look.follow(fog)
    if is_new and fog_look.look_of(fog) is not None:
        fog_look.apply_preset(depth, shot, fog, "HAZE", scene=lookup.scenes_of(camera)[0])
    if density is not None:
        fog_look.set_look(fog_look.require_look(fog), {"Density": density})
    return fog


def apply_preset(
    depth: Depth, shot: Shot, fog: bpy.types.Object, preset: fog_look.Preset, *, scene: bpy.types.Scene
) -> str | None:
    """Give a fog the look of *Haze*, *Ground Mist* or *Smoke*, and its lamp, where it has one, the strength for it.

    Returns and raises as `fog_look.apply_preset`.
    """
    note = fog_look.apply_preset(depth, shot, fog, preset, scene=scene)
    fog_light.fit_strength(fog)
    return note


def find_fog(depth: Depth, shot: Shot, scene: bpy.types.Scene) -> bpy.types.Object:
    """The fog of a shot in a scene; Problem where none is built."""
    image = find_disparity_image(depth)
    found = () if image is None else lookup.tagged("fog", image=image, shot=shot.first_frame, form="MESH")
    fog = next((thing for thing in found if lookup.is_in(thing, scene) and fog_look.modifier_of(thing)), None)
    if fog is None:
        raise Problem(
            f"There is no fog of frames {shot.first_frame}-{shot.last_frame} of {depth.name} in this scene: press Fog "
            "Volume first."
        )
    return fog


def fog_shown(scene: bpy.types.Scene, job: str) -> bpy.types.Object | None:
    """The fog of the shot at a scene's frame, of the depth of a job, found without reading the depth; or None."""
    for thing in scene.objects:
        if thing.get(tags.KIND) != "fog" or (modifier := fog_look.modifier_of(thing)) is None:
            continue
        image = thing.get(tags.DEPTH)
        if isinstance(image, bpy.types.Image) and job in tags.jobs(image):
            try:
                numbers = [nodes.modifier_input(modifier, name) for name in ("Frame Offset", "Shown From", "Shown To")]
            except Problem:  # a group that is not as Fathom makes it, which panels must outlive
                continue
            if not all(isinstance(number, (int, float)) for number in numbers):
                continue
            offset, first, last = numbers
            if first <= scene.frame_current - offset <= last:
                return thing
    return None


def fog_group(quantity: Quantity) -> bpy.types.NodeTree:
    """The Geometry Nodes group of all fogs of a quantity, built if the file has none yet."""
    return lattice.shared_group(f"fog/{quantity}", "Fathom Fog Volume", lambda tree: _build_group(tree, quantity))


# ------------------------------------------------------------------------------------------------------------ parts


def _build_group(tree: bpy.types.NodeTree, quantity: Quantity) -> None:
    """A box of two layers, one point thick: the far layer goes to the depth, the near one to the start.

    The box comes closed and with its normals outside; displacing its points keeps both.
    """
    tree.is_modifier = True
    nodes.interface_input(tree, "Geometry", "Geometry")
    begins = "Distance from the camera at which the fog begins, in units of the camera path"
    nodes.interface_number(tree, "Start", 0.1, begins, minimum=1e-4, subtype="DISTANCE")
    share = "Share of the depth maps' width and height that is sampled"
    lattice.add_inputs(
        tree,
        quantity,
        detail=f"{share} in renders and exports",
        viewport_detail=f"{share} in the viewport; never more than Detail",
    )
    nodes.interface_input(tree, "Material", "Material", description="The fog's look")
    lattice.add_panels(tree, quantity)
    nodes.use_single_values(tree)
    nodes.interface_output(tree, "Geometry", "Geometry")
    inputs, outputs = nodes.group_sockets(tree)
    points = lattice.add_lattice(tree, quantity)

    geometry = _box(tree, points.columns, points.rows)
    place = nodes.value(tree, "GeometryNodeInputPosition", "Position")
    is_far = nodes.math(tree, "LESS_THAN", split(tree, place)[2], 0.0)
    surface = nodes.math(tree, "MULTIPLY", points.distance, 1.0 - GAP)
    ends = nodes.math(tree, "MAXIMUM", surface, inputs["Start"])
    thickness = nodes.math(tree, "SUBTRACT", ends, inputs["Start"])
    geometry = store(tree, geometry, "empty", nodes.math(tree, "LESS_THAN", thickness, 1e-9), kind="BOOLEAN")
    z = nodes.math(tree, "MULTIPLY_ADD", is_far, thickness, inputs["Start"])
    geometry = move(tree, geometry, vector(tree, "SCALE", points.ray, scale=z))
    # Where both layers lie in one place there is no fog, and a ray must not have to tell them apart.
    geometry = delete(tree, geometry, named(tree, "empty", "BOOLEAN"), domain="FACE", mode="ALL")
    weld = {
        "Geometry": geometry,
        "Selection": named(tree, "empty", "BOOLEAN"),
        "Distance": nodes.math(tree, "MULTIPLY", inputs["Start"], 1e-6),
    }
    geometry = paint(tree, nodes.value(tree, "GeometryNodeMergeByDistance", "Geometry", weld), inputs["Material"])
    nodes.feed(outputs["Geometry"], switch(tree, points.shown, None, geometry))


def _box(tree: bpy.types.NodeTree, columns: Socket, rows: Socket) -> Socket:
    size = combine(tree, *(nodes.math(tree, "SUBTRACT", count, 1.0) for count in (columns, rows)), 1.0)
    inputs = {"Vertices X": columns, "Vertices Y": rows, "Vertices Z": 2, "Size": size}
    return nodes.value(tree, "GeometryNodeMeshCube", "Mesh", inputs)
