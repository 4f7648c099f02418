"""The nodes that turn disparity into distance, in geometry and in the compositor alike."""

from __future__ import annotations

from typing import Any

import bpy

from ..inference.contract.depth_sequence import Quantity
from . import nodes
from .depth import Distances

Socket = bpy.types.NodeSocket


def add_inputs(
    tree: bpy.types.NodeTree,
    quantity: Quantity,
    start: Distances | None = None,
    *,
    parent: bpy.types.NodeTreeInterfacePanel | None = None,
) -> None:
    """Give a group the inputs for distances; `start` are the values that they have at first."""
    start = start or Distances(p1=0.0, p99=1.0)
    wanted = [("Far Limit", start.far_limit, "Nothing is farther than this, before Scale; a sky ends here")]
    if quantity == "relative_disparity":
        wanted = [
            ("Near", start.near, "Distance of the nearest 1 % of the shot, before Scale"),
            ("Far", start.far, "Distance of the farthest 1 % of the shot, before Scale"),
            ("Near Limit", start.near_limit, "Nothing is nearer than this, before Scale"),
            *wanted,
        ]
    for name, default, description in wanted:
        nodes.interface_number(tree, name, default, description, minimum=1e-6, subtype="DISTANCE", parent=parent)


def distance(
    tree: bpy.types.NodeTree,
    disparity: Socket,
    inputs: Any,
    quantity: Quantity,
    *,
    p1: Socket | float,
    value_range: Socket | float,
    scale: Socket | float = 1.0,
) -> Socket:
    """Z from disparity; the formulas are those of `depth.Distances`.

    `inputs` are the group's sockets by name, see `add_inputs`. For ``relative_disparity``, `p1` is the shot's first
    percentile, and `value_range` from that to its 99th. `scale` multiplies Z.
    """
    inverse = disparity
    if quantity == "relative_disparity":
        t = nodes.math(tree, "DIVIDE", nodes.math(tree, "SUBTRACT", disparity, p1), value_range, label="t")
        near, far = (nodes.math(tree, "DIVIDE", 1.0, inputs[name]) for name in ("Near", "Far"))
        inverse = nodes.math(tree, "MULTIPLY_ADD", t, nodes.math(tree, "SUBTRACT", near, far), far, label="1 / Z")
        is_seen = nodes.math(tree, "GREATER_THAN", nodes.math(tree, "ABSOLUTE", disparity), 0.0, label="not beyond")
        inverse = nodes.math(tree, "MULTIPLY", inverse, is_seen)
        inverse = nodes.math(tree, "MINIMUM", inverse, nodes.math(tree, "DIVIDE", 1.0, inputs["Near Limit"]))
    inverse = nodes.math(tree, "MAXIMUM", inverse, nodes.math(tree, "DIVIDE", 1.0, inputs["Far Limit"]))
    return nodes.math(tree, "DIVIDE", scale, inverse, label="Z")
