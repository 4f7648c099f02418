"""A render combined with the plate by depth."""

from __future__ import annotations

import bpy

from ...inference.contract.depth_sequence import Shot
from .. import nodes, standing, tags
from ..depth import Depth
from ..plate import plate_size
from ..problems import Problem
from ..solved_camera import lens_of_clip
from . import chain, compositor_nodes, refine_depth, tree
from .tree import MERGE_KIND as KIND

_NOTHING = 1e9
"""Distances from here on are the Depth pass's way (1e10) to say that nothing was rendered."""

_IMAGES = ("CompositorNodeImage", "CompositorNodeMovieClip")


def add_z_combine(
    scene: bpy.types.Scene, depth: Depth, shot: Shot, *, view_layer: bpy.types.ViewLayer | None = None
) -> bpy.types.Node:
    """Combine the scene's render with the plate by a shot's depth, or find the one that was added before.

    In each pixel the nearer of the two is on top; the render's alpha is respected, so what is transparent shows the
    plate whatever its depth. The line where render and plate cut each other is smoothed over 3x3 pixels. Frames without
    depth show the plate alone. For both to agree, the scene's camera should be the one built from the depth.

    The node's *Fringe* and *Edge* are those of `refine_depth`, on the plate's distances (not in Blender 4.2). Fringe
    starts at what the size of the maps needs, so that nothing lies between the sides of an edge.

    The scene's result so far is taken for the plate. Where it is a render instead (Render Layers feed it and no image
    does), it is taken for the render, with what the artist does to it, and the plate is added. The Depth pass of the
    view layer (None: the scene's first) and the film's transparency are switched on.

    Returns the group node "Fathom Z Combine"; its output *Z* is the distance of what is on top, which the other effects
    use, whichever is added first: Z Combine goes before them. Raises as `chain.open_setup`, and Problem where
    the tree lays a render over images already, so that any of them may be the plate.
    """
    standing.find(depth, shot, scene)  # raises where render and plate would not agree
    setup = chain.open_setup(scene, depth, shot)
    node = setup.find(KIND)
    layer = view_layer or scene.view_layers[0]
    if node is None:
        node = _add(setup)
    else:
        chain.lead(setup, node, KIND)
    layer.use_pass_z = True
    scene.render.film_transparent = True
    chain.connect(setup)
    for name, output in (("Render", "Image"), ("Render Z", "Depth")):
        if not nodes.input_of(node, name).is_linked:
            nodes.feed(nodes.input_of(node, name), nodes.output_of(_render_layers(setup, layer), output))
    _agree_on_the_lens(setup, node)
    return node


def _add(setup: tree.Setup) -> bpy.types.Node:
    """Add it, and what it merges as far as the tree shows it already."""
    found = chain.find_place(setup, KIND)
    fed = set() if found is None or found.source is None else tree.upstream(found.source.node)
    kinds = {node.bl_idname for node in fed}  # Fathom's own depth stands in a group and is no image
    earlier = next((node for node in fed if node.get(tags.KIND) == KIND), None)  # another shot's, over its plate
    has_render = "CompositorNodeRLayers" in kinds and earlier is None
    if has_render and kinds & set(_IMAGES):
        raise Problem(
            f"The compositor of {setup.scene.name} lays a render over images already, and Z Combine would do so again: "
            "let the plate alone feed the output, then add it."
        )
    before = chain.place(setup, KIND).source.node
    node = tree.add_effect(setup, KIND, "Z Combine", build)
    sequence = setup.depth.sequence
    fringe = refine_depth.fringe_of((sequence.width, sequence.height), plate_size(setup.depth))
    if any(socket.name == "Fringe" for socket in node.inputs):  # not in Blender 4.2
        tree.set_inputs(node, {"Fringe": fringe})
    if has_render:
        nodes.feed(nodes.input_of(node, "Image"), tree.plate(setup))
    elif earlier is not None and nodes.input_of(earlier, "Render").is_linked:
        nodes.feed(nodes.input_of(node, "Render"), nodes.input_of(earlier, "Render").links[0].from_socket)
    chain.lead(setup, node, KIND, entry="Render" if has_render else "Image")
    tree.place_after(setup, before, [node])
    return node


def _agree_on_the_lens(setup: tree.Setup, node: bpy.types.Node) -> None:
    """Let render and plate have the same lens distortion, where the depth is of a camera solve with some.

    Blender renders without. The render is distorted as the plate was filmed; where the artist has undistorted the
    plate on its way here, its distances are undistorted instead.
    """
    clip, fit = standing.clip_of(setup.depth, setup.shot), setup.depth.fit_of(setup.shot)
    if clip is None or (fit is not None and fit.is_undistorted) or not any(lens_of_clip(clip).distortion):
        return
    is_undistorted = _is_through(nodes.input_of(node, "Image"), "UNDISTORT")
    kind, inputs = ("UNDISTORT", ("Z", "Has Depth")) if is_undistorted else ("DISTORT", ("Render", "Render Z"))
    for name in inputs:
        entry = nodes.input_of(node, name)
        if entry.is_linked and not _is_through(entry, kind):
            nodes.feed(entry, _through_lens(setup, entry, clip, kind))


def _is_through(entry: bpy.types.NodeSocket, kind: str) -> bool:
    """Whether what is linked to an input came through a lens's distortion, or out of it."""
    before = tree.upstream(entry.links[0].from_node) if entry.is_linked else ()
    lenses = (node for node in before if node.bl_idname == "CompositorNodeMovieDistortion")
    return any(compositor_nodes.distortion_kind(node) == kind for node in lenses)


def _through_lens(
    setup: tree.Setup, entry: bpy.types.NodeSocket, clip: bpy.types.MovieClip, kind: str
) -> bpy.types.NodeSocket:
    """What is linked to an input, distorted or undistorted; distances by 1/Z, so that nothing lies at 1e10 / 2."""
    source, is_distance = entry.links[0].from_socket, entry.name in ("Z", "Render Z")
    inner = nodes.math(setup.tree, "DIVIDE", 1.0, source) if is_distance else source
    label = "As Filmed" if kind == "DISTORT" else "Undistorted"
    lens = nodes.value(
        setup.tree, "CompositorNodeMovieDistortion", "Image", {"Image": inner}, label=label, clip=clip
    ).node
    nodes.set_option(lens, "distortion_type", kind)
    result = nodes.output_of(lens, "Image")
    if is_distance:
        result = nodes.math(setup.tree, "DIVIDE", 1.0, nodes.math(setup.tree, "MAXIMUM", result, 1.0 / (10 * _NOTHING)))
    place = source.node
    for each in (inner.node, lens, result.node):
        if each not in (source.node,) and each.parent is None:
            tree.place_below(setup, place, each)
    return result


def _render_layers(setup: tree.Setup, layer: bpy.types.ViewLayer) -> bpy.types.Node:
    for node in setup.tree.nodes:
        if node.bl_idname == "CompositorNodeRLayers" and node.scene == setup.scene and node.layer == layer.name:
            return node
    node = nodes.new(setup.tree, "CompositorNodeRLayers", scene=setup.scene, layer=layer.name)
    tree.place_below(setup, chain.depth_node(setup), node)
    return node


def build(group: bpy.types.NodeTree) -> None:
    """Make the group "Fathom Z Combine"."""
    nodes.interface_output(group, "Image", "Color", description="Render and plate, the nearer on top")
    nodes.interface_output(group, "Z", "Float", description="Distance of what is on top; at soft edges 1/Z goes over")
    tree.effect_inputs(group)
    nodes.interface_input(group, "Render", "Color", default=(0, 0, 0, 0), description="The render, premultiplied")
    nodes.interface_number(group, "Render Z", 1e10, "The render's Depth pass").hide_value = True
    refine_depth.add_inputs(group)
    inputs, outputs = nodes.group_sockets(group)
    distance = refine_depth.refined(group, inputs["Z"], inputs)
    alpha = compositor_nodes.channel(group, inputs["Render"], "Alpha")
    nearer = _nearer(group, inputs["Render Z"], distance)
    on_top = nodes.math(group, "MULTIPLY", nearer, inputs["Has Depth"], label="Render on top")
    # Premultiplied "over": render x on_top + plate x (1 - alpha x on_top).
    laid = compositor_nodes.set_alpha(group, inputs["Render"], on_top, mode="APPLY")
    cover = nodes.math(group, "MULTIPLY", alpha, on_top, label="Render covers")
    under = nodes.math(group, "SUBTRACT", 1.0, cover)
    rest = compositor_nodes.set_alpha(group, inputs["Image"], under, mode="APPLY")
    whole = nodes.math(
        group, "MULTIPLY_ADD", compositor_nodes.channel(group, inputs["Image"], "Alpha"), under, cover, label="Alpha"
    )
    summed = compositor_nodes.add_color(group, rest, laid)
    nodes.feed(outputs["Image"], compositor_nodes.set_alpha(group, summed, whole, mode="REPLACE_ALPHA"))
    # At soft edges 1/Z goes over, so that an effect on both has no jagged edge.
    known = nodes.math(group, "LESS_THAN", inputs["Render Z"], _NOTHING)
    share = nodes.math(group, "MULTIPLY", cover, known)
    inverse = [nodes.math(group, "DIVIDE", 1.0, socket) for socket in (distance, inputs["Render Z"])]
    gain = nodes.math(group, "SUBTRACT", inverse[1], inverse[0])
    mixed = nodes.math(group, "MULTIPLY_ADD", gain, share, inverse[0], label="1 / Z")
    nodes.feed(outputs["Z"], nodes.math(group, "DIVIDE", 1.0, mixed, label="Z on top"))


def _nearer(
    group: bpy.types.NodeTree, render: bpy.types.NodeSocket, plate: bpy.types.NodeSocket
) -> bpy.types.NodeSocket:
    """How far the render is the nearer one, 0 to 1, anti-aliased where the two cut each other.

    Each pixel is either; softening that over 3x3 pixels makes the cut smooth. Only pixels where something was rendered
    count in it: at the render's outline its own alpha does the anti-aliasing, and a soft cut there would let the plate
    shine through. Blender's own Z Combine is not used: it multiplies a render's color by its alpha a second time,
    which darkens outlines.
    """
    rendered = nodes.math(group, "LESS_THAN", render, _NOTHING, label="Something is rendered")
    nearer = nodes.math(group, "MULTIPLY", nodes.math(group, "LESS_THAN", render, plate), rendered)
    both = nodes.value(group, "CompositorNodeCombineColor", "Image", {"Red": nearer, "Green": rendered})
    soft = compositor_nodes.channel(group, compositor_nodes.soften(group, both), "Red")
    around = nodes.math(group, "MAXIMUM", nodes.output_of(soft.node, "Green"), 1e-3)
    return nodes.math(group, "DIVIDE", soft, around, label="Nearer")
