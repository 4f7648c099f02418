"""Where Blender's versions differ in node trees, one function per difference; the builders know no versions.

Sockets are found by name because their order changed between versions, and by their order among equal names where a
node repeats one (Math has three inputs called Value).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import bpy

_BARE_COMPOSITOR = hasattr(bpy.types, "CompositorNodeMath")
"""Up to 4.5 the compositor has its own Math, Value, … nodes; from 5.0 it shares those of the shaders."""

_OUTPUT = "CompositorNodeComposite" if _BARE_COMPOSITOR else "NodeGroupOutput"

_OPTION_SOCKETS = {
    ("CompositorNodeScale", "space"): "Type",
    ("CompositorNodeScale", "frame_method"): "Frame Type",
    ("CompositorNodeScale", "interpolation"): "Interpolation",
    ("GeometryNodePointsToVolume", "resolution_mode"): "Resolution Mode",
    ("GeometryNodeMeshToVolume", "resolution_mode"): "Resolution Mode",
}
"""Properties of nodes that became input sockets in a later version."""

_OPTION_VALUES = {"VOXEL_SIZE": "Size", "VOXEL_AMOUNT": "Amount"}
"""Values whose name in the menu socket is not the property's value in title case."""


# ------------------------------------------------------------------------------------------------ nodes and sockets


def new(tree: bpy.types.NodeTree, kind: str, *, label: str = "", **properties: Any) -> bpy.types.Node:
    """Add a node.

    Parameters
    ----------
    tree : NodeTree
    kind : str
        ``'Math'``, ``'Value'``, ``'SeparateXYZ'`` or ``'CombineXYZ'``, whose type differs between trees and versions;
        anything else is the node's own type, such as ``'CompositorNodeScale'``.
    label : str
        What the artist reads on the node; empty for Blender's own.
    **properties
        Set on the node; for properties that became sockets see `set_option`.
    """
    if kind in ("Math", "Value", "SeparateXYZ", "CombineXYZ"):
        own = _BARE_COMPOSITOR and tree.bl_idname == "CompositorNodeTree"
        kind = ("CompositorNode" if own else "ShaderNode") + kind
    node = tree.nodes.new(kind)
    node.label = label
    for name, value in properties.items():
        setattr(node, name, value)
    return node


def input_of(node: bpy.types.Node, name: str, occurrence: int = 0) -> bpy.types.NodeSocket:
    """The node's input of that name; `occurrence` counts among those of the same name that are in use.

    Raises
    ------
    KeyError
        Naming the node and the sockets that it has.
    """
    return _named(node, node.inputs, name, occurrence)


def output_of(node: bpy.types.Node, name: str, occurrence: int = 0) -> bpy.types.NodeSocket:
    """The node's output of that name; as `input_of`."""
    return _named(node, node.outputs, name, occurrence)


def _named(node: bpy.types.Node, sockets: Any, name: str, occurrence: int) -> bpy.types.NodeSocket:
    matching = [s for s in sockets if s.name == name and s.enabled]
    if occurrence < len(matching):
        return matching[occurrence]
    raise KeyError(f"{node.bl_idname} has no socket {name!r} ({occurrence}); it has {[s.name for s in sockets]}")


def feed(socket: bpy.types.NodeSocket, value: Any) -> None:
    """Give an input what it should take: a link from an output socket, or a constant."""
    if isinstance(value, bpy.types.NodeSocket):
        socket.id_data.links.new(value, socket)
    else:
        socket.default_value = value


def math(
    tree: bpy.types.NodeTree, operation: str, *values: Any, clamp: bool = False, label: str = ""
) -> bpy.types.NodeSocket:
    """Add a Math node; each value is a socket or a number. Returns its output."""
    node = new(tree, "Math", label=label, operation=operation, use_clamp=clamp)
    for i, value in enumerate(values):
        feed(input_of(node, "Value", i), value)
    return output_of(node, "Value")


def mix_color(tree: bpy.types.NodeTree, factor: Any, a: Any, b: Any, *, label: str = "") -> bpy.types.NodeSocket:
    """Add a node for ``a (1 - factor) + b factor`` on red, green and blue; returns its output.

    The compositor's own node (MixRGB: Fac, Image, Image) gave way to the shared Mix node in 5.0. Alpha is a's up to
    5.0 and mixed in 5.2: see `mix_pictures`.
    """
    if _BARE_COMPOSITOR and tree.bl_idname == "CompositorNodeTree":
        node = new(tree, "CompositorNodeMixRGB", label=label)
        names = (("Fac", 0), ("Image", 0), ("Image", 1))
    else:
        node = new(tree, "ShaderNodeMix", label=label, data_type="RGBA", clamp_factor=True)
        names = (("Factor", 0), ("A", 0), ("B", 0))
    for (name, occurrence), value in zip(names, (factor, a, b)):
        feed(input_of(node, name, occurrence), value)
    return next(s for s in node.outputs if s.enabled)


def mix_pictures(tree: bpy.types.NodeTree, factor: Any, a: Any, b: Any) -> bpy.types.NodeSocket:
    """Add nodes for ``a (1 - factor) + b factor`` on all four channels, in the compositor; returns the result."""
    alphas = [alpha_of(tree, socket) for socket in (a, b)]
    alpha = math(tree, "MULTIPLY_ADD", math(tree, "SUBTRACT", alphas[1], alphas[0]), factor, alphas[0], label="Alpha")
    return set_alpha(tree, mix_color(tree, factor, a, b), alpha, mode="REPLACE_ALPHA")


def alpha_of(tree: bpy.types.NodeTree, picture: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """Add a node of the compositor that gives a picture's alpha; returns its output."""
    node = new(tree, "CompositorNodeSeparateColor")
    feed(input_of(node, "Image"), picture)
    return output_of(node, "Alpha")


def add_color(tree: bpy.types.NodeTree, a: Any, b: Any) -> bpy.types.NodeSocket:
    """Add a node for a + b on red, green and blue, alpha left at a's; returns its output."""
    result = mix_color(tree, 1.0, a, b)
    result.node.blend_type = "ADD"
    return result


def set_option(node: bpy.types.Node, name: str, value: Any) -> None:
    """Set an option by the name and value that it has as a property, whether it is one or has become a socket.

    ``set_option(scale, "space", "RENDER_SIZE")`` sets the property up to 4.5 and the input Type to 'Render Size' from
    5.0. Where a version has both, the socket is what counts.

    Raises
    ------
    KeyError
        The node has neither, or the table of this module lacks the socket's name.
    """
    socket_name = _OPTION_SOCKETS.get((node.bl_idname, name))
    sockets = [s for s in node.inputs if s.name == socket_name]
    if sockets:
        if sockets[0].type == "MENU":
            value = _OPTION_VALUES.get(value, value.replace("_", " ").title())
        sockets[0].default_value = value
    elif name in node.bl_rna.properties:
        setattr(node, name, value)
    else:
        raise KeyError(f"{node.bl_idname} has no option {name!r} in Blender {bpy.app.version_string}")


def material_tree(material: bpy.types.Material) -> bpy.types.NodeTree:
    """The material's node tree; from 5.0 every material has one and ``use_nodes`` is deprecated."""
    if material.node_tree is None:
        material.use_nodes = True
    return material.node_tree


def arrange(tree: bpy.types.NodeTree, *, width: float = 200.0, gap: float = 40.0) -> None:
    """Place all nodes of a small tree in columns, each left of what it feeds."""
    columns: dict[bpy.types.Node, int] = {}

    def column(node: bpy.types.Node) -> int:
        if node not in columns:
            fed = [link.to_node for socket in node.outputs for link in socket.links]
            columns[node] = 1 + max(map(column, fed), default=-1)
        return columns[node]

    heights: dict[int, float] = {}
    for node in sorted(tree.nodes, key=column):
        x = column(node)
        shown = sum(s.enabled and not s.hide for s in (*node.inputs, *node.outputs))
        node.location = (-x * (width + gap), -heights.get(x, 0.0))
        heights[x] = heights.get(x, 0.0) + 100.0 + 24.0 * shown


# ------------------------------------------------------------------------------------------------ group interfaces


def panel(
    tree: bpy.types.NodeTree, name: str, *, description: str = "", closed: bool = False
) -> bpy.types.NodeTreeInterfacePanel:
    """The panel of that name in the tree's interface, added if it is not there."""
    for item in tree.interface.items_tree:
        if item.item_type == "PANEL" and item.name == name:
            return item
    return tree.interface.new_panel(name, description=description, default_closed=closed)


def interface_input(
    tree: bpy.types.NodeTree,
    name: str,
    kind: str,
    *,
    default: Any = None,
    minimum: float | None = None,
    maximum: float | None = None,
    subtype: str | None = None,
    description: str = "",
    parent: bpy.types.NodeTreeInterfacePanel | None = None,
) -> bpy.types.NodeTreeInterfaceSocket:
    """Add an input to a group; `kind` is the socket's type without ``NodeSocket``: 'Float', 'Color', 'Geometry', ….

    The compositor of 4.2 knows only Float, Vector and Color inputs.
    """
    socket = tree.interface.new_socket(
        name, description=description, in_out="INPUT", socket_type=f"NodeSocket{kind}", parent=parent
    )
    if subtype is not None:
        socket.subtype = subtype
    if minimum is not None:
        socket.min_value = minimum
    if maximum is not None:
        socket.max_value = maximum
    if default is not None:
        socket.default_value = default
    return socket


def interface_output(
    tree: bpy.types.NodeTree, name: str, kind: str, *, description: str = ""
) -> bpy.types.NodeTreeInterfaceSocket:
    """Add an output to a group; `kind` as in `interface_input`."""
    return tree.interface.new_socket(name, description=description, in_out="OUTPUT", socket_type=f"NodeSocket{kind}")


def group_ends(tree: bpy.types.NodeTree) -> tuple[bpy.types.Node, bpy.types.Node]:
    """The group's input and output nodes, added if they are not there."""

    def end(kind: str) -> bpy.types.Node:
        return next((node for node in tree.nodes if node.bl_idname == kind), None) or tree.nodes.new(kind)

    return end("NodeGroupInput"), end("NodeGroupOutput")


def interface_identifiers(tree: bpy.types.NodeTree) -> dict[str, str]:
    """Identifier of each of the group's inputs by name; identifiers count panels too, so they cannot be guessed."""
    return {
        item.name: item.identifier
        for item in tree.interface.items_tree
        if item.item_type == "SOCKET" and item.in_out == "INPUT"
    }


# ------------------------------------------------------------------------------------------------ modifier inputs


def modifier_input(modifier: bpy.types.NodesModifier, name: str) -> Any:
    """The value of a Geometry Nodes modifier's input, by the input's name.

    Up to 5.1 it is an ID property, from 5.2 an attribute of ``modifier.properties.inputs``.
    """
    identifier = interface_identifiers(modifier.node_group)[name]
    inputs = _modifier_inputs(modifier)
    return modifier[identifier] if inputs is None else getattr(inputs, identifier).value


def set_modifier_input(modifier: bpy.types.NodesModifier, name: str, value: Any) -> None:
    """Set a Geometry Nodes modifier's input, by the input's name; see `modifier_input`."""
    identifier = interface_identifiers(modifier.node_group)[name]
    inputs = _modifier_inputs(modifier)
    if inputs is None:
        modifier[identifier] = value
    else:
        getattr(inputs, identifier).value = value
    modifier.id_data.update_tag()  # up to 5.1 writing an ID property does not tell the dependency graph


def _modifier_inputs(modifier: bpy.types.NodesModifier) -> Any | None:
    return getattr(getattr(modifier, "properties", None), "inputs", None)


def modifier_input_path(modifier: bpy.types.NodesModifier, name: str) -> str:
    """Where an input lives as seen from the modifier's object, for drivers and keyframes; see `modifier_input`."""
    identifier = interface_identifiers(modifier.node_group)[name]
    base = f'modifiers["{bpy.utils.escape_identifier(modifier.name)}"]'
    return (
        f'{base}["{identifier}"]'
        if _modifier_inputs(modifier) is None
        else f"{base}.properties.inputs.{identifier}.value"
    )


# ------------------------------------------------------------------------------------------------ animation


def fcurve(animated: bpy.types.ID, path: str, index: int) -> bpy.types.FCurve:
    """The curve of one value in the action that the datablock has, made if it is not there.

    Up to 4.3 an action holds curves; since 4.4 it holds them in layers, one bag per datablock.
    """
    action = animated.animation_data.action
    if hasattr(action, "fcurve_ensure_for_datablock"):
        return action.fcurve_ensure_for_datablock(animated, path, index=index)
    return action.fcurves.find(path, index=index) or action.fcurves.new(path, index=index)


# ------------------------------------------------------------------------------------------------ a scene's compositor


def find_compositor_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree | None:
    """The scene's compositor tree, or None: ``scene.node_tree`` up to 4.5, a group that it points to from 5.0."""
    if hasattr(scene, "compositing_node_group"):
        return scene.compositing_node_group
    return scene.node_tree


def compositor_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree:
    """The scene's compositor tree, in use; made, and empty, if it has none.

    Up to 4.5 Blender puts a Render Layers and a Composite node into a tree that it makes; they are taken out.
    """
    found = find_compositor_tree(scene)
    if hasattr(scene, "compositing_node_group"):
        if found is None:
            scene.compositing_node_group = bpy.data.node_groups.new(scene.name, "CompositorNodeTree")
        return scene.compositing_node_group
    scene.use_nodes = True
    if found is None:
        scene.node_tree.nodes.clear()
    return scene.node_tree


def find_compositor_output(tree: bpy.types.NodeTree) -> bpy.types.NodeSocket | None:
    """The input socket whose picture is the render's result, or None.

    Up to 4.5 that is the Composite node's Image, from 5.0 the first colour input of the active Group Output.
    """
    ends = [node for node in tree.nodes if node.bl_idname == _OUTPUT]
    active = [node for node in ends if getattr(node, "is_active_output", False)]
    sockets = [s for node in (active or ends)[:1] for s in node.inputs if s.type == "RGBA"]
    return sockets[0] if sockets else None


def compositor_output(tree: bpy.types.NodeTree) -> bpy.types.NodeSocket:
    """As `find_compositor_output`, made if there is none."""
    found = find_compositor_output(tree)
    if found is not None:
        return found
    if not any(node.bl_idname == _OUTPUT for node in tree.nodes):
        tree.nodes.new(_OUTPUT)
    if not _BARE_COMPOSITOR:
        interface_output(tree, "Image", "Color", description="The render's result")
    return find_compositor_output(tree)


def has_image_coordinates() -> bool:
    """Whether the compositor has the Image Coordinates node (from 4.5)."""
    return hasattr(bpy.types, "CompositorNodeImageCoordinates")


def has_bilinear_map_uv() -> bool:
    """Whether the compositor's Map UV can look up bilinearly (from 5.0)."""
    return not hasattr(bpy.types.CompositorNodeMapUV, "filter_type") and not _BARE_COMPOSITOR


def map_uv(
    tree: bpy.types.NodeTree, image: bpy.types.NodeSocket, uv: bpy.types.NodeSocket, *, bilinear: bool
) -> bpy.types.NodeSocket:
    """Add a Map UV node that takes the nearest pixel, or bilinearly with the borders extended (from 5.0)."""
    node = new(tree, "CompositorNodeMapUV")
    feed(input_of(node, "Image"), image)
    feed(input_of(node, "UV"), uv)
    if has_bilinear_map_uv():
        input_of(node, "Interpolation").default_value = "Bilinear" if bilinear else "Nearest"
        input_of(node, "Extension X").default_value = input_of(node, "Extension Y").default_value = "Extend"
    else:
        node.filter_type = "NEAREST"
    return output_of(node, "Image")


def set_alpha(tree: bpy.types.NodeTree, image: Any, alpha: Any, *, mode: str) -> bpy.types.NodeSocket:
    """Add a Set Alpha node; `mode` is 'APPLY' (multiply all channels) or 'REPLACE_ALPHA'. Returns its output."""
    node = new(tree, "CompositorNodeSetAlpha")
    if "Type" in node.inputs:
        input_of(node, "Type").default_value = {"APPLY": "Apply Mask", "REPLACE_ALPHA": "Replace Alpha"}[mode]
    else:
        node.mode = mode
    feed(input_of(node, "Image"), image)
    feed(input_of(node, "Alpha"), alpha)
    return output_of(node, "Image")


def soften(tree: bpy.types.NodeTree, image: Any) -> bpy.types.NodeSocket:
    """Add a Filter node that weights 3x3 pixels by 1 2 1 along each axis (its Soften); returns its output."""
    node = new(tree, "CompositorNodeFilter")
    if "Type" in node.inputs:
        input_of(node, "Type").default_value = "Soften"
    else:
        node.filter_type = "SOFTEN"
    feed(input_of(node, "Image"), image)
    return output_of(node, "Image")


def draft_defocus(node: bpy.types.Node, draft: bool) -> None:
    """Set a Defocus node's coarse preview, which is on at first up to 4.2 and does not exist from 5.0."""
    if hasattr(node, "use_preview"):
        node.use_preview = draft


def use_cpu_compositor(scenes: Iterable[bpy.types.Scene]) -> None:
    """Composite on the CPU: the GPU compositor, 5.2's default, needs a display's driver and aborts without one."""
    for scene in scenes:
        if hasattr(scene.render, "compositor_device"):
            scene.render.compositor_device = "CPU"
