"""Effects by a clip's depth on strips of the Sequencer, as compositor modifiers whose inputs are each strip's own.

A modifier's group gets the strip's image alone. So each shot and effect has a group of its own here, which holds the
shot's Fathom Depth and the effect, and has the effect's inputs, which are then the modifier's. From Blender 5.2 on; 5.0
has such modifiers without inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bpy

from ...inference.contract.depth_sequence import Shot
from .. import lookup, nodes, versions
from ..depth import Depth, disparity_image
from ..problems import Problem
from . import depth_of_field, fog, grade, matte, relight, tree
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
        Shows the shot's plate, at the frames at which the depth lies.
    scene : Scene
        Holds the strip.
    effect : str
        The first of one of `ITEMS`.

    Raises
    ------
    Problem
        Blender is older than 5.2, or the strip has sound alone.
    DepthError
        The shot is unsupported.
    """
    if not IS_THERE:
        raise Problem("Effects on strips need Blender 5.2 or later: add them to the compositor instead.")
    if strip.type == "SOUND":
        raise Problem(f"{strip.name} has no image: select the strip of the clip.")
    group = _group(depth, depth.require_done(shot), _EFFECTS[effect])
    for modifier in strip.modifiers:
        if modifier.type == "COMPOSITOR" and modifier.node_group == group:
            return modifier
    modifier = versions.add_strip_modifier(strip, scene, group.name, "COMPOSITOR")
    modifier.node_group = group
    return modifier


def input_of(modifier: Any, name: str) -> Any:
    """A modifier's own input of that name, whose `value` may be set, keyed and driven."""
    return getattr(modifier.properties.inputs, nodes.interface_identifiers(modifier.node_group)[name])


def _group(depth: Depth, shot: Shot, effect: _Effect) -> bpy.types.NodeTree:
    inner, distances = tree.effect_group(effect.kind, effect.name, effect.build), depth_group(depth, shot)
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
        held, source = (nodes.new(group, "CompositorNodeGroup", label=each.name) for each in (inner, distances))
        held.node_tree, source.node_tree = inner, distances
        for socket in held.inputs:
            nodes.feed(socket, nodes.output_of(source, socket.name) if socket.name in _FED[1:] else inputs[socket.name])
        nodes.feed(outputs["Image"], nodes.output_of(held, "Image"))

    name = depth.label(f"{effect.name} on Strip", shot)
    kind = f"strip/{tree.group_kind(effect.kind)}"
    image = disparity_image(depth)
    return lookup.node_group(kind, name, "CompositorNodeTree", build, image=image, shot=shot.first_frame)


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
