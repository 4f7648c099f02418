"""What depth mesh and fog share: a lattice over the image whose points lie on the rays of the depth's pixels.

A lattice has one point in the middle of each sampled pixel of the maps and a border around them, one pixel of the maps
outside the image, so that the image is covered to its very edge; border points take the depth of the pixel beside
them. Everything here is live: node groups read the disparity maps and follow the timeline, nothing is baked.

The lattice before displacement stands on integer coordinates centered on the origin, so a node can tell a point's
column and row from its position. All lengths are in the units of the camera path, in the camera's own space
(Blender's axes: it looks along -z).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import bpy

from ..inference.contract.depth_sequence import Quantity
from . import distance_nodes, lookup, nodes
from .geometry import Socket, combine, repeat, sample, split, switch, vector
from .lens_map import MARGIN

UNDISTORT_STEPS = 20
"""Fixed-point steps; distortion of a common lens (|k1| r^2 < 0.2) is then undone to float precision."""

VIEWPORT_DETAIL = "Viewport Detail"
MOST_POINTS = 2**24
"""Nodes count points with floats, which tell no larger numbers from their neighbors."""

LENS = ("Focal Length", "Shift X", "Shift Y", "Aspect", "K1", "K2", "Lens Map")
"""The inputs that `add_rays` takes from its group."""

_KINDS = {"VALUE": "Float", "INT": "Int", "BOOLEAN": "Bool", "VECTOR": "Vector", "IMAGE": "Image"}

_VERSION = 6
"""Goes up when a group changes, so that files with an older one get the new one when they are built again."""


@dataclass(frozen=True)
class Lattice:
    """Sockets of what the shared part gives; the fields hold on the undisplaced lattice only.

    Attributes
    ----------
    columns, rows : Socket
        Number of points along x and y, border included.
    shown : Socket
        Whether the scene frame belongs to the shot and its map is there: where the file is missing, Blender would give
        disparity 0, a plane at the far limit.
    distance : Socket
        Z of each point, along the camera's axis.
    ray : Socket
        Its ray, (x, y, -1): the point is ray * Z.
    uv : Socket
        Its place in the image (u, v, 0), from the bottom left.
    border : Socket
        Whether it is of the border.
    spacing : Socket
        Distance between neighboring points at Z = 1.
    pixel : Socket
        The place in the image (u, v, 0) that the maps are sampled at: that of the pixel beside it on the border.
    frame : Socket
        The source frame.
    """

    columns: Socket
    rows: Socket
    shown: Socket
    distance: Socket
    ray: Socket
    uv: Socket
    border: Socket
    spacing: Socket
    pixel: Socket
    frame: Socket


def shared_group(kind: str, name: str, build: Callable[[bpy.types.NodeTree], None]) -> bpy.types.NodeTree:
    """The file's node group of that kind, built by ``build(tree)`` if it is not there."""
    return lookup.node_group(f"{kind}/{_VERSION}", name, "GeometryNodeTree", build)


def add_inputs(tree: bpy.types.NodeTree, quantity: Quantity, *, detail: str, viewport_detail: str = "") -> None:
    """Give a group the inputs of the shared part that are for the artist; `detail` describes the one of that name.

    With a `viewport_detail`, which describes it, the viewport has a Viewport Detail of its own, at most Detail.
    """
    for name, what in (("Detail", detail), (VIEWPORT_DETAIL, viewport_detail)):
        if what:
            nodes.interface_input(
                tree, name, "Float", default=1.0, minimum=0.01, maximum=1.0, subtype="FACTOR", description=what
            )
    distance_nodes.add_inputs(tree, quantity)


def add_panels(tree: bpy.types.NodeTree, quantity: Quantity) -> None:
    """Give a group the inputs that Fathom fills in, in closed panels; call it after all other inputs are there."""
    maps = nodes.panel(tree, "Depth Maps", description="What is shown, filled in by Fathom", closed=True)
    nodes.interface_input(tree, "Disparity", "Image", parent=maps, description="The disparity maps")
    for name, what in (
        ("Map Width", "Width of the depth maps in pixels"),
        ("Map Height", "Height of the depth maps in pixels"),
        ("Frame Offset", "Scene frame = source frame + this"),
        ("First Frame", "First source frame of the shot"),
        ("Last Frame", "Last source frame of the shot"),
        ("Shown From", "Before this source frame there is nothing to see"),
        ("Shown To", "After this source frame there is nothing to see"),
    ):
        nodes.interface_input(tree, name, "Int", parent=maps, description=what)
    if quantity == "relative_disparity":
        _add_percentiles(tree, maps)
    solve = nodes.panel(tree, "Camera Solve", description="Filled in by Fit to Camera Solve", closed=True)
    distance_nodes.add_fit_inputs(tree, parent=solve)
    lens = nodes.panel(tree, "Lens", description="Follows the camera", closed=True)
    for name, default, what in (
        ("Focal Length", 1.0, "In widths of the image"),
        ("Shift X", 0.0, "Shift of the image from the axis, in widths of the image"),
        ("Shift Y", 0.0, "Shift of the image from the axis, in widths of the image"),
        ("Aspect", 1.0, "Height of the plate by its width"),
        ("K1", 0.0, "Radial distortion of the plate, with r^2"),
        ("K2", 0.0, "Radial distortion of the plate, with r^4"),
    ):
        nodes.interface_input(tree, name, "Float", default=default, parent=lens, description=what)
    what = "The way from each place of the plate to its undistorted one, where K1 and K2 do not tell it"
    nodes.interface_input(tree, "Lens Map", "Image", parent=lens, description=what)


def _add_percentiles(tree: bpy.types.NodeTree, panel: bpy.types.NodeTreeInterfacePanel | None = None) -> None:
    for name, default, share in (("P1", 0.0, 1), ("P99", 1.0, 99)):
        what = f"{share} % of the shot's disparity lies below"
        nodes.interface_input(tree, name, "Float", default=default, parent=panel, description=what)


def add_lattice(tree: bpy.types.NodeTree, quantity: Quantity, *, detail: Socket | None = None) -> Lattice:
    """Add the shared part to a group that has the inputs of `add_inputs` and `add_panels`.

    `detail` is the share of the maps' width and height that is sampled; None: `detail_of` the group.
    """
    inputs, _ = nodes.group_sockets(tree)
    timing = use_group(tree, "frames", "Fathom Frames", build_frames)
    grid = use_group(tree, "pixels", "Fathom Pixels", _build_pixels)
    nodes.feed(grid.inputs["Detail"], detail_of(tree) if detail is None else detail)
    frame, columns = timing.outputs["Frame"], grid.outputs["Columns"]
    disparity = sample(tree, inputs["Disparity"], grid.outputs["Pixel"], frame)
    size = nodes.math(tree, "MULTIPLY", nodes.math(tree, "SUBTRACT", columns, 2.0), inputs["Focal Length"])
    return Lattice(
        columns=columns,
        rows=grid.outputs["Rows"],
        shown=nodes.math(tree, "MULTIPLY", timing.outputs["Shown"], _is_there(tree, frame)),
        distance=add_distance(tree, quantity, disparity),
        ray=add_rays(tree, grid.outputs["UV"]),
        uv=grid.outputs["UV"],
        border=grid.outputs["Border"],
        spacing=nodes.math(tree, "DIVIDE", 1.0, size, label="Spacing at Z = 1"),
        pixel=grid.outputs["Pixel"],
        frame=frame,
    )


def detail_of(tree: bpy.types.NodeTree) -> Socket:
    """The group's share of the maps' width and height that is sampled, here and now: in a render or in the viewport."""
    inputs, _ = nodes.group_sockets(tree)
    if VIEWPORT_DETAIL not in inputs:
        return inputs["Detail"]
    less = nodes.math(tree, "MINIMUM", inputs["Detail"], inputs[VIEWPORT_DETAIL])
    in_viewport = nodes.value(tree, "GeometryNodeIsViewport", "Is Viewport")
    return switch(tree, in_viewport, inputs["Detail"], less, kind="FLOAT")


def add_distance(tree: bpy.types.NodeTree, quantity: Quantity, disparity: Socket) -> Socket:
    """Z of a value of the disparity maps."""
    node = use_group(tree, f"distance/{quantity}", "Fathom Distance", lambda t: _build_distance(t, quantity))
    nodes.feed(node.inputs["Disparity"], disparity)
    return node.outputs["Z"]


def add_rays(tree: bpy.types.NodeTree, place: Socket) -> Socket:
    """The ray (x, y, -1) through a place (u, v) of the image."""
    node = use_group(tree, "rays", "Fathom Rays", _build_rays)
    nodes.feed(node.inputs["UV"], place)
    return node.outputs["Ray"]


def use_group(
    tree: bpy.types.NodeTree, kind: str, name: str, build: Callable[[bpy.types.NodeTree], None]
) -> bpy.types.Node:
    """Add a node with the file's group of a kind, see `shared_group`, fed by the inputs of the same names."""
    node = nodes.new(tree, "GeometryNodeGroup", label=name.removeprefix("Fathom "))
    node.node_tree = shared_group(kind, name, build)
    inputs, _ = nodes.group_sockets(tree)
    for socket in node.inputs:
        if socket.name in inputs and socket.name not in ("Geometry", "Detail", "UV"):
            nodes.feed(socket, inputs[socket.name])
    return node


def call(
    tree: bpy.types.NodeTree,
    kind: str,
    name: str,
    given: dict[str, tuple[str, Any]],
    body: Callable[[bpy.types.NodeTree, Any], dict[str, tuple[str, Socket]]],
    *,
    inherit: Iterable[str] = (),
) -> dict[str, Socket]:
    """Add a node with the file's group of a kind, and feed it: what is in a group of its own is built faster.

    Each new link makes Blender go through the whole tree, so a tree of n nodes takes n times n steps.

    Parameters
    ----------
    given : dict
        Kind and value of each of the group's inputs, by name; kinds are those of `nodes.interface_input`.
    body : callable
        Adds the nodes of the group, given its tree and inputs, and returns kind and socket of each output, by name.
    inherit : names
        Of inputs of `tree` that the group has as well.
    """
    outer, _ = nodes.group_sockets(tree)

    def build(group: bpy.types.NodeTree) -> None:
        kinds = {key: form for key, (form, _) in given.items()} | {key: _KINDS[outer[key].type] for key in inherit}
        inputs, _ = add_interface(group, kinds, {})
        made = body(group, inputs)
        _, outputs = add_interface(group, {}, {key: form for key, (form, _) in made.items()})
        for key, (_, socket) in made.items():
            nodes.feed(outputs[key], socket)

    node = nodes.new(tree, "GeometryNodeGroup", label=name)
    node.node_tree = shared_group(kind, f"Fathom {name}", build)
    for key, (_, value) in given.items():
        if value is not None:
            nodes.feed(node.inputs[key], value)
    for key in inherit:
        nodes.feed(node.inputs[key], outer[key])
    return {socket.name: socket for socket in node.outputs}


def values_of(tree: bpy.types.NodeTree) -> list[str]:
    """Names of a group's inputs that groups in it may inherit: all but geometry and material."""
    inputs, _ = nodes.group_sockets(tree)
    return [socket.name for socket in inputs if socket.type in _KINDS]


def add_interface(tree: bpy.types.NodeTree, inputs: dict[str, str], outputs: dict[str, str]) -> tuple[Any, Any]:
    """Give a group inputs and outputs, kinds by name, and return the sockets as `nodes.group_sockets`."""
    for name, kind in inputs.items():
        nodes.interface_input(tree, name, kind)
    for name, kind in outputs.items():
        nodes.interface_output(tree, name, kind)
    return nodes.group_sockets(tree)


# ------------------------------------------------------------------------------------------------------ the groups


def _is_there(tree: bpy.types.NodeTree, frame: Socket) -> Socket:
    """1 where the frame's map can be read and has the size that it should have, else 0.

    Blender tells 0 x 0 of a file that it does not find. That needs no Python, so it holds on a farm without the
    extension too, and for one missing frame amid the others.
    """
    inputs, _ = nodes.group_sockets(tree)
    of_map = {"Image": inputs["Disparity"], "Frame": frame}
    info = nodes.value(tree, "GeometryNodeImageInfo", "Width", of_map, label="The map's own size").node
    agree = (
        nodes.math(tree, "COMPARE", nodes.output_of(info, side), inputs[f"Map {side}"], 0.5)
        for side in ("Width", "Height")
    )
    return nodes.math(tree, "MULTIPLY", *agree, label="The map is there")


def build_frames(tree: bpy.types.NodeTree) -> None:
    """The source frame, clamped to the shot, and whether the shot has its turn."""
    names = ("Frame Offset", "First Frame", "Last Frame", "Shown From", "Shown To")
    inputs, out = add_interface(tree, dict.fromkeys(names, "Int"), {"Frame": "Int", "Shown": "Bool"})
    # The nearest frame: motion blur looks at fractions around the frame and must not see its neighbors.
    frame = nodes.math(tree, "ROUND", nodes.value(tree, "GeometryNodeInputSceneTime", "Frame"))
    source = nodes.math(tree, "SUBTRACT", frame, inputs["Frame Offset"], label="Source frame")
    clamped = nodes.math(
        tree, "MAXIMUM", nodes.math(tree, "MINIMUM", source, inputs["Last Frame"]), inputs["First Frame"]
    )
    early = nodes.math(tree, "LESS_THAN", source, inputs["Shown From"])
    late = nodes.math(tree, "GREATER_THAN", source, inputs["Shown To"])
    nodes.feed(out["Frame"], clamped)
    nodes.feed(out["Shown"], nodes.math(tree, "LESS_THAN", nodes.math(tree, "ADD", early, late), 0.5))


def _build_pixels(tree: bpy.types.NodeTree) -> None:
    """Which pixel each point of the lattice samples, and its place in the image."""
    inputs, out = add_interface(
        tree,
        {"Detail": "Float", "Map Width": "Int", "Map Height": "Int"},
        {"Columns": "Int", "Rows": "Int", "Pixel": "Vector", "UV": "Vector", "Border": "Bool"},
    )
    x, y, _ = split(tree, nodes.value(tree, "GeometryNodeInputPosition", "Position"))
    pixels = nodes.math(tree, "MULTIPLY", inputs["Map Width"], inputs["Map Height"])
    most = nodes.math(tree, "SQRT", nodes.math(tree, "DIVIDE", 0.99 * MOST_POINTS, pixels))
    detail = nodes.math(tree, "MINIMUM", inputs["Detail"], most)
    pixel, place, border = [], [], []
    for along, size, number in ((x, inputs["Map Width"], "Columns"), (y, inputs["Map Height"], "Rows")):
        wanted = nodes.math(tree, "ROUND", nodes.math(tree, "MULTIPLY", size, detail))
        count = nodes.math(tree, "MAXIMUM", wanted, 1.0, label=f"{number} without border")
        nodes.feed(out[number], nodes.math(tree, "ADD", count, 2.0))
        # Number 0..count-1 of the sampled pixel, -1 and count on the border.
        half = nodes.math(tree, "MULTIPLY", nodes.math(tree, "SUBTRACT", count, 1.0), 0.5)
        i = nodes.math(tree, "ROUND", nodes.math(tree, "ADD", along, half))
        # The map's pixel in the middle of the stretch; the small step keeps even splits from wavering.
        step = nodes.math(tree, "DIVIDE", size, count)
        middle = nodes.math(tree, "MULTIPLY", nodes.math(tree, "ADD", i, 0.5), step)
        index = nodes.math(tree, "FLOOR", nodes.math(tree, "SUBTRACT", middle, 0.01))
        last = nodes.math(tree, "SUBTRACT", size, 1.0)
        inside = nodes.math(tree, "MINIMUM", nodes.math(tree, "MAXIMUM", index, 0.0), last)
        center = nodes.math(tree, "DIVIDE", nodes.math(tree, "ADD", inside, 0.5), size)
        below = nodes.math(tree, "LESS_THAN", i, -0.5)
        above = nodes.math(tree, "GREATER_THAN", i, nodes.math(tree, "SUBTRACT", count, 0.5))
        # One and a half pixels out from the outermost center: one pixel beyond the image's edge.
        out_by = nodes.math(tree, "DIVIDE", nodes.math(tree, "SUBTRACT", above, below), size)
        pixel.append(center)
        place.append(nodes.math(tree, "MULTIPLY_ADD", out_by, 1.5, center))
        border += [below, above]
    nodes.feed(out["Pixel"], combine(tree, *pixel, 0.0))
    nodes.feed(out["UV"], combine(tree, *place, 0.0))
    any_x, any_y = nodes.math(tree, "ADD", *border[:2]), nodes.math(tree, "ADD", *border[2:])
    nodes.feed(out["Border"], nodes.math(tree, "GREATER_THAN", nodes.math(tree, "ADD", any_x, any_y), 0.5))


def _build_rays(tree: bpy.types.NodeTree) -> None:
    """The ray (x, y, -1) through a place (u, v) of the image, its distortion undone.

    By the lens map where there is one, and by K1 and K2 where they are not 0. With the focal length F and the shifts in
    widths of the image, x = (u - 1/2 + shift x) / F and y = ((v - 1/2) aspect + shift y) / F on the plate;
    the ray (x', y') before distortion is the fixed point of
    ``(x', y') = (x, y) / (1 + k1 r^2 + k2 r^4)`` with r its own length, as OpenCV's undistortPoints finds it.
    """
    names = ("Focal Length", "Shift X", "Shift Y", "Aspect", "K1", "K2")
    kinds = {"UV": "Vector", **dict.fromkeys(names, "Float"), "Lens Map": "Image"}
    inputs, out = add_interface(tree, kinds, {"Ray": "Vector"})
    u, v, _ = split(tree, undistorted(tree, inputs["UV"], inputs["Lens Map"]))
    across = nodes.math(tree, "ADD", nodes.math(tree, "SUBTRACT", u, 0.5), inputs["Shift X"])
    up = nodes.math(tree, "MULTIPLY_ADD", nodes.math(tree, "SUBTRACT", v, 0.5), inputs["Aspect"], inputs["Shift Y"])
    focal = inputs["Focal Length"]
    seen = combine(tree, nodes.math(tree, "DIVIDE", across, focal), nodes.math(tree, "DIVIDE", up, focal), 0.0)

    strength = nodes.math(
        tree, "ADD", nodes.math(tree, "ABSOLUTE", inputs["K1"]), nodes.math(tree, "ABSOLUTE", inputs["K2"])
    )
    some = nodes.math(tree, "GREATER_THAN", strength, 0.0)

    def step(now: dict[str, Socket]) -> dict[str, Socket]:
        r2 = vector(tree, "DOT_PRODUCT", now["Ray"], now["Ray"])
        inner = nodes.math(tree, "MULTIPLY_ADD", inputs["K2"], r2, inputs["K1"])
        factor = nodes.math(tree, "MULTIPLY_ADD", inner, r2, 1.0)
        return {"Ray": vector(tree, "SCALE", seen, scale=nodes.math(tree, "DIVIDE", 1.0, factor))}

    times = nodes.math(tree, "MULTIPLY", some, float(UNDISTORT_STEPS))
    ray = repeat(tree, times, {"Ray": ("VECTOR", seen)}, step)["Ray"]
    nodes.feed(out["Ray"], vector(tree, "ADD", ray, (0.0, 0.0, -1.0)))


def undistorted(tree: bpy.types.NodeTree, place: Socket, lens: Socket) -> Socket:
    """The place that a lens map moves a place of the plate to; it stays where there is no map."""
    inside = vector(tree, "SCALE", vector(tree, "ADD", place, (MARGIN,) * 3), scale=1 / (1 + 2 * MARGIN))
    inputs = {"Image": lens, "Vector": inside}
    kind = "GeometryNodeImageTexture"
    color = nodes.value(tree, kind, "Color", inputs, label="Lens", interpolation="Linear", extension="EXTEND")
    moved = nodes.value(tree, "FunctionNodeSeparateColor", "Red", {"Color": color}).node
    step = combine(tree, nodes.output_of(moved, "Red"), nodes.output_of(moved, "Green"), 0.0)
    return vector(tree, "ADD", place, step)


def _build_distance(tree: bpy.types.NodeTree, quantity: Quantity) -> None:
    """Z from disparity, before the rig's Scale."""
    nodes.interface_input(tree, "Disparity", "Float")
    distance_nodes.add_inputs(tree, quantity)
    distance_nodes.add_fit_inputs(tree)
    if quantity == "relative_disparity":
        _add_percentiles(tree)
    nodes.interface_output(tree, "Z", "Float")
    inputs, outputs = nodes.group_sockets(tree)
    p1 = value_range = 0.0
    if quantity == "relative_disparity":
        p1, value_range = inputs["P1"], nodes.math(tree, "SUBTRACT", inputs["P99"], inputs["P1"])
    z = distance_nodes.distance(tree, inputs["Disparity"], inputs, quantity, p1=p1, value_range=value_range)
    nodes.feed(outputs["Z"], z)
