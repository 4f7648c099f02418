"""Putting something into a scene's compositor tree without breaking what the artist has there.

What Fathom adds stands in one frame per shot and is found again by custom properties on the nodes, the ones of
`tags`. Only one link of the artist's is ever replaced: the one into the output, by a detour through the effect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import bpy

from ...inference.depth_sequence import Shot
from .. import compositor_nodes, nodes, tags
from ..camera import SCALE_PATH, find_rig
from ..depth import Depth, disparity_image
from ..plate import plate_image, show_plate
from .depth_group import KIND as DEPTH_KIND
from .depth_group import depth_group, fit_to_render

GAP = 60.0
PLATE_KIND, FRAME_KIND, VIEWER_KIND = "comp_plate", "comp_frame", "comp_viewer"
MERGE_KIND = "comp_merge"

Socket = bpy.types.NodeSocket


class Distance(NamedTuple):
    """Where an effect takes distances from: the sockets of Z and of where there is any."""

    z: Socket
    has_depth: Socket


class CompositingError(ValueError):
    """A tree that an effect cannot be added to; the message is one sentence for the artist."""


@dataclass(frozen=True)
class Setup:
    """A shot's nodes in a scene's compositor tree.

    Attributes
    ----------
    scene, tree : Scene, NodeTree
    depth, shot : Depth, Shot
    """

    scene: bpy.types.Scene
    tree: bpy.types.NodeTree
    depth: Depth
    shot: Shot

    def find(self, kind: str) -> bpy.types.Node | None:
        """The shot's node of that kind, or None."""
        image = disparity_image(self.depth)
        for node in self.tree.nodes:
            is_ours = node.get(tags.KIND) == kind and node.get(tags.DEPTH) == image
            if is_ours and node.get(tags.SHOT) in (None, self.shot.first_frame):
                return node
        return None

    def mark(self, node: bpy.types.Node, kind: str, *, all_shots: bool = False) -> bpy.types.Node:
        """Let `find` find the node; `all_shots` for what serves every shot of the clip."""
        node[tags.KIND] = kind
        node[tags.DEPTH] = disparity_image(self.depth)
        if not all_shots:
            node[tags.SHOT] = self.shot.first_frame
        return node


def open_setup(scene: bpy.types.Scene, depth: Depth, shot: Shot) -> Setup:
    """The shot's setup in the scene's tree; the tree is made if the scene has none.

    Raises
    ------
    DepthError
        The shot was refused.
    PlateError
        The tree shows nothing yet and the plate, which it is to show, is missing. Nothing is changed then.
    """
    depth.require_done(shot)
    existing = compositor_nodes.find_scene_tree(scene)
    output = compositor_nodes.find_result(existing) if existing is not None else None
    if output is None or not output.is_linked:
        plate_image(depth)  # raises where it is missing
    tree = compositor_nodes.scene_tree(scene)
    scene.render.use_compositing = True
    setup = Setup(scene=scene, tree=tree, depth=depth, shot=shot)
    if setup.find(PLATE_KIND) is not None:
        plate(setup)  # brings its frames up to date
    return setup


def picture(setup: Setup) -> Socket:
    """The output socket whose picture is the scene's result so far; an unlinked output gets the plate and a viewer."""
    output = compositor_nodes.result(setup.tree)
    if not output.is_linked:
        socket = plate(setup)
        setup.tree.links.new(socket, output)
        if not any(node.bl_idname == "CompositorNodeViewer" for node in setup.tree.nodes):
            viewer = setup.mark(nodes.new(setup.tree, "CompositorNodeViewer"), VIEWER_KIND, all_shots=True)
            nodes.feed(nodes.input_of(viewer, "Image"), socket)
        end, start = output.node, socket.node
        end.location = (_left(start) + start.width + 4 * GAP, _top(start))
        for viewer in setup.tree.nodes:
            if viewer.get(tags.KIND) == VIEWER_KIND:
                viewer.location = (end.location.x, end.location.y - 180)
    return output.links[0].from_socket


def plate(setup: Setup) -> Socket:
    """The plate fitted to the render size; its nodes serve all shots of the clip."""
    node = setup.find(PLATE_KIND)
    if node is None:
        tree = setup.tree
        source = nodes.new(tree, "CompositorNodeImage", image=plate_image(setup.depth), label="Plate")
        node = fit_to_render(tree, nodes.output_of(source, "Image")).node
        setup.mark(node, PLATE_KIND, all_shots=True)
        others = [n for n in tree.nodes if n not in (source, node)]
        source.location = (
            min((_left(n) for n in others), default=0.0),
            min((_top(n) - 400 for n in others), default=0),
        )
        node.location = (source.location.x + source.width + GAP, source.location.y)
        for each in (source, node):
            each.parent = _frame(setup)
    for link in nodes.input_of(node, "Image").links:
        if link.from_node.bl_idname == "CompositorNodeImage":
            show_plate(link.from_node, setup.depth)
    return nodes.output_of(node, "Image")


def depth_node(setup: Setup) -> bpy.types.Node:
    """The shot's Fathom Depth node; its Scale follows the camera's rig where there is one in the scene."""
    group = depth_group(setup.depth, setup.shot)
    node = setup.find(DEPTH_KIND)
    if node is None:
        before = picture(setup).node
        node = setup.mark(add_group(setup, group, "Fathom Depth"), DEPTH_KIND)
        place_below(setup, before, node)
    _follow_rig(setup, nodes.input_of(node, "Scale"))
    return node


def distance(setup: Setup) -> Distance:
    """The distances of the picture so far: those of Z Merge where the shot has one, else the depth's own."""
    node = depth_node(setup)
    merge = setup.find(MERGE_KIND)
    return Distance(nodes.output_of(merge or node, "Z"), nodes.output_of(node, "Has Depth"))


def connect(node: bpy.types.Node, source: Distance) -> None:
    """Link an effect's inputs for distances where nothing is linked to them."""
    for name, socket in (("Z", source.z), ("Has Depth", source.has_depth)):
        if name in node.inputs and not nodes.input_of(node, name).is_linked:
            nodes.feed(nodes.input_of(node, name), socket)


def effect_group(kind: str, name: str, build: Callable[[bpy.types.NodeTree], None]) -> bpy.types.NodeTree:
    """The node group of an effect, made by `build` if the file does not have it yet."""
    group = tags.find(bpy.data.node_groups, kind)
    if group is None:
        group = tags.tag(bpy.data.node_groups.new(name, "CompositorNodeTree"), kind)
        build(group)
        nodes.arrange(group)
    return group


def effect_inputs(group: bpy.types.NodeTree) -> None:
    """Give an effect's group the inputs that every effect has: the picture and its distances."""
    nodes.interface_input(group, "Image", "Color", default=(0, 0, 0, 1), description="The picture")
    for name, default, description in (
        ("Z", 1.0, "Distance of each pixel, from Fathom Depth"),
        ("Has Depth", 1.0, "Where the effect shows, from Fathom Depth"),
    ):
        nodes.interface_input(group, name, "Float", default=default, description=description).hide_value = True


def set_inputs(node: bpy.types.Node, values: dict[str, Any]) -> None:
    """Set a node's inputs by name; None leaves what is there."""
    for name, value in values.items():
        if value is not None:
            nodes.input_of(node, name).default_value = value


def add_group(setup: Setup, group: bpy.types.NodeTree, label: str) -> bpy.types.Node:
    """A node of a node group in the setup's tree."""
    node = nodes.new(setup.tree, "CompositorNodeGroup", label=label)
    node.node_tree = group
    node.width = 200
    return node


def insert(setup: Setup, first: Socket, last: Socket) -> None:
    """Lead the picture through an effect on its way to the output.

    Parameters
    ----------
    setup : Setup
    first : NodeSocket
        Input of the effect that takes the picture so far.
    last : NodeSocket
        Output of the effect that becomes the result.
    """
    before = picture(setup)
    output = compositor_nodes.result(setup.tree)
    setup.tree.links.new(before, first)
    setup.tree.links.new(last, output)
    for viewer in setup.tree.nodes:
        if viewer.get(tags.KIND) == VIEWER_KIND:
            nodes.feed(nodes.input_of(viewer, "Image"), last)


def place_after(setup: Setup, before: bpy.types.Node, added: list[bpy.types.Node]) -> None:
    """Place an effect's nodes in a row right of a node, in the shot's frame; what stands further right makes room."""
    left, top = _left(before) + before.width + GAP, _top(before)
    room = sum(node.width + GAP for node in added)
    frame = _frame(setup)
    movable = [n for n in setup.tree.nodes if n not in added and n != before and n.bl_idname != "NodeFrame"]
    right = [n for n in movable if _left(n) >= left - GAP]
    move = max((left + room - _left(n) for n in right), default=0.0)
    if move > 0:
        for node in right:
            node.location.x += move
    for node in added:
        node.location = (left, top)
        node.parent = frame
        left += node.width + GAP


def place_below(setup: Setup, above: bpy.types.Node, node: bpy.types.Node) -> None:
    """Place a node below everything else, in line with another, in the shot's frame."""
    node.location = (_left(above), _below(setup.tree, node))
    node.parent = _frame(setup)


def upstream(node: bpy.types.Node) -> set[bpy.types.Node]:
    """The node and everything that feeds it."""
    seen, waiting = set(), [node]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += [link.from_node for socket in node.inputs for link in socket.links]
    return seen


def _follow_rig(setup: Setup, scale: Socket) -> None:
    """Drive Scale by the rig's, unless the artist has set or driven it."""
    rig = find_rig(setup.depth, setup.shot, setup.scene)
    if rig is None:
        return
    path = scale.path_from_id("default_value")
    driven = setup.tree.animation_data.drivers if setup.tree.animation_data else ()
    curve = next((curve for curve in driven if curve.data_path == path), None)
    if curve is not None:
        for variable in curve.driver.variables:
            if variable.targets[0].id is None and variable.targets[0].data_path == SCALE_PATH:
                variable.targets[0].id = rig  # the one that it followed was deleted
        return
    if scale.default_value != 1.0:
        return
    driver = scale.driver_add("default_value").driver
    driver.type = "SUM"  # no expression, so no permission to run scripts is needed
    variable = driver.variables.new()
    variable.targets[0].id = rig
    variable.targets[0].data_path = SCALE_PATH


def _frame(setup: Setup) -> bpy.types.Node:
    frame = setup.find(FRAME_KIND)
    if frame is None:
        frame = nodes.new(setup.tree, "NodeFrame", label=setup.depth.label("Depth", setup.shot))
        setup.mark(frame, FRAME_KIND)
    return frame


def _left(node: bpy.types.Node) -> float:
    return node.location.x + (_left(node.parent) if node.parent else 0.0)


def _top(node: bpy.types.Node) -> float:
    return node.location.y + (_top(node.parent) if node.parent else 0.0)


def _below(tree: bpy.types.NodeTree, new: bpy.types.Node) -> float:
    """A height below all nodes but the new one; how high they are is not known before they were drawn."""
    return min((_top(n) - 400.0 for n in tree.nodes if n != new and n.bl_idname != "NodeFrame"), default=0.0)
