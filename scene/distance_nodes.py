"""The nodes that turn disparity into distance, in geometry and in the compositor alike."""

from __future__ import annotations

from typing import Any

import bpy

from ..inference.contract.depth_sequence import Quantity
from . import nodes
from .depth import Distances, Fit

Socket = bpy.types.NodeSocket

FIT_SWITCH, FIT_SCALE, FIT_SHIFT = "Fit to Solve", "Solve Scale", "Solve Shift"
"""Inputs of every group that has distances; see `add_fit_inputs`."""


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


def add_fit_inputs(tree: bpy.types.NodeTree, *, parent: bpy.types.NodeTreeInterfacePanel | None = None) -> None:
    """Give a group the inputs that bring distances to a camera solve's, see `depth.Fit`; as they are made, none does.

    The compositor of 4.2 knows no switches, so there the first is a number.
    """
    is_number = tree.bl_idname == "CompositorNodeTree"
    limits = {"minimum": 0.0, "maximum": 1.0} if is_number else {}
    kind, off = ("Float", 0.0) if is_number else ("Bool", False)
    what = "Distances are those of the camera solve: 1/Z = Solve Scale x value + Solve Shift"
    nodes.interface_input(tree, FIT_SWITCH, kind, default=off, description=what, parent=parent, **limits)
    nodes.interface_number(tree, FIT_SCALE, 1.0, "Multiplies the maps' values to give 1/Z", parent=parent)
    nodes.interface_number(tree, FIT_SHIFT, 0.0, "Is added to give 1/Z", parent=parent)


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

    `inputs` are the group's sockets by name, see `add_inputs` and `add_fit_inputs`. For ``relative_disparity``, `p1` is
    the shot's first percentile, and `value_range` from that to its 99th. `scale` multiplies Z.
    """
    inverse = disparity
    if quantity == "relative_disparity":
        t = nodes.math(tree, "DIVIDE", nodes.math(tree, "SUBTRACT", disparity, p1), value_range, label="t")
        near, far = (nodes.math(tree, "DIVIDE", 1.0, inputs[name]) for name in ("Near", "Far"))
        inverse = nodes.math(tree, "MULTIPLY_ADD", t, nodes.math(tree, "SUBTRACT", near, far), far, label="1 / Z")
    solved = nodes.math(tree, "MULTIPLY_ADD", disparity, inputs[FIT_SCALE], inputs[FIT_SHIFT], label="1 / Z, solved")
    gain = nodes.math(tree, "SUBTRACT", solved, inverse)
    inverse = nodes.math(tree, "MULTIPLY_ADD", gain, inputs[FIT_SWITCH], inverse, label="1 / Z")
    if quantity == "relative_disparity":
        is_seen = nodes.math(tree, "GREATER_THAN", nodes.math(tree, "ABSOLUTE", disparity), 0.0, label="not beyond")
        inverse = nodes.math(tree, "MULTIPLY", inverse, is_seen)
        inverse = nodes.math(tree, "MINIMUM", inverse, nodes.math(tree, "DIVIDE", 1.0, inputs["Near Limit"]))
    inverse = nodes.math(tree, "MAXIMUM", inverse, nodes.math(tree, "DIVIDE", 1.0, inputs["Far Limit"]))
    return nodes.math(tree, "DIVIDE", scale, inverse, label="Z")


def show_fit_in_modifier(modifier: bpy.types.NodesModifier, fit: Fit | None, frame_offset: int) -> None:
    """Let a modifier's distances be those of a camera solve, or its own again (None)."""
    nodes.set_modifier_input(modifier, FIT_SWITCH, fit is not None)
    for name, values in _curves(fit, frame_offset).items():
        path = nodes.modifier_input_path(modifier, name)
        nodes.set_keys(modifier.id_data, path, values)
        nodes.set_modifier_input(modifier, name, values[len(values) // 2][1])


def show_fit_in_node(node: bpy.types.Node, fit: Fit | None, frame_offset: int) -> None:
    """As `show_fit_in_modifier`, for a Fathom Depth node of the compositor."""
    nodes.input_of(node, FIT_SWITCH).default_value = float(fit is not None)
    for name, values in _curves(fit, frame_offset).items():
        socket = nodes.input_of(node, name)
        nodes.set_keys(node.id_data, socket.path_from_id("default_value"), values)
        socket.default_value = values[len(values) // 2][1]


def _curves(fit: Fit | None, frame_offset: int) -> dict[str, list[tuple[float, float]]]:
    """Scene frames and values of both numbers."""
    keys = ((0, 1.0, 0.0),) if fit is None else fit.keys
    return {name: [(key[0] + frame_offset, key[i]) for key in keys] for name, i in ((FIT_SCALE, 1), (FIT_SHIFT, 2))}
