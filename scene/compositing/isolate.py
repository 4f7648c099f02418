"""A subject cut out by a matte, and the image without it."""

from __future__ import annotations

import bpy

from ...inference.contract.depth_sequence import Shot
from .. import nodes
from ..depth import Depth, show_frames
from ..problems import Problem
from . import chain, compositor_nodes, tree
from .depth_group import fit_to_render
from .tree import ISOLATE_KIND as KIND

_SOURCE = "comp_isolate_matte"


def add_isolate(
    scene: bpy.types.Scene, depth: Depth, shot: Shot, *, matte: bpy.types.Image | None = None
) -> bpy.types.Node:
    """Add *Isolate by Matte* for a shot, or find the one that was added before.

    `matte` is an image, or a sequence with the plate's frame numbers, white where the subject is, such as *Make Mattes
    of People* makes; it is fitted to the render as the plate is. None: what the node has, to begin with everything.

    The matte counts only where there is depth from *Nearest* to *Farthest*, so that one subject of several can be held;
    its edges are choked, blurred and clipped. *Image* is the subject, premultiplied, *Background* the image without
    it, and *Filled* the image where the subject is replaced by what is around it. The node stands beside the image's
    way to the output, as Depth Matte does.

    Returns the group node "Fathom Isolate by Matte"; raises as `chain.open_setup`, and Problem for an image that
    cannot be a matte.
    """
    setup = chain.open_setup(scene, depth, shot)
    if matte is not None and matte.source not in ("FILE", "SEQUENCE", "MOVIE", "GENERATED"):
        raise Problem(f"{matte.name} cannot be a matte: choose an image, a sequence of images or a movie.")
    node, _ = chain.effect_beside(setup, KIND, "Isolate by Matte", build)
    if matte is not None:
        _feed_matte(setup, node, matte)
    chain.show(setup, nodes.output_of(node, "Image"))
    return node


def _feed_matte(setup: tree.Setup, node: bpy.types.Node, matte: bpy.types.Image) -> None:
    """Link an image to *Matte*, through the same scaling as the plate's."""
    source = setup.find(_SOURCE)
    if source is None:
        source = setup.mark(nodes.new(setup.tree, "CompositorNodeImage", label="Matte"), _SOURCE)
        fitted = fit_to_render(setup.tree, nodes.output_of(source, "Image"))
        red = compositor_nodes.channel(setup.tree, fitted, "Red")
        nodes.feed(nodes.input_of(node, "Matte"), red)
        for each in (source, fitted.node, red.node):
            tree.place_below(setup, node, each)
    source.image = matte
    matte.colorspace_settings.name = "Non-Color"
    if matte.source in ("SEQUENCE", "MOVIE"):
        sequence = setup.depth.sequence
        show_frames(source, sequence.first_frame, sequence.last_frame, frame_offset=setup.depth.frame_offset)


def build(group: bpy.types.NodeTree) -> None:
    """Make the group "Fathom Isolate by Matte"."""
    for name, kind, description in (
        ("Image", "Color", "The subject, premultiplied"),
        ("Background", "Color", "The image without the subject, premultiplied"),
        ("Filled", "Color", "The image with what is around the subject in the subject's place"),
        ("Matte", "Float", "1 at the subject, 0 elsewhere"),
    ):
        nodes.interface_output(group, name, kind, description=description)
    tree.effect_inputs(group)
    nodes.interface_number(
        group, "Matte", 1.0, "1 where the subject is, such as a matte of people", minimum=0.0, maximum=1.0
    )
    distance = nodes.panel(group, "Distance", description="Where the subject may be")
    for name, default, description in (
        ("Nearest", 0.0, "The matte counts from this distance on"),
        ("Farthest", 1e4, "The matte counts up to this distance"),
        ("Softness", 0.1, "Distance over which it falls off on either side"),
    ):
        nodes.interface_number(group, name, default, description, minimum=0.0, subtype="DISTANCE", parent=distance)
    compositor_nodes.matte_inputs(group)
    fill = nodes.panel(group, "Fill", description="What stands in the subject's place", closed=True)
    nodes.interface_number(
        group, "Reach", 60.0, "How far around the subject is looked, in pixels", minimum=1.0, maximum=500.0, parent=fill
    )
    inputs, outputs = nodes.group_sockets(group)
    softness = nodes.math(group, "MAXIMUM", inputs["Softness"], 1e-6)
    late = nodes.math(group, "DIVIDE", nodes.math(group, "SUBTRACT", inputs["Z"], inputs["Nearest"]), softness)
    early = nodes.math(group, "DIVIDE", nodes.math(group, "SUBTRACT", inputs["Farthest"], inputs["Z"]), softness)
    within = nodes.math(
        group, "MINIMUM", nodes.math(group, "ADD", late, 1.0), nodes.math(group, "ADD", early, 1.0), clamp=True
    )
    held = nodes.math(group, "MULTIPLY", inputs["Matte"], within, label="Within the distance")
    refined = compositor_nodes.refine_matte(group, held, inputs)
    matte = nodes.math(group, "MULTIPLY", refined, inputs["Has Depth"], label="Matte")
    rest = nodes.math(group, "SUBTRACT", 1.0, matte)
    background = compositor_nodes.set_alpha(group, inputs["Image"], rest, mode="APPLY")
    nodes.feed(outputs["Matte"], matte)
    nodes.feed(outputs["Image"], compositor_nodes.set_alpha(group, inputs["Image"], matte, mode="APPLY"))
    nodes.feed(outputs["Background"], background)
    around, share = _surroundings(group, background, inputs["Reach"])
    gain = nodes.math(group, "DIVIDE", matte, nodes.math(group, "MAXIMUM", share, 1e-12))
    filling = compositor_nodes.multiply_color(group, around, gain)
    alpha = compositor_nodes.channel(group, inputs["Image"], "Alpha")
    filled = compositor_nodes.add_color(group, background, filling)
    nodes.feed(outputs["Filled"], compositor_nodes.set_alpha(group, filled, alpha, mode="REPLACE_ALPHA"))


def _surroundings(
    group: bpy.types.NodeTree, background: bpy.types.NodeSocket, reach: bpy.types.NodeSocket
) -> tuple[bpy.types.NodeSocket, bpy.types.NodeSocket]:
    """What is around in each pixel, and how much of it was found: blurred by the reach, and by much more where that
    finds nothing, at a part of the resolution.
    """
    total = share = None
    for size, weight in ((1.0, 1.0), (0.25, 1e-3), (0.0625, 1e-6)):
        part = background
        if size < 1.0:
            part = compositor_nodes.scaled(group, part, size)
        part = compositor_nodes.blur(group, part, reach)
        if size < 1.0:
            part = compositor_nodes.scaled(group, part, 1.0 / size)
        alpha = nodes.math(group, "MULTIPLY", compositor_nodes.channel(group, part, "Alpha"), weight)
        part = compositor_nodes.multiply_color(group, part, (weight, weight, weight, 1.0))
        total = part if total is None else compositor_nodes.add_color(group, total, part)
        share = alpha if share is None else nodes.math(group, "ADD", share, alpha)
    return total, share
