"""Objects in a camera's frustum that a Geometry Nodes group makes from the depth: placed, filled in, found again."""

from __future__ import annotations

from typing import Any

import bpy
from mathutils import Matrix

from ..inference.depth_sequence import Shot
from . import nodes, tags
from .camera import DISTORTION
from .depth import Depth, disparity_image, distances
from .plate import plate_size

_OPEN = 2**24
"""A frame number beyond any timeline that a node can still tell from its neighbours."""

COMFORTABLE_POINTS = 500_000
"""Points that a two-core machine displaces in about a quarter of a second."""


def place(
    kind: str, label: str, *, depth: Depth, shot: Shot, camera: bpy.types.Object, group: bpy.types.NodeTree
) -> tuple[bpy.types.Object, bpy.types.NodesModifier, bool]:
    """The object of that kind under the camera, with the group as its modifier; made if it is not there.

    Parameters
    ----------
    kind : str
        What it is found by again, see `tags`.
    label : str
        Its name, after the clip's.
    depth, shot : Depth, Shot
        What is shown; the shot must be done.
    camera : Object
        Becomes its parent; its lens drives the group's inputs.
    group : NodeTree
        A Geometry Nodes group with the inputs of `lattice.add_inputs`.

    Returns
    -------
    object, modifier
    made : bool
        Whether the modifier is new, so that its inputs want starting values.
    """
    image = disparity_image(depth)
    placed = tags.find(camera.children, kind, image=image, shot=shot.first_frame)
    if placed is None:
        name = depth.label(label, shot)
        placed = tags.tag(
            bpy.data.objects.new(name, bpy.data.meshes.new(name)), kind, image=image, shot=shot.first_frame
        )
        for collection in camera.users_collection:
            collection.objects.link(placed)
        placed.parent = camera
    placed.matrix_parent_inverse = Matrix.Identity(4)
    placed.matrix_basis = Matrix.Identity(4)
    modifier = next((m for m in placed.modifiers if m.type == "NODES" and m.node_group == group), None)
    made = modifier is None
    if modifier is None:
        for old in [m for m in placed.modifiers if m.type == "NODES" and tags.KIND in (m.node_group or {})]:
            placed.modifiers.remove(old)  # another group of Fathom's, for other depth or from an older version
        modifier = placed.modifiers.new("Fathom", "NODES")
        modifier.node_group = group
    _fill_in(modifier, depth, shot, camera)
    if made:
        _set_distances(modifier, depth, shot)
    return placed, modifier, made


def comfortable_detail(depth: Depth, points: int = COMFORTABLE_POINTS) -> float:
    """The share of the maps' width and height that gives about so many points, at most 1."""
    return min(1.0, (points / (depth.sequence.width * depth.sequence.height)) ** 0.5)


def _fill_in(modifier: bpy.types.NodesModifier, depth: Depth, shot: Shot, camera: bpy.types.Object) -> None:
    """Set what depends on the depth and the camera and is not for the artist to choose."""
    shown_from, shown_to = depth.frames_shown(shot)
    values: dict[str, Any] = {
        "Disparity": disparity_image(depth),
        "Map Width": depth.sequence.width,
        "Map Height": depth.sequence.height,
        "Frame Offset": depth.frame_offset,
        "First Frame": shot.first_frame,
        "Last Frame": shot.last_frame,
        "Shown From": -_OPEN if shown_from is None else shown_from,
        "Shown To": _OPEN if shown_to is None else shown_to,
    }
    if depth.sequence.quantity == "relative_disparity":
        spread = distances(depth, shot)
        values |= {"P1": spread.p1, "P99": spread.p99}
    values["K1"], values["K2"] = camera.data.get(DISTORTION, (0.0, 0.0))
    for name, value in values.items():
        nodes.set_modifier_input(modifier, name, value)
    _follow_lens(modifier, camera, *plate_size(depth))


def _set_distances(modifier: bpy.types.NodesModifier, depth: Depth, shot: Shot) -> None:
    start = distances(depth, shot)
    inputs = nodes.interface_identifiers(modifier.node_group)
    for name, value in (
        ("Near", start.near),
        ("Far", start.far),
        ("Near Limit", start.near_limit),
        ("Far Limit", start.far_limit),
    ):
        if name in inputs:
            nodes.set_modifier_input(modifier, name, value)


def _follow_lens(modifier: bpy.types.NodesModifier, camera: bpy.types.Object, width: int, height: int) -> None:
    """Drive focal length and shifts by the camera's, so that changing its lens changes the frustum at once.

    Blender's numbers refer to the side that the sensor is fitted to; the group's to the picture's width.
    """
    data = camera.data
    fitted_to_height = data.sensor_fit == "VERTICAL" or (data.sensor_fit == "AUTO" and height > width)
    sensor = "sensor_height" if data.sensor_fit == "VERTICAL" else "sensor_width"
    aspect = height / width
    share = aspect if fitted_to_height else 1.0
    nodes.set_modifier_input(modifier, "Aspect", aspect)
    for name, expression, sources in (
        ("Focal Length", f"lens / sensor * {share:.9g}", {"lens": "lens", "sensor": sensor}),
        ("Shift X", f"shift * {share:.9g}", {"shift": "shift_x"}),
        ("Shift Y", f"shift * {share:.9g}", {"shift": "shift_y"}),
    ):
        path = nodes.modifier_input_path(modifier, name)
        modifier.id_data.driver_remove(path)
        driver = modifier.id_data.driver_add(path).driver
        driver.expression = expression  # simple enough to need no permission to run scripts
        for variable_name, property_name in sources.items():
            variable = driver.variables.new()
            variable.name = variable_name
            variable.targets[0].id_type = "CAMERA"
            variable.targets[0].id = data
            variable.targets[0].data_path = property_name
