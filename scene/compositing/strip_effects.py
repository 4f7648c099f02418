"""Effects by a clip's depth on strips of the Sequencer, as compositor modifiers whose inputs are each strip's own.

A modifier's group gets the strip's image alone. So each shot and effect has a group of its own here, which holds the
shot's Fathom Depth and the effect, and has the effect's inputs, which are then the modifier's. From Blender 5.2 on; 5.0
has such modifiers without inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import bpy

from ...inference.contract.depth_sequence import Shot
from .. import lookup, nodes, tags, versions
from ..depth import Depth, disparity_image, find_disparity_image
from ..problems import Problem
from ..source import from_strip
from ..viewing import shown
from . import clips, compositor_nodes, depth_of_field, fog, grade, matte, relight, tree
from .depth_group import KIND as DEPTH_KIND
from .depth_group import depth_group, span

IS_THERE = bpy.app.version >= (5, 2, 0)
"""Whether strips can have compositor modifiers with inputs."""

_FED = ("Image", "Z", "Has Depth")


@dataclass(frozen=True)
class _Effect:
    """An effect: its group's kind and name, what makes that, and what its inputs start with, by near and far."""

    kind: str
    name: str
    build: Callable[[bpy.types.NodeTree], None]
    starts: Callable[[float, float], dict[str, float]]
    description: str


_EFFECTS = {
    "FOG": _Effect(
        tree.FOG_KIND,
        "Fog",
        fog.build,
        lambda near, far: {"Start": near, "End": far, "Density": 1.5 / (far - near)},
        "Fog by distance",
    ),
    "LENS": _Effect(
        tree.DEFOCUS_KIND,
        "Depth of Field",
        depth_of_field.build,
        lambda near, far: {"Focus Distance": (near * far) ** 0.5, "F-Stop": depth_of_field.first_f_stop(near, far)},
        "The blur of a lens",
    ),
    "GRADE": _Effect(
        tree.GRADE_KIND, "Depth Grade", grade.build, lambda near, far: {"Near": near, "Far": far}, "A grade by distance"
    ),
    "MATTE": _Effect(
        tree.MATTE_KIND,
        "Depth Matte",
        matte.build,
        lambda near, far: {"Target": near, "Tolerance": (far - near) / 3, "Softness": (far - near) / 10},
        "The image cut out by distance",
    ),
    "RELIGHT": _Effect(
        tree.RELIGHT_KIND, "Relight", relight.build, lambda near, _far: {"Power": 40.0 * near**2}, "New light"
    ),
}
ITEMS = tuple((key, effect.name, effect.description) for key, effect in _EFFECTS.items())
"""For an operator's property."""


def add(strip: Any, scene: bpy.types.Scene, depth: Depth, shot: Shot, effect: str) -> Any:
    """Give a strip an effect by a shot's depth, or find the modifier that it has; returns the modifier.

    Parameters
    ----------
    strip : Strip
        Where it is of the shot's plate, the depth lies at its frames, else at its own; of one that was moved since, the
        modifier that it has is brought there.
    scene : Scene
        Holds the strip.
    effect : str
        The first of one of `ITEMS`.

    Raises
    ------
    Problem
        Blender is older than 5.2, or the strip has sound alone.
    SourceError
        It is of the shot's plate and does not show it frame by frame, see `source.from_strip`: retimed, for example.
    DepthError
        The shot is unsupported.
    """
    if not IS_THERE:
        raise Problem("Effects on strips need Blender 5.2 or later: add them to the compositor instead.")
    if strip.type == "SOUND":
        raise Problem(f"{strip.name} has no image: select the strip of the clip.")
    depth.require_done(shot)
    if shown.is_on(strip, depth.source, scene):
        from_strip(strip, scene)
    offset = shown.offset_on(strip, depth.source, scene)
    depth = depth if offset is None else replace(depth, frame_offset=offset)
    group = _group(depth, shot, _EFFECTS[effect], strip)
    for modifier in _modifiers(strip):
        if all(modifier.node_group.get(name) == group[name] for name in (tags.KIND, tags.DEPTH, tags.SHOT)):
            if modifier.node_group != group:
                modifier.node_group = group
            return modifier
    modifier = versions.add_strip_modifier(strip, scene, group.name, "COMPOSITOR")
    modifier.node_group = group
    return modifier


def input_of(modifier: Any, name: str) -> Any:
    """A modifier's own input of that name, whose `value` may be set, keyed and driven."""
    return getattr(modifier.properties.inputs, nodes.interface_identifiers(modifier.node_group)[name])


def moved(depth: Depth) -> list[str]:
    """Names of strips that show their clip at other frames than the effects by this depth that they have."""
    image, plate, found = find_disparity_image(depth), depth.source, []
    for strip, scene in _strips() if IS_THERE and image is not None else ():
        offsets = [each.node_group.get(tags.OFFSET) for each in _modifiers(strip) if _is_of(each.node_group, image)]
        if offsets and shown.is_on(strip, plate, scene) and shown.offset_on(strip, plate, scene) not in offsets:
            found.append(strip.name)
    return found


def _is_of(group: bpy.types.NodeTree, image: bpy.types.Image) -> bool:
    return tags.text(group, tags.KIND).startswith(compositor_nodes.STRIP) and group.get(tags.DEPTH) == image


def _strips() -> Iterator[tuple[Any, bpy.types.Scene]]:
    """All strips of this file, and the scene that holds each."""
    for scene in bpy.data.scenes:
        if scene.sequence_editor is not None and scene.library is None:
            yield from ((strip, scene) for strip in versions.strips_of(scene.sequence_editor, nested=True))


def _modifiers(strip: Any) -> list[Any]:
    """A strip's compositor modifiers that have a group."""
    return [each for each in strip.modifiers if each.type == "COMPOSITOR" and each.node_group is not None]


def _group(depth: Depth, shot: Shot, effect: _Effect, strip: Any) -> bpy.types.NodeTree:
    """The group of an effect on strips that show the depth's frames where it lies: one that only this strip has is
    brought there.
    """
    inner = tree.effect_group(effect.kind, effect.name, effect.build)
    starts = effect.starts(*span(depth, shot))

    def build(group: bpy.types.NodeTree) -> None:
        nodes.interface_input(group, "Image", "Color", description="The strip's image")
        panels = {}
        for item in inner.interface.items_tree:
            if item.item_type == "PANEL":
                panels[item] = nodes.panel(group, item.name, description=item.description, closed=item.default_closed)
            elif item.in_out == "INPUT" and item.name not in _FED:
                _copy(group, item, panels.get(item.parent), starts.get(item.name))
        nodes.interface_output(group, "Image", "Color", description="The strip's image with the effect")
        inputs, outputs = nodes.group_sockets(group)
        distances = depth_group(depth, shot, owner=group)
        held, source = (nodes.new(group, "CompositorNodeGroup", label=each.name) for each in (inner, distances))
        held.node_tree, source.node_tree = inner, distances
        for socket in held.inputs:
            nodes.feed(socket, nodes.output_of(source, socket.name) if socket.name in _FED[1:] else inputs[socket.name])
        nodes.feed(outputs["Image"], nodes.output_of(held, "Image"))

    def is_own(group: bpy.types.NodeTree) -> bool:
        return all(other == strip for other, _ in _strips() if group in (m.node_group for m in _modifiers(other)))

    name, form = depth.label(f"{effect.name} on Strip", shot), "CompositorNodeTree"
    kind = compositor_nodes.STRIP + tree.group_kind(effect.kind)
    marks = {"image": disparity_image(depth), "shot": shot.first_frame}
    found = lookup.tagged(kind, **marks, among="node_groups", form=form)
    shown_now = [each.node_group for each in _modifiers(strip)]
    group = lookup.at_offset(found, depth.frame_offset, is_own=is_own, held=shown_now)
    group = group or lookup.new_node_group(kind, name, form, build, **marks)
    group[tags.OFFSET] = depth.frame_offset
    distances = depth_group(depth, shot, owner=group)
    for node in group.nodes:
        held = node.node_tree if node.bl_idname == "CompositorNodeGroup" else None
        if held not in (None, distances) and tags.text(held, tags.KIND).startswith(f"{DEPTH_KIND}/"):
            clips.replace_group(node, distances)
    return group


def _copy(group: bpy.types.NodeTree, item: Any, parent: Any, start: float | None) -> None:
    """Add an input as another group has it."""
    made = nodes.interface_input(
        group, item.name, item.socket_type.removeprefix("NodeSocket"), description=item.description, parent=parent
    )
    for name in ("subtype", "min_value", "max_value", "default_value"):
        if hasattr(item, name):
            setattr(made, name, getattr(item, name))
    if start is not None:
        made.default_value = start
