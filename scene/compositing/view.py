"""Where pixels lie in front of the camera, for effects that need more than a distance.

A pixel at distance Z shows the point ``Z (x, y, -1)`` in the camera's axes, which `directions` gives x and y of. What
they need of the camera are inputs of the group; `follow` drives them by an object, so that a lens that is animated and
a render of another size are right without a press.
"""

from __future__ import annotations

from typing import Any

import bpy

from .. import nodes, standing
from ..camera import SENSOR_WIDTH, find_camera
from ..problems import Problem
from . import compositor_nodes
from .tree import Setup

Socket = bpy.types.NodeSocket

_DRIVEN = "fathom_view_by"
"""Custom property of a node: the camera that it was driven by once."""


def add_inputs(group: bpy.types.NodeTree, *, parent: bpy.types.NodeTreeInterfacePanel) -> None:
    """Give a group the inputs that `directions` needs."""
    for name, default, minimum, description in (
        ("Focal Length", 50.0, 0.01, "In millimeters; follows the shot's camera"),
        ("Sensor Width", SENSOR_WIDTH, 0.01, "Of the whole render in millimeters; follows the shot's camera"),
        ("Shift X", 0.0, None, "The camera's Shift X, in widths of the render"),
        ("Shift Y", 0.0, None, "The camera's Shift Y, in widths of the render"),
        ("Pixel Aspect", 1.0, 0.01, "Height of a pixel divided by its width"),
    ):
        nodes.interface_number(group, name, default, description, minimum=minimum, parent=parent)
    compositor_nodes.size_inputs(group, parent)


def directions(group: bpy.types.NodeTree, image: Socket, inputs: Any) -> tuple[Socket, Socket]:
    """The x and y of each pixel's direction ``(x, y, -1)`` in the camera's axes; `image` has the render's size."""
    across, up = compositor_nodes.place_in_frame(group, image)
    width, height = compositor_nodes.frame_size(group, image, inputs)
    tall = nodes.math(group, "DIVIDE", height, width)
    tall = nodes.math(group, "MULTIPLY", tall, inputs["Pixel Aspect"], label="Height in widths")
    sensor = nodes.math(group, "DIVIDE", inputs["Sensor Width"], inputs["Focal Length"])
    x = nodes.math(group, "ADD", nodes.math(group, "SUBTRACT", across, 0.5), inputs["Shift X"])
    y = nodes.math(group, "MULTIPLY_ADD", nodes.math(group, "SUBTRACT", up, 0.5), tall, inputs["Shift Y"])
    return nodes.math(group, "MULTIPLY", x, sensor, label="x"), nodes.math(group, "MULTIPLY", y, sensor, label="y")


def camera_of(setup: Setup) -> bpy.types.Object | None:
    """The camera that filmed the shot, as it stands in the scene: a camera solve's, else the one that is built."""
    try:
        stands = standing.find(setup.depth, setup.shot, setup.scene)
    except Problem:  # who builds under that camera is told
        stands = None
    camera = find_camera(setup.depth, setup.shot, setup.scene) if stands is None else stands.camera
    return camera if camera is not None and camera.type == "CAMERA" else None


def follow_shot(setup: Setup, node: bpy.types.Node, *, height: bool = False) -> bpy.types.Object | None:
    """Let a node's inputs follow the shot's camera as it stands in the scene, if it does; returns the camera.

    What the artist has taken a driver from stays without. `height`: *Camera Height* and *Up* as well.
    """
    camera = camera_of(setup)
    follow_size(node, setup.scene)
    if camera is not None and node.get(_DRIVEN) != camera:
        node[_DRIVEN] = camera
        follow(node, camera, setup.scene)
        if height:
            follow_height(node, camera)
    return camera


def follow(node: bpy.types.Node, camera: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """Drive the inputs of `add_inputs` by a camera and the render's size."""
    follow_sensor(node, camera, scene)
    side, size = _fitted_side(camera.data, scene)
    for name, path in (("Shift X", "shift_x"), ("Shift Y", "shift_y")):
        _drive(node, name, {"shift": (camera.data, path)} | size, f"shift * {side}")
    aspects = {"a": (scene, "render.pixel_aspect_x"), "b": (scene, "render.pixel_aspect_y")}
    _drive(node, "Pixel Aspect", aspects, "b / a")
    follow_size(node, scene)


def follow_sensor(node: bpy.types.Node, camera: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """Drive *Focal Length* and *Sensor Width*, which is as wide as the render, by a camera and the render's size."""
    data = camera.data
    side, size = _fitted_side(data, scene)
    _drive(node, "Focal Length", {"lens": (data, "lens")}, "lens")
    _drive(node, "Sensor Width", {"sensor": (data, _sensor(data))} | size, f"sensor / {side}")


def sensor_width(camera: bpy.types.Object, scene: bpy.types.Scene) -> float:
    """The part of a camera's sensor, in millimeters, that is as wide as the scene's render."""
    data, render = camera.data, scene.render
    tall = render.resolution_y * render.pixel_aspect_y / (render.resolution_x * render.pixel_aspect_x)
    side = {"HORIZONTAL": 1.0, "VERTICAL": tall}.get(data.sensor_fit, max(1.0, tall))
    return getattr(data, _sensor(data)) / side


def _sensor(data: bpy.types.Camera) -> str:
    return "sensor_height" if data.sensor_fit == "VERTICAL" else "sensor_width"


def _fitted_side(data: bpy.types.Camera, scene: bpy.types.Scene) -> tuple[str, dict[str, Any]]:
    """The side that the sensor is fitted to, in widths of the render: an expression, and its variables."""
    if data.sensor_fit == "HORIZONTAL":
        return "1", {}
    tall = "h * b / (w * a)"
    size = {
        "w": (scene, "render.resolution_x"),
        "h": (scene, "render.resolution_y"),
        "a": (scene, "render.pixel_aspect_x"),
        "b": (scene, "render.pixel_aspect_y"),
    }
    return (f"({tall})" if data.sensor_fit == "VERTICAL" else f"max(1, {tall})"), size


def follow_size(node: bpy.types.Node, scene: bpy.types.Scene) -> None:
    """Drive what `compositor_nodes.size_inputs` added, if anything, by the size of the scene's render."""
    for name, path in (("Width", "render.resolution_x"), ("Height", "render.resolution_y")):
        if name in node.inputs:
            sources = {"size": (scene, path), "percentage": (scene, "render.resolution_percentage")}
            _drive(node, name, sources, "size * percentage / 100")


def follow_place(
    node: bpy.types.Node, name: str, camera: bpy.types.Object, target: bpy.types.Object, *, direction: bool = False
) -> None:
    """Drive a vector input by where an object lies in the camera's axes, or by where it points, its own -Z.

    Paths of drivers count a matrix's columns first, the third the Z axis, the fourth the place. Both may be scaled.
    """
    squares = "sqrt(ax * ax + ay * ay + az * az)"
    for i in range(3):
        sources = {}
        for j, axis in enumerate("xyz"):
            sources[f"a{axis}"] = (camera, f"matrix_world[{i}][{j}]")
            sources[f"t{axis}"] = (target, f"matrix_world[{2 if direction else 3}][{j}]")
            if not direction:
                sources[f"c{axis}"] = (camera, f"matrix_world[3][{j}]")
        if direction:
            length = "sqrt(tx * tx + ty * ty + tz * tz)"
            expression = f"-(tx * ax + ty * ay + tz * az) / ({squares} * {length})"
        else:
            expression = f"((tx - cx) * ax + (ty - cy) * ay + (tz - cz) * az) / {squares}"
        _drive(node, name, sources, expression, index=i)


def follow_height(node: bpy.types.Node, camera: bpy.types.Object) -> None:
    """Drive *Camera Height* and *Up*, the world's Z axis in the camera's axes, by a camera."""
    _drive(node, "Camera Height", {"height": (camera, "matrix_world[3][2]")}, "height")
    for i in range(3):
        sources = {f"a{axis}": (camera, f"matrix_world[{i}][{j}]") for j, axis in enumerate("xyz")}
        _drive(node, "Up", sources, "az / sqrt(ax * ax + ay * ay + az * az)", index=i)


def _drive(node: bpy.types.Node, name: str, sources: dict[str, Any], expression: str, *, index: int = -1) -> None:
    nodes.drive(nodes.input_of(node, name), "default_value", sources, expression, index=index)
