"""A shot's nodes in a scene's compositor tree: how they are found again, made and placed.

What Fathom adds stands in one frame per shot and is found again by custom properties on the nodes: the ones of `tags`,
with the clip that they belong to and the frames that it covers. How the image goes through them is `chain`'s matter.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import bpy

from ...inference.contract import numbering
from ...inference.contract.depth_sequence import Shot
from .. import lookup, nodes, places, tags
from ..depth import Depth, disparity_image
from ..plate import PlateError, plate_image, put_plate, show_plate
from .depth_group import fit_to_render

GAP, ROW, WIDTH = 60.0, 400.0, 200
PLATE_KIND, FRAME_KIND, VIEWER_KIND = "comp_plate", "comp_frame", "comp_viewer"
MERGE_KIND, FOG_KIND, DEFOCUS_KIND = "comp_merge", "comp_fog", "comp_defocus"
RELIGHT_KIND, GRADE_KIND, MATTE_KIND, SWITCH_KIND = "comp_relight", "comp_grade", "comp_matte", "comp_switch"
NORMALS_KIND, STEREO_KIND, ISOLATE_KIND = "comp_normals", "comp_stereo", "comp_isolate"
FOCUS_KIND = "comp_focus"
"""Of the node that fed Blender's Defocus in an earlier Fathom."""

STAGES = (MERGE_KIND, RELIGHT_KIND, FOG_KIND, GRADE_KIND, DEFOCUS_KIND)
"""Effects that the image goes through, in this order: what is in it, its light, the air, its grade, the lens."""

BESIDE = (MATTE_KIND, ISOLATE_KIND, STEREO_KIND, NORMALS_KIND)
"""Effects that stand beside the image's way and do not change the result."""

_VERSIONS = {MERGE_KIND: 2, FOG_KIND: 2, DEFOCUS_KIND: 2, MATTE_KIND: 2}
"""Of groups that have changed, so that files with an earlier one get today's; nodes of Z Combine stay as they are."""

CLIP = "fathom_clip"
"""Custom property of marked nodes: `clip_key` of the clip."""

FRAMES = "fathom_frames"
"""Custom property of marked nodes: first and last scene frame of the clip's depth, and its frame offset."""

Socket = bpy.types.NodeSocket


@dataclass(frozen=True)
class Setup:
    """A shot's nodes in a scene's compositor tree."""

    scene: bpy.types.Scene
    tree: bpy.types.NodeTree
    depth: Depth
    shot: Shot

    def find(self, kind: str, *, form: str | None = None) -> bpy.types.Node | None:
        """The shot's node of that kind, or None; `form`: its ``bl_idname``, where another would not do."""
        image = disparity_image(self.depth)
        for node in self.tree.nodes:
            is_ours = node.get(tags.KIND) == kind and node.get(tags.DEPTH) == image
            if is_ours and form in (None, node.bl_idname) and node.get(tags.SHOT) in (None, self.shot.first_frame):
                return node
        return None

    def mark(self, node: bpy.types.Node, kind: str, *, all_shots: bool = False) -> bpy.types.Node:
        """Let `find` find the node; `all_shots` for what serves every shot of the clip."""
        node[tags.KIND] = kind
        if not all_shots:
            node[tags.SHOT] = self.shot.first_frame
        return self.claim(node)

    def claim(self, node: bpy.types.Node) -> bpy.types.Node:
        """Let a marked node be one of this depth, with the clip and the scene frames that the depth covers now."""
        sequence, offset = self.depth.sequence, self.depth.frame_offset
        node[tags.DEPTH] = disparity_image(self.depth)
        node[CLIP] = clip_key(self.depth)
        node[FRAMES] = (sequence.first_frame + offset, sequence.last_frame + offset, offset)
        return node

    def of_clip(self) -> list[bpy.types.Node]:
        """All nodes that are marked as this depth's, of whatever shot."""
        image = disparity_image(self.depth)
        return [node for node in self.tree.nodes if node.get(tags.KIND) and node.get(tags.DEPTH) == image]


@lookup.once
def clip_key(depth: Depth) -> str:
    """What tells a clip from others, whatever was estimated of it and when: where its file or its files lie."""
    source = depth.source
    path = os.path.realpath(source.path)
    if source.kind == "movie":
        return f"{path}:{source.stream}" if source.stream else path
    # all of the name: those of two eyes, and of passes, may differ behind the frame number
    return f"{path}{os.sep}{numbering.pattern_of(source.files)}"


def is_of(path: str, clip: str) -> bool:
    """Whether a file is one of a clip, as `clip_key` says."""
    folder, name = os.path.split(path)
    its_folder, pattern = os.path.split(clip)
    before, _, after = pattern.partition("#")
    is_frame = re.fullmatch(f"{re.escape(before)}[0-9]+{re.escape(after)}", name, re.ASCII | re.IGNORECASE)
    return path == clip or (folder == its_folder and "#" in pattern and is_frame is not None)


def file_of(node: bpy.types.Node) -> str | None:
    """The file that a node of the compositor reads its image from, or None."""
    shown = {"CompositorNodeImage": "image", "CompositorNodeMovieClip": "clip"}.get(node.bl_idname)
    file = getattr(node, shown) if shown else None
    if file is None or not file.filepath:
        return None
    return places.resolved(file.filepath, library=file.library)


def shows_clip(node: bpy.types.Node, depth: Depth) -> bool:
    """Whether a node's image is from the clip's own file or files."""
    path, source = file_of(node), depth.source
    if path is None or source.kind == "movie":
        return path is not None and not source.stream and path == os.path.realpath(source.path)
    folder, name = os.path.split(path)
    return folder == os.path.realpath(source.path) and name in source.files


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
            min((_top(n) - ROW for n in others), default=0),
        )
        node.location = (source.location.x + source.width + GAP, source.location.y)
        for each in (source, node):
            each.parent = _frame(setup)
    for link in nodes.input_of(node, "Image").links:
        shown = link.from_node
        if shown.bl_idname != "CompositorNodeImage":
            continue
        with suppress(PlateError):  # what is missing stays so
            put_plate(shown, setup.depth)
        if shown.image is not None and tags.text(shown.image, tags.KIND) == "plate":  # and no image of the artist's
            show_plate(shown, setup.depth)
    return nodes.output_of(node, "Image")


def add_effect(
    setup: Setup,
    kind: str,
    name: str,
    build: Callable[[bpy.types.NodeTree], None],
    *,
    label: str = "",
    all_shots: bool = False,
) -> bpy.types.Node:
    """Add the node "Fathom `name`" of an effect; its group is made by `build` if the file does not have it yet."""
    node = add_group(setup, effect_group(kind, name, build), label or name)
    return setup.mark(node, kind, all_shots=all_shots)


def effect_group(kind: str, name: str, build: Callable[[bpy.types.NodeTree], None]) -> bpy.types.NodeTree:
    """The file's group "Fathom `name`" of an effect, made by `build` if it is not there."""
    return lookup.node_group(group_kind(kind), f"Fathom {name}", "CompositorNodeTree", build)


def group_kind(kind: str) -> str:
    """What today's group of an effect is tagged with."""
    return f"{kind}/{_VERSIONS[kind]}" if kind in _VERSIONS else kind


def renew(node: bpy.types.Node, group: bpy.types.NodeTree) -> None:
    """Give a node of an earlier Fathom's group today's; links and values stay where the name of a socket does.

    A copy of today's is the artist's, and stays.
    """
    if lookup.is_it(node.node_tree, group):
        return
    fed = [(socket.name, link.from_socket) for socket in node.inputs for link in socket.links]
    led = [(socket.name, link.to_socket) for socket in node.outputs for link in socket.links]
    values = {socket.name: socket.default_value for socket in node.inputs if hasattr(socket, "default_value")}
    values = {name: tuple(value) if hasattr(value, "__len__") else value for name, value in values.items()}
    node.node_tree = group
    set_inputs(node, {name: value for name, value in values.items() if name in node.inputs})
    for name, source in fed:
        if name in node.inputs and not node.inputs[name].is_linked:
            nodes.feed(node.inputs[name], source)
    for name, target in led:
        if name in node.outputs and not target.is_linked:
            nodes.feed(target, node.outputs[name])


def switch_off_elsewhere(setup: Setup, node: bpy.types.Node) -> None:
    """Drive a node's input *Active*, so that an effect that takes time takes none on the frames of other shots."""
    first, last = setup.depth.frames_shown(setup.shot)
    bounds = [f"frame >= {first + setup.depth.frame_offset}"] if first is not None else []
    bounds += [f"frame <= {last + setup.depth.frame_offset}"] if last is not None else []
    active = nodes.input_of(node, "Active")
    if bounds:
        nodes.drive(active, "default_value", {}, f"1 if {' and '.join(bounds)} else 0")
    elif driver_of(setup, active) is not None:
        active.driver_remove("default_value")
        active.default_value = 1.0


def effect_inputs(group: bpy.types.NodeTree) -> None:
    """Give an effect's group the inputs that an effect on an image has: that and its distances."""
    nodes.interface_input(group, "Image", "Color", default=(0, 0, 0, 1), description="The image")
    depth_inputs(group)


def depth_inputs(group: bpy.types.NodeTree) -> None:
    """Give an effect's group the inputs for distances."""
    for name, default, description in (
        ("Z", 1.0, "Distance of each pixel, from Fathom Depth"),
        ("Has Depth", 1.0, "Where the effect shows, from Fathom Depth"),
    ):
        nodes.interface_number(group, name, default, description).hide_value = True


def remove_emptied(tree: bpy.types.NodeTree) -> None:
    """Remove Fathom's nodes whose group was deleted: no socket of theirs is left, so neither links nor values."""
    for node in list(tree.nodes):
        if node.get(tags.KIND) and node.bl_idname == "CompositorNodeGroup" and node.node_tree is None:
            tree.nodes.remove(node)


def set_inputs(node: bpy.types.Node, values: dict[str, Any]) -> None:
    """Set a node's inputs by name; None leaves what is there."""
    for name, value in values.items():
        if value is not None:
            nodes.input_of(node, name).default_value = value


def add_group(setup: Setup, group: bpy.types.NodeTree, label: str) -> bpy.types.Node:
    """A node of a node group in the setup's tree."""
    node = nodes.new(setup.tree, "CompositorNodeGroup", label=label)
    node.node_tree = group
    node.width = WIDTH
    return node


def place_after(setup: Setup, before: bpy.types.Node, added: list[bpy.types.Node]) -> None:
    """Place an effect's nodes in a row right of a node, in the shot's frame.

    What they lead to and what else stands further right in that row makes room.
    """
    left, top = _left(before) + before.width + GAP, _top(before)
    room = sum(node.width + GAP for node in added)
    frame = _frame(setup)
    movable = [n for n in setup.tree.nodes if n not in added and n != before and n.bl_idname != "NodeFrame"]
    beside = [n for n in movable if _left(n) >= left - GAP]
    right = [n for n in beside if abs(_top(n) - top) < ROW or not upstream(n).isdisjoint(added)]
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


def keep_behind(node: bpy.types.Node, source: bpy.types.Node) -> None:
    """Move a node that stands below the row to the right, if need be, so that it is not left of what feeds it."""
    node.location.x += max(_left(source) - _left(node), 0.0)


def add_viewer(setup: Setup, socket: Socket, end: bpy.types.Node) -> None:
    """Place the output right of a plate that is alone in the tree, with a viewer below it if there is none."""
    tree, start = setup.tree, socket.node
    if not any(node.bl_idname == "CompositorNodeViewer" for node in tree.nodes):
        viewer = setup.mark(nodes.new(tree, "CompositorNodeViewer"), VIEWER_KIND, all_shots=True)
        nodes.feed(nodes.input_of(viewer, "Image"), socket)
    end.location = (_left(start) + start.width + 4 * GAP, _top(start))
    for viewer in tree.nodes:
        if viewer.get(tags.KIND) == VIEWER_KIND:
            viewer.location = (end.location.x, end.location.y - 180)


def driver_of(setup: Setup, socket: Socket) -> bpy.types.FCurve | None:
    """The driver of an input's value, or None."""
    path = socket.path_from_id("default_value")
    drivers = setup.tree.animation_data.drivers if setup.tree.animation_data else ()
    return next((curve for curve in drivers if curve.data_path == path), None)


def upstream(node: bpy.types.Node) -> set[bpy.types.Node]:
    """The node and everything that feeds it."""
    return _reached(node, ((link.to_node, link.from_node) for link in node.id_data.links))


def downstream(node: bpy.types.Node) -> set[bpy.types.Node]:
    """The node and everything that it feeds."""
    return _reached(node, ((link.from_node, link.to_node) for link in node.id_data.links))


def _reached(node: bpy.types.Node, steps: Iterable[tuple[bpy.types.Node, bpy.types.Node]]) -> set[bpy.types.Node]:
    """Where steps lead from a node. Links are gone through once: for a socket's own Blender goes through them all."""
    after = defaultdict(list)
    for start, stop in steps:
        after[start].append(stop)
    seen, waiting = set(), [node]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += after.get(node, ())
    return seen


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
    return min((_top(n) - ROW for n in tree.nodes if n != new and n.bl_idname != "NodeFrame"), default=0.0)
