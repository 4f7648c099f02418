"""The way that a clip's image takes through a scene's compositor tree, and the effects on it in their order.

A chain is never rebuilt: an effect is inserted where it belongs, and what the artist put in between or tuned stays.

**Whose image.** As long as the result shows one clip, or images of the artist's own, effects go between it and the
output. Where it shows another clip of Fathom's, a clip gets a chain of its own, from its plate on: joined to the
result by a switch at the clip's frames, or, where both clips have the same frames, beside it (see `clips`). An effect
then goes as far down as the image is this clip's alone.

**In which order.** `tree.STAGES`, whatever the order in which they are added: first everything that is in the image and
its light, then the air and the grade, then the lens. Each takes the distances of the merged image where there is a Z
Combine.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import bpy

from ...inference.contract.depth_sequence import Shot
from .. import distance_nodes, lookup, nodes, standing, tags
from ..camera import SCALE_PATH, find_rig
from ..depth import Depth, find_disparity_image, require_own
from ..plate import PlateError, plate_image
from ..problems import Problem
from . import clips, compositor_nodes, tree
from .depth_group import KIND as DEPTH_KIND
from .depth_group import depth_group
from .tree import BESIDE, STAGES, Setup, Socket, downstream, upstream


class Distance(NamedTuple):
    """Where an effect takes distances from: the sockets of Z and of where there is any."""

    z: Socket
    has_depth: Socket


class Place(NamedTuple):
    """Where an effect goes: after an output socket (None: the plate, not in the tree yet), before input sockets."""

    source: Socket | None
    targets: list[Socket]


# ------------------------------------------------------------------------------------------------------ the image


def open_setup(scene: bpy.types.Scene, depth: Depth, shot: Shot) -> Setup:
    """The shot's setup in the scene's tree; the tree is made if the scene has none.

    What is there of another version of the clip's depth becomes this one's, and everything of the clip follows it on
    the timeline.

    Raises
    ------
    DepthError
        The shot is unsupported, or the scene or its tree is linked.
    PlateError
        The tree does not show the clip yet and the plate, which it is to show, is missing. Nothing that shows anything
        is changed then.
    """
    require_own(scene, "scene")
    depth.require_done(shot)
    existing = compositor_nodes.find_scene_tree(scene)
    if existing is not None:
        require_own(existing, "compositor's node group")
    setup = None if existing is None else Setup(scene=scene, tree=existing, depth=depth, shot=shot)
    if setup is not None:
        tree.remove_emptied(setup.tree)
    if setup is None or not (find_place(setup) or clips.earlier_versions(setup)):
        plate_image(depth)  # raises where it is missing
    setup = setup or Setup(scene=scene, tree=compositor_nodes.scene_tree(scene), depth=depth, shot=shot)
    compositor_nodes.scene_tree(scene)  # in use
    scene.render.use_compositing = True
    _catch_up(depth, scene)
    return setup


@lookup.once
def _catch_up(depth: Depth, scene: bpy.types.Scene) -> None:
    """Let what is in the tree of the clip be this depth's, and on the timeline where it lies now."""
    setup = Setup(scene=scene, tree=compositor_nodes.scene_tree(scene), depth=depth, shot=depth.sequence.done_shots[0])
    clips.take_over(setup)
    for node in setup.of_clip():
        setup.claim(node)
    clips.set_switches(setup.tree)
    if setup.find(tree.PLATE_KIND) is not None:
        tree.plate(setup)  # brings its frames up to date
        with suppress(PlateError):  # what is missing stays so
            plate_image(depth)  # and its files


def find_place(setup: Setup, stage: str | None = None) -> Place | None:
    """Where an effect goes, or where the clip's image ends; None where nothing shows the clip yet.

    `stage` is one of `STAGES`, or one of `BESIDE` for where the shot's last stage ends.
    """
    end = _end(setup)
    if end is None or stage is None:
        return end
    chain = upstream(end.source.node)
    own = [node for node in map(setup.find, STAGES) if node in chain]
    later = [node for node in map(setup.find, _after(stage)) if node in chain]
    behind = set().union(*map(downstream, own))
    for node in setup.of_clip():  # the stages of a shot stay together, before those of the shots that come behind it
        if node in behind and node in chain and node not in own and tags.text(node, tags.KIND) in STAGES:
            later.append(node)
    if not later:
        return end
    node = min(later, key=lambda node: len(upstream(node)))
    entry = nodes.input_of(node, "Image")
    if not entry.is_linked:  # the artist took out what was before
        return Place(_before(setup, node, stage), [entry])
    source = entry.links[0].from_socket
    return Place(source, [link.to_socket for link in source.links if link.to_node in upstream(node)])


def place(setup: Setup, stage: str | None = None) -> Place:
    """As `find_place`; where nothing shows the clip yet, its plate is added and leads to the output."""
    found = find_place(setup, stage)
    if found is not None and found.source is not None:
        if not found.targets and stage is not None:
            return Place(found.source, clips.join(setup, found.source))
        return found
    source = tree.plate(setup)
    if found is not None:
        return Place(source, found.targets)
    output = compositor_nodes.result(setup.tree)
    if output.is_linked:
        return Place(source, clips.join(setup, source))
    setup.tree.links.new(source, output)
    tree.add_viewer(setup, source, output.node)
    return Place(source, [output])


def clip_image(setup: Setup) -> Socket:
    """The output socket whose image is the clip's so far; the plate is added where nothing shows the clip."""
    return place(setup).source


def lead(setup: Setup, node: bpy.types.Node, stage: str, *, entry: str = "Image") -> bool:
    """Lead the clip's image through an effect that is new or was taken out of the chain, and say whether it was.

    The effect's input `entry` takes the image so far, its output is called Image. One that is in the chain only gets an
    image again where it has none, and one that leads to an output of the artist's, such as a file's, is left as it is.
    """
    end = _end(setup)
    if end is not None and node in upstream(end.source.node):
        image = nodes.input_of(node, "Image")
        if not image.is_linked:
            nodes.feed(image, _before(setup, node, stage) or tree.plate(setup))
        return False
    if any(_is_result(other) for other in downstream(node)):
        return False
    at = place(setup, stage)
    into, tail = nodes.input_of(node, entry), nodes.output_of(node, "Image")
    if not (into.is_linked and at.source.node in upstream(node)):
        nodes.feed(into, at.source)
    for target in at.targets:
        nodes.feed(target, tail)
    chain = upstream(tail.node)
    for beside in filter(None, map(setup.find, BESIDE)):
        image = beside.inputs.get("Image")  # it takes what the shot's chain ends in
        if image is None or beside in chain or find_place(setup, tree.MATTE_KIND).source != tail:
            continue
        if image.is_linked and image.links[0].from_socket == at.source:
            nodes.feed(image, tail)
    show(setup)
    return True


def show(setup: Setup, socket: Socket | None = None) -> None:
    """Let a viewer that Fathom added show a socket, or where the clip's image ends: the result where it is in it."""
    output = compositor_nodes.find_result(setup.tree)
    if socket is None:
        socket = clip_image(setup)
        if output is not None and output.is_linked and socket.node in upstream(output.links[0].from_node):
            socket = output.links[0].from_socket
    for viewer in setup.tree.nodes:
        if viewer.get(tags.KIND) == tree.VIEWER_KIND:
            nodes.feed(nodes.input_of(viewer, "Image"), socket)


def _end(setup: Setup) -> Place | None:
    """Where the clip's image ends; no targets where it leads nowhere; None where nothing shows the clip."""
    output = compositor_nodes.find_result(setup.tree)
    shown = upstream(output.links[0].from_node) if output is not None and output.is_linked else set()
    foreign = {node for node in setup.tree.nodes if clips.is_foreign(setup, node)}
    if shown and not shown & foreign:
        return Place(output.links[0].from_socket, [output])
    own = _showing(setup)
    among = shown if own & shown else set(setup.tree.nodes)
    mattes = {node for node in setup.tree.nodes if node.get(tags.KIND) in BESIDE}
    others = foreign if own & shown else foreign | mattes
    ways = {node: upstream(node) for node in among if _image_output(node) is not None}
    alone = [node for node, fed in ways.items() if fed & own and not fed & others]
    if not alone:
        return None
    source = _image_output(max(alone, key=lambda node: len(ways[node])))
    beside = ("CompositorNodeViewer", "CompositorNodeSplitViewer")
    targets = [
        link.to_socket for link in source.links if link.to_node.bl_idname not in beside and link.to_node not in mattes
    ]
    if not targets and output is not None and not output.is_linked:
        targets = [output]
    return Place(source, targets)


def _showing(setup: Setup) -> set[bpy.types.Node]:
    """The nodes whose images are the clip's: the plate, Fathom's or the artist's, and effects that have an image."""
    kinds = (tree.PLATE_KIND, *STAGES)
    own = {n for n in setup.of_clip() if n.get(tags.KIND) in kinds and nodes.input_of(n, "Image").is_linked}
    plates = {n for n in setup.tree.nodes if n.get(tags.KIND) == tree.PLATE_KIND}
    fathoms = {link.from_node for node in plates for link in nodes.input_of(node, "Image").links}
    return own | {n for n in setup.tree.nodes if n not in fathoms and tree.shows_clip(n, setup.depth)}


def _image_output(node: bpy.types.Node) -> Socket | None:
    return next((socket for socket in node.outputs if socket.type == "RGBA" and socket.enabled), None)


def _after(stage: str) -> tuple[str, ...]:
    return STAGES[STAGES.index(stage) + 1 :] if stage in STAGES else ()


def _before(setup: Setup, node: bpy.types.Node, stage: str) -> Socket | None:
    """What comes before a stage whose image was taken away: an earlier stage's, or the plate's if it is there."""
    for earlier in reversed([each for each in STAGES if each != stage and each not in _after(stage)]):
        found = setup.find(earlier)
        if found is not None and node not in upstream(found):
            return nodes.output_of(found, "Image")
    found = setup.find(tree.PLATE_KIND)
    return None if found is None else nodes.output_of(found, "Image")


def _is_result(node: bpy.types.Node) -> bool:
    return not node.outputs and node.bl_idname not in (
        "NodeFrame",
        "CompositorNodeViewer",
        "CompositorNodeSplitViewer",
    )


# ------------------------------------------------------------------------------------------------------ effects


def effect(
    setup: Setup,
    kind: str,
    name: str,
    build: Callable[[bpy.types.NodeTree], None],
    start: Callable[[], dict[str, Any]] = dict,
) -> tuple[bpy.types.Node, bool]:
    """The shot's node of a stage, in the image's way and connected, and whether it is new.

    `build` makes the group, `start` gives values of inputs that a new node begins with. One that is there keeps what it
    has.
    """
    node = setup.find(kind, form="CompositorNodeGroup")
    is_new = node is None
    before = None
    if is_new:
        before = place(setup, kind).source.node
        node = tree.add_effect(setup, kind, name, build)
        tree.set_inputs(node, start())
    else:
        tree.renew(node, tree.effect_group(kind, name, build))
    lead(setup, node, kind)
    if is_new:
        tree.place_after(setup, before, [node])
    connect(setup)
    return node, is_new


def effect_beside(
    setup: Setup,
    kind: str,
    name: str,
    build: Callable[[bpy.types.NodeTree], None],
    start: Callable[[], dict[str, Any]] = dict,
) -> tuple[bpy.types.Node, bool]:
    """As `effect`, for one that stands beside the image's way and takes the image with all its effects."""
    node = setup.find(kind, form="CompositorNodeGroup")
    is_new = node is None
    before = place(setup, kind).source
    if is_new:
        node = tree.add_effect(setup, kind, name, build)
        tree.set_inputs(node, start())
        tree.place_below(setup, before.node, node)
    else:
        tree.renew(node, tree.effect_group(kind, name, build))
    image = node.inputs.get("Image")
    if image is not None and not image.is_linked and node not in upstream(before.node):
        nodes.feed(image, before)
    connect(setup)
    return node, is_new


# ------------------------------------------------------------------------------------------------------ its distances


def depth_node(setup: Setup) -> bpy.types.Node:
    """The shot's Fathom Depth node; its Scale follows the camera's rig where there is one in the scene."""
    node = setup.find(DEPTH_KIND, form="CompositorNodeGroup")
    held = None if node is None else node.node_tree
    group = depth_group(setup.depth, setup.shot, owner=setup.scene, held=held)
    if node is None:
        above, frame = setup.find(tree.PLATE_KIND), setup.find(tree.FRAME_KIND)
        if above is None or frame is None or above.parent != frame:
            row = [found for found in map(setup.find, STAGES) if found is not None]
            above = min(row, key=lambda found: found.location.x, default=None) or clip_image(setup).node
        node = setup.mark(tree.add_group(setup, group, "Fathom Depth"), DEPTH_KIND)
        tree.place_below(setup, above, node)
    elif node.node_tree != group:
        clips.replace_group(node, group)
    distance_nodes.show_fit_in_node(node, setup.depth.fit_of(setup.shot), setup.depth.frame_offset)
    _follow_scale(setup, nodes.input_of(node, "Scale"))
    return node


def show_fit(depth: Depth, shot: Shot) -> None:
    """Let the shot's Fathom Depth nodes that there are have the distances of its fit, or its own where it has none."""
    if find_disparity_image(depth) is None:
        return
    for scene in bpy.data.scenes:
        found = compositor_nodes.find_scene_tree(scene) if scene.library is None else None
        if found is None or found.library is not None:
            continue
        setup = Setup(scene=scene, tree=found, depth=depth, shot=shot)
        if setup.find(DEPTH_KIND, form="CompositorNodeGroup") is not None:
            depth_node(setup)


def connect(setup: Setup) -> None:
    """Link the inputs for distances of all the shot's effects, but what the artist has linked to them stays.

    Effects take the distances of the image that they get: those of Z Combine where it is in the chain, else the
    depth's own.
    """
    node = depth_node(setup)
    plain = Distance(nodes.output_of(node, "Z"), nodes.output_of(node, "Has Depth"))
    merge, end = setup.find(tree.MERGE_KIND), _end(setup)
    merged = plain
    if merge is not None and end is not None and merge in upstream(end.source.node):
        merged = Distance(nodes.output_of(merge, "Z"), plain.has_depth)
    ours = [plain.z, *([] if merge is None else [nodes.output_of(merge, "Z")])]
    for kind in (*STAGES, *BESIDE):
        effect = setup.find(kind, form="CompositorNodeGroup")
        if effect is None:
            continue
        source = plain if kind == tree.MERGE_KIND or effect in upstream(merged.z.node) else merged
        for name, socket in (("Z", source.z), ("Has Depth", source.has_depth)):
            entry = nodes.input_of(effect, name)
            linked = entry.links[0].from_socket if entry.is_linked else None
            if linked is None or (linked in ours and linked != socket):
                nodes.feed(entry, socket)
        image = effect.inputs.get("Image")
        if kind in BESIDE and image is not None and image.is_linked:
            tree.keep_behind(effect, image.links[0].from_node)


def _follow_scale(setup: Setup, scale: Socket) -> None:
    """Drive Scale by that of the camera that the shot stands under, unless the artist has set or driven it.

    Of Fathom's own camera that is the rig's; the Depth pass of a scaled camera is in units of the world as well.
    """
    curve = tree.driver_of(setup, scale)
    follows = None if curve is None else _followed(curve)
    if curve is None and scale.default_value != 1.0:
        return
    try:
        stands = standing.find(setup.depth, setup.shot, setup.scene)
    except Problem:  # who builds under that camera is told
        stands = None
    rig = find_rig(setup.depth, setup.shot, setup.scene)
    if stands is not None:
        if curve is None or follows is not None:
            nodes.drive_by_scale(scale, "default_value", stands.camera, factor=stands.size)
    elif rig is not None and (curve is None or follows == "camera"):
        nodes.drive(scale, "default_value", {"scale": (rig, SCALE_PATH)})
    elif follows == "camera":
        scale.driver_remove("default_value")
        scale.default_value = 1.0
    elif rig is not None:
        for variable in curve.driver.variables:
            if variable.targets[0].id is None and variable.targets[0].data_path == SCALE_PATH:
                variable.targets[0].id = rig  # the one that it followed was deleted


def _followed(curve: bpy.types.FCurve) -> str | None:
    """Whether a driver is one that is made here, of a rig's Scale or a camera's size; None for the artist's own."""
    if len(curve.driver.variables) != 1:
        return None
    (variable,) = curve.driver.variables
    if variable.type == "TRANSFORMS":
        return "camera" if variable.name == "scale" else None
    return "rig" if variable.targets[0].data_path == SCALE_PATH else None
