"""Short words for the nodes that geometry and shader trees are made of; each adds a node and gives its output."""

from __future__ import annotations

from typing import Any

import bpy

from . import nodes

Socket = bpy.types.NodeSocket


def sample(tree: bpy.types.NodeTree, image: Socket, place: Socket, frame: Socket) -> Socket:
    """The value of a one-channel map, exactly that of the nearest pixel."""
    texture = nodes.new(tree, "GeometryNodeImageTexture", interpolation="Closest", extension="EXTEND")
    nodes.feed(nodes.input_of(texture, "Image"), image)
    nodes.feed(nodes.input_of(texture, "Vector"), place)
    nodes.feed(nodes.input_of(texture, "Frame"), frame)
    split = nodes.new(tree, "FunctionNodeSeparateColor")  # the colour itself would be weighted to a luminance
    nodes.feed(nodes.input_of(split, "Color"), nodes.output_of(texture, "Color"))
    return nodes.output_of(split, "Red")


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
    node = nodes.new(tree, "CombineXYZ")
    for name, value in (("X", x), ("Y", y), ("Z", z)):
        nodes.feed(nodes.input_of(node, name), value)
    return nodes.output_of(node, "Vector")


def split(tree: bpy.types.NodeTree, value: Socket) -> tuple[Socket, Socket, Socket]:
    """The three components of a vector."""
    node = nodes.new(tree, "SeparateXYZ")
    nodes.feed(nodes.input_of(node, "Vector"), value)
    return tuple(nodes.output_of(node, name) for name in "XYZ")


def store(
    tree: bpy.types.NodeTree, geometry: Socket, name: str, value: Socket, *, kind: str, domain: str = "POINT"
) -> Socket:
    """Keep a field as an attribute of the geometry, as it is at this place of the tree."""
    node = nodes.new(tree, "GeometryNodeStoreNamedAttribute", label=name, data_type=kind, domain=domain)
    nodes.feed(nodes.input_of(node, "Geometry"), geometry)
    nodes.feed(nodes.input_of(node, "Name"), name)
    nodes.feed(nodes.input_of(node, "Value"), value)
    return nodes.output_of(node, "Geometry")


def named(tree: bpy.types.NodeTree, name: str, kind: str) -> Socket:
    """The attribute that `store` kept."""
    node = nodes.new(tree, "GeometryNodeInputNamedAttribute", label=name, data_type=kind)
    nodes.feed(nodes.input_of(node, "Name"), name)
    return nodes.output_of(node, "Attribute")


def delete(tree: bpy.types.NodeTree, geometry: Socket, selection: Socket, *, domain: str, mode: str) -> Socket:
    """Delete the selected elements."""
    node = nodes.new(tree, "GeometryNodeDeleteGeometry", domain=domain, mode=mode)
    nodes.feed(nodes.input_of(node, "Geometry"), geometry)
    nodes.feed(nodes.input_of(node, "Selection"), selection)
    return nodes.output_of(node, "Geometry")


def switch(tree: bpy.types.NodeTree, which: Socket, off: Socket | None, on: Socket) -> Socket:
    """One geometry or the other; None is no geometry."""
    node = nodes.new(tree, "GeometryNodeSwitch", input_type="GEOMETRY")
    nodes.feed(nodes.input_of(node, "Switch"), which)
    if off is not None:
        nodes.feed(nodes.input_of(node, "False"), off)
    nodes.feed(nodes.input_of(node, "True"), on)
    return nodes.output_of(node, "Output")
