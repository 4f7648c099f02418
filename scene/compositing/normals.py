"""Normals of the surfaces, from their distances."""

from __future__ import annotations

from functools import partial
from typing import Any

import bpy

from ...inference.contract.depth_sequence import Shot
from .. import nodes
from ..depth import Depth
from ..geometry import combine, split
from . import chain, compositor_nodes, tree, view
from .tree import NORMALS_KIND as KIND

Socket = bpy.types.NodeSocket
Vector = tuple[Socket, Socket, Socket]


def add_normals(scene: bpy.types.Scene, depth: Depth, shot: Shot, *, smoothness: float | None = None) -> bpy.types.Node:
    """Add the normals of a shot's surfaces, or find those that were added before.

    They stand beside the image's way to the output: *Normal* is in the camera's axes (right, up, towards the camera),
    *Color* shows it, 0.5 being 0. Where the shot's camera is built or solved its lens is taken, else the node's.
    Frames without depth face the camera.

    Returns the group node "Fathom Normals"; raises as `chain.open_setup`.
    """
    setup = chain.open_setup(scene, depth, shot)
    node, _ = chain.effect_beside(setup, KIND, "Normals", build)
    view.follow_shot(setup, node)
    tree.set_inputs(node, {"Smoothness": smoothness})
    chain.show(setup, nodes.output_of(node, "Color"))
    return node


def build(group: bpy.types.NodeTree) -> None:
    """Make the group "Fathom Normals"."""
    nodes.interface_output(group, "Color", "Color", description="The normal as a color: 0.5 is 0, blue to the camera")
    nodes.interface_output(group, "Normal", "Vector", description="In the camera's axes: right, up, to the camera")
    tree.depth_inputs(group)
    add_inputs(group)
    view.add_inputs(group, parent=nodes.panel(group, "Camera", description="Follows the shot's camera", closed=True))
    inputs, outputs = nodes.group_sockets(group)
    x, y = view.directions(group, inputs["Z"], inputs)
    found = of_surface(group, inputs, x, y)
    nodes.feed(outputs["Normal"], combine(group, *found))
    shown = (nodes.math(group, "MULTIPLY_ADD", each, 0.5, 0.5) for each in found)
    nodes.feed(outputs["Color"], compositor_nodes.combine_color(group, *shown))


def add_inputs(group: bpy.types.NodeTree) -> None:
    """Give a group the inputs that `of_surface` needs beside those of the view."""
    panel = nodes.panel(group, "Normals", description="The normals of the surfaces")
    what = "Size of a blur of the inverse distance, in pixels: more hides the steps of an estimate, and small shapes"
    nodes.interface_number(group, "Smoothness", 1.0, what, minimum=0.0, maximum=200.0, parent=panel)


def of_surface(group: bpy.types.NodeTree, inputs: Any, x: Socket, y: Socket) -> Vector:
    """The normal of each pixel in the camera's axes, of length 1, facing the camera.

    A plane ``n . P = k`` with ``P = Z (x, y, -1)`` has ``1/Z = (n_x x + n_y y - n_z) / k``: over the image 1/Z is
    linear, and its slopes are the normal. Of the slopes on either side of a pixel the smaller is taken, which lies
    within the surface where the other crosses an edge.
    """
    math = partial(nodes.math, group)
    inverse = math("DIVIDE", 1.0, inputs["Z"])
    inverse = math("ADD", compositor_nodes.blur(group, inverse, inputs["Smoothness"]), 0.0, label="1 / Z")
    width, _ = compositor_nodes.frame_size(group, inputs["Z"], inputs)
    step = math("DIVIDE", math("DIVIDE", inputs["Sensor Width"], inputs["Focal Length"]), width, label="A pixel")
    steps = (step, math("MULTIPLY", step, inputs["Pixel Aspect"]))
    slopes = []
    for i, (across, up) in enumerate(((1.0, 0.0), (0.0, 1.0))):
        after = math("SUBTRACT", compositor_nodes.moved(group, inverse, -across, -up), inverse)
        before = math("SUBTRACT", inverse, compositor_nodes.moved(group, inverse, across, up))
        is_after = math("LESS_THAN", math("ABSOLUTE", after), math("ABSOLUTE", before))
        chosen = math("MULTIPLY_ADD", math("SUBTRACT", after, before), is_after, before)
        slopes.append(math("DIVIDE", math("MULTIPLY", chosen, inputs["Has Depth"]), steps[i]))
    ahead = math("SUBTRACT", inverse, math("MULTIPLY_ADD", x, slopes[0], math("MULTIPLY", y, slopes[1])))
    turned = (*(math("MULTIPLY", slope, -1.0) for slope in slopes), ahead)
    return normalized(group, turned)


def normalized(group: bpy.types.NodeTree, vector: Vector) -> Vector:
    """A vector of length 1."""
    length = nodes.math(group, "SQRT", dot(group, vector, vector))
    length = nodes.math(group, "MAXIMUM", length, 1e-12)
    return tuple(nodes.math(group, "DIVIDE", part, length) for part in vector)


def dot(group: bpy.types.NodeTree, one: Vector, other: Vector) -> Socket:
    """The scalar product of two vectors."""
    total = nodes.math(group, "MULTIPLY", one[0], other[0])
    for a, b in zip(one[1:], other[1:]):
        total = nodes.math(group, "MULTIPLY_ADD", a, b, total)
    return total


def parts_of(group: bpy.types.NodeTree, vector: Socket) -> Vector:
    """The components of a vector input."""
    return split(group, vector)
