"""Short words for the nodes that geometry and shader trees are made of; each adds a node and gives its output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy

from . import nodes

Socket = bpy.types.NodeSocket


def sample(tree: bpy.types.NodeTree, image: Socket, place: Socket, frame: Socket) -> Socket:
    """The value of a one-channel map, exactly that of the nearest pixel."""
    inputs = {"Image": image, "Vector": place, "Frame": frame}
    kind = "GeometryNodeImageTexture"
    color = nodes.value(tree, kind, "Color", inputs, interpolation="Closest", extension="EXTEND")
    # The color itself would be weighted to a luminance.
    return nodes.value(tree, "FunctionNodeSeparateColor", "Red", {"Color": color})


def vector(tree: bpy.types.NodeTree, operation: str, *values: Any, scale: Any = None) -> Socket:
    """Add a Vector Math node; each value is a socket or three numbers. Returns its output."""
    node = nodes.new(tree, "ShaderNodeVectorMath", operation=operation)
    for i, value in enumerate(values):
        nodes.feed(nodes.input_of(node, "Vector", i), value)
    if scale is not None:
        nodes.feed(nodes.input_of(node, "Scale"), scale)
    return next(s for s in node.outputs if s.enabled)


def combine(tree: bpy.types.NodeTree, x: Any, y: Any, z: Any) -> Socket:
    """A vector from three sockets or numbers."""
    return nodes.value(tree, "CombineXYZ", "Vector", {"X": x, "Y": y, "Z": z})


def split(tree: bpy.types.NodeTree, value: Socket) -> tuple[Socket, Socket, Socket]:
    """The three components of a vector."""
    node = nodes.value(tree, "SeparateXYZ", "X", {"Vector": value}).node
    return tuple(nodes.output_of(node, name) for name in "XYZ")


def store(
    tree: bpy.types.NodeTree,
    geometry: Socket,
    name: str,
    value: Socket,
    *,
    kind: str,
    domain: str = "POINT",
    where: Socket | None = None,
) -> Socket:
    """Save a field as an attribute of the geometry, as it is at this place of the tree.

    `where` selects elements: the others keep what they have, or get 0, and the field is not computed for them.
    """
    inputs = {"Geometry": geometry, "Selection": where, "Name": name, "Value": value}
    node = "GeometryNodeStoreNamedAttribute"
    return nodes.value(tree, node, "Geometry", inputs, label=name, data_type=kind, domain=domain)


def named(tree: bpy.types.NodeTree, name: str, kind: str) -> Socket:
    """The attribute that `store` saved."""
    node = "GeometryNodeInputNamedAttribute"
    return nodes.value(tree, node, "Attribute", {"Name": name}, label=name, data_type=kind)


def delete(tree: bpy.types.NodeTree, geometry: Socket, selection: Socket, *, domain: str, mode: str) -> Socket:
    """Delete the selected elements."""
    inputs = {"Geometry": geometry, "Selection": selection}
    return nodes.value(tree, "GeometryNodeDeleteGeometry", "Geometry", inputs, domain=domain, mode=mode)


def separate(tree: bpy.types.NodeTree, geometry: Socket, selection: Socket, *, domain: str) -> tuple[Socket, Socket]:
    """The selected elements, and the rest."""
    inputs = {"Geometry": geometry, "Selection": selection}
    node = nodes.value(tree, "GeometryNodeSeparateGeometry", "Selection", inputs, domain=domain).node
    return nodes.output_of(node, "Selection"), nodes.output_of(node, "Inverted")


def join(tree: bpy.types.NodeTree, *geometries: Socket) -> Socket:
    """Several geometries as one."""
    node = nodes.new(tree, "GeometryNodeJoinGeometry")
    for geometry in geometries:
        nodes.feed(nodes.input_of(node, "Geometry"), geometry)
    return nodes.output_of(node, "Geometry")


def at_index(tree: bpy.types.NodeTree, value: Socket, index: Socket, *, kind: str = "FLOAT") -> Socket:
    """The value that a field has at another point of the same geometry."""
    inputs = {"Index": index, "Value": value}
    return nodes.value(tree, "GeometryNodeFieldAtIndex", "Value", inputs, data_type=kind, domain="POINT")


def at_point_of(
    tree: bpy.types.NodeTree, geometry: Socket, value: Socket, index: Socket, *, kind: str = "FLOAT"
) -> Socket:
    """The value that a field has at a point of another geometry."""
    inputs = {"Geometry": geometry, "Index": index, "Value": value}
    return nodes.value(tree, "GeometryNodeSampleIndex", "Value", inputs, data_type=kind, domain="POINT")


def on_points(tree: bpy.types.NodeTree, value: Socket, *, kind: str = "FLOAT") -> Socket:
    """A field as it is on points, for other elements the mean of theirs, whatever it depends on."""
    return nodes.value(tree, "GeometryNodeFieldOnDomain", "Value", {"Value": value}, data_type=kind, domain="POINT")


def repeat(
    tree: bpy.types.NodeTree,
    times: Socket,
    state: dict[str, tuple[str, Any]],
    body: Callable[[dict[str, Socket]], dict[str, Any]],
) -> dict[str, Socket]:
    """Add a repeat zone.

    `state` has the kind and the first value of each thing that goes round, by name; `body` adds the nodes inside and
    returns the next values. Returns the last ones.
    """
    begin, end = nodes.new(tree, "GeometryNodeRepeatInput"), nodes.new(tree, "GeometryNodeRepeatOutput")
    begin.pair_with_output(end)
    end.repeat_items.clear()
    for name, (kind, _) in state.items():
        end.repeat_items.new(kind, name)
    nodes.feed(nodes.input_of(begin, "Iterations"), times)
    for name, (_, first) in state.items():
        nodes.feed(nodes.input_of(begin, name), first)
    for name, value in body({name: nodes.output_of(begin, name) for name in state}).items():
        nodes.feed(nodes.input_of(end, name), value)
    return {name: nodes.output_of(end, name) for name in state}


def move(tree: bpy.types.NodeTree, geometry: Socket, position: Socket) -> Socket:
    """Put each point of a geometry at a position."""
    return nodes.value(tree, "GeometryNodeSetPosition", "Geometry", {"Geometry": geometry, "Position": position})


def paint(tree: bpy.types.NodeTree, geometry: Socket, material: Socket) -> Socket:
    """Give a geometry a material."""
    return nodes.value(tree, "GeometryNodeSetMaterial", "Geometry", {"Geometry": geometry, "Material": material})


def switch(tree: bpy.types.NodeTree, which: Socket, off: Any, on: Any, *, kind: str = "GEOMETRY") -> Socket:
    """One geometry, or value of another kind, or the other; None is none. What is not taken is not computed."""
    inputs = {"Switch": which, "False": off, "True": on}
    return nodes.value(tree, "GeometryNodeSwitch", "Output", inputs, input_type=kind)
