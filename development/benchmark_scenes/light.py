"""Sky and sun."""

from __future__ import annotations

import math
from collections.abc import Sequence

import bpy
from mathutils import Vector

from .materials import Color


def sky(
    scene: bpy.types.Scene,
    stops: Sequence[tuple[float, Color]],
    *,
    strength: float = 0.9,
    clouds: tuple[float, float] | None = (0.52, 0.72),
    cloud: Color = (0.98, 0.93, 0.86),
) -> None:
    """A sky that goes through three colors from the horizon (0) up to the zenith (1).

    Parameters
    ----------
    scene : Scene
    stops : three pairs of position and color
    strength : float
    clouds : pair of floats or None
        The noise between which clouds begin and are whole; None: a clear sky.
    cloud : color
    """
    world = scene.world = bpy.data.worlds.new("Sky")
    world.use_nodes = True
    tree = world.node_tree
    link = tree.links.new
    coordinates, split = tree.nodes.new("ShaderNodeTexCoord"), tree.nodes.new("ShaderNodeSeparateXYZ")
    ramp = tree.nodes.new("ShaderNodeValToRGB")
    ramp.color_ramp.elements.new(0.5)
    for element, (position, color) in zip(ramp.color_ramp.elements, stops, strict=True):
        element.position, element.color = position, (*color, 1.0)
    link(coordinates.outputs["Generated"], split.inputs["Vector"])
    link(split.outputs["Z"], ramp.inputs["Fac"])
    background = tree.nodes["Background"]
    background.inputs["Strength"].default_value = strength
    if clouds is None:
        link(ramp.outputs["Color"], background.inputs["Color"])
        return
    noise, cover, mix = (tree.nodes.new(f"ShaderNode{kind}") for kind in ("TexNoise", "MapRange", "Mix"))
    stretch = tree.nodes.new("ShaderNodeMapping")
    stretch.inputs["Scale"].default_value = (1.0, 1.0, 3.0)
    noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = 3.2, 8.0
    cover.inputs["From Min"].default_value, cover.inputs["From Max"].default_value = clouds
    mix.data_type = "RGBA"
    colors = [socket for socket in mix.inputs if socket.type == "RGBA"]
    colors[1].default_value = (*cloud, 1.0)
    link(coordinates.outputs["Generated"], stretch.inputs["Vector"])
    link(stretch.outputs["Vector"], noise.inputs["Vector"])
    link(noise.outputs["Fac"], cover.inputs["Value"])
    link(cover.outputs["Result"], mix.inputs["Factor"])
    link(ramp.outputs["Color"], colors[0])
    link(next(socket for socket in mix.outputs if socket.type == "RGBA"), background.inputs["Color"])


def sun(
    scene: bpy.types.Scene, *, turn: tuple[float, float, float], energy: float, color: Color, size: float = 1.0
) -> None:
    """Sunlight: `turn` is its rotation and `size` its diameter in the sky, both in degrees."""
    light = bpy.data.lights.new("Sun", "SUN")
    light.energy, light.color, light.angle = energy, color, math.radians(size)
    obj = bpy.data.objects.new("Sun", light)
    obj.rotation_euler = [math.radians(angle) for angle in turn]
    scene.collection.objects.link(obj)


def panel(
    scene: bpy.types.Scene,
    *,
    center: Sequence[float],
    aim: Sequence[float],
    size: tuple[float, float],
    energy: float,
    color: Color,
) -> None:
    """Soft light from a rectangle, unseen by the camera: a window, or a lamp beside the image."""
    light = bpy.data.lights.new("Panel", "AREA")
    light.shape, (light.size, light.size_y) = "RECTANGLE", size
    light.energy, light.color = energy, color
    obj = bpy.data.objects.new("Panel", light)
    obj.location = center
    obj.rotation_euler = (Vector(aim) - Vector(center)).to_track_quat("-Z", "Y").to_euler()
    obj.visible_camera = False
    scene.collection.objects.link(obj)
