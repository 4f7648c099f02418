"""Fog over the plate by its depth."""

from __future__ import annotations

from collections.abc import Sequence

import bpy

from ...inference.contract.depth_sequence import Shot
from .. import nodes
from ..depth import Depth
from . import chain, compositor_nodes, tree
from .depth_group import span
from .tree import FOG_KIND as KIND


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
) -> bpy.types.Node:
    """Lay fog over the scene's result by a shot's depth, or find the fog that was added before.

    With Z the distance, the share of fog is ``1 - exp(-density max(Z - start, 0))``, Beer-Lambert's law, or, where
    *Linear* is 1, ``(Z - start) / (end - start)`` clamped to 0..1; in between it is a blend of the two. Frames without
    depth pass unchanged. Fog lies on what Z Combine gives and reads its distances, whichever is added first.

    `color` is scene linear. Every argument that is None keeps what the node has, or a start that suits the shot.
    Returns the group node "Fathom Fog"; raises as `chain.open_setup`.
    """
    setup = chain.open_setup(scene, depth, shot)
    node = setup.find(KIND)
    is_new = node is None
    if is_new:
        node = tree.add_effect(setup, KIND, "Fog", _build)
        near, far = span(depth, shot)
        tree.set_inputs(node, {"Start": near, "End": far, "Density": 1.5 / (far - near)})
        before = chain.place(setup, KIND).source.node
    chain.lead(setup, node, KIND)
    if is_new:
        tree.place_after(setup, before, [node])
    chain.connect(setup)
    values = {"Density": density, "Start": start, "End": end, "Linear": linear}
    if color is not None:
        values["Color"] = (*color[:3], 1.0)
    tree.set_inputs(node, values)
    return node


def _build(group: bpy.types.NodeTree) -> None:
    nodes.interface_output(group, "Image", "Color", description="The image in fog")
    nodes.interface_output(group, "Fog", "Float", description="Share of fog in each pixel, 0 to 1")
    tree.effect_inputs(group)
    nodes.interface_input(
        group, "Color", "Color", default=(0.6, 0.65, 0.7, 1.0), description="Color that the far distance takes on"
    )
    for name, default, maximum, subtype, description in (
        ("Amount", 1.0, 1.0, "FACTOR", "How much of the fog is laid over the image"),
        ("Start", 1.0, None, "DISTANCE", "Distance at which the fog begins"),
        ("Density", 0.1, None, None, "Optical density per unit of distance, for exponential fog"),
        ("End", 10.0, None, "DISTANCE", "Distance at which linear fog has covered everything"),
        ("Linear", 0.0, 1.0, "FACTOR", "0: exponential, as fog is in nature; 1: linear from Start to End"),
    ):
        nodes.interface_number(group, name, default, description, minimum=0.0, maximum=maximum, subtype=subtype)
    inputs, outputs = nodes.group_sockets(group)
    behind = nodes.math(
        group, "MAXIMUM", nodes.math(group, "SUBTRACT", inputs["Z"], inputs["Start"]), 0.0, label="Behind Start"
    )
    optical = nodes.math(group, "MULTIPLY", behind, inputs["Density"], label="Optical depth")
    clear = nodes.math(group, "EXPONENT", nodes.math(group, "MULTIPLY", optical, -1.0), label="Transmittance")
    exponential = nodes.math(group, "SUBTRACT", 1.0, clear, label="Exponential")
    length = nodes.math(group, "MAXIMUM", nodes.math(group, "SUBTRACT", inputs["End"], inputs["Start"]), 1e-6)
    linear = nodes.math(group, "DIVIDE", behind, length, clamp=True, label="Linear")
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
