"""Short words for the nodes that geometry and shader trees are made of; each adds a node and gives its output."""

from __future__ import annotations

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
    tree: bpy.types.NodeTree, geometry: Socket, name: str, value: Socket, *, kind: str, domain: str = "POINT"
) -> Socket:
    """Save a field as an attribute of the geometry, as it is at this place of the tree."""
    inputs = {"Geometry": geometry, "Name": name, "Value": value}
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


def move(tree: bpy.types.NodeTree, geometry: Socket, position: Socket) -> Socket:
    """Put each point of a geometry at a position."""
    return nodes.value(tree, "GeometryNodeSetPosition", "Geometry", {"Geometry": geometry, "Position": position})


def paint(tree: bpy.types.NodeTree, geometry: Socket, material: Socket) -> Socket:
    """Give a geometry a material."""
    return nodes.value(tree, "GeometryNodeSetMaterial", "Geometry", {"Geometry": geometry, "Material": material})


def switch(tree: bpy.types.NodeTree, which: Socket, off: Socket | None, on: Socket) -> Socket:
    """One geometry or the other; None is no geometry."""
    inputs = {"Switch": which, "False": off, "True": on}
    return nodes.value(tree, "GeometryNodeSwitch", "Output", inputs, input_type="GEOMETRY")
