"""The depth mesh: the plate as a surface or as points, every pixel at its distance, live on the timeline."""

from __future__ import annotations

import bpy

from ..inference.contract.depth_sequence import Quantity, Shot
from . import frustum, lattice, lookup, nodes, tags
from .depth import Depth, confidence_image, disparity_image
from .geometry import Socket, combine, delete, move, named, paint, sample, split, store, switch, vector
from .plate import plate_image, show_plate

PLATE_ATTRIBUTE = "plate"
"""Vector (u Z, v Z, Z) of each point: linear over a triangle in space, so that the plate's place (u, v) that a shader
gets by dividing is exact between the points as well, where (u, v) itself would swim with the slope."""

DEPTH_ATTRIBUTE = "depth"
"""Z of each point, along the camera's axis, in units of the camera path."""

EDGE_CUT = 0.1
POINT_RADIUS = 0.7


def build_mesh(
    depth: Depth,
    shot: Shot,
    camera: bpy.types.Object,
    *,
    points: bool | None = None,
    detail: float | None = None,
    plate: bool = True,
) -> bpy.types.Object:
    """Build the depth mesh of a shot under its camera, or bring the one that was built before up to date.

    At frames of other shots there is no geometry. It is the camera's child and follows its lens and shift. Its
    modifier's inputs are the artist's: what was changed there stays.

    Parameters
    ----------
    camera : Object
        The shot's camera: `camera.build_camera`'s, or one of the artist's own.
    points : bool or None
        Whether points are shown instead of a surface. None: as it is, a surface at first.
    detail : float or None
        Share of the maps' width and height that is sampled, above 0 and at most 1. None: as it is; at first 1, or
        less where that would be more than half a million points.
    plate : bool
        Whether the plate is put on it, as an emission.

    Raises
    ------
    DepthError
        The shot is unsupported.
    PlateError
        `plate` is asked for and missing; nothing is built then.
    """
    depth.require_done(shot)
    material = plate_material(depth) if plate else None
    confidence = confidence_image(depth)
    group = mesh_group(depth.quantity_of(shot), with_confidence=confidence is not None)
    mesh, modifier, made = frustum.place("mesh", "Mesh", depth=depth, shot=shot, camera=camera, group=group)
    if made and detail is None:
        detail = frustum.comfortable_detail(depth)
    shown = nodes.modifier_input(modifier, "Material")
    if isinstance(shown, bpy.types.Material) and shown.get(tags.KIND) != "plate material":
        material = None  # the artist's own stays
    for name, value in (
        ("Point Cloud", points),
        ("Detail", detail),
        ("Confidence", confidence),
        ("Material", material),
    ):
        if value is not None:
            nodes.set_modifier_input(modifier, name, value)
    return mesh


@lookup.once
def plate_material(depth: Depth) -> bpy.types.Material:
    """The material that shows the plate as an emission, in step with the depth; one for all shots of a clip."""
    plate, image = plate_image(depth), disparity_image(depth)
    material = lookup.find("plate material", image=image, among="materials")
    if material is None:
        material = bpy.data.materials.new(depth.label("Plate"))
        lookup.tag(material, "plate material", image=image, among="materials")
        _build_material(nodes.material_tree(material))
    for node in nodes.material_tree(material).nodes:
        if node.bl_idname == "ShaderNodeTexImage" and tags.KIND in node:
            node.image = plate
            show_plate(node.image_user, depth)
    return material


def mesh_group(quantity: Quantity, *, with_confidence: bool) -> bpy.types.NodeTree:
    """The Geometry Nodes group of all depth meshes of a quantity, built if the file has none yet."""
    kind = f"mesh/{quantity}" + ("/confidence" if with_confidence else "")
    return lattice.shared_group(kind, "Fathom Depth Mesh", lambda tree: _build_group(tree, quantity, with_confidence))


# ------------------------------------------------------------------------------------------------------------ parts


def _build_material(tree: bpy.types.NodeTree) -> None:
    tree.nodes.clear()
    u, v, z = split(tree, nodes.value(tree, "ShaderNodeAttribute", "Vector", attribute_name=PLATE_ATTRIBUTE))
    place = combine(tree, nodes.math(tree, "DIVIDE", u, z), nodes.math(tree, "DIVIDE", v, z), 0.0)
    color = nodes.value(tree, "ShaderNodeTexImage", "Color", {"Vector": place}, label="Plate", extension="EXTEND")
    color.node[tags.KIND] = "plate"
    emission = nodes.value(tree, "ShaderNodeEmission", "Emission", {"Color": color})
    nodes.feed(nodes.input_of(nodes.new(tree, "ShaderNodeOutputMaterial"), "Surface"), emission)
    nodes.arrange(tree)


def _build_group(tree: bpy.types.NodeTree, quantity: Quantity, with_confidence: bool) -> None:
    tree.is_modifier = True
    _add_inputs(tree, quantity, with_confidence)
    nodes.use_single_values(tree)
    nodes.interface_output(tree, "Geometry", "Geometry")
    inputs, outputs = nodes.group_sockets(tree)
    points = lattice.add_lattice(tree, quantity)

    geometry = _grid(tree, points.columns, points.rows)
    u, v, _ = split(tree, points.uv)
    z = points.distance
    place = combine(tree, nodes.math(tree, "MULTIPLY", u, z), nodes.math(tree, "MULTIPLY", v, z), z)
    geometry = store(tree, geometry, PLATE_ATTRIBUTE, place, kind="FLOAT_VECTOR")
    geometry = store(tree, geometry, "UVMap", points.uv, kind="FLOAT2", domain="CORNER")
    geometry = store(tree, geometry, "border", points.border, kind="BOOLEAN")
    if with_confidence:
        timing = next(n for n in tree.nodes if n.label == "Frames")
        pixels = next(n for n in tree.nodes if n.label == "Pixels")
        sure = sample(tree, inputs["Confidence"], pixels.outputs["Pixel"], timing.outputs["Frame"])
        geometry = store(tree, geometry, "confidence", sure, kind="FLOAT")
    geometry = store(tree, geometry, DEPTH_ATTRIBUTE, z, kind="FLOAT")
    geometry = move(tree, geometry, vector(tree, "SCALE", points.ray, scale=z))
    if with_confidence:
        doubtful = nodes.math(tree, "LESS_THAN", named(tree, "confidence", "FLOAT"), inputs["Minimum Confidence"])
        geometry = delete(tree, geometry, doubtful, domain="POINT", mode="ALL")

    surface = _cut_edges(tree, geometry, inputs["Edge Cut"])
    inside = nodes.math(tree, "SUBTRACT", 1.0, named(tree, "border", "BOOLEAN"))
    spacing = nodes.math(tree, "MULTIPLY", points.spacing, named(tree, DEPTH_ATTRIBUTE, "FLOAT"))
    radius = nodes.math(tree, "MULTIPLY", spacing, inputs["Point Radius"])
    vertices = {"Mesh": geometry, "Selection": inside, "Radius": radius}
    cloud = nodes.value(tree, "GeometryNodeMeshToPoints", "Points", vertices, mode="VERTICES")
    geometry = paint(tree, switch(tree, inputs["Point Cloud"], surface, cloud), inputs["Material"])
    nodes.feed(outputs["Geometry"], switch(tree, points.shown, None, geometry))


def _add_inputs(tree: bpy.types.NodeTree, quantity: Quantity, with_confidence: bool) -> None:
    nodes.interface_input(tree, "Geometry", "Geometry")
    points = "Points instead of a surface, one for each sampled pixel"
    nodes.interface_input(tree, "Point Cloud", "Bool", default=False, description=points)
    lattice.add_inputs(tree, quantity, detail="Share of the depth maps' width and height that is sampled")
    cut = "Cut the surface where the depth jumps between neighbors by more than this share; 1 cuts nothing"
    nodes.interface_number(tree, "Edge Cut", EDGE_CUT, cut, minimum=0.0, maximum=1.0, subtype="FACTOR")
    radius = "In distances between neighboring points; 0.7 leaves no gaps as the camera sees them"
    nodes.interface_number(tree, "Point Radius", POINT_RADIUS, radius, minimum=0.0)
    if with_confidence:
        sure = "Leave out what the estimator is less sure of"
        nodes.interface_number(tree, "Minimum Confidence", 0.0, sure, minimum=0.0, maximum=1.0, subtype="FACTOR")
    nodes.interface_input(tree, "Material", "Material", description="What it shows; the plate at first")
    lattice.add_panels(tree, quantity)
    if with_confidence:
        maps = nodes.panel(tree, "Depth Maps")
        nodes.interface_input(tree, "Confidence", "Image", parent=maps, description="The confidence maps")


def _grid(tree: bpy.types.NodeTree, columns: Socket, rows: Socket) -> Socket:
    width, height = (nodes.math(tree, "SUBTRACT", count, 1.0) for count in (columns, rows))
    inputs = {"Vertices X": columns, "Vertices Y": rows, "Size X": width, "Size Y": height}
    return nodes.value(tree, "GeometryNodeMeshGrid", "Mesh", inputs)


def _cut_edges(tree: bpy.types.NodeTree, geometry: Socket, threshold: Socket) -> Socket:
    """Delete edges whose ends differ in Z by more than a share of the farther one, and what hangs loose then."""
    ends = nodes.new(tree, "GeometryNodeInputMeshEdgeVertices")
    distances = []
    for name in ("Vertex Index 1", "Vertex Index 2"):
        at = {"Index": nodes.output_of(ends, name), "Value": named(tree, DEPTH_ATTRIBUTE, "FLOAT")}
        kind = "GeometryNodeFieldAtIndex"
        distances.append(nodes.value(tree, kind, "Value", at, data_type="FLOAT", domain="POINT"))
    near, far = nodes.math(tree, "MINIMUM", *distances), nodes.math(tree, "MAXIMUM", *distances)
    jump = nodes.math(tree, "SUBTRACT", 1.0, nodes.math(tree, "DIVIDE", near, far), label="Jump")
    geometry = delete(
        tree, geometry, nodes.math(tree, "GREATER_THAN", jump, threshold), domain="EDGE", mode="EDGE_FACE"
    )
    for kind, domain in (
        ("GeometryNodeInputMeshVertexNeighbors", "POINT"),
        ("GeometryNodeInputMeshEdgeNeighbors", "EDGE"),
    ):
        loose = nodes.math(tree, "LESS_THAN", nodes.value(tree, kind, "Face Count"), 0.5)
        geometry = delete(tree, geometry, loose, domain=domain, mode="ALL" if domain == "POINT" else "EDGE_FACE")
    return geometry
