"""Objects in a camera's frustum that a Geometry Nodes group makes from the depth: placed, filled in, found again."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import bpy

from ..inference.contract.depth_sequence import Shot
from . import distance_nodes, lookup, nodes, standing, tags
from .camera import DISTORTION, follow_lens, hang, is_lost
from .depth import Depth, disparity_image, distances, percentiles
from .lens_map import lens_map

_OPEN = 2**24
"""A frame number beyond any timeline that a node can still tell from its neighbors."""

_NAME = "Fathom"
"""What modifiers are called at first."""

COMFORTABLE_POINTS = 2_100_000
"""Points that a render samples at first at most: those of full HD."""


def place(
    kind: str,
    label: str,
    *,
    depth: Depth,
    shot: Shot,
    camera: bpy.types.Object,
    group: bpy.types.NodeTree,
    starts: dict[str, float] | None = None,
) -> tuple[bpy.types.Object, bpy.types.NodesModifier, bool]:
    """The object of that kind under the camera, with the group as its modifier; made if it is not there.

    The camera becomes its parent, and its lens drives the inputs of the group, which are those of `lattice.add_inputs`.
    The shot must be done; `label` is the object's name, after the clip's, and `starts` are starting values of inputs
    that suit the depth, beside those for distances. Returns whether the modifier is new as well,
    so that its inputs want starting values.
    """
    image = disparity_image(depth)
    alike = lookup.tagged(kind, image=image, shot=shot.first_frame, form="MESH")
    scenes = lookup.scenes_of(camera)
    orphans = (t for t in alike if any(lookup.is_in(t, scene) and is_lost(t, scene) for scene in scenes))
    placed = next((t for t in alike if t.parent == camera), None) or next(orphans, None)
    if placed is None:
        name = depth.label(label, shot)
        placed = bpy.data.objects.new(name, bpy.data.meshes.new(name))
        lookup.tag(placed, kind, image=image, shot=shot.first_frame)
        lookup.link_beside(placed, camera, scenes)
    hang(placed, camera)
    modifier = next((m for m in placed.modifiers if m.type == "NODES" and lookup.is_it(m.node_group, group)), None)
    made, named = modifier is None, _NAME
    earlier: dict[str, Any] = {}
    if modifier is None:
        for old in [m for m in placed.modifiers if m.type == "NODES" and _is_ours(m)]:
            earlier |= _inputs_for(group, old)
            named = _name_after(old, group)
            nodes.remove_modifier(old)
        modifier = placed.modifiers.new(named, "NODES")
        modifier.node_group = group
    for name, value in earlier.items():
        nodes.set_modifier_input(modifier, name, value)
    _set_starts(placed, modifier, _distances(depth, shot) | (starts or {}), keep=earlier.keys() if made else None)
    _fill_in(modifier, depth, shot, camera)
    placed[tags.VALUES] = percentiles(shot)
    return placed, modifier, made and not earlier


def _is_ours(modifier: bpy.types.NodesModifier) -> bool:
    """Whether a modifier holds a group of Fathom's, or did before that was deleted."""
    if modifier.node_group is None:
        return modifier.name.startswith(_NAME)
    return bool(tags.text(modifier.node_group, tags.KIND))


def _name_after(old: bpy.types.NodesModifier, group: bpy.types.NodeTree) -> str:
    """What the modifier is called that takes another's place: as that, unless inputs of it have another type now.

    Library overrides and keys find an input by the modifier's name and by its identifier. Blender crashes over an
    override in another file, whenever that is opened, that finds a number in the place of a material.
    """
    before, now = ({} if each is None else _types(each) for each in (old.node_group, group))
    if before and all(now[name] == kind for name, kind in before.items() if name in now):
        return old.name
    number = re.search(r" ([0-9]+)$", old.name, re.ASCII)
    return f"{_NAME} {int(number[1]) + 1 if number else 2}"


def _types(group: bpy.types.NodeTree) -> dict[str, str]:
    """The types of a group's inputs by their identifiers."""
    items = (item for item in group.interface.items_tree if item.item_type == "SOCKET" and item.in_out == "INPUT")
    return {item.identifier: item.socket_type for item in items}


def _inputs_for(group: bpy.types.NodeTree, old: bpy.types.NodesModifier) -> dict[str, Any]:
    """What the artist set in a modifier that has an earlier version of a group."""
    kinds = [tags.text(each, tags.KIND).rpartition("/")[0] for each in (old.node_group, group) if each is not None]
    if len(set(kinds)) != 1 or old.node_group is None:
        return {}  # for depth of another kind, whose distances would mean something else here
    names = nodes.interface_identifiers(old.node_group).keys() & nodes.interface_identifiers(group).keys()
    values = {name: nodes.modifier_input(old, name) for name in names - {"Geometry"}}
    return {name: value for name, value in values.items() if value is not None}


def comfortable_detail(depth: Depth, points: int = COMFORTABLE_POINTS) -> float:
    """The share of the maps' width and height that gives about so many points, at most 1."""
    return min(1.0, (points / (depth.sequence.width * depth.sequence.height)) ** 0.5)


def _fill_in(modifier: bpy.types.NodesModifier, depth: Depth, shot: Shot, camera: bpy.types.Object) -> None:
    """Set what depends on the depth and the camera and is not for the artist to choose."""
    shown_from, shown_to = depth.frames_shown(shot)
    values: dict[str, Any] = {
        "Disparity": disparity_image(depth),
        "Map Width": depth.sequence.width,
        "Map Height": depth.sequence.height,
        "Frame Offset": depth.frame_offset,
        "First Frame": shot.first_frame,
        "Last Frame": shot.last_frame,
        "Shown From": -_OPEN if shown_from is None else shown_from,
        "Shown To": _OPEN if shown_to is None else shown_to,
    }
    if depth.quantity_of(shot) == "relative_disparity":
        suits = distances(depth, shot)
        values |= {"P1": suits.p1, "P99": suits.p99}
    distance_nodes.show_fit_in_modifier(modifier, depth.fit_of(shot), depth.frame_offset)
    values["K1"], values["K2"] = tags.numbers(camera.data, DISTORTION, 2) or (0.0, 0.0)
    lens = standing.lens_of(depth, shot, camera)
    nodes.set_modifier_image(modifier, "Lens Map", None if lens is None else lens_map(lens))
    for name, value in values.items():
        nodes.set_modifier_input(modifier, name, value)
    follow_lens(modifier, camera, depth)


def _distances(depth: Depth, shot: Shot) -> dict[str, float]:
    """Starting values of the inputs for distances."""
    start = distances(depth, shot)
    return {"Near": start.near, "Far": start.far, "Near Limit": start.near_limit, "Far Limit": start.far_limit}


def _set_starts(
    placed: bpy.types.Object, modifier: bpy.types.NodesModifier, starts: dict[str, float], *, keep: Iterable[str] | None
) -> None:
    """Give a new modifier its starting values, but for those to `keep`; None: it was there before.

    Where the folder holds another estimate since, whose distances have another unit, the values that the artist has
    not changed become those that suit it.
    """
    before = dict(zip(starts, tags.numbers(placed, tags.STARTS, len(starts)) or ()))
    for name in nodes.interface_identifiers(modifier.node_group).keys() & starts.keys():
        own = nodes.modifier_input(modifier, name)
        is_new = keep is not None and name not in keep
        if is_new or (
            name in before and isinstance(own, (int, float)) and math.isclose(own, before[name], rel_tol=1e-5)
        ):
            nodes.set_modifier_input(modifier, name, starts[name])
    placed[tags.STARTS] = list(starts.values())
