"""Strips of a depth beside its plate in the Sequencer."""

from __future__ import annotations

from typing import Any

import bpy

from ..inference.contract.depth_sequence import Shot, disparity_name
from . import tags, versions
from .depth import (
    Depth,
    DepthError,
    distances,
    is_of_earlier_estimate,
    is_same_place,
    percentiles,
    portable_path,
    require_own,
)
from .plate import plate_size
from .viewing import shown

_CHANNELS, _LAST_FRAME = 128, 1_048_574
"""Of Blender's Sequencer and timeline."""


def add(depth: Depth, scene: bpy.types.Scene) -> list[Any]:
    """Add an image strip for each shot of a depth to a scene's Sequencer, above all other strips.

    It lies where a strip of the plate lies, in time and in the image, else at the depth's own place. The maps are read
    live, gray from black far to white near; modifiers hold the shot's percentiles, and may be changed. The active strip
    stays. DepthError where Blender cannot read the maps, where strips have no place, or in a linked scene.
    """
    require_own(scene, "scene")
    shots = depth.done_shots
    if depth.unreadable is not None:
        raise DepthError(depth.unreadable)
    strips = versions.strips_of(scene.sequence_editor_create())
    plate = shown.strip_of(depth.source, scene)
    channel = 1 + max((strip.channel for strip in strips), default=0)
    offset = depth.frame_offset if plate is None else shown.offset_of(plate, depth.source)
    first, last = shots[0].first_frame + offset, shots[-1].last_frame + offset
    if channel > _CHANNELS:
        raise DepthError(f"There is no channel above all strips: free channel {_CHANNELS} of the Sequencer.")
    if first < -_LAST_FRAME or last > _LAST_FRAME:  # Blender would put them elsewhere without a word
        raise DepthError(
            f"The frames {first}-{last} of the depth of {depth.name} lie beyond Blender's timeline: choose another "
            "Frame Offset."
        )
    return [_add_shot(depth, shot, scene, plate, channel=channel, offset=offset) for shot in shots]


def of_earlier_estimate(depth: Depth) -> list[str]:
    """Names of the strips of a depth that were added when its folder held another estimate."""
    editors = (scene.sequence_editor for scene in bpy.data.scenes if scene.library is None)
    strips = (strip for each in editors if each is not None for strip in versions.strips_of(each, nested=True))
    ours = (strip for strip in strips if strip.type == "IMAGE" and tags.text(strip, tags.KIND) == "strip")
    here = (strip for strip in ours if is_same_place(strip.directory, depth.folder))
    return [strip.name for strip in here if is_of_earlier_estimate(strip, depth)]


def _add_shot(depth: Depth, shot: Shot, scene: bpy.types.Scene, plate: Any, *, channel: int, offset: int) -> Any:
    strip = versions.strips_of(scene.sequence_editor).new_image(
        depth.label("Depth", shot),
        portable_path(depth.folder / disparity_name(shot.first_frame)),
        channel,
        shot.first_frame + offset,
    )
    for frame in range(shot.first_frame + 1, shot.last_frame + 1):
        strip.elements.append(disparity_name(frame))
    # Data, so nothing is converted; as Non-Color some versions take it for linear light, and convert that.
    strip.colorspace_settings.name = scene.sequencer_colorspace_settings.name
    tags.set_text(strip, tags.KIND, "strip")
    strip[tags.SHOT], strip[tags.VALUES] = shot.first_frame, percentiles(shot)
    _place(strip, plate, depth, scene)
    _set_range(strip, scene, *_percentiles(depth, shot))
    return strip


def _percentiles(depth: Depth, shot: Shot) -> tuple[float, float]:
    found = distances(depth, shot)
    return found.p1, max(found.p99, found.p1 + 1e-6 * max(abs(found.p1), 1e-6))


def _place(strip: Any, plate: Any, depth: Depth, scene: bpy.types.Scene) -> None:
    """Lay the maps over the plate's strip, whatever their size; without one, fill the render size as Blender would."""
    width, height = depth.sequence.width, depth.sequence.height
    ours = strip.transform
    if plate is None:
        ours.scale_x = ours.scale_y = min(scene.render.resolution_x / width, scene.render.resolution_y / height)
        return
    theirs, (full_width, full_height) = plate.transform, plate_size(depth)
    for name in ("offset_x", "offset_y", "rotation", "origin"):
        setattr(ours, name, getattr(theirs, name))
    ours.scale_x, ours.scale_y = theirs.scale_x * full_width / width, theirs.scale_y * full_height / height
    # Blender turns an image about its origin and shifts that, and a share of a smaller image is fewer pixels.
    ours.offset_x += (theirs.origin[0] - 0.5) * (full_width - width)
    ours.offset_y += (theirs.origin[1] - 0.5) * (full_height - height)
    for side, full, own in (("x", full_width, width), ("y", full_height, height)):
        for end in ("min", "max"):
            setattr(strip.crop, f"{end}_{side}", round(getattr(plate.crop, f"{end}_{side}") * own / full))
    strip.use_flip_x, strip.use_flip_y = plate.use_flip_x, plate.use_flip_y


def _set_range(strip: Any, scene: bpy.types.Scene, p1: float, p99: float) -> None:
    """Have a strip show p1 black and p99 white, by modifiers.

    *Color Balance* gives ``max(0, slope d + offset - 1)``, and its offset is not negative. So a p1 above 0 is taken off
    first, by ``d / p1 - 1``, and the second makes the rest fill the range.
    """
    slope, offset = 1.0 / (p99 - p1), 1.0 - p1 / (p99 - p1)
    if p1 > 0:
        _balance(strip, scene, slope=1.0 / p1, offset=0.0)
        slope, offset = p1 / (p99 - p1), 1.0
    _balance(strip, scene, slope=slope, offset=offset)


def _balance(strip: Any, scene: bpy.types.Scene, *, slope: float, offset: float) -> None:
    balance = versions.add_strip_modifier(strip, scene, "Depth Range", "COLOR_BALANCE").color_balance
    balance.correction_method = "OFFSET_POWER_SLOPE"
    balance.slope, balance.offset = (slope,) * 3, (offset,) * 3
