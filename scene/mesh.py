"""The depth mesh: the plate as a surface or as points, every pixel at its distance, live on the timeline.

The surface has three parts: what was filmed, torn at the edges; narrow rims that close the tears as the camera sees
them (`mesh_edges`); and what is made up behind them (`mesh_background`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import bpy

from ..inference.contract import numbering
from ..inference.contract.depth_sequence import Quantity, Shot
from ..inference.contract.numbering import NumberingError
from . import frustum, lattice, lookup, mesh_background, mesh_edges, nodes, places, tags
from .depth import (
    Depth,
    confidence_image,
    disparity_image,
    portable_path,
    read_again,
    require_own,
    set_where_new,
    show_frames,
)
from .geometry import Socket, combine, delete, join, named, on_points, paint, sample, split, store, switch
from .plate import plate_image, put_plate, show_plate
from .problems import Problem

Part = Literal["whole", "rest", "subject"]

PLATE_ATTRIBUTE = mesh_edges.PLACE
"""Vector (u Z, v Z, Z) of each point: linear over a triangle in space, so that the plate's place (u, v) that a shader
gets by dividing is exact between the points as well, where (u, v) itself would swim with the slope."""

DEPTH_ATTRIBUTE = mesh_edges.DEPTH
"""Z of each point, along the camera's axis, in units of the camera path."""

EDGE_CUT = 0.1
EDGE_WIDTH = 2
REACH = 0.25
POINT_RADIUS = 0.7

WITHOUT_SUBJECT, SUBJECT_ONLY, ONE_MESH = "Without Subject", "Subject Only", "One Mesh"

VIEWPORT_POINTS = 120_000
"""Points that two cores displace in about a twentieth of a second."""


def build_mesh(
    depth: Depth,
    shot: Shot,
    camera: bpy.types.Object,
    *,
    points: bool | None = None,
    detail: float | None = None,
    viewport_detail: float | None = None,
    plate: bool = True,
    mattes: Path | None = None,
    part: Part | None = None,
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
        Share of the maps' width and height that renders and exports sample, above 0 and at most 1. None: as it is; at
        first 1, or less where that would be more than `frustum.COMFORTABLE_POINTS`.
    viewport_detail : float or None
        The same of the viewport, which takes no more than `detail`; at first at most `VIEWPORT_POINTS`.
    plate : bool
        Whether the plate is put on it, as an emission.
    mattes : Path or None
        Folder of images with the plate's frame numbers, white on a subject.
    part : 'whole', 'rest', 'subject' or None
        Of the mattes: everything, all but the subject with what is behind that made up, or the subject alone, which is
        an object of its own. None: as it is, everything at first.

    Raises
    ------
    DepthError
        The shot is unsupported.
    PlateError
        `plate` is asked for and missing; nothing is built then.
    Problem
        There are no mattes of all frames, or neither here nor from before any although a part is asked for; nothing is
        built then.
    """
    depth.require_done(shot)
    kind, label = ("subject", "Subject") if part == "subject" else ("mesh", "Mesh")
    if part in ("rest", "subject") and mattes is None and not _has_mattes(kind, depth, shot):
        raise Problem("There is no Matte Folder: choose one in the settings, or build the mesh as a whole.")
    matte = None if mattes is None else matte_image(depth, shot, mattes)
    if plate:
        plate_image(depth)
    confidence = confidence_image(depth)
    group = mesh_group(depth.quantity_of(shot), with_confidence=confidence is not None)
    starts = {lattice.VIEWPORT_DETAIL: frustum.comfortable_detail(depth, VIEWPORT_POINTS)}
    mesh, modifier, made = frustum.place(kind, label, depth=depth, shot=shot, camera=camera, group=group, starts=starts)
    if made and detail is None:
        detail = frustum.comfortable_detail(depth)
    shown = nodes.modifier_input(modifier, "Material")
    shown = shown if isinstance(shown, bpy.types.Material) else None
    is_own = shown is not None and shown.get(tags.KIND) != "plate material"
    material = plate_material(depth, lookup.scenes_of(camera)[0], shown) if plate and not is_own else None
    for name, value in (
        ("Point Cloud", points),
        ("Detail", detail),
        (lattice.VIEWPORT_DETAIL, viewport_detail),
        ("Confidence", confidence),
        ("Material", material),
        ("Matte", matte),
        (WITHOUT_SUBJECT, None if part is None else part == "rest"),
        (SUBJECT_ONLY, None if part is None else part == "subject"),
    ):
        if value is not None:
            nodes.set_modifier_input(modifier, name, value)
    return mesh


def apply_at_frame(mesh: bpy.types.Object, scene: bpy.types.Scene) -> bpy.types.Object:
    """Make a plain mesh of what a depth mesh shows at the scene's frame, where it stands, at *Detail*.

    It is an object beside the live one, which stays, with the plate of that frame.

    Raises
    ------
    Problem
        The object is no depth mesh, shows points, or shows nothing at this frame; the scene is linked.
    """
    require_own(scene, "scene")
    modifier = modifier_of(mesh)
    if modifier is None:
        raise Problem(f"{mesh.name} is no depth mesh: select one that Fathom has built.")
    if nodes.modifier_input(modifier, "Point Cloud"):
        raise Problem(f"{mesh.name} shows points, which are no mesh: switch Point Cloud off in its modifier.")
    frame = scene.frame_current
    as_rendered = {lattice.VIEWPORT_DETAIL: 1.0, ONE_MESH: True}
    before = {name: nodes.modifier_input(modifier, name) for name in as_rendered}
    for name, value in as_rendered.items():
        nodes.set_modifier_input(modifier, name, value)
    try:
        with evaluated_when_hidden([mesh], scene) as depsgraph:
            shown = mesh.evaluated_get(depsgraph)
            if not len(shown.data.polygons):
                raise Problem(f"{mesh.name} shows nothing at frame {frame}: go to a frame of its shot that has depth.")
            plain = bpy.data.meshes.new_from_object(shown, preserve_all_data_layers=True, depsgraph=depsgraph)
            place = shown.matrix_world.copy()
    finally:
        for name, value in before.items():
            nodes.set_modifier_input(modifier, name, value)
    plain.name = f"{mesh.name} {frame}"
    made = bpy.data.objects.new(plain.name, plain)
    made.matrix_world = place
    lookup.link_beside(made, mesh, [scene])
    for index, material in enumerate(plain.materials):
        if material is not None and tags.text(material, tags.KIND) == "plate material":
            plain.materials[index] = _held(material, frame)
    return made


@contextmanager
def evaluated_when_hidden(things: list[bpy.types.Object], scene: bpy.types.Scene) -> Iterator[bpy.types.Depsgraph]:
    """The dependency graph of the scene's first view layer, with objects in it that are hidden: it has none of those
    else.
    """
    layer = scene.view_layers[0]
    hidden = [each for each in things if each.name in layer.objects and each.hide_get(view_layer=layer)]
    off = [each for each in things if each.hide_viewport]
    try:
        for each in hidden:
            each.hide_set(False, view_layer=layer)
        for each in off:
            each.hide_viewport = False
        layer.update()
        yield layer.depsgraph
    finally:
        for each in off:
            each.hide_viewport = True
        for each in hidden:
            each.hide_set(True, view_layer=layer)


def modifier_of(thing: bpy.types.Object) -> bpy.types.NodesModifier | None:
    """The modifier that makes a depth mesh; None where an object is none."""
    groups = (m for m in thing.modifiers if m.type == "NODES" and m.node_group is not None)
    return next((m for m in groups if tags.text(m.node_group, tags.KIND).startswith("mesh/")), None)


def _held(material: bpy.types.Material, frame: int) -> bpy.types.Material:
    """A copy of the plate's material that shows the plate of one scene frame for good; it is the artist's."""
    held = material.copy()
    held.name = f"{material.name} {frame}"
    for name in (tags.KIND, tags.DEPTH, tags.SHOT, tags.JOB, tags.OFFSET):
        if name in held:
            del held[name]
    for node in nodes.material_tree(held).nodes:
        if node.bl_idname == "ShaderNodeTexImage" and tags.KIND in node:
            del node[tags.KIND]
            user = node.image_user
            first, last = user.frame_offset, user.frame_offset + user.frame_duration
            offset = user.frame_start - 1 - first
            shown = min(max(frame - offset, first), last)
            show_frames(user, shown, shown, frame_offset=offset)
    return held


def matte_image(depth: Depth, shot: Shot, folder: Path) -> bpy.types.Image:
    """The image datablock of a folder's mattes, addressed by source frame as those of the maps.

    Problem where the folder cannot be read, a frame of the shot has no matte, or Blender does not find one.
    """
    places.ask(folder)
    try:
        names = sorted(e.name for e in os.scandir(folder) if Path(e.name).suffix.lower() in bpy.path.extensions_image)
        names = numbering.of_folder(names, folder)
    except OSError as error:
        raise Problem(f"The Matte Folder {folder} cannot be read ({error.strerror}): choose another one.") from error
    except NumberingError as error:
        raise Problem(str(error)) from error
    files = numbering.by_frame(names)
    missing = [n for n in range(shot.first_frame, shot.last_frame + 1) if n not in files]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise Problem(
            f"Frame {missing[0]}{more} has no matte in {folder}: render mattes with the clip's own frame numbers."
        )
    missed = numbering.blender_misses(names)
    if missed is not None:
        raise Problem(f"Blender does not find the matte {missed[0]}: rename it to {missed[1]}.")
    path = Path(folder) / names[0]
    ours = (i for i in tags.images("matte") if os.path.normpath(places.expanded(i.filepath)) == os.path.normpath(path))
    image = next(ours, None)
    if image is not None:
        read_again(image)  # the mattes may be others by now
    else:
        try:
            image = tags.tag(bpy.data.images.load(str(path)), "matte")
        except RuntimeError as error:
            raise Problem(f"Blender cannot read the matte {path}: {str(error).strip().rstrip('.')}.") from error
        image.name = depth.label("Matte")
    # Transparent pixels stay black: Blender multiplies color by alpha.
    set_where_new(image.colorspace_settings, name="Non-Color")
    set_where_new(image, source="SEQUENCE", filepath=portable_path(path))
    return image


@lookup.once
def plate_material(depth: Depth, scene: bpy.types.Scene, shown: bpy.types.Material | None) -> bpy.types.Material:
    """The material that shows the plate as an emission, in step with the depth; one for all shots of a clip, but a copy
    where another scene shows the clip at other frames. A copy that a mesh has (`shown`) is the artist's, and stays.
    """
    image = disparity_image(depth)
    found = lookup.tagged("plate material", image=image, among="materials")

    def is_own(material: bpy.types.Material) -> bool:
        others = (each for each in bpy.data.objects if each.get(tags.DEPTH) == image and not lookup.is_in(each, scene))
        modifiers = (modifier_of(each) for each in others)
        return all(nodes.modifier_input(each, "Material") != material for each in modifiers if each is not None)

    material = lookup.at_offset(found, depth.frame_offset, is_own=is_own, held=[shown])
    if material is None:
        earlier = shown if shown in found else next(iter(found), None)
        material = bpy.data.materials.new(depth.label("Plate")) if earlier is None else earlier.copy()
        lookup.tag(material, "plate material", image=image, among="materials")
        if not found:
            _build_material(nodes.material_tree(material))
    material[tags.OFFSET] = depth.frame_offset
    for node in nodes.material_tree(material).nodes:
        if node.bl_idname != "ShaderNodeTexImage" or tags.KIND not in node:
            continue
        put_plate(node, depth)
        if tags.text(node.image, tags.KIND) == "plate":
            show_plate(node.image_user, depth)
    return material


def mesh_group(quantity: Quantity, *, with_confidence: bool) -> bpy.types.NodeTree:
    """The Geometry Nodes group of all depth meshes of a quantity, built if the file has none yet."""
    kind = f"mesh/{quantity}" + ("/confidence" if with_confidence else "")
    return lattice.shared_group(kind, "Fathom Depth Mesh", lambda tree: _build_group(tree, quantity, with_confidence))


# ------------------------------------------------------------------------------------------------------------ parts


def _has_mattes(kind: str, depth: Depth, shot: Shot) -> bool:
    """Whether what was built before has mattes."""
    built = lookup.tagged(kind, image=disparity_image(depth), shot=shot.first_frame, form="MESH")
    groups = [(m, m.node_group) for thing in built for m in thing.modifiers if m.type == "NODES" and m.node_group]
    return any("Matte" in nodes.interface_identifiers(g) and nodes.modifier_input(m, "Matte") for m, g in groups)


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
    cells = mesh_edges.cells(tree, points.columns, points.rows)
    cut = inputs["Edge Cut"]

    # Each field is stored once: one that is read twice would be computed twice.
    geometry = _grid(tree, points.columns, points.rows)
    geometry = store(tree, geometry, PLATE_ATTRIBUTE, points.uv, kind="FLOAT_VECTOR")
    geometry = store(tree, geometry, DEPTH_ATTRIBUTE, points.distance, kind="FLOAT")
    if with_confidence:
        sure = sample(tree, inputs["Confidence"], points.pixel, points.frame)
        geometry = store(tree, geometry, "confidence", sure, kind="FLOAT")
    is_subject = nodes.math(tree, "GREATER_THAN", sample(tree, inputs["Matte"], points.pixel, points.frame), 0.5)
    with_matte = nodes.math(tree, "ADD", inputs[WITHOUT_SUBJECT], inputs[SUBJECT_ONLY])
    geometry = switch(tree, with_matte, geometry, store(tree, geometry, "matte", is_subject, kind="BOOLEAN"))
    whole = mesh_edges.mark(tree, geometry, cells, cut=cut, width=inputs["Edge Width"])
    whole = mesh_edges.smooth(tree, whole, cells, cut=cut, times=inputs["Smoothing"])

    surface, torn = mesh_edges.tear(tree, whole, cells, cut=cut)
    surface = mesh_edges.stand(tree, surface, used=mesh_edges.MARKS)
    rims = mesh_edges.rims(tree, torn, whole, cells, cut=cut)
    filmed, closing = (_leave_out(tree, each, with_confidence, domain="FACE") for each in (surface, rims))
    surface = _closed(tree, filmed, join(tree, closing, _behind(tree, quantity)))
    smoothly = nodes.new(tree, "GeometryNodeSetShadeSmooth")  # its first sockets are called Geometry, or Mesh from 5.0
    nodes.feed(smoothly.inputs[0], surface)
    surface = smoothly.outputs[0]

    cloud = mesh_edges.stand(tree, whole, used=mesh_edges.MARKS[:1])
    cloud = _points(tree, _leave_out(tree, cloud, with_confidence, domain="POINT"), points.spacing)
    geometry = paint(tree, switch(tree, inputs["Point Cloud"], surface, cloud), inputs["Material"])
    nodes.feed(outputs["Geometry"], switch(tree, points.shown, None, geometry))


def _add_inputs(tree: bpy.types.NodeTree, quantity: Quantity, with_confidence: bool) -> None:
    nodes.interface_input(tree, "Geometry", "Geometry")
    points = "Points instead of a surface, one for each sampled pixel"
    nodes.interface_input(tree, "Point Cloud", "Bool", default=False, description=points)
    share = "Share of the depth maps' width and height that is sampled"
    lattice.add_inputs(
        tree,
        quantity,
        detail=f"{share} in renders and exports; at most 16 million points",
        viewport_detail=f"{share} in the viewport; never more than Detail",
    )
    cut = "Cut the surface where the depth jumps by more than this share of the farther distance; 1 cuts nothing"
    nodes.interface_number(tree, "Edge Cut", EDGE_CUT, cut, minimum=0.0, maximum=1.0, subtype="FACTOR")
    width = "Pixels to each side over which the depth may jump; more for soft edges"
    nodes.interface_input(tree, "Edge Width", "Int", default=EDGE_WIDTH, minimum=1, maximum=64, description=width)
    behind = "How far what is behind goes on behind what is in front, in widths of the image; 0 leaves the cuts open"
    nodes.interface_number(tree, "Background", REACH, behind, minimum=0.0, maximum=1.0, subtype="FACTOR")
    smooth = "How many times the depth is evened out between its edges"
    nodes.interface_input(tree, "Smoothing", "Int", default=0, minimum=0, maximum=200, description=smooth)
    radius = "In distances between neighboring points; 0.7 leaves no gaps as the camera sees them"
    nodes.interface_number(tree, "Point Radius", POINT_RADIUS, radius, minimum=0.0)
    if with_confidence:
        sure = "Leave out what the estimator is less sure of"
        nodes.interface_number(tree, "Minimum Confidence", 0.0, sure, minimum=0.0, maximum=1.0, subtype="FACTOR")
    one = "In the viewport too, what closes the cuts is of the mesh itself, as in renders and exports; slower"
    nodes.interface_input(tree, ONE_MESH, "Bool", default=False, description=one)
    for name, what in (
        (WITHOUT_SUBJECT, "Leave out what is white in the matte, and go on with what is behind it"),
        (SUBJECT_ONLY, "Leave out what is black in the matte"),
    ):
        nodes.interface_input(tree, name, "Bool", default=False, description=what)
    nodes.interface_input(tree, "Material", "Material", description="What it shows; the plate at first")
    lattice.add_panels(tree, quantity)
    maps = nodes.panel(tree, "Depth Maps")
    if with_confidence:
        nodes.interface_input(tree, "Confidence", "Image", parent=maps, description="The confidence maps")
    nodes.interface_input(tree, "Matte", "Image", parent=maps, description="White on the subject, for each frame")


def _closed(tree: bpy.types.NodeTree, filmed: Socket, closing: Socket) -> Socket:
    """The surface with what closes its tears.

    Joining them copies a large mesh, which takes as long as half of all else. So in the viewport what closes the tears
    is an instance beside it, unless the artist asks for one mesh.
    """
    inputs, _ = nodes.group_sockets(tree)
    beside = nodes.value(tree, "GeometryNodeGeometryToInstance", "Instances", {"Geometry": closing})
    in_viewport = nodes.value(tree, "GeometryNodeIsViewport", "Is Viewport")
    apart = nodes.math(tree, "GREATER_THAN", in_viewport, inputs[ONE_MESH])
    closed = switch(tree, apart, join(tree, closing, filmed), join(tree, filmed, beside))
    return switch(tree, nodes.math(tree, "GREATER_THAN", inputs["Background"], 0.0), filmed, closed)


def _behind(tree: bpy.types.NodeTree, quantity: Quantity) -> Socket:
    """The second layer; behind a subject that is left out it reaches as far as the image, alone it has none."""

    def body(group: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
        def is_left_out(place: Socket, frame: Socket) -> Socket:
            is_subject = nodes.math(group, "GREATER_THAN", sample(group, inputs["Matte"], place, frame), 0.5)
            return nodes.math(group, "MULTIPLY", is_subject, inputs[WITHOUT_SUBJECT])

        reach = nodes.math(group, "MAXIMUM", inputs["Background"], inputs[WITHOUT_SUBJECT])
        layer = mesh_background.add(group, _grid, quantity, cut=inputs["Edge Cut"], reach=reach, matte=is_left_out)
        return {"Geometry": ("Geometry", switch(group, inputs[SUBJECT_ONLY], layer, None))}

    inherit = lattice.values_of(tree)
    kind = f"background/{quantity}" + ("/confidence" if "Confidence" in inherit else "")
    return lattice.call(tree, kind, "Background", {}, body, inherit=inherit)["Geometry"]


def _leave_out(tree: bpy.types.NodeTree, geometry: Socket, with_confidence: bool, *, domain: str) -> Socket:
    """Delete the points that are doubtful or on the wrong side of the matte, or the faces at such points."""
    inputs, _ = nodes.group_sockets(tree)

    def without(name: str, is_wrong: str, limit: Any) -> Socket:
        wrong = nodes.math(tree, is_wrong, named(tree, name, "FLOAT"), limit)
        if domain == "FACE":
            wrong = nodes.math(tree, "GREATER_THAN", on_points(tree, wrong), 0.0)
        return delete(tree, geometry, wrong, domain=domain, mode="ALL")

    if with_confidence:
        least = inputs["Minimum Confidence"]
        is_asked = nodes.math(tree, "GREATER_THAN", least, 0.0)
        geometry = switch(tree, is_asked, geometry, without("confidence", "LESS_THAN", least))
    geometry = switch(tree, inputs[WITHOUT_SUBJECT], geometry, without("matte", "GREATER_THAN", 0.5))
    return switch(tree, inputs[SUBJECT_ONLY], geometry, without("matte", "LESS_THAN", 0.5))


def _points(tree: bpy.types.NodeTree, geometry: Socket, spacing: Socket) -> Socket:
    """A point for each pixel of the image, as large as its neighbors are far."""
    inputs, _ = nodes.group_sockets(tree)
    u, v, z = split(tree, named(tree, PLATE_ATTRIBUTE, "FLOAT_VECTOR"))
    inside: Any = 1.0
    for each in (u, v):
        share = nodes.math(tree, "DIVIDE", each, z)
        off = nodes.math(tree, "ABSOLUTE", nodes.math(tree, "SUBTRACT", share, 0.5))
        inside = nodes.math(tree, "MULTIPLY", nodes.math(tree, "LESS_THAN", off, 0.5), inside)
    apart = nodes.math(tree, "MULTIPLY", spacing, named(tree, DEPTH_ATTRIBUTE, "FLOAT"))
    radius = nodes.math(tree, "MULTIPLY", apart, inputs["Point Radius"])
    vertices = {"Mesh": geometry, "Selection": inside, "Radius": radius}
    return nodes.value(tree, "GeometryNodeMeshToPoints", "Points", vertices, mode="VERTICES")


def _grid(tree: bpy.types.NodeTree, columns: Socket, rows: Socket) -> Socket:
    width, height = (nodes.math(tree, "SUBTRACT", count, 1.0) for count in (columns, rows))
    inputs = {"Vertices X": columns, "Vertices Y": rows, "Size X": width, "Size Y": height}
    return nodes.value(tree, "GeometryNodeMeshGrid", "Mesh", inputs)
