"""Depth of field on the plate by its depth."""

from __future__ import annotations

import math

import bpy
import numpy as np

from ...inference.contract.depth_sequence import Shot
from .. import map_samples, nodes
from ..camera import SCALE, SENSOR_WIDTH, find_camera, find_rig
from ..depth import Depth, distances
from ..distance_nodes import FIT_SWITCH
from ..problems import Problem
from . import chain, compositor_nodes, layered_blur, tree, view
from .depth_group import span
from .tree import DEFOCUS_KIND as KIND
from .tree import FOCUS_KIND

LIMIT = 1 / 120
"""Largest blur radius at first, in image widths, and what the first f-stop is chosen for: 16 pixels of 1920."""

_MIDDLE = 0.1
"""Share of the image's width and height, around its middle, that is focused on at first."""

_PICKED = 0.01
"""Share of the image's width and height, around a point that was picked."""

_BLENDERS_FOCUS, _BLENDERS_F_STOP = 10.0, 2.8
"""Focus distance and f-stop of a camera that nobody has focused."""

_FOCAL_LENGTH = 50.0
"""Millimeters; Blender's own, where neither a camera nor the estimator tells the shot's."""

_DRIVEN, _DRIVEN_APERTURE = "fathom_driven_by", "fathom_aperture_by"
"""Custom properties: the camera that focus and aperture were driven by once, so that the artist may take that away."""


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

    A point at distance Z is blurred to a disc of the diameter ``f^2 / N |1/focus - 1/Z|`` on the sensor, as in Cycles,
    f the focal length, N the f-stop; what lies at the focus distance stays as it is. Where the shot's camera is built,
    **that camera's** *Focus Distance* or *Focus Object*, *F-Stop* and *Aperture* under Depth of Field are the lens's
    (they need not be switched on there, which would blur rendered objects as well). Else they stand on the node: the
    estimator's focal length, or 50 mm. Another camera, the scene's active one too, is neither asked nor changed.

    Frames of other shots pass unchanged, in no time: *Active* is 0 there. Up to Blender 4.2 the blur is Defocus's, see
    `compositor_nodes.is_deep`, which ends what is near at its outline.

    Parameters
    ----------
    focus_distance : float or None
        Set on the shot's camera or the node. None keeps what it has; what nobody has focused yet gets the distance of
        what lies in the middle of the image at the scene's frame (the median over a tenth of width and height).
    f_stop : float or None
        Set on the shot's camera or the node. None keeps what it has; what nobody has set yet starts with a blur of
        `LIMIT` where it is strongest.
    max_blur : float or None
        Largest blur radius in pixels; at 0 nothing is blurred. None as above.

    Returns
    -------
    Node
        The group node "Fathom Depth of Field".

    Raises
    ------
    DepthError, PlateError
        See `chain.open_setup`.
    """
    setup = chain.open_setup(scene, depth, shot)
    earlier = _replace_earlier(setup)
    node, is_new = chain.effect(setup, KIND, "Depth of Field", build)
    focus = _set_focus(setup, node, focus_distance, is_new=is_new and not earlier)
    _set_aperture(setup, node, f_stop, focus, is_new=is_new and not earlier)
    if max_blur is None and is_new and not earlier:
        max_blur = math.ceil(LIMIT * scene.render.resolution_x)
    tree.set_inputs(node, {"Max Blur": max_blur})
    tree.switch_off_elsewhere(setup, node)
    view.follow_size(node, scene)
    return node


def focus_at(
    scene: bpy.types.Scene, depth: Depth, shot: Shot, place: tuple[float, float]
) -> tuple[bpy.types.Node, float]:
    """Focus the depth of field of a shot, which is added if it is not there, on what lies at a place of the image.

    `place` is from the image's lower left corner, in widths and heights, at the scene's frame. Returns the node and the
    distance; raises as `add_depth_of_field`, and Problem where there is no depth at that place.
    """
    if not all(0.0 <= each <= 1.0 for each in place):
        raise Problem("That point lies beside the image: choose one on it.")
    setup = chain.open_setup(scene, depth, shot)
    distance = _distance_at(setup, place, _PICKED)
    if distance is None:
        raise Problem("There is no depth at that point: choose one on a surface.")
    return add_depth_of_field(scene, depth, shot, focus_distance=distance), distance


def max_blur_of(node: bpy.types.Node) -> float:
    """The limit of the blur radius, in pixels, of a Depth of Field node."""
    return nodes.input_of(node, "Max Blur").default_value


def first_f_stop(near: float, far: float) -> float:
    """The f-stop that suits distances from near to far, focused between them, without a camera."""
    return _suitable_f_stop(_FOCAL_LENGTH, SENSOR_WIDTH, (near * far) ** 0.5, near, far)


def build(group: bpy.types.NodeTree) -> None:
    """Make the group "Fathom Depth of Field"."""
    nodes.interface_output(group, "Image", "Color", description="The image, blurred before and behind the focus")
    nodes.interface_output(group, "Radius", "Float", description="Radius of each pixel's blur in pixels, without limit")
    tree.effect_inputs(group)
    lens = nodes.panel(group, "Focus", description="The lens")
    for name, default, minimum, subtype, description in (
        ("Focus Distance", 10.0, 0.01, "DISTANCE", "What lies here is sharp; the shot's camera has it, if built"),
        ("F-Stop", 2.8, 0.01, None, "A smaller one blurs more; a lens's own where distances are in meters"),
        ("Focal Length", 50.0, 0.01, None, "In millimeters; the shot's camera has it, if built"),
        ("Sensor Width", SENSOR_WIDTH, 0.01, None, "Of the image in millimeters; the shot's camera has it, if built"),
    ):
        nodes.interface_number(group, name, default, description, minimum=minimum, subtype=subtype, parent=lens)
    blur = nodes.panel(group, "Blur", description="How much of it")
    for name, default, maximum, subtype, description in (
        ("Max Blur", 16.0, 1000.0, None, "Largest radius of the blur in pixels"),
        ("Near", 1.0, 1.0, "FACTOR", "Share of the blur in front of the focus"),
        ("Far", 1.0, 1.0, "FACTOR", "Share of the blur behind the focus"),
        ("Active", 1.0, 1.0, "FACTOR", "Below 0.5 the image passes unchanged, in no time"),
    ):
        nodes.interface_number(
            group, name, default, description, minimum=0.0, maximum=maximum, subtype=subtype, parent=blur
        )
    compositor_nodes.size_inputs(group, blur)
    if compositor_nodes.has_bokeh_inputs():
        bokeh = nodes.panel(group, "Bokeh", description="The shape of the aperture", closed=True)
        for name, default, minimum, maximum, subtype, description in (
            ("Blades", 6.0, 3.0, 24.0, None, "Number of the aperture's blades"),
            ("Rotation", 0.0, None, None, "ANGLE", "Rotation of the aperture"),
            ("Roundness", 1.0, 0.0, 1.0, "FACTOR", "0: a polygon; 1: a disc"),
        ):
            nodes.interface_number(
                group, name, default, description, minimum=minimum, maximum=maximum, subtype=subtype, parent=bokeh
            )
    inputs, outputs = nodes.group_sockets(group)
    width, height = compositor_nodes.frame_size(group, inputs["Image"], inputs)
    signed = _signed_radius(group, inputs, width)
    nodes.feed(outputs["Radius"], nodes.math(group, "ABSOLUTE", signed, label="Radius"))
    is_far = nodes.math(group, "GREATER_THAN", signed, 0.0)
    gain = nodes.math(group, "SUBTRACT", inputs["Far"], inputs["Near"])
    side = nodes.math(group, "MULTIPLY_ADD", gain, is_far, inputs["Near"], label="Near or Far")
    largest = nodes.math(group, "MAXIMUM", inputs["Max Blur"], 1e-3)
    amount = nodes.math(group, "DIVIDE", nodes.math(group, "MULTIPLY", signed, side), largest)
    amount = nodes.math(group, "MAXIMUM", nodes.math(group, "MINIMUM", amount, 1.0), -1.0, label="Share of Max Blur")
    shape = (inputs.get(name, 0.0) for name in ("Blades", "Rotation", "Roundness"))
    bokeh = compositor_nodes.bokeh_image(group, *shape)
    longest = nodes.math(group, "MAXIMUM", width, height, label="Longer side")

    if not compositor_nodes.is_deep():
        limited = nodes.math(group, "MULTIPLY", nodes.math(group, "ABSOLUTE", amount), inputs["Max Blur"])
        active = nodes.math(group, "MULTIPLY", limited, inputs["Active"])
        nodes.feed(outputs["Image"], compositor_nodes.defocus(group, inputs["Image"], active))
        return

    def blur(image: tree.Socket, amount: tree.Socket) -> tree.Socket:
        return layered_blur.blurred(group, image, amount, radius=inputs["Max Blur"], bokeh=bokeh, longest=longest)

    is_on = nodes.math(group, "GREATER_THAN", inputs["Active"], 0.5, label="Active")
    nodes.feed(outputs["Image"], compositor_nodes.only_if(group, is_on, inputs["Image"], amount, blur))


def _signed_radius(group: bpy.types.NodeTree, inputs: bpy.types.bpy_prop_collection, width: tree.Socket) -> tree.Socket:
    """The radius of the circle of confusion in pixels, below 0 in front of the focus; 0 where there is no depth."""
    inverse = [nodes.math(group, "DIVIDE", 1.0, inputs[name]) for name in ("Focus Distance", "Z")]
    away = nodes.math(group, "SUBTRACT", *inverse, label="1/Focus - 1/Z")
    # Radius in sensor widths: f^2 / (2 N sensor), with millimeters where distances are meters.
    squared = nodes.math(group, "MULTIPLY", inputs["Focal Length"], inputs["Focal Length"])
    lens = nodes.math(group, "DIVIDE", squared, inputs["F-Stop"])
    sensor = nodes.math(group, "MULTIPLY", inputs["Sensor Width"], 2.0 * 1000.0)
    scaled = nodes.math(group, "DIVIDE", lens, sensor, label="Lens")
    pixels = nodes.math(group, "MULTIPLY", nodes.math(group, "MULTIPLY", away, scaled), width)
    return nodes.math(group, "MULTIPLY", pixels, inputs["Has Depth"])


def _replace_earlier(setup: tree.Setup) -> bool:
    """Put today's node in the place of the two of an earlier Fathom: one for the radius, and Blender's Defocus."""
    defocus = setup.find(KIND, form="CompositorNodeDefocus")
    if defocus is None:
        return False
    focus, held = setup.find(FOCUS_KIND), setup.tree
    node = tree.add_effect(setup, KIND, "Depth of Field", build)
    node.location, node.parent, node.mute = defocus.location, defocus.parent, defocus.mute
    values = {"Max Blur": defocus.get("fathom_max_blur", defocus.blur_max)}
    if focus is not None and focus.node_tree is not None:
        names = ("Focus Distance", "F-Stop", "Focal Length")
        values |= {name: focus.inputs[name].default_value for name in names if name in focus.inputs}
    tree.set_inputs(node, values)
    for link in list(nodes.input_of(defocus, "Image").links):
        nodes.feed(nodes.input_of(node, "Image"), link.from_socket)
    for link in list(nodes.output_of(defocus, "Image").links):
        nodes.feed(link.to_socket, nodes.output_of(node, "Image"))
    for each in filter(None, (defocus, focus)):
        for curve in list(held.animation_data.drivers) if held.animation_data else ():
            if curve.data_path.startswith(f"{each.path_from_id()}."):
                held.animation_data.drivers.remove(curve)
        held.nodes.remove(each)
    return True


def _set_aperture(setup: tree.Setup, node: bpy.types.Node, wanted: float | None, focus: float, *, is_new: bool) -> None:
    """Set the f-stop of the shot's camera, which then drives the node's and the bokeh, or the node's."""
    stop = nodes.input_of(node, "F-Stop")
    camera = _camera(setup)
    optics = None if camera is None else camera.data.dof
    if (
        wanted is None
        and is_new
        and (optics is None or math.isclose(optics.aperture_fstop, _BLENDERS_F_STOP, abs_tol=1e-4))
    ):
        near, far = span(setup.depth, setup.shot)
        length, sensor = (nodes.input_of(node, name).default_value for name in ("Focal Length", "Sensor Width"))
        wanted = _suitable_f_stop(length, sensor, focus, near, far)
    if camera is None:
        tree.set_inputs(node, {"F-Stop": wanted})
        return
    if tree.driver_of(setup, stop) is None and node.get(_DRIVEN_APERTURE) == camera.data:  # the artist took it away
        tree.set_inputs(node, {"F-Stop": wanted})
        return
    is_free = node.get(_DRIVEN_APERTURE) != camera.data and not is_new
    if wanted is None and is_free and math.isclose(optics.aperture_fstop, _BLENDERS_F_STOP, abs_tol=1e-4):
        wanted = stop.default_value
    if wanted is not None:
        optics.aperture_fstop = wanted
    if node.get(_DRIVEN_APERTURE) == camera.data:
        return
    node[_DRIVEN_APERTURE] = camera.data
    nodes.drive(stop, "default_value", {"stop": (camera.data, "dof.aperture_fstop")})
    stop.default_value = optics.aperture_fstop
    if compositor_nodes.has_bokeh_inputs():
        blades = {"blades": (camera.data, "dof.aperture_blades")}
        nodes.drive(nodes.input_of(node, "Blades"), "default_value", blades, "max(blades, 3)")
        nodes.drive(nodes.input_of(node, "Roundness"), "default_value", blades, "1 if blades < 3 else 0")
        turn = {"turn": (camera.data, "dof.aperture_rotation")}
        nodes.drive(nodes.input_of(node, "Rotation"), "default_value", turn)


def _camera(setup: tree.Setup) -> bpy.types.Object | None:
    """The camera that the shot's depth stands under in the scene, if it is built."""
    camera = find_camera(setup.depth, setup.shot, setup.scene)
    return camera if camera is not None and camera.type == "CAMERA" else None


def _set_focus(setup: tree.Setup, node: bpy.types.Node, wanted: float | None, *, is_new: bool) -> float:
    """Focus the shot's camera, which then drives the node, or the node where there is none; returns the distance."""
    names = ("Focus Distance", "Focal Length", "Sensor Width")
    focus, length, sensor = (nodes.input_of(node, name) for name in names)
    camera = _camera(setup)
    if camera is None:
        if is_new:
            known = setup.shot.camera
            length.default_value = known.focal_length / known.width * SENSOR_WIDTH if known else _FOCAL_LENGTH
            wanted = _distance_at(setup, (0.5, 0.5), _MIDDLE) if wanted is None else wanted
        if wanted is not None:
            focus.default_value = wanted
        return focus.default_value
    data, optics = camera.data, camera.data.dof
    if wanted is None and optics.focus_object is None and optics.focus_distance == _BLENDERS_FOCUS:
        wanted = _distance_at(setup, (0.5, 0.5), _MIDDLE) if is_new else focus.default_value
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
        view.follow_sensor(node, camera, setup.scene)
        focus.default_value = _distance_to(camera, optics.focus_object) or optics.focus_distance
        length.default_value, sensor.default_value = data.lens, view.sensor_width(camera, setup.scene)
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
    length = " + ".join(f"{axis}_ahead * {axis}_ahead" for axis in "xyz")
    nodes.drive(focus, "default_value", sources, f"abs({product}) / sqrt({length})")


def _distance_to(camera: bpy.types.Object, target: bpy.types.Object | None) -> float | None:
    if target is None:
        return None
    ahead = camera.matrix_world.col[2].to_3d().normalized()
    return abs((target.matrix_world.translation - camera.matrix_world.translation).dot(ahead))


def _distance_at(setup: tree.Setup, place: tuple[float, float], share: float) -> float | None:
    """Distance of what lies at a place of the image at the scene's frame, by the inputs of Fathom Depth.

    The median over a share of width and height around it; None where no pixel there has depth.
    """
    shot, depth = setup.shot, setup.depth
    frame = min(max(depth.source_frame(setup.scene.frame_current), shot.first_frame), shot.last_frame)
    values = map_samples.read_map(depth, frame)
    rows, columns = (
        slice(max(int(at * size - share * size / 2), 0), int(at * size + share * size / 2) + 1)
        for at, size in zip((1.0 - place[1], place[0]), values.shape)
    )
    around = values[rows, columns]
    if not np.any(np.isfinite(around)):
        return None
    disparity = float(np.median(around[np.isfinite(around)]))
    node = chain.depth_node(setup)
    scale = nodes.input_of(node, "Scale")
    inputs = {socket.name: socket.default_value for socket in node.inputs}
    rig = find_rig(depth, shot, setup.scene)
    if rig is not None and tree.driver_of(setup, scale) is not None:
        inputs["Scale"] = rig[SCALE]
    start = distances(depth, shot)
    inverse = disparity
    fit = depth.fit_of(shot)
    if fit is not None and inputs[FIT_SWITCH]:
        frames, scales, shifts = zip(*fit.keys)
        inverse = disparity * np.interp(frame, frames, scales) + np.interp(frame, frames, shifts)
    elif depth.quantity_of(shot) == "relative_disparity":
        t = (disparity - start.p1) / (start.p99 - start.p1)
        inverse = t * (1 / inputs["Near"] - 1 / inputs["Far"]) + 1 / inputs["Far"]
        inverse = min(inverse, 1 / inputs["Near Limit"]) if disparity else 0.0
    return inputs["Scale"] / max(inverse, 1 / inputs["Far Limit"])


def _suitable_f_stop(focal_length: float, sensor: float, focus: float, near: float, far: float) -> float:
    """The f-stop at which the larger blur radius of what is near and far is `LIMIT` image widths."""
    change = max(abs(1.0 / focus - 1.0 / near), abs(1.0 / focus - 1.0 / far))
    diameter = focal_length**2 / 1000.0 * change / sensor
    return min(max(diameter / (2.0 * LIMIT), 0.01), 128.0)
