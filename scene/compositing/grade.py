"""A grade that changes with distance."""

from __future__ import annotations

import bpy

from ...inference.contract.depth_sequence import Shot
from .. import nodes
from ..depth import Depth
from . import chain, compositor_nodes, tree
from .depth_group import span
from .tree import GRADE_KIND as KIND

_STOPS = ("Near", "Middle", "Far")

Socket = bpy.types.NodeSocket


def add_depth_grade(
    scene: bpy.types.Scene,
    depth: Depth,
    shot: Shot,
    *,
    near: float | None = None,
    far: float | None = None,
    near_gain: tuple[float, float, float] | None = None,
    far_gain: tuple[float, float, float] | None = None,
) -> bpy.types.Node:
    """Grade the scene's result by the depth of a shot, or find the grade that was added before.

    Three grades, near, middle and far, each a gain in red, green and blue, an exposure in stops and a saturation, and
    a ramp of distance from *Near* over *Middle* to *Far*, with the middle anywhere between. As it is made it changes
    nothing. The ramp is the output *Ramp*, 0 to 1, for curves and color ramps of one's own. Frames without depth pass
    unchanged. It goes behind the fog and before depth of field.

    Arguments that are None keep what the node has, or a start that suits the shot. Returns the group node "Fathom
    Depth Grade"; raises as `chain.open_setup`.
    """
    setup = chain.open_setup(scene, depth, shot)

    def suits() -> dict[str, float]:
        return dict(zip(("Near", "Far"), span(depth, shot)))

    node, _ = chain.effect(setup, KIND, "Depth Grade", build, suits)
    gains = {"Near Gain": near_gain, "Far Gain": far_gain}
    colors = {name: (*color[:3], 1.0) for name, color in gains.items() if color is not None}
    tree.set_inputs(node, {"Near": near, "Far": far, **colors})
    return node


def build(group: bpy.types.NodeTree) -> None:
    """Make the group "Fathom Depth Grade"."""
    nodes.interface_output(group, "Image", "Color", description="The graded image")
    nodes.interface_output(group, "Ramp", "Float", description="0 up to Near, 1 from Far on")
    tree.effect_inputs(group)
    nodes.interface_number(
        group, "Amount", 1.0, "How much of the grade is laid over the image", minimum=0.0, maximum=1.0, subtype="FACTOR"
    )
    distance = nodes.panel(group, "Distance", description="The ramp")
    for name, default, description in (
        ("Near", 1.0, "Up to this distance the near grade is whole"),
        ("Far", 10.0, "From this distance on the far grade is whole"),
    ):
        nodes.interface_number(group, name, default, description, minimum=0.0, subtype="DISTANCE", parent=distance)
    nodes.interface_number(
        group,
        "Middle",
        0.5,
        "Where between near and far the middle grade is whole",
        minimum=0.01,
        maximum=0.99,
        subtype="FACTOR",
        parent=distance,
    )
    for stop in _STOPS:
        own = nodes.panel(group, f"{stop} Grade", description=f"The grade of the {stop.lower()} distance")
        white = (1.0, 1.0, 1.0, 1.0)
        nodes.interface_input(
            group, f"{stop} Gain", "Color", default=white, description="Multiplies red, green and blue", parent=own
        )
        nodes.interface_number(group, f"{stop} Exposure", 0.0, "In stops", minimum=-10.0, maximum=10.0, parent=own)
        nodes.interface_number(
            group, f"{stop} Saturation", 1.0, "0 is gray, 1 as it is", minimum=0.0, maximum=4.0, parent=own
        )
    inputs, outputs = nodes.group_sockets(group)
    length = nodes.math(group, "MAXIMUM", nodes.math(group, "SUBTRACT", inputs["Far"], inputs["Near"]), 1e-6)
    behind = nodes.math(group, "SUBTRACT", inputs["Z"], inputs["Near"])
    ramp = nodes.math(group, "DIVIDE", behind, length, clamp=True, label="Ramp")
    nodes.feed(outputs["Ramp"], ramp)
    to_middle = nodes.math(group, "DIVIDE", ramp, inputs["Middle"], clamp=True, label="Near to middle")
    beyond = nodes.math(group, "SUBTRACT", ramp, inputs["Middle"])
    rest = nodes.math(group, "SUBTRACT", 1.0, inputs["Middle"])
    to_far = nodes.math(group, "DIVIDE", beyond, rest, clamp=True, label="Middle to far")
    gain = _gain(group, inputs, "Near")
    for stop, share in (("Middle", to_middle), ("Far", to_far)):
        gain = compositor_nodes.mix_color(group, share, gain, _gain(group, inputs, stop))
    saturation = inputs["Near Saturation"]
    for stop, share in (("Middle", to_middle), ("Far", to_far)):
        change = nodes.math(group, "SUBTRACT", inputs[f"{stop} Saturation"], saturation)
        saturation = nodes.math(group, "MULTIPLY_ADD", change, share, saturation)
    image = inputs["Image"]
    gray = nodes.value(group, "CompositorNodeRGBToBW", "Val", {"Image": image})
    drained = compositor_nodes.multiply_color(group, _gray(group, gray), nodes.math(group, "SUBTRACT", 1.0, saturation))
    colored = compositor_nodes.add_color(group, compositor_nodes.multiply_color(group, image, saturation), drained)
    graded = compositor_nodes.multiply_color(group, colored, gain)
    share = nodes.math(group, "MULTIPLY", inputs["Amount"], inputs["Has Depth"])
    mixed = compositor_nodes.mix_color(group, share, image, graded)
    alpha = compositor_nodes.channel(group, image, "Alpha")
    nodes.feed(outputs["Image"], compositor_nodes.set_alpha(group, mixed, alpha, mode="REPLACE_ALPHA"))


def _gain(group: bpy.types.NodeTree, inputs: dict[str, Socket], stop: str) -> Socket:
    exposure = nodes.math(group, "POWER", 2.0, inputs[f"{stop} Exposure"])
    return compositor_nodes.multiply_color(group, inputs[f"{stop} Gain"], exposure)


def _gray(group: bpy.types.NodeTree, value: Socket) -> Socket:
    return compositor_nodes.combine_color(group, value, value, value)
