"""Where Blender's versions differ in the compositor, one function per difference; see `nodes` for what all trees share.

5.0 changed most: the tree became a node group of its own, math is done by the shaders' nodes, and options of nodes
became sockets.
"""

from __future__ import annotations

from typing import Any

import bpy

from .. import nodes

_OWN_NODES = hasattr(bpy.types, "CompositorNodeMath")
"""Up to 4.5; see `nodes`."""

_OUTPUT = "CompositorNodeComposite" if _OWN_NODES else "NodeGroupOutput"

Socket = bpy.types.NodeSocket


# ------------------------------------------------------------------------------------------------ a scene's tree


def find_scene_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree | None:
    """The scene's compositor tree, or None: ``scene.node_tree`` up to 4.5, a group that it points to from 5.0."""
    if hasattr(scene, "compositing_node_group"):
        return scene.compositing_node_group
    return scene.node_tree


def scene_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree:
    """The scene's compositor tree, in use; made, and empty, if it has none.

    Up to 4.5 Blender puts a Render Layers and a Composite node into a tree that it makes; they are taken out.
    """
    found = find_scene_tree(scene)
    if hasattr(scene, "compositing_node_group"):
        if found is None:
            scene.compositing_node_group = bpy.data.node_groups.new(scene.name, "CompositorNodeTree")
        return scene.compositing_node_group
    scene.use_nodes = True
    if found is None:
        scene.node_tree.nodes.clear()
    return scene.node_tree


def find_result(tree: bpy.types.NodeTree) -> Socket | None:
    """The input socket whose image is the render's result, or None.

    Up to 4.5 that is the Composite node's Image, from 5.0 the first color input of the active Group Output.
    """
    ends = [node for node in tree.nodes if node.bl_idname == _OUTPUT]
    active = [node for node in ends if getattr(node, "is_active_output", False)]
    sockets = [s for node in (active or ends)[:1] for s in node.inputs if s.type == "RGBA"]
    return sockets[0] if sockets else None


def result(tree: bpy.types.NodeTree) -> Socket:
    """As `find_result`, made if there is none."""
    found = find_result(tree)
    if found is not None:
        return found
    if not any(node.bl_idname == _OUTPUT for node in tree.nodes):
        tree.nodes.new(_OUTPUT)
    if not _OWN_NODES:
        nodes.interface_output(tree, "Image", "Color", description="The render's result")
    return find_result(tree)


# ------------------------------------------------------------------------------------------------ nodes


def mix_color(tree: bpy.types.NodeTree, factor: Any, a: Any, b: Any) -> Socket:
    """Add a node for ``a (1 - factor) + b factor`` on red, green and blue; returns its output.

    The compositor's own node (MixRGB: Fac, Image, Image) gave way to the shared Mix node in 5.0. Alpha is a's up to
    5.0 and mixed in 5.2: see `mix_images`.
    """
    if _OWN_NODES:
        node = nodes.new(tree, "CompositorNodeMixRGB")
        names = (("Fac", 0), ("Image", 0), ("Image", 1))
    else:
        node = nodes.new(tree, "ShaderNodeMix", data_type="RGBA", clamp_factor=True)
        names = (("Factor", 0), ("A", 0), ("B", 0))
    for (name, occurrence), value in zip(names, (factor, a, b)):
        nodes.feed(nodes.input_of(node, name, occurrence), value)
    return next(s for s in node.outputs if s.enabled)


def mix_images(tree: bpy.types.NodeTree, factor: Any, a: Any, b: Any) -> Socket:
    """Add nodes for ``a (1 - factor) + b factor`` on all four channels, in the compositor; returns the result."""
    alphas = [channel(tree, socket, "Alpha") for socket in (a, b)]
    alpha = nodes.math(
        tree, "MULTIPLY_ADD", nodes.math(tree, "SUBTRACT", alphas[1], alphas[0]), factor, alphas[0], label="Alpha"
    )
    return set_alpha(tree, mix_color(tree, factor, a, b), alpha, mode="REPLACE_ALPHA")


def channel(tree: bpy.types.NodeTree, image: Socket, name: str) -> Socket:
    """Add a node of the compositor that gives a channel of an image, such as 'Red' or 'Alpha'; returns its output."""
    return nodes.value(tree, "CompositorNodeSeparateColor", name, {"Image": image})


def add_color(tree: bpy.types.NodeTree, a: Any, b: Any) -> Socket:
    """Add a node for a + b on red, green and blue, alpha left at a's; returns its output."""
    result = mix_color(tree, 1.0, a, b)
    result.node.blend_type = "ADD"
    return result


def has_image_coordinates() -> bool:
    """Whether the compositor has the Image Coordinates node (from 4.5)."""
    return hasattr(bpy.types, "CompositorNodeImageCoordinates")


def has_bilinear_map_uv() -> bool:
    """Whether the compositor's Map UV can look up bilinearly (from 5.0)."""
    return not hasattr(bpy.types.CompositorNodeMapUV, "filter_type") and not _OWN_NODES


def map_uv(tree: bpy.types.NodeTree, image: Socket, uv: Socket, *, bilinear: bool) -> Socket:
    """Add a Map UV node that takes the nearest pixel, or bilinearly with the borders extended (from 5.0)."""
    output = nodes.value(tree, "CompositorNodeMapUV", "Image", {"Image": image, "UV": uv})
    node = output.node
    if has_bilinear_map_uv():
        nodes.input_of(node, "Interpolation").default_value = "Bilinear" if bilinear else "Nearest"
        nodes.input_of(node, "Extension X").default_value = nodes.input_of(node, "Extension Y").default_value = "Extend"
    else:
        node.filter_type = "NEAREST"
    return output


def set_alpha(tree: bpy.types.NodeTree, image: Any, alpha: Any, *, mode: str) -> Socket:
    """Add a Set Alpha node; `mode` is 'APPLY' (multiply all channels) or 'REPLACE_ALPHA'. Returns its output."""
    output = nodes.value(tree, "CompositorNodeSetAlpha", "Image", {"Image": image, "Alpha": alpha})
    nodes.set_option(output.node, "mode", mode)
    return output


def soften(tree: bpy.types.NodeTree, image: Any) -> Socket:
    """Add a Filter node that weights 3x3 pixels by 1 2 1 along each axis (its Soften); returns its output."""
    output = nodes.value(tree, "CompositorNodeFilter", "Image", {"Image": image})
    nodes.set_option(output.node, "filter_type", "SOFTEN")
    return output


def can_grow(tree: bpy.types.NodeTree) -> bool:
    """Whether the Dilate/Erode node takes its size from a socket, as `grown` needs it (not in 4.2)."""
    node = tree.nodes.new("CompositorNodeDilateErode")
    found = any(socket.name == "Size" for socket in node.inputs)
    tree.nodes.remove(node)
    return found


def grown(tree: bpy.types.NodeTree, value: Any, pixels: Any) -> Socket:
    """Add a node that gives each pixel the largest value within so many pixels, the smallest where `pixels` is below 0.

    `pixels` is a number or a socket. Only where `can_grow`.
    """
    output = nodes.value(tree, "CompositorNodeDilateErode", "Mask", {"Mask": value, "Size": pixels})
    nodes.set_option(output.node, "mode", "STEP")
    return output


def between(tree: bpy.types.NodeTree, first: Any, last: Any, *, label: str) -> Socket:
    """Add nodes that give 1 at scene frames after one number and before another, else 0; returns the result."""
    frame = nodes.value(tree, "CompositorNodeSceneTime", "Frame")
    late_enough = nodes.math(tree, "GREATER_THAN", frame, first)
    early_enough = nodes.math(tree, "LESS_THAN", frame, last)
    return nodes.math(tree, "MULTIPLY", late_enough, early_enough, label=label)


def draft_defocus(node: bpy.types.Node, draft: bool) -> None:
    """Set a Defocus node's coarse preview, which is on at first up to 4.2 and does not exist from 5.0."""
    if hasattr(node, "use_preview"):
        node.use_preview = draft


def distortion_kind(node: bpy.types.Node) -> str:
    """Which way a Movie Distortion node goes, ``'DISTORT'`` or ``'UNDISTORT'``: a property, and later a menu's name."""
    sockets = [socket for socket in node.inputs if socket.name == "Type"]
    return str(sockets[0].default_value if sockets else node.distortion_type).upper()
