"""A matte of what lies at a certain distance."""

from __future__ import annotations

import bpy

from ...inference.contract.depth_sequence import Shot
from .. import nodes
from ..depth import Depth
from . import chain, compositor_nodes, tree
from .depth_group import span
from .tree import MATTE_KIND as KIND


def add_depth_matte(
    scene: bpy.types.Scene,
    depth: Depth,
    shot: Shot,
    *,
    target: float | None = None,
    tolerance: float | None = None,
    softness: float | None = None,
    near_falloff: float | None = None,
    far_falloff: float | None = None,
    invert: float | None = None,
) -> bpy.types.Node:
    """Add a matte of what lies at a shot's target distance, or find the one that was added before.

    With Z the distance, the matte is ``1 - (|Z - target| - tolerance) / width``, clamped to 0..1, width the softness
    and, in front of the target and behind it, the near and the far falloff in addition; with width 0 it is 1 up to the
    tolerance and 0 beyond. Then it is choked, blurred, clipped and inverted. Frames without depth have matte 0. The
    matte stands beside the image's way to the output, which stays as it is: its output *Matte* goes into other nodes'
    factors, *Image* is the image cut out by it, with all of Fathom's effects on it, whichever is added first. A viewer
    that Fathom added shows the cut-out.

    Every argument that is None keeps what the node has, or a start that suits the shot: its nearest third. Returns the
    group node "Fathom Depth Matte"; raises as `chain.open_setup`.
    """
    setup = chain.open_setup(scene, depth, shot)

    def suits() -> dict[str, float]:
        near, far = span(depth, shot)
        return {"Target": near, "Tolerance": (far - near) / 3, "Softness": (far - near) / 10}

    node, _ = chain.effect_beside(setup, KIND, "Depth Matte", build, suits)
    chain.show(setup, nodes.output_of(node, "Image"))
    values = {"Target": target, "Tolerance": tolerance, "Softness": softness, "Invert": invert}
    tree.set_inputs(node, {**values, "Near Falloff": near_falloff, "Far Falloff": far_falloff})
    return node


def build(group: bpy.types.NodeTree) -> None:
    """Make the group "Fathom Depth Matte"."""
    nodes.interface_output(group, "Matte", "Float", description="1 at the target distance, 0 away from it")
    nodes.interface_output(group, "Image", "Color", description="The image cut out by the matte, premultiplied")
    tree.effect_inputs(group)
    distance = nodes.panel(group, "Distance", description="What the matte is of")
    for name, default, description in (
        ("Target", 1.0, "Distance that the matte is of"),
        ("Tolerance", 1.0, "What lies at most this far before or behind the target is in the matte wholly"),
        ("Softness", 0.1, "Distance over which the matte falls off beyond the tolerance"),
        ("Near Falloff", 0.0, "What is added to the softness in front of the target"),
        ("Far Falloff", 0.0, "What is added to the softness behind the target"),
    ):
        nodes.interface_number(group, name, default, description, minimum=0.0, subtype="DISTANCE", parent=distance)
    compositor_nodes.matte_inputs(group)
    inputs, outputs = nodes.group_sockets(group)
    behind = nodes.math(group, "SUBTRACT", inputs["Z"], inputs["Target"], label="Behind the target")
    beyond = nodes.math(
        group, "SUBTRACT", nodes.math(group, "ABSOLUTE", behind), inputs["Tolerance"], label="Beyond the tolerance"
    )
    is_far = nodes.math(group, "GREATER_THAN", behind, 0.0)
    gain = nodes.math(group, "SUBTRACT", inputs["Far Falloff"], inputs["Near Falloff"])
    added = nodes.math(group, "MULTIPLY_ADD", gain, is_far, inputs["Near Falloff"])
    width = nodes.math(group, "MAXIMUM", nodes.math(group, "ADD", inputs["Softness"], added), 1e-6, label="Falloff")
    outside = nodes.math(group, "DIVIDE", beyond, width, clamp=True)
    inside = nodes.math(group, "SUBTRACT", 1.0, outside)
    refined = compositor_nodes.refine_matte(group, inside, inputs)
    matte = nodes.math(group, "MULTIPLY", refined, inputs["Has Depth"], label="Matte")
    nodes.feed(outputs["Matte"], matte)
    nodes.feed(outputs["Image"], compositor_nodes.set_alpha(group, inputs["Image"], matte, mode="APPLY"))
