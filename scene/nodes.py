"""Where Blender's versions differ in node trees, one function per difference; the builders know no versions.

What concerns the compositor alone stands in `compositor_nodes`.

Sockets are found by name because their order changed between versions, and by their order among equal names where a
node repeats one (Math has three inputs called Value).
"""

from __future__ import annotations

from typing import Any

import bpy

from .problems import Problem

_BARE_COMPOSITOR = hasattr(bpy.types, "CompositorNodeMath")
"""Up to 4.5 the compositor has its own Math, Value, … nodes; from 5.0 it shares those of the shaders."""

_OPTION_SOCKETS = {
    ("CompositorNodeDilateErode", "mode"): "Type",
    ("CompositorNodeLevels", "channel"): "Channel",
    ("CompositorNodeScale", "space"): "Type",
    ("CompositorNodeScale", "frame_method"): "Frame Type",
    ("CompositorNodeFilter", "filter_type"): "Type",
    ("CompositorNodeSetAlpha", "mode"): "Type",
    ("CompositorNodeMovieDistortion", "distortion_type"): "Type",
}
"""Properties of nodes that became input sockets in a later version."""

_OPTION_VALUES = {"APPLY": "Apply Mask", "STEP": "Steps"}
"""Values whose name in the menu socket is not the property's value in title case."""


# ------------------------------------------------------------------------------------------------ nodes and sockets


def new(tree: bpy.types.NodeTree, kind: str, *, label: str = "", **properties: Any) -> bpy.types.Node:
    """Add a node, labeled for the artist, and set properties on it; for those that became sockets see `set_option`.

    `kind` is ``'Math'``, ``'Value'``, ``'SeparateXYZ'`` or ``'CombineXYZ'``, whose type differs between trees and
    versions; anything else is the node's own type, such as ``'CompositorNodeScale'``.
    """
    if kind in ("Math", "Value", "SeparateXYZ", "CombineXYZ"):
        own = _BARE_COMPOSITOR and tree.bl_idname == "CompositorNodeTree"
        kind = ("CompositorNode" if own else "ShaderNode") + kind
    node = tree.nodes.new(kind)
    # each property that is set makes Blender go through the tree
    if label:
        node.label = label
    for name, value in properties.items():
        if getattr(node, name) != value:
            setattr(node, name, value)
    return node


def input_of(node: bpy.types.Node, name: str, occurrence: int = 0) -> bpy.types.NodeSocket:
    """The node's input of that name; `occurrence` counts among those of the same name that are in use.

    Problem, where there is none, names the node and the sockets that it has.
    """
    return _named(node, node.inputs, name, occurrence)


def output_of(node: bpy.types.Node, name: str) -> bpy.types.NodeSocket:
    """The node's output of that name; as `input_of`."""
    return _named(node, node.outputs, name, 0)


def _named(node: bpy.types.Node, sockets: Any, name: str, occurrence: int) -> bpy.types.NodeSocket:
    matching = [s for s in sockets if s.name == name and s.enabled]
    if occurrence < len(matching):
        return matching[occurrence]
    held = getattr(node, "node_tree", None)
    raise Problem(
        f"{'The node group ' + held.name if held else node.bl_idname} is not as Fathom makes it: it has no socket "
        f"{name} ({occurrence}), but {', '.join(s.name for s in sockets)}; delete it, and build again."
    )


def feed(socket: bpy.types.NodeSocket, value: Any) -> None:
    """Give an input what it should take: a link from an output socket, or a constant."""
    if isinstance(value, bpy.types.NodeSocket):
        socket.id_data.links.new(value, socket)
    else:
        socket.default_value = value


def value(
    tree: bpy.types.NodeTree,
    kind: str,
    output: str,
    inputs: dict[str, Any] | None = None,
    *,
    label: str = "",
    **properties: Any,
) -> bpy.types.NodeSocket:
    """Add a node as `new` does, `feed` its inputs by name (None leaves one as it is), and return an output."""
    node = new(tree, kind, label=label, **properties)
    for name, source in (inputs or {}).items():
        if source is not None:
            feed(input_of(node, name), source)
    return output_of(node, output)


def math(
    tree: bpy.types.NodeTree, operation: str, *values: Any, clamp: bool = False, label: str = ""
) -> bpy.types.NodeSocket:
    """Add a Math node; each value is a socket or a number. Returns its output."""
    node = new(tree, "Math", label=label, operation=operation, **({"use_clamp": True} if clamp else {}))
    for i, value in enumerate(values):
        feed(input_of(node, "Value", i), value)
    return output_of(node, "Value")


def set_option(node: bpy.types.Node, name: str, value: Any) -> None:
    """Set an option by the name and value that it has as a property, whether it is one or has become a socket.

    ``set_option(scale, "space", "RENDER_SIZE")`` sets the property up to 4.5 and the input Type to 'Render Size' from
    5.0. Where a version has both, the socket is what counts. KeyError where the node has neither, or the socket's name
    is missing in the table of this module.
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


def arrange(tree: bpy.types.NodeTree) -> None:
    """Place all nodes of a small tree in columns, each left of what it feeds."""
    fed: dict[str, list[str]] = {}
    for link in tree.links:  # a socket's own links would be looked for among all of them
        fed.setdefault(link.from_node.name, []).append(link.to_node.name)
    columns: dict[str, int] = {}

    def column(name: str) -> int:
        if name not in columns:
            columns[name] = 1 + max(map(column, fed.get(name, ())), default=-1)
        return columns[name]

    heights: dict[int, float] = {}
    places: dict[str, tuple[float, float]] = {}
    for node in sorted(tree.nodes, key=lambda each: column(each.name)):
        x = column(node.name)
        shown = sum(s.enabled and not s.hide for s in (*node.inputs, *node.outputs))
        places[node.name] = -240.0 * x, -heights.get(x, 0.0)
        heights[x] = heights.get(x, 0.0) + 100.0 + 24.0 * shown
    # at once, as each place that is set makes Blender go through the tree
    tree.nodes.foreach_set("location", [number for node in tree.nodes for number in places[node.name]])


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


def interface_number(tree: bpy.types.NodeTree, name: str, default: float, description: str, **options: Any) -> Any:
    """Add a Float input, its other `options` as of `interface_input`."""
    return interface_input(tree, name, "Float", default=default, description=description, **options)


def interface_output(
    tree: bpy.types.NodeTree, name: str, kind: str, *, description: str = ""
) -> bpy.types.NodeTreeInterfaceSocket:
    """Add an output to a group; `kind` as in `interface_input`."""
    return tree.interface.new_socket(name, description=description, in_out="OUTPUT", socket_type=f"NodeSocket{kind}")


def use_single_values(tree: bpy.types.NodeTree) -> None:
    """Let a Geometry Nodes group's numbers be numbers: no button offers an attribute in their place.

    From 4.5 that is a socket's structure type, before that a switch of its own.
    """
    for item in tree.interface.items_tree:
        is_input = item.item_type == "SOCKET" and item.in_out == "INPUT"
        if is_input and item.socket_type in ("NodeSocketFloat", "NodeSocketInt", "NodeSocketBool"):
            item.force_non_field = True
            if hasattr(item, "structure_type"):
                item.structure_type = "SINGLE"


def set_width(tree: bpy.types.NodeTree, width: int) -> None:
    """Let the group's new nodes be so wide; up to 4.2 they are as wide as any node."""
    if hasattr(tree, "default_group_node_width"):
        tree.default_group_node_width = width


def group_sockets(tree: bpy.types.NodeTree) -> tuple[Any, Any]:
    """The group's inputs and outputs, as seen from inside; the nodes that hold them are added if they are not there."""

    def end(kind: str) -> bpy.types.Node:
        return next((node for node in tree.nodes if node.bl_idname == kind), None) or tree.nodes.new(kind)

    return end("NodeGroupInput").outputs, end("NodeGroupOutput").inputs


def interface_identifiers(tree: bpy.types.NodeTree) -> dict[str, str]:
    """Identifier of each of the group's inputs by name; identifiers count panels too, so they cannot be guessed."""
    return {
        item.name: item.identifier
        for item in tree.interface.items_tree
        if item.item_type == "SOCKET" and item.in_out == "INPUT"
    }


def _identifier(tree: bpy.types.NodeTree, name: str) -> str:
    try:
        return interface_identifiers(tree)[name]
    except KeyError as error:
        raise Problem(
            f"The node group {tree.name} is not as Fathom makes it: it has no input {name}; delete it, and build again."
        ) from error


# ------------------------------------------------------------------------------------------------ modifier inputs


def modifier_input(modifier: bpy.types.NodesModifier, name: str) -> Any:
    """The value of a Geometry Nodes modifier's input, by the input's name.

    Up to 5.1 it is an ID property, from 5.2 an attribute of ``modifier.properties.inputs``.
    """
    identifier = _identifier(modifier.node_group, name)
    inputs = _modifier_inputs(modifier)
    return modifier.get(identifier) if inputs is None else getattr(inputs, identifier).value


def set_modifier_input(modifier: bpy.types.NodesModifier, name: str, value: Any) -> None:
    """Set a Geometry Nodes modifier's input, by the input's name; see `modifier_input`."""
    identifier = _identifier(modifier.node_group, name)
    inputs = _modifier_inputs(modifier)
    if inputs is None:
        modifier[identifier] = value
    else:
        getattr(inputs, identifier).value = value
    modifier.id_data.update_tag()  # up to 5.1 writing an ID property does not tell the dependency graph


def set_modifier_image(modifier: bpy.types.NodesModifier, name: str, image: bpy.types.Image | None) -> None:
    """As `set_modifier_input`, for an image or none."""
    if image is not None or modifier_input(modifier, name) is not None:
        set_modifier_input(modifier, name, image)


def remove_modifier(modifier: bpy.types.NodesModifier) -> None:
    """Remove a modifier with the drivers of its inputs, which in 4.2 would drive those of the next one of its name."""
    thing, path = modifier.id_data, f'modifiers["{bpy.utils.escape_identifier(modifier.name)}"]'
    for curve in list(thing.animation_data.drivers) if thing.animation_data else ():
        if curve.data_path.startswith(path):
            thing.animation_data.drivers.remove(curve)
    thing.modifiers.remove(modifier)


def modifier_input_holder(modifier: bpy.types.NodesModifier, name: str) -> tuple[Any, str]:
    """What a layout draws an input of a modifier by: its owner and its property; see `modifier_input`."""
    identifier = _identifier(modifier.node_group, name)
    inputs = _modifier_inputs(modifier)
    return (modifier, f'["{identifier}"]') if inputs is None else (getattr(inputs, identifier), "value")


def _modifier_inputs(modifier: bpy.types.NodesModifier) -> Any | None:
    return getattr(getattr(modifier, "properties", None), "inputs", None)


def modifier_input_path(modifier: bpy.types.NodesModifier, name: str) -> str:
    """Where an input lives as seen from the modifier's object, for drivers and keyframes; see `modifier_input`."""
    identifier = _identifier(modifier.node_group, name)
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


def set_keys(animated: bpy.types.ID, path: str, keys: list[tuple[float, float]]) -> None:
    """Key a number by frames and values, linear in between; with a single key it is not animated any more.

    Keys that it has are replaced.
    """
    if len(keys) < 2:
        for curves in curves_of(animated):
            if (curve := curves.find(path, index=0)) is not None:
                curves.remove(curve)
        return
    if animated.animation_data is None or animated.animation_data.action is None:
        animated.animation_data_create().action = bpy.data.actions.new(animated.name)
    curve = fcurve(animated, path, 0)
    curve.keyframe_points.clear()
    curve.keyframe_points.add(len(keys))
    curve.keyframe_points.foreach_set("co", [number for key in keys for number in key])
    for key in curve.keyframe_points:
        key.interpolation = "LINEAR"
    curve.update()


def curves_of(animated: bpy.types.ID) -> list[Any]:
    """The collections of a datablock's curves in the action that it has; see `fcurve`."""
    held = animated.animation_data
    if held is None or held.action is None:
        return []
    if not hasattr(held.action, "layers"):
        return [held.action.fcurves]
    bags = [strip.channelbag(held.action_slot) for layer in held.action.layers for strip in layer.strips]
    return [bag.fcurves for bag in bags if bag]


def drive(
    holder: Any, name: str, sources: dict[str, tuple[bpy.types.ID, str]], expression: str = "", *, index: int = -1
) -> None:
    """Drive a property by others: by their sum, or by an expression that is simple enough to need no permission.

    `name` is the property or a path to it, `index` an element's or -1; a driver that it has is replaced. `sources` are
    the datablock and the path in it by the name of the variable.
    """
    holder.driver_remove(name, index)
    driver = holder.driver_add(name, index).driver
    driver.type = "SCRIPTED" if expression else "SUM"
    for variable_name, (datablock, path) in sources.items():
        variable = driver.variables.new()
        variable.name = variable_name
        variable.targets[0].id_type = datablock.id_type
        variable.targets[0].id = datablock
        variable.targets[0].data_path = path
    if expression:
        driver.expression = expression


def drive_by_time(holder: Any, name: str) -> None:
    """Drive a property by the time in seconds of the scene that is shown or rendered, fractions of frames included."""
    holder.driver_remove(name)
    driver = holder.driver_add(name).driver
    driver.type = "SCRIPTED"
    for variable_name, path in (("fps", "render.fps"), ("base", "render.fps_base")):
        variable = driver.variables.new()
        variable.name, variable.type = variable_name, "CONTEXT_PROP"
        variable.targets[0].context_property, variable.targets[0].data_path = "ACTIVE_SCENE", path
    driver.expression = "frame * base / fps"


def drive_by_scale(holder: Any, name: str, thing: bpy.types.Object, *, factor: float) -> None:
    """Drive a property by the size that an object has in the world, times a factor; as `drive`."""
    holder.driver_remove(name)
    driver = holder.driver_add(name).driver
    driver.type = "SCRIPTED"
    variable = driver.variables.new()
    variable.name, variable.type = "scale", "TRANSFORMS"
    target = variable.targets[0]
    target.id, target.transform_type, target.transform_space = thing, "SCALE_AVG", "WORLD_SPACE"
    driver.expression = f"scale * {factor:.9g}"
