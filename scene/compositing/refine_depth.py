"""The node group "Fathom Refine Depth": the edges of depth in the compositor, live.

What the maps do not show it cannot find: edges follow the maps, not the plate, see `scene.refine` for what does. It
takes away what lies between the two sides of an edge, and moves edges by whole pixels. Blender 4.2 lacks the means:
there distances stay as they are.
"""

from __future__ import annotations

import math
from typing import Any

import bpy

from .. import lookup, nodes
from . import compositor_nodes

KIND = "comp_refine"
MOST = 8
"""Pixels."""
_STEP = 0.1
"""Values of 1/Z that differ by this share of the larger one are a step, as for the worker's refinement."""
_STEEP = 1.4
"""Of a step within the fringe's width, this share over its pixels to one side changes between neighbors at least: on a
plane 1, at an edge that is interpolated over so many pixels 1.5 to 2."""

Socket = bpy.types.NodeSocket


def refine_group() -> bpy.types.NodeTree:
    """The file's node group, built if it has none yet.

    Inputs: *Z*; *Fringe*, how many pixels to either side of an edge may lie between its sides, which take the distance
    of the side that they are nearer to in 1/Z; *Edge*, the pixels by which near sides grow, or shrink where it is below
    0. Output: *Z*.
    """
    return lookup.node_group(KIND, "Fathom Refine Depth", "CompositorNodeTree", build)


def add_inputs(group: bpy.types.NodeTree) -> None:
    """Give a group the inputs for the artist, where they would do anything."""
    if not compositor_nodes.can_grow(group):
        return
    panel = nodes.panel(group, "Edges", description="Edges of the plate's depth")
    for name, least, description in (
        ("Fringe", 0.0, "Pixels to either side of an edge that take the distance of either side; 0: none does"),
        ("Edge", -MOST, "Pixels by which near sides grow; below 0 they shrink"),
    ):
        nodes.interface_number(group, name, 0.0, description, minimum=float(least), maximum=float(MOST), parent=panel)


def refined(tree: bpy.types.NodeTree, z: Socket, inputs: Any) -> Socket:
    """Add the group to a tree that has the inputs of `add_inputs`; returns the refined distances."""
    if not compositor_nodes.can_grow(tree):
        return z
    node = nodes.new(tree, "CompositorNodeGroup", label="Refine Depth")
    node.node_tree = refine_group()
    for name, source in (("Z", z), ("Fringe", inputs["Fringe"]), ("Edge", inputs["Edge"])):
        nodes.feed(nodes.input_of(node, name), source)
    return nodes.output_of(node, "Z")


def fringe_of(map_size: tuple[int, int], plate_size: tuple[int, int]) -> float:
    """The *Fringe* that maps need which are brought to the plate's size bilinearly; sizes are (width, height).

    Between two of the maps' pixels lie as many of the plate's as the plate is larger, half of them to either side.
    """
    larger = max(plate / own for plate, own in zip(plate_size, map_size, strict=True))
    return 0.0 if larger <= 1.0 else float(min(math.ceil(larger), MOST))


def build(tree: bpy.types.NodeTree) -> None:
    """Build the group in an empty tree; from Blender 4.5 on."""
    nodes.interface_output(tree, "Z", "Float", description="Distance, nothing between the two sides of an edge")
    nodes.interface_number(tree, "Z", 1.0, "Distance of each pixel, from Fathom Depth").hide_value = True
    add_inputs(tree)
    inputs, outputs = nodes.group_sockets(tree)
    inverse = nodes.math(tree, "DIVIDE", 1.0, inputs["Z"], label="1 / Z")
    snapped = _snapped(tree, inverse, inputs["Fringe"])
    other = compositor_nodes.grown(tree, snapped, inputs["Edge"])
    change = nodes.math(tree, "ABSOLUTE", nodes.math(tree, "SUBTRACT", other, snapped))
    limit = nodes.math(tree, "MULTIPLY", nodes.math(tree, "MAXIMUM", other, snapped), _STEP)
    moved = nodes.math(tree, "GREATER_THAN", change, limit, label="The edge moved here")
    result = _chosen(tree, snapped, other, moved)
    nodes.feed(outputs["Z"], nodes.math(tree, "DIVIDE", 1.0, result, label="Z"))


def _snapped(tree: bpy.types.NodeTree, inverse: Socket, fringe: Socket) -> Socket:
    """1/Z with either side's value at edges, slopes as they are: the toggle mapping of Kramer and Bruckner (Pattern
    Recognition 7, 1975), where there is a step.
    """
    back = nodes.math(tree, "MULTIPLY", fringe, -1.0)
    near, far = (compositor_nodes.grown(tree, inverse, pixels) for pixels in (fringe, back))
    highest, lowest = (compositor_nodes.grown(tree, inverse, pixels) for pixels in (1, -1))
    step = nodes.math(tree, "SUBTRACT", near, far, label="Step")
    beside = nodes.math(tree, "SUBTRACT", highest, lowest, label="Step between neighbors")
    steep = nodes.math(tree, "DIVIDE", nodes.math(tree, "MULTIPLY", step, _STEEP), fringe)
    is_high = nodes.math(tree, "GREATER_THAN", step, nodes.math(tree, "MULTIPLY", near, _STEP))
    is_edge = nodes.math(tree, "GREATER_THAN", beside, steep)
    middle = nodes.math(tree, "MULTIPLY", nodes.math(tree, "ADD", near, far), 0.5)
    is_near = nodes.math(tree, "GREATER_THAN", inverse, middle, label="On the near side")
    side = _chosen(tree, far, near, is_near)
    return _chosen(tree, inverse, side, nodes.math(tree, "MULTIPLY", is_high, is_edge, label="At an edge"))


def _chosen(tree: bpy.types.NodeTree, a: Socket, b: Socket, is_b: Socket) -> Socket:
    """A where `is_b` is 0, b where it is 1."""
    return nodes.math(tree, "MULTIPLY_ADD", nodes.math(tree, "SUBTRACT", b, a), is_b, a)
