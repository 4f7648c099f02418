"""Fog over the plate by its depth: even, or lying on the ground by the world's height."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

from ...inference.contract.depth_sequence import Shot
from .. import nodes
from ..depth import Depth
from ..geometry import split
from . import chain, compositor_nodes, tree, view
from .depth_group import span
from .tree import FOG_KIND as KIND

Socket = bpy.types.NodeSocket


def add_fog(
    scene: bpy.types.Scene,
    depth: Depth,
    shot: Shot,
    *,
    color: Sequence[float] | None = None,
    density: float | None = None,
    start: float | None = None,
    end: float | None = None,
    linear: float | None = None,
    by_height: float | None = None,
    base_height: float | None = None,
    height_falloff: float | None = None,
) -> bpy.types.Node:
    """Lay fog over the scene's result by a shot's depth, or find the fog that was added before.

    With Z the distance, the share of fog is ``1 - exp(-density max(Z - start, 0))``, Beer-Lambert's law, or, where
    *Linear* is 1, ``(Z - start) / (end - start)`` clamped to 0..1; in between it is a blend of the two. Frames without
    depth pass unchanged. Fog lies on what Z Combine gives and reads its distances, whichever is added first.

    *By Height* 1 makes it ground fog: its density is whole up to the world's height *Base Height* and falls by the
    factor e over each *Height Falloff* above; the share is that of all fog on the way from *Start* to the surface, so
    that it is right for a camera above the fog and for one in it. The world is that of the shot's camera, where it is
    built or solved; else heights are over a level camera.

    `color` is scene linear. Every argument that is None keeps what the node has, or a start that suits the shot.
    Returns the group node "Fathom Fog"; raises as `chain.open_setup`.
    """
    setup = chain.open_setup(scene, depth, shot)

    def suits() -> dict[str, float]:
        near, far = span(depth, shot)
        return {"Start": near, "End": far, "Density": 1.5 / (far - near), "Height Falloff": (far - near) / 10.0}

    node, _ = chain.effect(setup, KIND, "Fog", build, suits)
    view.follow_shot(setup, node, height=True)
    values: dict[str, Any] = {
        "Density": density,
        "Start": start,
        "End": end,
        "Linear": linear,
        "By Height": by_height,
        "Base Height": base_height,
        "Height Falloff": height_falloff,
    }
    if color is not None:
        values["Color"] = (*color[:3], 1.0)
    tree.set_inputs(node, values)
    return node


def build(group: bpy.types.NodeTree) -> None:
    """Make the group "Fathom Fog"."""
    nodes.interface_output(group, "Image", "Color", description="The image in fog")
    nodes.interface_output(group, "Fog", "Float", description="Share of fog in each pixel, 0 to 1")
    tree.effect_inputs(group)
    nodes.interface_input(
        group, "Color", "Color", default=(0.6, 0.65, 0.7, 1.0), description="Color that the far distance takes on"
    )
    distance = nodes.panel(group, "Distance", description="Where the fog is, by distance")
    height = nodes.panel(group, "Height", description="Ground fog, by height in the world")
    for name, default, minimum, maximum, subtype, parent, description in (
        ("Amount", 1.0, 0.0, 1.0, "FACTOR", None, "How much of the fog is laid over the image"),
        ("Start", 1.0, 0.0, None, "DISTANCE", distance, "Distance at which the fog begins"),
        ("Density", 0.1, 0.0, None, None, distance, "Optical density per unit of distance, for exponential fog"),
        ("End", 10.0, 0.0, None, "DISTANCE", distance, "Distance at which linear fog has covered everything"),
        (
            "Linear",
            0.0,
            0.0,
            1.0,
            "FACTOR",
            distance,
            "0: exponential, as fog is in nature; 1: linear from Start to End",
        ),
        ("By Height", 0.0, 0.0, 1.0, "FACTOR", height, "0: even; 1: ground fog, which thins out with height"),
        ("Base Height", 0.0, None, None, "DISTANCE", height, "Height in the world up to which ground fog is whole"),
        ("Height Falloff", 1.0, 1e-4, None, "DISTANCE", height, "Above the base, fog has 1/e after this height"),
    ):
        nodes.interface_number(
            group, name, default, description, minimum=minimum, maximum=maximum, subtype=subtype, parent=parent
        )
    camera = nodes.panel(group, "Camera", description="Follows the shot's camera", closed=True)
    nodes.interface_number(
        group, "Camera Height", 0.0, "The camera's height in the world", subtype="DISTANCE", parent=camera
    )
    up = "The world's Z axis in the camera's axes"
    nodes.interface_input(group, "Up", "Vector", default=(0.0, 1.0, 0.0), description=up, parent=camera)
    view.add_inputs(group, parent=camera)

    inputs, outputs = nodes.group_sockets(group)
    behind = nodes.math(
        group, "MAXIMUM", nodes.math(group, "SUBTRACT", inputs["Z"], inputs["Start"]), 0.0, label="Behind Start"
    )
    thin = nodes.math(group, "SUBTRACT", _mean_density(group, inputs), 1.0)
    mean = nodes.math(group, "MULTIPLY_ADD", thin, inputs["By Height"], 1.0, label="Mean density")
    lies = nodes.math(group, "MULTIPLY", behind, mean, label="Fog on the way")
    optical = nodes.math(group, "MULTIPLY", lies, inputs["Density"], label="Optical depth")
    clear = nodes.math(group, "EXPONENT", nodes.math(group, "MULTIPLY", optical, -1.0), label="Transmittance")
    exponential = nodes.math(group, "SUBTRACT", 1.0, clear, label="Exponential")
    length = nodes.math(group, "MAXIMUM", nodes.math(group, "SUBTRACT", inputs["End"], inputs["Start"]), 1e-6)
    linear = nodes.math(group, "DIVIDE", lies, length, clamp=True, label="Linear")
    share = nodes.math(
        group, "MULTIPLY_ADD", nodes.math(group, "SUBTRACT", linear, exponential), inputs["Linear"], exponential
    )
    laid = nodes.math(group, "MULTIPLY", share, inputs["Amount"])
    fog = nodes.math(group, "MULTIPLY", laid, inputs["Has Depth"], label="Fog")
    # Fog is as opaque as the image that it lies on, whose colors are premultiplied.
    veil = compositor_nodes.set_alpha(
        group, inputs["Color"], compositor_nodes.channel(group, inputs["Image"], "Alpha"), mode="APPLY"
    )
    nodes.feed(outputs["Image"], compositor_nodes.mix_color(group, fog, inputs["Image"], veil))
    nodes.feed(outputs["Fog"], fog)


def _mean_density(group: bpy.types.NodeTree, inputs: Any) -> Socket:
    """The mean density of ground fog between *Start* and the surface, as a share of that on the ground.

    With h the height over the base in units of the falloff, density is 1 up to 0 and ``exp(-h)`` above, whose integral
    is h and ``1 - exp(-h)``; over a straight line its mean is the integral's difference divided by that of h.
    """
    x, y = view.directions(group, inputs["Z"], inputs)
    right, upward, back = split(group, inputs["Up"])
    slope = nodes.math(group, "MULTIPLY_ADD", x, right, nodes.math(group, "MULTIPLY", y, upward))
    slope = nodes.math(group, "SUBTRACT", slope, back, label="Rise by distance")
    over = nodes.math(group, "SUBTRACT", inputs["Camera Height"], inputs["Base Height"])
    falloff = nodes.math(group, "MAXIMUM", inputs["Height Falloff"], 1e-4)
    end = nodes.math(group, "MAXIMUM", inputs["Z"], inputs["Start"])
    heights, integrals = [], []
    for at in (inputs["Start"], end):
        height = nodes.math(group, "DIVIDE", nodes.math(group, "MULTIPLY_ADD", at, slope, over), falloff)
        above = nodes.math(group, "MAXIMUM", height, 0.0)
        below = nodes.math(group, "MINIMUM", height, 0.0)
        density = nodes.math(group, "EXPONENT", nodes.math(group, "MULTIPLY", above, -1.0))
        heights.append((height, density))
        integrals.append(nodes.math(group, "ADD", below, nodes.math(group, "SUBTRACT", 1.0, density)))
    (first, density), (last, _) = heights
    rise = nodes.math(group, "SUBTRACT", last, first)
    is_steep = nodes.math(group, "GREATER_THAN", nodes.math(group, "ABSOLUTE", rise), 1e-3)
    flat = nodes.math(group, "SUBTRACT", 1.0, is_steep)
    divisor = nodes.math(group, "MULTIPLY_ADD", rise, is_steep, flat)  # 1 where there is nothing to divide by
    mean = nodes.math(group, "DIVIDE", nodes.math(group, "SUBTRACT", integrals[1], integrals[0]), divisor)
    gain = nodes.math(group, "SUBTRACT", mean, density)
    return nodes.math(group, "MULTIPLY_ADD", gain, is_steep, density, label="Mean, by height")
