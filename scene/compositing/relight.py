"""New light on the surfaces that were filmed, from their distances; a lamp of the scene is the light."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import bpy

from ...inference.contract.depth_sequence import Shot
from .. import nodes
from ..depth import Depth
from ..geometry import split
from ..problems import Problem
from . import chain, compositor_nodes, normals, tree, view
from .depth_group import span
from .tree import RELIGHT_KIND as KIND

_LAMP = "fathom_lamp"
"""Custom property of the node: the lamp that drives it."""

Socket = bpy.types.NodeSocket


def add_relight(
    scene: bpy.types.Scene, depth: Depth, shot: Shot, *, lamp: bpy.types.Object | None = None
) -> bpy.types.Node:
    """Light the scene's result anew by the depth of a shot, or find the light that was added before.

    The image is taken for the color of matt surfaces, and gets the light that they would return of a lamp, in
    Blender's units: ``image (ambient + color power / (4 pi^2 distance^2) cos)`` for a point lamp, with a highlight on
    top. There are no shadows. *Light* is the lamp's light alone. Frames without depth pass unchanged.

    `lamp` is a point lamp, a sun or a spot lamp, which drives the node from then on: where it stands, where it points,
    its color and power. None: the lamp that drives it already, else what stands on the node, in the camera's axes.

    Returns the group node "Fathom Relight"; raises as `chain.open_setup`, and Problem where `lamp` is no such lamp, or
    where the shot's camera is neither built nor solved, so that nobody knows where the lamp is.
    """
    if lamp is not None and (lamp.type != "LIGHT" or lamp.data.type not in ("POINT", "SUN", "SPOT")):
        kind = f"{lamp.data.type.lower()} lamp" if lamp.type == "LIGHT" else lamp.type.lower()
        raise Problem(f"{lamp.name} is of the type {kind}: Relight takes a point lamp, a sun or a spot lamp.")
    setup = chain.open_setup(scene, depth, shot)
    if lamp is not None and view.camera_of(setup) is None:
        raise Problem(
            f"The camera of {depth.name} is not built: press Build > Camera first, so that the lamp has a place."
        )

    def suits() -> dict[str, Any]:
        near, far = span(depth, shot)
        place = (-0.5 * near, 0.5 * near, -0.5 * near)
        return {"Position": place, "Power": 4.0 * math.pi**2 * (0.5 * (near + far) / 2.0) ** 2}

    node, _ = chain.effect(setup, KIND, "Relight", build, suits)
    camera = view.follow_shot(setup, node)
    if lamp is not None and camera is not None:
        _follow_lamp(node, lamp, camera)
    return node


def lamp_of(scene: bpy.types.Scene, active: bpy.types.Object | None) -> bpy.types.Object | None:
    """The lamp to light with: the active one, else the only one that is in the scene."""
    if active is not None and active.type == "LIGHT":
        return active
    lamps = [thing for thing in scene.objects if thing.type == "LIGHT" and thing.data.type != "AREA"]
    return lamps[0] if len(lamps) == 1 else None


def _follow_lamp(node: bpy.types.Node, lamp: bpy.types.Object, camera: bpy.types.Object) -> None:
    """Drive the light's inputs by a lamp."""
    data = lamp.data
    node[_LAMP] = lamp
    view.follow_place(node, "Position", camera, lamp)
    view.follow_place(node, "Direction", camera, lamp, direction=True)
    color = nodes.input_of(node, "Color")
    for i in range(3):
        nodes.drive(color, "default_value", {"color": (data, f"color[{i}]")}, index=i)
    sources = {"energy": (data, "energy")}
    expression = "energy"
    if hasattr(data, "exposure"):
        sources["exposure"] = (data, "exposure")
        expression = "energy * pow(2, exposure)"
    nodes.drive(nodes.input_of(node, "Power"), "default_value", sources, expression)
    nodes.input_of(node, "Sun").default_value = float(data.type == "SUN")
    for name, path in (("Spot Size", "spot_size"), ("Spot Blend", "spot_blend")):
        entry = nodes.input_of(node, name)
        entry.driver_remove("default_value")
        if data.type == "SPOT":
            nodes.drive(entry, "default_value", {"spot": (data, path)})
        else:
            entry.default_value = 2.0 * math.pi if name == "Spot Size" else 0.0


def build(group: bpy.types.NodeTree) -> None:
    """Make the group "Fathom Relight"."""
    nodes.interface_output(group, "Image", "Color", description="The image in the new light")
    nodes.interface_output(group, "Light", "Color", description="The lamp's light on the surfaces alone")
    tree.effect_inputs(group)
    light = nodes.panel(group, "Light", description="Follows a lamp")
    place = "In the camera's axes: right, up, towards the camera"
    nodes.interface_input(group, "Position", "Vector", default=(0.0, 1.0, 0.0), description=place, parent=light)
    aim = "Where a sun or a spot shines, in the camera's axes"
    nodes.interface_input(group, "Direction", "Vector", default=(0.0, 0.0, -1.0), description=aim, parent=light)
    white = (1.0, 1.0, 1.0, 1.0)
    nodes.interface_input(group, "Color", "Color", default=white, description="Of the light", parent=light)
    surface = nodes.panel(group, "Surface", description="What the surfaces do with it")
    for name, default, minimum, maximum, subtype, parent, description in (
        ("Power", 40.0, 0.0, None, None, light, "In Watts, of a sun in Watts per square meter, as of Blender's lamps"),
        (
            "Sun",
            0.0,
            0.0,
            1.0,
            "FACTOR",
            light,
            "0: a point or a spot lamp; 1: a sun, whose light is the same all over",
        ),
        ("Spot Size", 2.0 * math.pi, 0.0, 2.0 * math.pi, "ANGLE", light, "Angle of the cone; the whole circle is none"),
        ("Spot Blend", 0.0, 0.0, 1.0, "FACTOR", light, "Softness of the cone's border"),
        ("Ambient", 1.0, 0.0, 10.0, None, surface, "How much of the filmed light stays"),
        ("Diffuse", 1.0, 0.0, 10.0, None, surface, "How much of the new light matt surfaces return"),
        ("Specular", 0.0, 0.0, 10.0, None, surface, "Strength of the highlight"),
        ("Roughness", 0.5, 0.05, 1.0, "FACTOR", surface, "Size of the highlight"),
    ):
        nodes.interface_number(
            group, name, default, description, minimum=minimum, maximum=maximum, subtype=subtype, parent=parent
        )
    normals.add_inputs(group)
    view.add_inputs(group, parent=nodes.panel(group, "Camera", description="Follows the shot's camera", closed=True))
    inputs, outputs = nodes.group_sockets(group)
    x, y = view.directions(group, inputs["Z"], inputs)
    normal = normals.of_surface(group, inputs, x, y)
    irradiance, towards = _irradiance(group, inputs, x, y)
    times = partial(nodes.math, group, "MULTIPLY")
    facing = nodes.math(group, "MAXIMUM", normals.dot(group, normal, towards), 0.0, label="Facing the light")
    reaches = times(times(irradiance, facing), inputs["Has Depth"])
    returned = times(times(reaches, inputs["Diffuse"]), 1.0 / math.pi)
    matt = compositor_nodes.multiply_color(group, inputs["Image"], returned)
    shine = times(times(_highlight(group, inputs, (x, y), normal, towards), reaches), inputs["Specular"])
    both = compositor_nodes.add_color(group, matt, compositor_nodes.combine_color(group, shine, shine, shine))
    lit = compositor_nodes.multiply_color(group, both, inputs["Color"])
    dimmed = nodes.math(group, "SUBTRACT", inputs["Ambient"], 1.0)
    stays = nodes.math(group, "MULTIPLY_ADD", dimmed, inputs["Has Depth"], 1.0, label="Filmed light")
    total = compositor_nodes.add_color(group, compositor_nodes.multiply_color(group, inputs["Image"], stays), lit)
    alpha = compositor_nodes.channel(group, inputs["Image"], "Alpha")
    nodes.feed(outputs["Image"], compositor_nodes.set_alpha(group, total, alpha, mode="REPLACE_ALPHA"))
    nodes.feed(outputs["Light"], compositor_nodes.set_alpha(group, lit, alpha, mode="REPLACE_ALPHA"))


def _irradiance(group: bpy.types.NodeTree, inputs: Any, x: Socket, y: Socket) -> tuple[Socket, normals.Vector]:
    """The light that reaches a surface that faces it, per area, and the direction towards the light."""
    do = partial(nodes.math, group)
    z = inputs["Z"]
    point = (do("MULTIPLY", x, z), do("MULTIPLY", y, z), do("MULTIPLY", z, -1.0))
    away = tuple(do("SUBTRACT", a, b) for a, b in zip(split(group, inputs["Position"]), point))
    squared = do("MAXIMUM", normals.dot(group, away, away), 1e-6, label="Distance, squared")
    to_lamp = normals.normalized(group, away)
    aim = normals.normalized(group, split(group, inputs["Direction"]))
    to_sun = tuple(do("MULTIPLY", part, -1.0) for part in aim)
    towards = tuple(
        do("MULTIPLY_ADD", do("SUBTRACT", sun, lamp), inputs["Sun"], lamp) for sun, lamp in zip(to_sun, to_lamp)
    )
    of_point = do("DIVIDE", do("DIVIDE", inputs["Power"], 4.0 * math.pi), squared)
    # A spot's border, as Blender has it: 0 at half its angle, whole where the blend ends, smooth between.
    half = do("COSINE", do("MULTIPLY", inputs["Spot Size"], 0.5), label="Border of the cone")
    along = do("MULTIPLY", normals.dot(group, to_lamp, aim), -1.0)
    inside = do("SUBTRACT", along, half)
    width = do("MAXIMUM", do("MULTIPLY", do("SUBTRACT", 1.0, half), inputs["Spot Blend"]), 1e-4)
    share = do("DIVIDE", inside, width, clamp=True)
    smooth = do("MULTIPLY", do("MULTIPLY", share, share), do("MULTIPLY_ADD", share, -2.0, 3.0))
    is_whole = do("GREATER_THAN", inputs["Spot Size"], 2.0 * math.pi - 1e-3)
    cone = do("MAXIMUM", smooth, is_whole, label="In the cone")
    of_point = do("MULTIPLY", of_point, cone)
    change = do("SUBTRACT", inputs["Power"], of_point)
    return do("MULTIPLY_ADD", change, inputs["Sun"], of_point, label="Light on the surface"), towards


def _highlight(
    group: bpy.types.NodeTree,
    inputs: Any,
    ray: tuple[Socket, Socket],
    normal: normals.Vector,
    towards: normals.Vector,
) -> Socket:
    """Blinn and Phong's highlight, its exponent ``2 / roughness^4 - 2``, normalized by ``(exponent + 8) / (8 pi)``."""
    do = partial(nodes.math, group)
    x, y = ray
    eye = normals.normalized(group, (do("MULTIPLY", x, -1.0), do("MULTIPLY", y, -1.0), do("MULTIPLY_ADD", x, 0.0, 1.0)))
    half = normals.normalized(group, tuple(do("ADD", a, b) for a, b in zip(eye, towards)))
    cosine = do("MAXIMUM", normals.dot(group, normal, half), 1e-6)
    fourth = do("POWER", inputs["Roughness"], 4.0)
    exponent = do("SUBTRACT", do("DIVIDE", 2.0, fourth), 2.0)
    gain = do("DIVIDE", do("ADD", exponent, 8.0), 8.0 * math.pi)
    return do("MULTIPLY", do("POWER", cosine, exponent), gain)
