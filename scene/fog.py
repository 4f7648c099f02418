"""The fog volume: a closed body that fills the camera's frustum and ends at the surfaces that the depth shows.

A volume grid would have voxels of one size everywhere, half a meter at the actor in a street of a hundred meters; a
mesh ends exactly where the depth does. Its inside is filled by a volume material.
"""

from __future__ import annotations

import bpy

from ..inference.contract.depth_sequence import Quantity, Shot
from . import frustum, lattice, lookup, nodes
from .depth import Depth, disparity_image, distances
from .geometry import Socket, combine, delete, move, named, paint, split, store, switch, vector

FOG_POINTS = 125_000
"""Points on the far side that a new fog starts with at most: fog forgives more than a surface."""

GAP = 2e-4
"""Share of Z by which the fog ends before the surface, so that a ray never meets the depth mesh and the fog's end in
one place: Cycles cannot tell their order then and passes through the surface."""

_VERSION = 1


def build_fog(
    depth: Depth, shot: Shot, camera: bpy.types.Object, *, detail: float | None = None, density: float | None = None
) -> bpy.types.Object:
    """Build the fog of a shot under its camera, or bring the one that was built before up to date.

    At frames of other shots there is no fog. Where it starts is an input of its modifier, what it looks like are inputs
    of its material's group; what was changed there stays.

    Parameters
    ----------
    camera : Object
        The shot's camera: `camera.build_camera`'s, or one of the artist's own.
    detail : float or None
        Share of the maps' width and height that is sampled, above 0 and at most 1. None: as it is; at first what
        gives at most `FOG_POINTS` on the far side.
    density : float or None
        Extinction per unit of length of the scene. None: as it is; at first such that half of the light comes through
        from the far limit or ten times the near distance, whichever is nearer.

    Raises
    ------
    DepthError
        The shot is unsupported.
    """
    depth.require_done(shot)
    group = fog_group(depth.quantity_of(shot))
    starts = {"Start": 0.1 * distances(depth, shot).near}
    fog, modifier, made = frustum.place("fog", "Fog", depth=depth, shot=shot, camera=camera, group=group, starts=starts)
    material, look = _material(depth, shot)
    if made:
        fog.display_type = "BOUNDS"  # a solid, and wires as dense as pixels, would hide the plate
        if detail is None:
            detail = frustum.comfortable_detail(depth, FOG_POINTS)
    if not isinstance(nodes.modifier_input(modifier, "Material"), bpy.types.Material):
        nodes.set_modifier_input(modifier, "Material", material)
    if detail is not None:
        nodes.set_modifier_input(modifier, "Detail", detail)
    if density is not None:
        nodes.input_of(look, "Density").default_value = density
    return fog


def fog_group(quantity: Quantity) -> bpy.types.NodeTree:
    """The Geometry Nodes group of all fogs of a quantity, built if the file has none yet."""
    return lattice.shared_group(f"fog/{quantity}", "Fathom Fog Volume", lambda tree: _build_group(tree, quantity))


def look_group() -> bpy.types.NodeTree:
    """The shader group of fog: density, color, height falloff and noise, built if the file has none yet."""
    return lookup.node_group(f"fog look/{_VERSION}", "Fathom Fog Look", "ShaderNodeTree", _build_look)


# ------------------------------------------------------------------------------------------------------------ parts


def _material(depth: Depth, shot: Shot) -> tuple[bpy.types.Material, bpy.types.Node]:
    """The shot's fog material and the node in it that holds the inputs."""
    image = disparity_image(depth)
    material = lookup.find("fog material", image=image, shot=shot.first_frame, among="materials")
    if material is None:
        material = bpy.data.materials.new(depth.label("Fog", shot))
        lookup.tag(material, "fog material", image=image, shot=shot.first_frame, among="materials")
        nodes.material_tree(material).nodes.clear()
    tree = nodes.material_tree(material)
    look = next((n for n in tree.nodes if n.bl_idname == "ShaderNodeGroup" and n.node_tree == look_group()), None)
    if look is None:
        tree.nodes.clear()
        look = nodes.new(tree, "ShaderNodeGroup", label="Fog")
        look.node_tree = look_group()
        output = nodes.new(tree, "ShaderNodeOutputMaterial")
        nodes.feed(nodes.input_of(output, "Volume"), nodes.output_of(look, "Volume"))
        nodes.arrange(tree)
        reach = distances(depth, shot)
        half_at = min(reach.far_limit, 10.0 * reach.near)
        nodes.input_of(look, "Density").default_value = 0.693 / half_at
        nodes.input_of(look, "Noise Scale").default_value = 1.0 / reach.near
    return material, look


def _build_look(tree: bpy.types.NodeTree) -> None:
    """Extinction = density * exp(-falloff * (z - base)) above the base * noise between 1 - amount and 1 + amount.

    With falloff and noise at 0 the products fold to constants and Cycles renders the fog as homogeneous. Height and
    noise go by the place in the world, so the fog stands still under a moving camera.
    """
    for name, kind, default, low, high, subtype, what in (
        ("Density", "Float", 0.05, 0.0, None, None, "Extinction per unit of length: light falls to 1/e over 1/density"),
        ("Color", "Color", (0.8, 0.85, 0.9, 1.0), None, None, None, "Share of the light that the fog scatters"),
        ("Anisotropy", "Float", 0.0, -0.95, 0.95, "FACTOR", "Above 0 the fog glows around lights behind it"),
        ("Height Falloff", "Float", 0.0, 0.0, None, None, "Density falls to 1/e over 1/this above the base; 0 is off"),
        ("Height Base", "Float", 0.0, None, None, "DISTANCE", "Height in the world up to which density is full"),
        ("Noise Amount", "Float", 0.0, 0.0, 1.0, "FACTOR", "0 is even fog, 1 goes from none to double density"),
        ("Noise Scale", "Float", 0.2, 0.0, None, None, "Patches per unit of length"),
        ("Noise Evolution", "Float", 0.0, None, None, None, "Animate it to let the patches change"),
    ):
        nodes.interface_input(
            tree, name, kind, default=default, minimum=low, maximum=high, subtype=subtype, description=what
        )
    nodes.interface_output(tree, "Volume", "Shader")
    inputs, outputs = nodes.group_sockets(tree)

    position = nodes.value(tree, "ShaderNodeNewGeometry", "Position")
    _, _, height = split(tree, position)
    above = nodes.math(tree, "MAXIMUM", nodes.math(tree, "SUBTRACT", height, inputs["Height Base"]), 0.0)
    fall = nodes.math(tree, "MULTIPLY", inputs["Height Falloff"], above)
    layer = nodes.math(tree, "EXPONENT", nodes.math(tree, "MULTIPLY", fall, -1.0), label="Height")

    patch = {"Vector": position, "W": inputs["Noise Evolution"], "Scale": inputs["Noise Scale"], "Detail": 3.0}
    noise = nodes.value(tree, "ShaderNodeTexNoise", "Color", patch, noise_dimensions="4D").node.outputs[0]
    # The texture lies around 0.5 and seldom beyond 0.25..0.75: stretched to -1..1.
    swing = nodes.math(tree, "MULTIPLY_ADD", noise, 4.0, -2.0)
    swing = nodes.math(tree, "MAXIMUM", nodes.math(tree, "MINIMUM", swing, 1.0), -1.0)
    patches = nodes.math(tree, "ADD", nodes.math(tree, "MULTIPLY", inputs["Noise Amount"], swing), 1.0, label="Noise")

    density = nodes.math(tree, "MULTIPLY", inputs["Density"], nodes.math(tree, "MULTIPLY", layer, patches))
    look = {"Density": density, "Color": inputs["Color"], "Anisotropy": inputs["Anisotropy"], "Density Attribute": ""}
    nodes.feed(outputs["Volume"], nodes.value(tree, "ShaderNodeVolumePrincipled", "Volume", look))


def _build_group(tree: bpy.types.NodeTree, quantity: Quantity) -> None:
    """A box of two layers, one point thick: the far layer goes to the depth, the near one to the start.

    The box comes closed and with its normals outside; displacing its points keeps both.
    """
    tree.is_modifier = True
    nodes.interface_input(tree, "Geometry", "Geometry")
    begins = "Distance from the camera at which the fog begins, in units of the camera path"
    nodes.interface_number(tree, "Start", 0.1, begins, minimum=1e-4, subtype="DISTANCE")
    lattice.add_inputs(tree, quantity, detail="Share of the depth maps' width and height that is sampled")
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
