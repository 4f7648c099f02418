"""Several clips in one compositor tree, and several versions of one clip's depth.

Two depths are **versions** of one clip's where they are of the same file or files and cover the same frames there and
on the timeline: the one that an effect is added for takes the other's place, with all that was tuned. Else they are
**clips** of their own, each with its own plate and chain. A clip whose frames no other has is joined to the result by
the switch "Fathom Clip at Its Frames"; frames between two clips go to the nearer, beyond the first and the last clip
their end frames are held. A clip that shares frames with another stands beside it: only the artist knows how the two
belong together, and `beside` has the sentence that says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import bpy

from .. import nodes, tags
from ..depth import Depth, disparity_image, find_disparity_image
from ..viewing import shown as viewed
from . import compositor_nodes, tree
from .depth_group import KIND as DEPTH_KIND
from .tree import CLIP, FRAMES, SWITCH_KIND, Setup, Socket, upstream

_NEVER = 1e7
"""A frame beyond Blender's last (1048574)."""

_SHOWING = (DEPTH_KIND, tree.PLATE_KIND, *tree.STAGES, SWITCH_KIND)

Frames = tuple[int, int]


def is_foreign(setup: Setup, node: bpy.types.Node) -> bool:
    """Whether a node belongs to another clip's chain, or shows that clip's file."""
    kind = node.get(tags.KIND)
    if kind:
        image = node.get(tags.DEPTH) if kind in _SHOWING else None
        return image is not None and image != disparity_image(setup.depth)
    own, path = disparity_image(setup.depth), tree.file_of(node)
    if path is None or tree.shows_clip(node, setup.depth):
        return False
    others = {tags.text(n, CLIP) for n in setup.tree.nodes if tags.text(n, CLIP) and n.get(tags.DEPTH) != own}
    return any(tree.is_of(path, clip) for clip in others)


def earlier_versions(setup: Setup) -> list[bpy.types.Image]:
    """Images of the disparity of other versions of the clip's depth that are in the tree."""
    own = disparity_image(setup.depth)
    key, sequence, offset = tree.clip_key(setup.depth), setup.depth.sequence, setup.depth.frame_offset
    first, last = sequence.first_frame, sequence.last_frame
    found = []
    for node in setup.tree.nodes:
        image = node.get(tags.DEPTH)
        frames = tags.numbers(node, FRAMES, 3)
        if not isinstance(image, bpy.types.Image) or image == own or image in found or frames is None:
            continue
        if tags.text(node, CLIP) != key:
            continue
        start, stop, shift = frames
        on_timeline = start <= last + offset and first + offset <= stop
        if on_timeline and start - shift <= last and first <= stop - shift:
            found.append(image)
    return found


def take_over(setup: Setup) -> None:
    """Let the nodes of other versions of the clip's depth be this one's, shot by shot.

    A shot of the other version goes to the one that shows its first frame now. Where that is taken already or has no
    depth, the effects of the other version are muted and the artist's to delete, so that no frame gets two.
    """
    for image in earlier_versions(setup):
        theirs = [node for node in setup.tree.nodes if node.get(tags.DEPTH) == image and node.get(tags.KIND)]
        taken = {node.get(tags.SHOT) for node in setup.of_clip()}
        goes: dict[int, int | None] = {}
        for first in sorted({_shot_of(node) for node in theirs} - {None}):
            shot = setup.depth.sequence.shot_at(first)
            is_free = shot.status == "done" and shot.first_frame not in taken
            goes[first] = shot.first_frame if is_free else None
            taken.add(shot.first_frame)
        has_plate = setup.find(tree.PLATE_KIND) is not None
        for node in theirs:
            if _shot_of(node) is None:
                if not (has_plate and node[tags.KIND] == tree.PLATE_KIND):
                    setup.claim(node)
            elif goes[_shot_of(node)] is not None:
                node[tags.SHOT] = goes[_shot_of(node)]
                setup.claim(node)
            else:
                node.driver_remove("mute")
                node.mute = node[tags.KIND] in tree.STAGES
                del node[tags.KIND]  # the artist's from now on


def _shot_of(node: bpy.types.Node) -> int | None:
    shot = node.get(tags.SHOT)
    return shot if isinstance(shot, int) else None


def replace_group(node: bpy.types.Node, group: bpy.types.NodeTree) -> None:
    """Give a Fathom Depth node another version's group; links stay, and so do inputs that the artist has set."""
    links = [(socket.name, link.to_socket) for socket in node.outputs for link in socket.links]
    set_values = {
        socket.name: socket.default_value
        for socket, item in zip(node.inputs, _inputs(node.node_tree))
        if socket.type == "VALUE" and abs(socket.default_value - item.default_value) > 1e-6 * abs(item.default_value)
    }
    node.node_tree = group
    for socket, item in zip(node.inputs, _inputs(group)):
        socket.default_value = set_values.get(socket.name, item.default_value)
    for name, target in links:
        if name in node.outputs and not target.is_linked:
            nodes.feed(target, node.outputs[name])


def _inputs(group: bpy.types.NodeTree) -> Iterable[bpy.types.NodeTreeInterfaceSocket]:
    return (item for item in group.interface.items_tree if item.item_type == "SOCKET" and item.in_out == "INPUT")


# ------------------------------------------------------------------------------------------------ clips side by side


def join(setup: Setup, source: Socket) -> list[Socket]:
    """Join a clip's chain to a result that shows other clips, at its own frames; beside it where they share frames.

    `source` is where the clip's chain ends. Returns the input that shows the clip from now on; none where it stays
    beside.
    """
    output = compositor_nodes.result(setup.tree)
    if not output.is_linked:
        return [output]
    before = output.links[0].from_socket
    first, last, _ = _frames_of(setup.depth)
    others = _frames_in(setup, upstream(before.node))
    if others is None or any(start <= last and first <= stop for start, stop in others):
        return []
    node = setup.find(SWITCH_KIND)
    if node is None:
        label = f"{setup.depth.name} at Its Frames"
        node = tree.add_effect(setup, SWITCH_KIND, "Clip at Its Frames", _build, label=label, all_shots=True)
        tree.place_after(setup, before.node, [node])
    nodes.feed(nodes.input_of(node, "Image"), before)
    nodes.feed(nodes.input_of(node, "Clip"), source)
    nodes.feed(output, nodes.output_of(node, "Image"))
    set_switches(setup.tree)
    return [nodes.input_of(node, "Clip")]


def set_switches(scene_tree: bpy.types.NodeTree) -> None:
    """Bring the frames of all clips' switches up to date."""
    for node in scene_tree.nodes:
        frames = tags.numbers(node, FRAMES, 3)
        if tags.text(node, tags.KIND) != SWITCH_KIND or not nodes.input_of(node, "Image").is_linked or frames is None:
            continue
        first, last, _ = map(int, frames)
        before = upstream(nodes.input_of(node, "Image").links[0].from_node)
        theirs = (tags.numbers(n, FRAMES, 3) for n in before if n.get(tags.DEPTH) != node.get(tags.DEPTH))
        others = {(int(each[0]), int(each[1])) for each in theirs if each is not None}
        earlier = [stop for _, stop in others if stop < first]
        later = [start for start, _ in others if start > last]
        # Frames between two clips go to the nearer one, the earlier where both are as near, as between shots.
        tree.set_inputs(
            node,
            {
                "After": (max(earlier) + first) // 2 + 0.5 if earlier else -_NEVER,
                "Before": (last + min(later)) // 2 + 0.5 if later else _NEVER,
            },
        )


def beside(scene: bpy.types.Scene, depth: Depth) -> str | None:
    """One sentence where a clip's chain stands beside the scene's result because they share frames; else None."""
    scene_tree, image = compositor_nodes.find_scene_tree(scene), find_disparity_image(depth)
    output = None if scene_tree is None else compositor_nodes.find_result(scene_tree)
    if image is None or output is None or not output.is_linked:
        return None
    shown = upstream(output.links[0].from_node)
    clips = {str(n[CLIP]) for n in shown if n.get(CLIP) and n.get(tags.DEPTH) != image}
    if not clips or any(node.get(tags.DEPTH) == image for node in shown):
        return None
    names = {Path(clip).name if not Path(clip).name.startswith(depth.name) else clip for clip in clips}
    others = " and ".join(sorted(names))
    return (
        f"{depth.name} has frames in common with {others}, which the compositor's output goes on showing: "
        f"{depth.name} got a chain of its own; lay one over the other there, or add it in a scene of its own."
    )


def out_of_step(scene: bpy.types.Scene, depth: Depth) -> str | None:
    """One sentence where a node that shows a clip to the effects by its depth shows other frames of it; else None.

    Fathom's own nodes are brought in step; where the artist's begin, only the artist knows.
    """
    scene_tree, image = compositor_nodes.find_scene_tree(scene), find_disparity_image(depth)
    if scene_tree is None or image is None:
        return None
    effects = [n for n in scene_tree.nodes if n.get(tags.DEPTH) == image and n.get(tags.KIND)]
    first, last, offset = _frames_of(depth)
    for node in set().union(*map(upstream, effects)):
        if not tree.shows_clip(node, depth):
            continue
        for frame in (first, last):
            found = _frame_at(node, depth, frame)
            if found is not None and found != frame - offset:
                is_clip = node.bl_idname == "CompositorNodeMovieClip"
                where = "the clip's Start Frame" if is_clip else "the node's Frames, Start Frame and Offset"
                return (
                    f"{node.label or node.name} shows frame {found} of {depth.name} at frame {frame} of the timeline, "
                    f"where the depth is that of frame {frame - offset}: set {where}, or the depth's Frame Offset, so "
                    "that both are one."
                )
    return None


def _frame_at(node: bpy.types.Node, depth: Depth, frame: int) -> int | None:
    """The source frame that a node of a clip shows; None where it shows one alone, or one that is not known."""
    if node.bl_idname == "CompositorNodeMovieClip":
        return viewed.clip_frame_at(node.clip, depth.source, frame)
    is_played = node.image.source in ("SEQUENCE", "MOVIE") and node.use_auto_refresh and node.frame_duration
    return viewed.frame_at(node, frame) if is_played else None


def _frames_of(depth: Depth) -> tuple[int, int, int]:
    offset = depth.frame_offset
    return depth.sequence.first_frame + offset, depth.sequence.last_frame + offset, offset


def _frames_in(setup: Setup, among: set[bpy.types.Node]) -> list[Frames] | None:
    """Scene frames of the other clips among nodes; None where one does not tell them."""
    found = []
    for node in among:
        if node.get(tags.KIND) and is_foreign(setup, node):
            frames = tags.numbers(node, FRAMES, 3)
            if frames is None:
                return None
            found.append((int(frames[0]), int(frames[1])))
    return found


def _build(group: bpy.types.NodeTree) -> None:
    nodes.interface_output(group, "Image", "Color", description="The clip at its frames, else the image before it")
    nodes.interface_input(group, "Image", "Color", description="The image of other clips")
    nodes.interface_input(group, "Clip", "Color", description="The image of the clip")
    nodes.interface_input(group, "After", "Float", default=-_NEVER, description="The clip shows after this frame")
    nodes.interface_input(group, "Before", "Float", default=_NEVER, description="The clip shows before this frame")
    inputs, outputs = nodes.group_sockets(group)
    shows = compositor_nodes.between(group, inputs["After"], inputs["Before"], label="At the clip's frames")
    nodes.feed(outputs["Image"], compositor_nodes.mix_images(group, shows, inputs["Image"], inputs["Clip"]))
