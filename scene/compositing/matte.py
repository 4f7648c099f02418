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
) -> bpy.types.Node:
    """Add a matte of what lies at a shot's target distance, or find the one that was added before.

    With Z the distance, the matte is ``1 - (|Z - target| - tolerance) / softness``, clamped to 0..1; with softness 0 it
    is 1 up to the tolerance and 0 beyond. Frames without depth have matte 0. The matte stands beside the image's way to
    the output, which stays as it is: its output *Matte* goes into other nodes' factors, *Image* is the image cut out by
    it, with all of Fathom's effects on it, whichever is added first. A viewer that Fathom added shows the cut-out.

    Every argument that is None keeps what the node has, or a start that suits the shot: its nearest third. Returns the
    group node "Fathom Depth Matte"; raises as `chain.open_setup`.
    """
    setup = chain.open_setup(scene, depth, shot)
    node = setup.find(KIND)
    before = chain.place(setup, KIND).source
    if node is None:
        node = tree.add_effect(setup, KIND, "Depth Matte", _build)
        near, far = span(depth, shot)
        tree.set_inputs(node, {"Target": near, "Tolerance": (far - near) / 3, "Softness": (far - near) / 10})
        tree.place_below(setup, before.node, node)
    if not nodes.input_of(node, "Image").is_linked and node not in tree.upstream(before.node):
        nodes.feed(nodes.input_of(node, "Image"), before)
    chain.connect(setup)
    chain.show(setup, nodes.output_of(node, "Image"))
    tree.set_inputs(node, {"Target": target, "Tolerance": tolerance, "Softness": softness})
    return node


def _build(group: bpy.types.NodeTree) -> None:
    nodes.interface_output(group, "Matte", "Float", description="1 at the target distance, 0 away from it")
    nodes.interface_output(group, "Image", "Color", description="The image cut out by the matte, premultiplied")
    tree.effect_inputs(group)
    for name, default, description in (
        ("Target", 1.0, "Distance that the matte is of"),
        ("Tolerance", 1.0, "What lies at most this far before or behind the target is in the matte wholly"),
        ("Softness", 0.1, "Distance over which the matte falls off beyond the tolerance"),
    ):
        nodes.interface_input(
            group, name, "Float", default=default, minimum=0.0, subtype="DISTANCE", description=description
        )
    inputs, outputs = nodes.group_sockets(group)
    away = nodes.math(
        group, "ABSOLUTE", nodes.math(group, "SUBTRACT", inputs["Z"], inputs["Target"]), label="Away from the target"
    )
    beyond = nodes.math(group, "SUBTRACT", away, inputs["Tolerance"], label="Beyond the tolerance")
    softness = nodes.math(group, "MAXIMUM", inputs["Softness"], 1e-6)
    outside = nodes.math(group, "DIVIDE", beyond, softness, clamp=True)
    inside = nodes.math(group, "SUBTRACT", 1.0, outside)
    matte = nodes.math(group, "MULTIPLY", inside, inputs["Has Depth"], label="Matte")
    nodes.feed(outputs["Matte"], matte)
    nodes.feed(outputs["Image"], compositor_nodes.set_alpha(group, inputs["Image"], matte, mode="APPLY"))
