"""Depth of field on the plate by its depth, with Blender's Defocus node."""

from __future__ import annotations

import math

import bpy
import numpy as np

from ...inference.contract import depth_sequence
from ...inference.contract.depth_sequence import Shot
from .. import nodes
from ..camera import SCALE, SENSOR_WIDTH, find_camera, find_rig
from ..depth import Depth, distances
from . import chain, compositor_nodes, tree
from .depth_group import span
from .tree import DEFOCUS_KIND, FOCUS_KIND

LIMIT = 1 / 120
"""Largest blur radius at first, in image widths, and what the first f-stop is chosen for: 16 pixels of 1920.

Defocus looks at ``(2 radius + 1)^2`` pixels for each one, whatever its blur is (Blender 4.5 and later), so the limit
decides what it costs: docs/compositing.md has times.
"""

_MIDDLE = 0.1
"""Share of the image's width and height, around its middle, that is focused on at first."""

_BLENDERS_FOCUS = 10.0
"""Focus distance of a camera that nobody has focused."""

_FOCAL_LENGTH = 50.0
"""Millimeters; Blender's own, where neither a camera nor the estimator tells the shot's."""

_MAX_BLUR = "fathom_max_blur"
"""Custom property of a Defocus node whose limit is driven: what it is on the shot's frames."""

_DRIVEN = "fathom_driven_by"
"""Custom property: the camera that the focus was driven by once, so that the artist may take the driver away."""


def add_depth_of_field(
    scene: bpy.types.Scene,
    depth: Depth,
    shot: Shot,
    *,
    focus_distance: float | None = None,
    f_stop: float | None = None,
    max_blur: float | None = None,
) -> bpy.types.Node:
    """Blur the scene's result by the depth of a shot, or find the depth of field that was added before.

    A point at distance Z is blurred to a disc of the diameter ``f^2 / N |1/focus - 1/Z|`` on the sensor, f the focal
    length, N the f-stop; what lies at the focus distance stays as it is. Frames without depth pass unchanged, in no
    time. Where the shot's camera is built, **that camera's** *Focus Distance* or *Focus Object* under Depth of Field is
    the focus (it need not be switched on there, which would blur rendered objects as well), and its lens the focal
    length. Else they stand on the node: the estimator's focal length, or 50 mm. Another camera, the scene's active one
    too, is neither asked nor changed.

    Parameters
    ----------
    focus_distance : float or None
        Set on the shot's camera or the node. None keeps what it has; what nobody has focused yet gets the distance of
        what lies in the middle of the image at the scene's frame (the median over a tenth of width and height).
    f_stop : float or None
        None keeps what the node has, or starts with a blur of `LIMIT` where it is strongest.
    max_blur : float or None
        Largest blur radius in pixels; below 1 nothing is blurred. None as above.

    Returns
    -------
    Node
        The group node "Fathom Depth of Field" with *Focus Distance*, *F-Stop* and *Focal Length*; its output *Radius*
        feeds a Defocus node, which has the limit of the blur and the shape of the bokeh.

    Raises
    ------
    DepthError, PlateError
        See `chain.open_setup`.
    """
    setup = chain.open_setup(scene, depth, shot)
    node, defocus = setup.find(FOCUS_KIND), setup.find(DEFOCUS_KIND)
    is_new = node is None
    added = []
    if is_new:
        node = tree.add_effect(setup, FOCUS_KIND, "Depth of Field", _build)
        added.append(node)
    if defocus is None:
        defocus = nodes.new(setup.tree, "CompositorNodeDefocus", use_zbuffer=False, scene=scene, label="Defocus")
        defocus.width = node.width
        compositor_nodes.draft_defocus(defocus, False)
        setup.mark(defocus, DEFOCUS_KIND)
        added.append(defocus)
    before = chain.place(setup, DEFOCUS_KIND).source.node
    chain.lead(setup, defocus, DEFOCUS_KIND)
    if not nodes.input_of(defocus, "Z").is_linked:
        nodes.feed(nodes.input_of(defocus, "Z"), nodes.output_of(node, "Radius"))
    if added:
        tree.place_after(setup, before, added)
    chain.connect(setup)
    focus = _set_focus(setup, node, focus_distance, is_new=is_new)
    if is_new:
        near, far = span(depth, shot)
        suits = _suitable_f_stop(nodes.input_of(node, "Focal Length").default_value, focus, near, far)
        f_stop = suits if f_stop is None else f_stop
    tree.set_inputs(node, {"F-Stop": f_stop})
    if max_blur is None and defocus in added:
        max_blur = math.ceil(LIMIT * scene.render.resolution_x)
    _set_max_blur(setup, defocus, max_blur)
    width = {"width": (scene, "render.resolution_x"), "percentage": (scene, "render.resolution_percentage")}
    nodes.drive(nodes.input_of(node, "Width"), "default_value", width, "width * percentage / 100")
    return node


def max_blur_of(node: bpy.types.Node) -> float:
    """The limit of the blur radius, in pixels, of the Defocus node that a Depth of Field node feeds."""
    fed = (link.to_node for link in nodes.output_of(node, "Radius").links)
    return max((_limit(each) for each in fed if each.bl_idname == "CompositorNodeDefocus"), default=0.0)


def _limit(defocus: bpy.types.Node) -> float:
    return defocus.get(_MAX_BLUR, defocus.blur_max)


def _set_max_blur(setup: tree.Setup, defocus: bpy.types.Node, limit: float | None) -> None:
    """Limit the blur radius; None keeps what it is.

    Defocus takes its time for the limit even where nothing is blurred, and none where it is below 1. Where the clip has
    other shots the limit is therefore driven, so that it is 0 on their frames.
    """
    depth = setup.depth
    limit = _limit(defocus) if limit is None else limit
    first, last = depth.frames_shown(setup.shot)
    bounds = [f"frame >= {first + depth.frame_offset}"] if first is not None else []
    bounds += [f"frame <= {last + depth.frame_offset}"] if last is not None else []
    if not bounds:
        defocus.driver_remove("blur_max")
        defocus.pop(_MAX_BLUR, None)
        defocus.blur_max = limit
        return
    defocus[_MAX_BLUR] = limit
    nodes.drive(defocus, "blur_max", {}, f"{limit:g} if {' and '.join(bounds)} else 0")


def _build(group: bpy.types.NodeTree) -> None:
    """The radius of the circle of confusion in pixels."""
    nodes.interface_output(group, "Radius", "Float", description="Radius of the blur in pixels, for Defocus")
    tree.depth_inputs(group)
    for name, default, minimum, subtype, description in (
        ("Focus Distance", 10.0, 0.01, "DISTANCE", "What lies here is sharp; the shot's camera has it, if built"),
        ("F-Stop", 2.8, 0.01, None, "A smaller one blurs more; a lens's own where distances are in meters"),
        ("Focal Length", 50.0, 0.01, None, "Millimeters on a sensor 36 mm wide; the shot's camera has it, if built"),
        ("Width", 1920.0, 1.0, None, "Width of the render in pixels"),
    ):
        nodes.interface_number(group, name, default, description, minimum=minimum, subtype=subtype)
    inputs, outputs = nodes.group_sockets(group)
    inverse = [nodes.math(group, "DIVIDE", 1.0, inputs[name]) for name in ("Z", "Focus Distance")]
    away = nodes.math(group, "ABSOLUTE", nodes.math(group, "SUBTRACT", *inverse), label="|1/Z - 1/Focus|")
    # Radius in sensor widths: f^2 / (2 N sensor), with millimeters where distances are meters.
    squared = nodes.math(group, "MULTIPLY", inputs["Focal Length"], inputs["Focal Length"])
    lens = nodes.math(group, "DIVIDE", squared, inputs["F-Stop"])
    scaled = nodes.math(group, "MULTIPLY", lens, 1.0 / (2.0 * 1000.0 * SENSOR_WIDTH), label="Lens")
    pixels = nodes.math(group, "MULTIPLY", nodes.math(group, "MULTIPLY", away, scaled), inputs["Width"])
    nodes.feed(outputs["Radius"], nodes.math(group, "MULTIPLY", pixels, inputs["Has Depth"]))


def _set_focus(setup: tree.Setup, node: bpy.types.Node, wanted: float | None, *, is_new: bool) -> float:
    """Focus the shot's camera, which then drives the node, or the node where there is none; returns the distance."""
    focus, length = (nodes.input_of(node, name) for name in ("Focus Distance", "Focal Length"))
    camera = find_camera(setup.depth, setup.shot, setup.scene)
    if camera is None or camera.type != "CAMERA":
        if is_new:
            known = setup.shot.camera
            length.default_value = known.focal_length / known.width * SENSOR_WIDTH if known else _FOCAL_LENGTH
            wanted = _middle_distance(setup) if wanted is None else wanted
        if wanted is not None:
            focus.default_value = wanted
        return focus.default_value
    data, optics = camera.data, camera.data.dof
    if wanted is None and optics.focus_object is None and optics.focus_distance == _BLENDERS_FOCUS:
        wanted = _middle_distance(setup) if is_new else focus.default_value
    if wanted is not None:
        optics.focus_distance = wanted
    curve = tree.driver_of(setup, focus)
    followed = {variable.name for variable in curve.driver.variables} if curve is not None else set()
    if followed & {"focus", "x_camera"} or (curve is None and node.get(_DRIVEN) != data):
        node[_DRIVEN] = data
        if optics.focus_object is None:
            nodes.drive(focus, "default_value", {"focus": (data, "dof.focus_distance")})
        else:
            _drive_by_object(focus, camera, optics.focus_object)
        lens = {"lens": (data, "lens"), "sensor": (data, "sensor_width")}
        nodes.drive(length, "default_value", lens, f"lens * {SENSOR_WIDTH:g} / sensor")
        focus.default_value = _distance_to(camera, optics.focus_object) or optics.focus_distance
        length.default_value = data.lens * SENSOR_WIDTH / data.sensor_width
    return focus.default_value


def _drive_by_object(focus: bpy.types.NodeSocket, camera: bpy.types.Object, target: bpy.types.Object) -> None:
    """Let the focus be how far a Focus Object lies along the camera's axis, as Blender takes it.

    Paths of drivers count a matrix's columns first, the third the camera's axis, the fourth its place.
    """
    sources = {}
    for i, axis in enumerate("xyz"):
        sources[f"{axis}_camera"] = (camera, f"matrix_world[3][{i}]")
        sources[f"{axis}_ahead"] = (camera, f"matrix_world[2][{i}]")
        sources[f"{axis}_object"] = (target, f"matrix_world[3][{i}]")
    product = " + ".join(f"({axis}_object - {axis}_camera) * {axis}_ahead" for axis in "xyz")
    nodes.drive(focus, "default_value", sources, f"abs({product})")


def _distance_to(camera: bpy.types.Object, target: bpy.types.Object | None) -> float | None:
    if target is None:
        return None
    ahead = camera.matrix_world.col[2].to_3d()
    return abs((target.matrix_world.translation - camera.matrix_world.translation).dot(ahead))


def _middle_distance(setup: tree.Setup) -> float:
    """Distance of what lies in the middle of the image at the scene's frame, by the inputs of Fathom Depth."""
    shot, depth = setup.shot, setup.depth
    frame = min(max(depth.source_frame(setup.scene.frame_current), shot.first_frame), shot.last_frame)
    values = _read_map(depth, frame)
    rows, columns = (
        slice(int((size - part) // 2), int((size + part) // 2) + 1)
        for size, part in ((size, _MIDDLE * size) for size in values.shape)
    )
    middle = values[rows, columns]
    disparity = float(np.median(middle[np.isfinite(middle)]))
    node = chain.depth_node(setup)
    start = distances(depth, shot)
    inputs = {socket.name: socket.default_value for socket in node.inputs}
    rig = find_rig(depth, shot, setup.scene)
    if rig is not None and tree.driver_of(setup, nodes.input_of(node, "Scale")) is not None:
        inputs["Scale"] = rig[SCALE]
    inverse = disparity
    if depth.quantity_of(shot) == "relative_disparity":
        t = (disparity - start.p1) / (start.p99 - start.p1)
        inverse = t * (1 / inputs["Near"] - 1 / inputs["Far"]) + 1 / inputs["Far"]
        inverse = min(inverse, 1 / inputs["Near Limit"]) if disparity else 0.0
    return inputs["Scale"] / max(inverse, 1 / inputs["Far Limit"])


def _read_map(depth: Depth, frame: int) -> np.ndarray:
    """A disparity map, [H, W] float32; the last row first, as Blender has pixels."""
    image = bpy.data.images.load(str(depth.folder / depth_sequence.disparity_name(frame)))
    try:
        image.colorspace_settings.name = "Non-Color"
        width, height = image.size
        pixels = np.empty(width * height * image.channels, np.float32)
        image.pixels.foreach_get(pixels)
        return pixels.reshape(height, width, -1)[..., 0]
    finally:
        bpy.data.images.remove(image)


def _suitable_f_stop(focal_length: float, focus: float, near: float, far: float) -> float:
    """The f-stop at which the larger blur radius of what is near and far is `LIMIT` image widths."""
    change = max(abs(1.0 / focus - 1.0 / near), abs(1.0 / focus - 1.0 / far))
    diameter = focal_length**2 / 1000.0 * change / SENSOR_WIDTH
    return min(max(diameter / (2.0 * LIMIT), 0.01), 128.0)
