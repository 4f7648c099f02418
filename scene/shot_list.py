"""The shots of a depth on a scene's list, for panels: where each begins on the timeline, and whether it has depth."""

from __future__ import annotations

from dataclasses import dataclass

import bpy

from . import depth_list
from .depth import DepthError
from .disk_status import Seen
from .wording import shown

_LONGEST = 500
"""Letters of a reason: what a file of somebody else's says may be endless, and panels draw it again and again."""


@dataclass(frozen=True)
class ListedShot:
    """A shot: its frames in the clip's own numbers, the scene frame of the first, and why its depth is what it is.

    `quantity` is that of its maps where the clip's shots differ in it, else empty.
    """

    first_frame: int
    last_frame: int
    scene_frame: int
    is_done: bool
    reason: str
    quantity: str


def known(scene: bpy.types.Scene) -> tuple[ListedShot, ...]:
    """The shots of the active depth of a scene's list, as far as they are known; no file is looked at, panels ask."""
    listed = scene.fathom
    if not listed.depths:
        return ()
    index = min(max(listed.active_depth, 0), len(listed.depths) - 1)
    item = listed.depths[index]
    if not depth_list.may_look(item):
        return ()
    return _seen.of(depth_list.key_of(item, f"fathom.depths[{index}]")) or ()


def look(item: bpy.types.PropertyGroup) -> tuple[ListedShot, ...]:
    """The shots of an entry of a list, read now; none where its depth cannot be."""
    try:
        depth = depth_list.read(item)
    except DepthError:
        return ()
    differ = len({depth.quantity_of(shot) for shot in depth.sequence.done_shots}) > 1
    return tuple(
        ListedShot(
            shot.first_frame,
            shot.last_frame,
            shot.first_frame + depth.frame_offset,
            shot.status == "done",
            shown(shot.reason or "", _LONGEST),
            depth.quantity_of(shot) if differ and shot.status == "done" else "",
        )
        for shot in depth.sequence.shots
    )


_seen = Seen(lambda entry: look(depth_list.entry_of(entry)), holds=10.0)
